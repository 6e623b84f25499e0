"""Names for ids: what the signed export calls a station, a card, a programme."""

from __future__ import annotations

import re

from backend.audit.load import UPLOAD_NAME
from backend.audit.messages import HOLDS, KINDS, OWNERS, SUBJECTS, pick, word
from backend.audit.model import World
from wire.objects import Programme

MISSING = "missing"
"""Stands for the number of a ledger entry that is not there."""
_IDS = re.compile(r"\b(?:[0-9a-f]{16}|wallet-\d+)\b")
_WHERE = re.compile(r"^([0-9a-f]{16})(?:/(\d+))?/(\d+)$")


def ascii_of(name: bytes) -> str:
    """An id as people say it, where it is text; else hex."""
    text = name.rstrip(b"\x00")
    return text.decode("ascii") if text.isalnum() and text.isascii() else name.hex()


def card_name(card_id: bytes) -> str:
    """``DEMO-000004``: mark and serial number of the card."""
    return f"{ascii_of(card_id[:4])}-{int.from_bytes(card_id[4:], 'big'):06d}"


class Names:
    """Puts names for ids into sentences, in one language."""

    def __init__(self, world: World, language: str) -> None:
        self.language = language
        self.cards = {c.hex(): f"{word('card', language)} {card_name(c)}" for c in world.cards}
        self.wallets: dict[int, str] = {}
        self.known = {
            s.station.hex(): f"{ascii_of(s.station)} ({s.enrolment.place})"
            for s in world.stations.values()
        } | self.cards
        for _, p in world.of(Programme):
            self.wallets[p.wallet] = pick((p.title_id, p.title_en), language)
            self.known[f"wallet-{p.code}"] = self.wallets[p.wallet]

    def put(self, text: str) -> str:
        """The text with every id that the export knows replaced by its name."""
        shown = _IDS.sub(lambda found: self.known.get(found[0], found[0]), text)
        twice = f"{word('card', self.language)} "
        return shown.replace(twice * 2, twice)

    def subject(self, subject: str) -> str:
        """What a finding is about: a record, a receipt, an entry, a file."""
        where = _WHERE.match(subject)
        if where:
            return self._place(*where.groups())
        head, _, rest = subject.partition("/")
        upload = UPLOAD_NAME.match(rest)
        if upload:
            station, first, last = upload.groups()
            return self._word("upload", self.put(station), int(first), int(last))
        kind, _, n = rest.partition("/")
        if head == "objects" and n:
            return self._word("object", pick(KINDS.get(kind, (kind, kind)), self.language), n)
        if rest == MISSING:
            return self._word(f"{head}-{MISSING}")
        if head in SUBJECTS and "." not in rest:
            return self._word(head, rest)
        return self._word("file", subject) if "." in subject else self.put(subject)

    def _place(self, name: str, wallet: str | None, n: str) -> str:
        shown = self.known.get(name, name)
        if wallet is not None:
            programme = self.wallets.get(int(wallet), wallet)
            return self._word("entitlement", shown, programme, n)
        return self._word("receipt" if name in self.cards else "record", shown, n)

    def _word(self, key: str, *values: str | int) -> str:
        return pick(SUBJECTS[key], self.language).format(*values)

    def owner(self, owner: str) -> str:
        """Who has to answer."""
        return pick(OWNERS[owner], self.language) if owner in OWNERS else self.put(owner)

    def hold(self, why: str) -> str:
        """Why a receipt is not payable."""
        return pick(HOLDS.get(why, (why, why)), self.language)
