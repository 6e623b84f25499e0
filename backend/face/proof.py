"""The checks of one receipt, made anew on its bytes whenever somebody looks (docs/audit.md).

Nothing here remembers what was found when the export was loaded: every check begins at bytes,
with `wire` and `keys.trust`. A paper that the export has not is said to be absent, never passed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import TypeVar

from backend.audit.findings import What, of_error
from keys.errors import KeysError
from keys.trust import CardIdentity, TrustStore
from wire import cvc, ecdsa
from wire.chain import IssuanceEntry
from wire.cose import key_id
from wire.dates import day_of
from wire.entitlement import Entitlement
from wire.errors import EnvironmentMismatchError, WireError
from wire.log import Intent, Receipted, Record, Upload, VoidIntent
from wire.objects import Acknowledgement, Enrolment, KeyRole, KeyStatement, open_signed
from wire.raw import body_hash, body_of
from wire.receipt import Counters, Receipt, ReceiptKind, Statement, Verification

P = TypeVar("P")


class Step(StrEnum):
    """One check, in the order they are made."""

    FORM = "form"
    ENVIRONMENT = "environment"
    ROOT = "root"
    CERTIFICATE = "certificate"
    LOGGED = "logged"
    SIGNATURE = "signature"
    LINK = "link"
    FOLLOWED = "followed"
    ENTITLEMENT = "entitlement"
    COUNTERS = "counters"
    TERMINAL = "terminal"
    INTENT = "intent"
    RECORD = "record"
    UPLOAD = "upload"
    ACKNOWLEDGED = "acknowledged"


class Outcome(StrEnum):
    """How a check ended."""

    HOLDS = "holds"
    FAILS = "fails"
    ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class Check:
    """One check as it came out just now.

    ``shown``: what was compared or computed, as text of bytes and figures; ``wanted``: what it
    had to be, where that differs; ``why``: what a verification said when it refused.
    """

    step: Step
    outcome: Outcome
    shown: str = ""
    wanted: str = ""
    why: What | None = None


@dataclass(frozen=True, slots=True)
class Papers:
    """Every byte string that says something about one receipt; None where the export has none.

    ``issued``: the issuance log entry of the card's certificate, ``issued_next`` the one behind it;
    ``before``: the newest receipt
    or LOAD statement of the same wallet before this one; ``record``: the record that carries it,
    ``upload`` and ``acknowledgement`` that record's; ``enrolled_s``: when the station was enrolled.
    ``has_before`` is False when this is the
    wallet's first item, ``has_next`` when it is the card's newest.
    """

    receipt: bytes
    statements: tuple[bytes, ...] = ()
    issued: bytes | None = None
    issued_next: bytes | None = None
    previous: bytes | None = None
    following: bytes | None = None
    before: bytes | None = None
    entitlement: bytes | None = None
    terminal_certificate: bytes | None = None
    intent: bytes | None = None
    record: bytes | None = None
    enrolment: bytes | None = None
    enrolled_s: int | None = None
    upload: bytes | None = None
    acknowledgement: bytes | None = None
    has_before: bool = True
    has_next: bool = True


class _AbsentError(Exception):
    """The export has no paper to check this against."""


class _OtherError(Exception):
    """Two values that had to be one."""

    def __init__(self, shown: str, wanted: str) -> None:
        super().__init__(shown)
        self.shown, self.wanted = shown, wanted


def _need(paper: P | None) -> P:
    if paper is None:
        raise _AbsentError
    return paper


def _same(shown: object, wanted: object) -> str:
    """The text of both, when they are one."""
    a, b = (x.hex() if isinstance(x, bytes) else str(x) for x in (shown, wanted))
    if a != b:
        raise _OtherError(a, b)
    return a


def prove(trust: TrustStore, papers: Papers) -> list[Check]:
    """Make every check of a receipt's bytes under this trust, each by itself."""
    receipt: Receipt | None = None
    try:
        receipt = Receipt.parse(papers.receipt)
        shown = f"{len(papers.receipt)} B, {papers.receipt[:5].hex()}"
        made = [Check(Step.FORM, Outcome.HOLDS, shown)]
    except WireError as e:
        made = [Check(Step.FORM, Outcome.FAILS, why=of_error(e))]
    context = _Context(trust, papers, receipt)
    for step, make in CHECKS.items():
        if step == Step.FOLLOWED and not papers.has_next:
            continue
        made.append(_run(step, make, context))
    return made


def _run(step: Step, make: Callable[[_Context], str], context: _Context) -> Check:
    try:
        return Check(step, Outcome.HOLDS, make(context))
    except _AbsentError:
        return Check(step, Outcome.ABSENT)
    except _OtherError as e:
        return Check(step, Outcome.FAILS, e.shown, e.wanted)
    except (WireError, KeysError) as e:
        return Check(step, Outcome.FAILS, why=of_error(e))


@dataclass(frozen=True, slots=True)
class _Context:
    """``receipt`` is None for bytes that are none: what needs no field of it is checked still."""

    trust: TrustStore
    papers: Papers
    receipt: Receipt | None

    @property
    def r(self) -> Receipt:
        return _need(self.receipt)

    def entry(self) -> IssuanceEntry:
        return IssuanceEntry.parse(_need(self.papers.issued))

    def certificate(self) -> cvc.Certificate:
        return cvc.Certificate.parse(self.entry().item)

    def identity(self) -> CardIdentity:
        return self.trust.card_certificate(self.certificate())

    def stated(self, role: KeyRole, version: int) -> KeyStatement:
        """The root's statement for this key, its signature checked now."""
        for raw in self.papers.statements:
            s = open_signed(KeyStatement, raw, self.trust.root_key, self.trust.env)
            if (s.role, s.version) == (role, version):
                return s
        raise _AbsentError


# --- who signed ------------------------------------------------------------


def _environment(c: _Context) -> str:
    if c.r.env != c.trust.env:
        raise EnvironmentMismatchError(f"receipt of environment {c.r.env:#04x}")
    return f"{c.r.env:02x}"


def _root(c: _Context) -> str:
    """The root's signature over the card CA's key, and that key is the one in use."""
    version = c.certificate().issuer.version
    stated = c.stated(KeyRole.CARD_CA, version)
    _same(c.trust.key(KeyRole.CARD_CA, version).public_key, stated.public_key)
    return key_id(stated.public_key).hex()


def _certificate(c: _Context) -> str:
    identity = c.identity()
    _same(identity.card_id, c.r.card_id)
    return identity.certificate.digest.hex()


def _logged(c: _Context) -> str:
    """The certificate stands in the issuance log, and the entry behind it names that entry."""
    entry = c.entry()
    _same(cvc.Certificate.parse(entry.item).subject, c.r.card_id)
    named = IssuanceEntry.parse(_need(c.papers.issued_next)).previous
    return f"{entry.sequence}, {_same(named, entry.hash)}"


def _signature(c: _Context) -> str:
    key, raw = c.identity().receipt_key, c.papers.receipt
    ecdsa.verify_p256(key, raw[-64:], body_of(raw))
    return ecdsa.compress(key).hex()


# --- what it follows ------------------------------------------------------------


def _link(c: _Context) -> str:
    if c.r.sequence == 1:
        return _same(c.r.link, sha256(c.entry().item).digest())
    previous = Receipt.parse(_need(c.papers.previous))
    _same(previous.sequence, c.r.sequence - 1)
    return _same(c.r.link, previous.hash)


def _followed(c: _Context) -> str:
    following = Receipt.parse(_need(c.papers.following))
    return _same(following.link, body_hash(c.papers.receipt))


def _entitlement(c: _Context) -> str:
    """The issuer's signature on the entitlement named; it is this card's, and its L is there."""
    e = c.trust.entitlement(_need(c.papers.entitlement))
    named = (e.card_id.hex(), e.wallet, e.sequence)
    _same(named, (c.r.card_id.hex(), c.r.wallet, c.r.entitlement_sequence))
    _same(e.certificate_hash, sha256(c.entry().item).digest()[:16])
    return _same(f"L {c.r.counters.loaded}", f"L {e.loaded}")


def _counters(c: _Context) -> str:
    """The wallet's counters are those of the item before it, moved by the amount."""
    state, named = Counters(0, 0, 0, 0), 0
    if c.papers.has_before:
        raw = _need(c.papers.before)
        before = Receipt.parse(raw) if raw[2:3] == b"R" else Statement.parse(raw)
        state, named = before.counters, before.entitlement_sequence
    if named != c.r.entitlement_sequence:
        state = Entitlement.parse(_need(c.papers.entitlement)).apply(state)
    is_debit = c.r.kind == ReceiptKind.DEBIT
    debited = state.debited + (c.r.amount if is_debit else 0)
    reversed_ = state.reversed + (0 if is_debit else c.r.amount)
    wanted = Counters(state.loaded, debited, state.forfeited, reversed_)
    return _same(_text(c.r.counters), _text(wanted))


def _text(c: Counters) -> str:
    return f"L {c.loaded} · D {c.debited} · F {c.forfeited} · R {c.reversed}"


# --- where it was made, and how it came home ---------------------------------------------------


def _terminal(c: _Context) -> str:
    """The terminal's certificate: signed, this terminal and officer, valid that day, right role."""
    cert = c.trust.terminal_certificate(cvc.Certificate.parse(_need(c.papers.terminal_certificate)))
    if not isinstance(cert.extension, cvc.TerminalExtension):  # pragma: no cover - as above
        raise _AbsentError
    named = (cert.subject.hex(), cert.serial, cert.extension.officer)
    _same(named, (c.r.terminal_id.hex(), c.r.terminal_serial, c.r.officer))
    role, needs_supervisor = cert.extension.role, c.r.verification != Verification.PIN
    if needs_supervisor or role != cvc.Role.TERMINAL:  # who may bypass and void may also debit
        _same(role.name, cvc.Role.SUPERVISOR.name)
    day = day_of(c.r.terminal_time_s)
    if not cert.effective <= day <= cert.expires:
        raise _OtherError(str(day), f"{cert.effective} … {cert.expires}")
    return f"{cert.serial}, {cert.effective} … {cert.expires}"


def _intent(c: _Context) -> str:
    """H(intent) is the hash of the terminal's own record, which asked for this and no other."""
    record = Record.parse(_need(c.papers.intent))
    _same(c.r.intent_hash, record.hash)
    body = record.body
    if isinstance(body, Intent):
        asked = (body.card_id.hex(), body.wallet, body.amount, body.expected_sequence + 1)
        _same((c.r.card_id.hex(), c.r.wallet, c.r.amount, c.r.sequence), asked)
        _same(c.r.kind.name, ReceiptKind.DEBIT.name)
    elif isinstance(body, VoidIntent):
        _same((c.r.card_id.hex(), c.r.sequence), (body.card_id.hex(), body.sequence + 1))
        _same(c.r.kind.name, ReceiptKind.REVERSAL.name)
    else:
        raise _OtherError(record.kind.name, "INTENT")
    return record.hash.hex()


def _record(c: _Context) -> str:
    """The record holds these bytes."""
    record = Record.parse(_need(c.papers.record))
    body = record.body
    carried = body.receipt if isinstance(body, Receipted) else getattr(body, "item", None)
    if carried is None:
        carried = getattr(body, "other", None) or b""
    _same(carried, c.papers.receipt)
    return record.hash.hex()


def _upload(c: _Context) -> str:
    """The station's log key signed the end of the chain in which the record stands."""
    raw = _need(c.papers.enrolment)
    enrolment = c.trust.verify(Enrolment, raw, at_s=c.papers.enrolled_s)
    upload = Upload.parse(_need(c.papers.upload))
    head = c.trust.upload_head(bytes(upload.signed_head), enrolment.log_key)
    _same(head.station, enrolment.station)
    if _need(c.papers.record) not in {r.raw for r in upload.records}:
        raise _AbsentError
    return f"{head.first} … {head.last}, {head.head.hex()}"


def _acknowledged(c: _Context) -> str:
    """The Ack key signed for the same end of that chain."""
    raw = _need(c.papers.acknowledgement)
    ack = c.trust.verify(Acknowledgement, raw)
    c.trust.verify(Acknowledgement, raw, at_s=ack.arrived_s)
    head = Upload.parse(_need(c.papers.upload)).head
    return _same(
        f"{ack.station.hex()}/{ack.last} {ack.head.hex()}",
        f"{head.station.hex()}/{head.last} {head.head.hex()}",
    )


CHECKS: dict[Step, Callable[[_Context], str]] = {
    Step.ENVIRONMENT: _environment,
    Step.ROOT: _root,
    Step.CERTIFICATE: _certificate,
    Step.LOGGED: _logged,
    Step.SIGNATURE: _signature,
    Step.LINK: _link,
    Step.FOLLOWED: _followed,
    Step.ENTITLEMENT: _entitlement,
    Step.COUNTERS: _counters,
    Step.TERMINAL: _terminal,
    Step.INTENT: _intent,
    Step.RECORD: _record,
    Step.UPLOAD: _upload,
    Step.ACKNOWLEDGED: _acknowledged,
}
"""Every check after the form, so that a test can remove one."""
