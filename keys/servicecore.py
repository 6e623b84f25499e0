"""What every verb of the key service stands on: time, quota, two people, log, release.

A verb's work runs in one transaction; what it made goes to the issuance log from an outbox, and
only then out of the service (PROTOCOL.md §5).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import RLock

from keys import ca
from keys.approvals import Approved, check_approval
from keys.cardsession import ChipKeySource
from keys.errors import ApprovalError, HierarchyError
from keys.hierarchy import OVERLAP_S, YEAR_S, KeyName
from keys.issuance import IssuanceAppender, IssuanceItem
from keys.signer import KeyAgreement, Signer
from keys.state import State
from keys.trust import ENROL_APPROVER, TrustStore
from wire import dates
from wire.cose import key_id
from wire.errors import EnvironmentMismatchError
from wire.objects import ApproverEnrolment, KeyRole, KeyStatement, SignedShape

Made = tuple[list[IssuanceItem], list[bytes]]
"""What a verb's work made: items for the log, objects to hand out."""


@dataclass(frozen=True, slots=True)
class Quotas:
    """The most this service signs in one UTC day. ``loaded``: ΔL per programme, in its unit."""

    cards: int = 2_000
    entitlements: int = 50_000
    scripts: int = 500
    certificates: int = 500
    registry: int = 100_000
    loaded: Mapping[int, int] = field(default_factory=dict)
    loaded_default: int = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Keys:
    """What the service holds. ``signers`` by role and version; none of it has a readable repr."""

    signers: Mapping[KeyName, Signer] = field(repr=False)
    master: bytes = field(repr=False)
    batches: Mapping[str, ChipKeySource] = field(repr=False)
    personaliser: KeyAgreement = field(repr=False)
    personaliser_id: bytes


class ServiceCore:
    """Base of the service. ``clock`` gives Unix seconds, ``random`` bytes.

    :class:`HierarchyError` when a signer is not the key that the root stated for its role.
    """

    def __init__(
        self,
        trust: TrustStore,
        keys: Keys,
        state: State,
        issuance: IssuanceAppender,
        *,
        clock: Callable[[], int],
        random: Callable[[int], bytes],
        quotas: Quotas | None = None,
    ) -> None:
        for (role, version), signer in keys.signers.items():
            if trust.key(role, version).public_key != signer.public_key:
                raise HierarchyError(f"the {role.name} key {version} is not the stated one")
        for raw in state.approvers():
            trust.add_approver(ApproverEnrolment.parse(raw))
        self.env = trust.env
        self._trust, self._keys, self._state, self._log = trust, keys, state, issuance
        self._clock, self._random = clock, random
        self._quotas = quotas or Quotas()
        self._lock = RLock()
        self._begin()

    def _begin(self) -> None:
        """What a class of verbs holds besides, set when everything above is."""

    def enrol_approver(self, enrolment: ApproverEnrolment) -> None:
        """Take an approval key of a third person that two enrolled people signed for.

        The request names action ``enrol-approver`` and the statement's bytes, is used once, and
        the key may sign at most a year (with its overlap) from a day not beyond tomorrow. Raises
        :class:`ApprovalError`, :class:`keys.errors.TrustError`,
        :class:`keys.errors.DateRefusedError`.
        """
        statement = KeyStatement.parse(enrolment.statement)
        ca.check_time(statement.from_s, self._clock())
        if statement.to_s - statement.from_s > YEAR_S + OVERLAP_S:
            raise ApprovalError("an approval key signs for a year")

        def work() -> Made:
            made = self._trust.add_approver(enrolment)
            self._state.add_approver(key_id(made.public_key), made.version, bytes(enrolment))
            return [], []

        payloads = [enrolment.statement]
        self._with_two(ENROL_APPROVER, payloads, enrolment.request, enrolment.approval, work)

    def trust_file(self) -> bytes:
        """The trust file this service stands on (docs/wire.md#trust)."""
        return bytes(self._trust.trust_file())

    def stock(self) -> tuple[int, int, int]:
        """Chips received and free, certified, scrapped."""
        with self._lock:
            return self._state.stock()

    def _with_two(
        self, action: str, payloads: Sequence[bytes], request: bytes, approval: bytes,
        work: Callable[[], Made],
    ) -> list[bytes]:  # fmt: skip
        with self._lock:
            approved = check_approval(
                self._trust, request, approval,
                action=action, payloads=payloads, now_s=self._clock(),
            )  # fmt: skip
            held = self._state.held_result(approved.request_hash)
            if held is None:
                return self._release(work, approved)
            # Signed before an interruption, never handed out: the log first, then the same bytes.
            self._state.flush(self._log)
            self._state.released(approved.request_hash)
            return held

    def _release(self, work: Callable[[], Made], approved: Approved | None) -> list[bytes]:
        """Do ``work`` in one transaction with its log items, append those, then hand out."""
        with self._lock:
            self._state.flush(self._log)
            with self._state.transaction():
                items, result = work()
                self._state.queue(items)
                if approved is not None:
                    self._state.use_request(approved.request_hash, result)
            self._state.flush(self._log)
            if approved is not None:
                self._state.released(approved.request_hash)
            return result

    def _signer(self, role: KeyRole, version: int | None = None) -> tuple[int, Signer]:
        """The newest key of this role that may sign now, or the one of ``version``."""
        now_s = self._clock()
        usable = [
            (v, s) for (r, v), s in self._keys.signers.items()
            if r == role and version in {None, v} and self._may_sign(role, v, now_s)
        ]  # fmt: skip
        if not usable:
            raise HierarchyError(f"no {role.name} key may sign now")
        return max(usable, key=lambda u: u[0])

    def _may_sign(self, role: KeyRole, version: int, now_s: int) -> bool:
        statement = self._trust.key(role, version)
        revoked = self._trust.revocation(statement.public_key) is not None
        return statement.from_s <= now_s <= statement.to_s and not revoked

    def _ca(self, role: KeyRole) -> ca.Issuer:
        version, signer = self._signer(role)
        return ca.Issuer(self.env, version, signer)

    def _take(self, what: str, amount: int, limit: int) -> None:
        self._state.take(dates.day_of(self._clock()), what, amount, limit)

    def _check_time(self, shape: SignedShape) -> None:
        """No time a shape states about itself lies beyond now + 1 day."""
        time_s = getattr(shape, "time_s", 0)
        ca.check_time(time_s, self._clock())

    def _check_env(self, env: int) -> None:
        if env != self.env:
            raise EnvironmentMismatchError(f"object of environment {env:#04x}")
