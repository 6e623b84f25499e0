"""What an auditor reports: findings, alerts, and what a closed terminal explains."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from wire.invariants import TITLES, Invariant


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
    what: str
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
            "what": self.what,
            "evidence": list(self.evidence),
            "owner": self.owner,
        }


@dataclass(frozen=True, slots=True)
class Explained:
    """An open matter that a TERMINAL_LOST closes: listed, never counted as a finding."""

    terminal: str
    what: str


@dataclass(frozen=True, slots=True)
class Alert:
    """Something to look at that proves nothing: open and young, or unusual.

    ``kind`` is a key into :data:`backend.audit.messages.ALERTS`.
    """

    kind: str
    subject: str
    what: str
    since_s: int = 0
