"""The campaign `sim-upload` (scripts/campaigns.d/sim-upload wraps it in scripts/pg)."""

from __future__ import annotations

import logging
import sys

import structlog

from tests.support.campaign import Campaign, main
from tests.support.upload_campaign import KILLS, STORES, close, play

if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    print("stores: " + ", ".join(STORES))  # noqa: T201 - PostgreSQL may be missing
    # 500 kills on each store (PROTOCOL.md 8); issue 6 asks a tenth of it.
    sys.exit(main(Campaign("sim-upload", "kills", 500 * len(STORES), 5 * len(STORES), play, KILLS,
                           close=close)))  # fmt: skip
