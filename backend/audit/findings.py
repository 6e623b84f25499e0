"""What an auditor reports: findings, alerts, and what a closed terminal explains.

PROTOCOL.md §7, end; in the report as docs/audit.md#json.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Union

from backend.audit.facts import Fact
from backend.audit.forms import Amount, moment, number, rupiah
from backend.audit.messages import ALERTS, HOLDS, KINDS, pick
from backend.audit.messages_facts import FACTS
from keys.errors import OutsideWindowError, RevokedKeyError, UnknownKeyError
from wire.errors import EnvironmentMismatchError, FormatError, SignatureInvalidError
from wire.invariants import TITLES, Invariant

Value = Union[str, int, tuple[str, ...], Amount, "What"]


@dataclass(frozen=True, slots=True)
class What:
    """One sentence about an export, in both languages: a fact and the values it speaks of."""

    fact: Fact
    values: tuple[tuple[str, Value], ...] = ()

    def text(self, language: str) -> str:
        """The sentence; ids in it are hex."""
        shown = {key: _shown(key, value, language) for key, value in self.values}
        return pick(FACTS[self.fact], language).format(**shown)

    def __str__(self) -> str:
        return self.text("en")


def say(fact: Fact, /, **values: Value) -> What:
    """A fact with its values, named as :data:`backend.audit.messages_facts.FACTS` has them."""
    return What(fact, tuple(values.items()))


def _shown(key: str, value: Value, language: str) -> str:
    if isinstance(value, What | Amount):
        return value.text(language)
    if isinstance(value, tuple):
        return ", ".join(pick(HOLDS.get(x, (x, x)), language) for x in value)
    if key == "good" or key.endswith("_kind"):
        return _word(str(value), language)
    if isinstance(value, str):
        return value
    if key.endswith("_s"):
        return moment(value, language)
    return rupiah(value, language) if key.endswith("_minor") else number(value, language)


def _word(kind: str, language: str) -> str:
    """A kind of object, ledger entry, good or role; one we do not know stands as it is."""
    return pick(KINDS.get(kind, (kind, kind)), language)


_OF_ERROR: tuple[tuple[type[Exception], Fact], ...] = (
    (EnvironmentMismatchError, Fact.FOREIGN),
    (SignatureInvalidError, Fact.BAD_SIGNATURE),
    (FormatError, Fact.BAD_FORM),
    (UnknownKeyError, Fact.UNKNOWN_KEY),
    (OutsideWindowError, Fact.KEY_TIME),
    (RevokedKeyError, Fact.KEY_REVOKED),
)


def of_error(error: Exception) -> What:
    """What an item is set aside for, by what its verification raised."""
    fact = next((f for kind, f in _OF_ERROR if isinstance(error, kind)), Fact.NOT_TRUSTED)
    return say(fact, detail=str(error))


class Severity(IntEnum):
    """How much a finding weighs: 3 value moved without right, 2 evidence broken, 1 order."""

    ORDER = 1
    EVIDENCE = 2
    VALUE = 3


SEVERITIES = {
    Invariant.ONE_BODY: Severity.VALUE,
    Invariant.COUNTERS: Severity.VALUE,
    Invariant.ENTITLEMENT_ISSUED: Severity.VALUE,
    Invariant.SETTLED_ONCE: Severity.VALUE,
    Invariant.CONSERVATION: Severity.VALUE,
    Invariant.STOCK: Severity.VALUE,
    Invariant.DECREE_ROW: Severity.VALUE,
    Invariant.TIME: Severity.ORDER,
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One violation: which invariant, about what, shown by which objects.

    ``subject`` names the card, station or account in hex or text; ``evidence`` the hashes or
    file names that show it; ``owner`` who has to answer: terminal, backend, card or registry.
    """

    invariant: Invariant
    subject: str
    what: What
    evidence: tuple[str, ...] = ()
    owner: str = "backend"

    @property
    def severity(self) -> Severity:
        """Weight by invariant."""
        return SEVERITIES.get(self.invariant, Severity.EVIDENCE)

    def to_json(self) -> dict[str, object]:
        """The finding as it stands in the machine-readable report."""
        title_id, title_en = TITLES[self.invariant]
        return {
            "invariant": int(self.invariant),
            "title_id": title_id,
            "title_en": title_en,
            "severity": int(self.severity),
            "subject": self.subject,
            "code": str(self.what.fact),
            "what": self.what.text("id"),
            "what_en": self.what.text("en"),
            "evidence": list(self.evidence),
            "owner": self.owner,
        }


@dataclass(frozen=True, slots=True)
class Explained:
    """An open matter that a TERMINAL_LOST closes: listed, never counted as a finding."""

    terminal: str
    what: What

    def to_json(self) -> dict[str, object]:
        """As it stands in the machine-readable report."""
        return {"terminal": self.terminal, "code": str(self.what.fact),
                "what": self.what.text("id"), "what_en": self.what.text("en")}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Alert:
    """Something to look at that proves nothing: open and young, or unusual.

    ``kind`` is a key into :data:`backend.audit.messages.ALERTS`.
    """

    kind: str
    subject: str
    number: int = 0
    since_s: int = 0

    def to_json(self) -> dict[str, object]:
        """As it stands in the machine-readable report."""
        what, what_en = ALERTS[self.kind]
        return {"kind": str(self.kind), "subject": self.subject, "what": what, "what_en": what_en,
                "number": self.number, "since_s": self.since_s}  # fmt: skip
