"""A desk opened and connected: what a program at the desk, with or without a screen, works with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from issuer.evidence import EvidenceBook
from issuer.office import Orders, Uploads
from issuer.personalise import Desk
from issuer.tally import Tally
from keys.signer import Signer


class Reached(Uploads, Orders, Protocol):
    """The office as a desk reaches it (:class:`issuer.office.Office`)."""


@dataclass(frozen=True, slots=True)
class Place:
    """``office`` None: worked by files. ``stock``: chips free, certified and scrapped."""

    desk: Desk
    tally: Tally
    evidence: EvidenceBook
    office: Reached | None
    stock: Callable[[], tuple[int, int, int]]
    log_key: Callable[[str], Signer] = field(repr=False)
