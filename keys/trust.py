"""What stands under a root: the public half of the hierarchy (PROTOCOL.md §3, wire.md#trust).

Terminal, backend and auditor hold one :class:`TrustStore`. It knows no private key and reads no
file or clock; a caller says at which time a signature has to have been allowed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from hashlib import sha256
from typing import TypeVar

from keys.errors import (
    DemoRefusedError,
    OutsideWindowError,
    RevokedKeyError,
    TrustError,
    UnknownKeyError,
)
from wire import cvc, ecdsa
from wire.chain import TrustFile
from wire.cose import Sign1, key_id
from wire.dates import day_of
from wire.entitlement import Entitlement, Script
from wire.env import Environment
from wire.errors import EnvironmentMismatchError
from wire.objects import (
    Approval,
    ApproverEnrolment,
    KeyRole,
    KeyStatement,
    Request,
    Revocation,
    SignedShape,
    UploadHead,
    open_signed,
)

ENROL_APPROVER = "enrol-approver"

T = TypeVar("T", bound=SignedShape)
Covered = Callable[[Revocation, bytes], bool]
"""Whether a head published before the revocation covers the object with this hash."""


@dataclass(frozen=True, slots=True)
class CardIdentity:
    """A card as its certificate shows it. Both keys are 65-byte points."""

    card_id: bytes
    channel_key: bytes
    receipt_key: bytes
    certificate: cvc.Certificate


class TrustStore:
    """The verified statements and revocations of one root.

    Raises :class:`DemoRefusedError` for a root marked DEMO unless ``allow_demo``, and
    :class:`wire.errors.WireError` when a statement or revocation does not verify. ``covered``
    decides about objects of revoked keys: without it they are all refused.
    """

    def __init__(
        self, trust: TrustFile, *, allow_demo: bool, covered: Covered | None = None
    ) -> None:
        self.env: Environment = check_demo(trust.environment, allow_demo=allow_demo)
        self.root_key = trust.root_key
        self._covered = covered
        self._statements: dict[tuple[KeyRole, int], list[KeyStatement]] = {}
        self._by_kid: dict[bytes, list[KeyStatement]] = {}
        self._revoked: dict[bytes, Revocation] = {}
        self._raw_statements: dict[bytes, bytes] = {}
        self._raw_revocations: dict[bytes, bytes] = {}
        ecdsa.p256_public_key(trust.root_key)
        for raw in trust.statements:
            self.add_statement(raw)
        for raw in trust.revocations:
            self.add_revocation(raw)

    # --- what the root said ------------------------------------------------------------------

    def add_statement(self, raw: bytes) -> KeyStatement:
        """Take one key statement signed by the root; :class:`TrustError` when it contradicts."""
        statement = open_signed(KeyStatement, raw, self.root_key, self.env)
        self._enter(statement)
        self._raw_statements[Sign1.parse(raw).hash] = raw
        return statement

    def _enter(self, statement: KeyStatement) -> None:
        held = self._statements.get((statement.role, statement.version), [])
        if statement in held:
            return
        kid = key_id(statement.public_key)
        if self._by_kid.get(kid):  # one key, one role, one person
            raise TrustError(f"key {kid.hex()} is stated twice")
        # A person keeps the number and gets a new key each year; a version of a role has one key.
        if held and statement.role != KeyRole.APPROVAL:
            raise TrustError(f"two statements for {statement.role.name} {statement.version}")
        self._statements[statement.role, statement.version] = [*held, statement]
        self._by_kid.setdefault(kid, []).append(statement)

    def add_revocation(self, raw: bytes) -> Revocation:
        """Take one revocation signed by the root; the earliest for a key stays in force."""
        revocation = open_signed(Revocation, raw, self.root_key, self.env)
        held = self._revoked.get(revocation.key_id)
        if held is None or revocation.revoked_at_s < held.revoked_at_s:
            self._revoked[revocation.key_id] = revocation
        self._raw_revocations[Sign1.parse(raw).hash] = raw
        return revocation

    def add_approver(self, enrolment: ApproverEnrolment) -> KeyStatement:
        """Take a later approval key: two other enrolled people asked for it and agreed.

        The statement must be for an approval key of a third person, and the request for exactly
        this statement. Raises :class:`TrustError`.
        """
        statement = KeyStatement.parse(enrolment.statement)
        if statement.role != KeyRole.APPROVAL:
            raise TrustError("two people can enrol only an approval key")
        request, approval = self.two_people(enrolment.request, enrolment.approval)
        if request.action != ENROL_APPROVER:
            raise TrustError("the request is for something else")
        if request.payload_hash != sha256(enrolment.statement).digest():
            raise TrustError("the request is for another statement")
        if statement.version in {request.person, approval.person}:
            raise TrustError("a person took part in their own enrolment")
        self._enter(statement)
        return statement

    def two_people(self, request_raw: bytes, approval_raw: bytes) -> tuple[Request, Approval]:
        """Request and approval by two different enrolled people, fitting together.

        Checks keys, persons, the hash and that both were signed before the request expired.
        What was asked for is compared by the caller. Raises :class:`TrustError` or
        :class:`wire.errors.WireError`.
        """
        request = self.verify(Request, request_raw)
        approval = self.verify(Approval, approval_raw)
        self._signed_by(request_raw, request.person, request.time_s)
        self._signed_by(approval_raw, approval.person, approval.time_s)
        if request.person == approval.person:
            raise TrustError("one person both asked and approved")
        if key_id_of(request_raw) == key_id_of(approval_raw):
            raise TrustError("one key both asked and approved")
        if approval.request_hash != Sign1.parse(request_raw).hash:
            raise TrustError("the approval is for another request")
        if not request.time_s <= approval.time_s <= request.expires_s:
            raise TrustError("approved outside the request's time")
        return request, approval

    def _signed_by(self, raw: bytes, person: int, at_s: int) -> None:
        self._find(key_id_of(raw), KeyRole.APPROVAL, at_s, version=person)

    def key(self, role: KeyRole, version: int) -> KeyStatement:
        """The statement for this role and version (for APPROVAL: the person's newest key).

        :class:`UnknownKeyError` without one.
        """
        held = self._statements.get((role, version))
        if not held:
            raise UnknownKeyError(f"no {role.name} key of version {version}")
        return max(held, key=lambda s: s.from_s)

    def newest(self, role: KeyRole) -> KeyStatement:
        """The statement of the highest version of ``role``; :class:`UnknownKeyError`."""
        versions = [v for r, v in self._statements if r == role]
        if not versions:
            raise UnknownKeyError(f"no {role.name} key at all")
        return self.key(role, max(versions))

    def statements(self) -> tuple[KeyStatement, ...]:
        """Every statement held, in the order taken."""
        return tuple(s for held in self._statements.values() for s in held)

    def revocation(self, public_key: bytes) -> Revocation | None:
        """The revocation of this key, if there is one."""
        return self._revoked.get(key_id(public_key))

    def trust_file(self) -> TrustFile:
        """What is held, as a trust file (approval keys enrolled by two people not included)."""
        return TrustFile(
            self.env,
            self.root_key,
            tuple(self._raw_statements.values()),
            tuple(self._raw_revocations.values()),
        )

    # --- COSE objects --------------------------------------------------------------------------

    def verify(self, shape: type[T], raw: bytes, *, at_s: int | None = None) -> T:
        """The payload of an object signed by a key stated for ``shape.SIGNER``.

        ``at_s``: the time of signing, as the caller knows it; the key must have been allowed
        then. None leaves the window unchecked. Raises :class:`UnknownKeyError`,
        :class:`OutsideWindowError`, :class:`RevokedKeyError` (with the heads that bound what
        still counts) and :class:`wire.errors.WireError` for frame, type, environment, signature.
        """
        sign1 = Sign1.parse(raw)
        if shape.SIGNER == KeyRole.ROOT:
            return open_signed(shape, raw, self.root_key, self.env)
        if sign1.env != self.env:
            raise EnvironmentMismatchError(f"object of environment {sign1.env:#04x}")
        statement = self._find(sign1.key_id, shape.SIGNER, at_s)
        payload = open_signed(shape, raw, statement.public_key, self.env)
        self._check_revoked(statement, sign1.hash)
        return payload

    def upload_head(self, raw: bytes, log_key: bytes) -> UploadHead:
        """The head of an upload under the log key of the station's verified enrolment."""
        return open_signed(UploadHead, raw, log_key, self.env)

    def _find(
        self, kid: bytes, role: KeyRole, at_s: int | None, version: int | None = None
    ) -> KeyStatement:
        named = [s for s in self._by_kid.get(kid, ()) if s.role == role]
        if version is not None:
            named = [s for s in named if s.version == version]
        if not named:
            raise UnknownKeyError(f"no {role.name} key {kid.hex()}")
        allowed = [s for s in named if at_s is None or s.from_s <= at_s <= s.to_s]
        if not allowed:
            raise OutsideWindowError(f"{role.name} key {kid.hex()} may not sign at {at_s}")
        return allowed[0]

    def _check_revoked(self, statement: KeyStatement, object_hash: bytes) -> None:
        revocation = self.revocation(statement.public_key)
        if revocation is None:
            return
        if self._covered is None or not self._covered(revocation, object_hash):
            raise RevokedKeyError(revocation)

    # --- what cards parse ------------------------------------------------------------------------

    def card_certificate(self, cert: cvc.Certificate) -> CardIdentity:
        """The card of a certificate that a card CA of this root signed.

        :class:`TrustError` (kind, mark, key unknown, revoked or not yet or no longer stated),
        :class:`wire.errors.WireError` (environment, signature, points).
        """
        if not isinstance(cert.extension, cvc.CardExtension):
            raise TrustError("not a card certificate")
        self._check_issued(cert, KeyRole.CARD_CA)
        if cert.subject[:4] != self.env.mark:
            raise TrustError("the card id does not carry the environment's mark")
        receipt_key = ecdsa.decompress(cert.extension.receipt_key)
        ecdsa.p256_public_key(cert.public_key)
        return CardIdentity(cert.subject, cert.public_key, receipt_key, cert)

    def terminal_certificate(self, cert: cvc.Certificate) -> cvc.Certificate:
        """``cert`` if a terminal CA of this root signed it; its dates are the caller's matter.

        Raises as :meth:`card_certificate` (``TrustError``).
        """
        if not isinstance(cert.extension, cvc.TerminalExtension):
            raise TrustError("not a terminal certificate")
        self._check_issued(cert, KeyRole.TERMINAL_CA)
        ecdsa.p256_public_key(cert.public_key)
        return cert

    def link(self, cert: cvc.Certificate) -> cvc.Certificate:
        """``cert`` if the root signed it as a link that contradicts no key statement.

        :class:`TrustError` when it is none or does, :class:`wire.errors.WireError` as above.
        """
        if not isinstance(cert.extension, cvc.LinkExtension):
            raise TrustError("not a link")
        self._check_env(cert.env)
        cert.verify(self.root_key)
        subject = cvc.CaId.parse(cert.subject)
        role = _LINK_ROLES.get(subject.kind)
        if role is None or subject.env_mark != self.env.mark:
            raise TrustError("a link names a terminal CA or an issuer key of its environment")
        if cert.extension.lowest_kept > subject.version:
            raise TrustError("the link would drop its own key")
        ecdsa.p256_public_key(cert.public_key)
        held = self._statements.get((role, subject.version))
        if held and held[0].public_key != cert.public_key:
            raise TrustError("the link carries another key than the statement")
        return cert

    def _check_env(self, env: Environment) -> None:
        if env != self.env:
            raise EnvironmentMismatchError(f"object of environment {env:#04x}")

    def _check_issued(self, cert: cvc.Certificate, role: KeyRole) -> None:
        self._check_env(cert.env)
        statement = self.key(role, cert.issuer.version)
        cert.verify(statement.public_key)
        _check_day(statement, cert.effective)
        self._check_revoked(statement, cert.digest)

    def entitlement(self, raw: bytes) -> Entitlement:
        """An entitlement (166 bytes) under the issuer key of the version it names.

        :class:`TrustError` for a key unknown, revoked or not stated on its day of issue,
        :class:`wire.errors.WireError` for format, environment, signature.
        """
        entitlement = Entitlement.parse(raw)
        self._check_env(entitlement.env)
        statement = self.key(KeyRole.ISSUER, entitlement.key_version)
        entitlement.verify(statement.public_key)
        _check_day(statement, entitlement.issued)
        self._check_revoked(statement, entitlement.hash)
        return entitlement

    def script(self, raw: bytes) -> Script:
        """A script (90 bytes) under the issuer key it names; raises as :meth:`entitlement`."""
        script = Script.parse(raw)
        self._check_env(script.env)
        statement = self.key(KeyRole.ISSUER, script.key_version)
        script.verify(statement.public_key)
        _check_day(statement, script.issued)
        self._check_revoked(statement, script.hash)
        return script


_LINK_ROLES = {
    cvc.CaKind.TERMINAL_CA: KeyRole.TERMINAL_CA,
    cvc.CaKind.ISSUER: KeyRole.ISSUER,
}


def key_id_of(raw: bytes) -> bytes:
    """The key id (8 bytes) that a COSE object names; ``FormatError``."""
    return Sign1.parse(raw).key_id


def check_demo(env: Environment, *, allow_demo: bool) -> Environment:
    """``env``; :class:`DemoRefusedError` for a demonstration's while ``allow_demo`` is off."""
    if env.is_demo and not allow_demo:
        raise DemoRefusedError("this root is marked DEMO; only --demo uses it")
    return env


def _check_day(statement: KeyStatement, day: date) -> None:
    if not day_of(statement.from_s) <= day <= day_of(statement.to_s):
        raise OutsideWindowError(f"{statement.role.name} {statement.version} may not sign {day}")
