"""The load files our reference card can run: the purse's (docs/foreign-clients.md#content)."""

from __future__ import annotations

from card_os.reference.applets import Registry
from card_os.reference.purse import PurseApplet
from wire.env import PACKAGE_AID

__all__ = ["PACKAGES"]

# One module, the package's AID and 01; instances of it are named after their world (wire.env).
PACKAGES: Registry = {PACKAGE_AID: PurseApplet}
