"""Who signs for the backend: the key service, asked by one person and approved by another.

The backend itself holds only the Ack key. :class:`KeyVerbs` is what it uses of
:class:`keys.service.KeyService` or its client; no transaction may be open while it is called,
because the service appends to our issuance log before it answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from backend.clock import Clock
from backend.errors import AuthorityError
from keys.approvals import make_approval, make_request
from keys.enrol import OfficerRequest, StationRequest
from keys.service import EntitlementWish
from keys.signer import Signer
from wire.env import Environment
from wire.objects import SignedShape


class KeyVerbs(Protocol):
    """The verbs of the key service that the backend asks for."""

    def sign_registry(
        self, shapes: Sequence[SignedShape], request: bytes, approval: bytes
    ) -> list[bytes]:
        """See :meth:`keys.service.KeyService.sign_registry`."""
        ...

    def sign_policy(
        self, shape: SignedShape, request: bytes | None = None, approval: bytes | None = None
    ) -> bytes:
        """See :meth:`keys.service.KeyService.sign_policy`."""
        ...

    def sign_entitlements(
        self, wishes: Sequence[EntitlementWish], request: bytes, approval: bytes
    ) -> list[bytes]:
        """See :meth:`keys.service.KeyService.sign_entitlements`."""
        ...

    def sign_scripts(self, bodies: Sequence[bytes], request: bytes, approval: bytes) -> list[bytes]:
        """See :meth:`keys.service.KeyService.sign_scripts`."""
        ...

    def certify_terminal(self, request: StationRequest) -> bytes:
        """See :meth:`keys.service.KeyService.certify_terminal`."""
        ...

    def certify_officer(
        self, wish: OfficerRequest, request: bytes | None = None, approval: bytes | None = None
    ) -> bytes:
        """See :meth:`keys.service.KeyService.certify_officer`."""
        ...


class Authority(Protocol):
    """Two people who ask for and approve exactly these bytes."""

    def allow(self, action: str, payloads: Sequence[bytes]) -> tuple[bytes, bytes]:
        """Request and approval (COSE); :class:`AuthorityError` when nobody is at hand."""
        ...

    def close(self, action: str, payloads: Sequence[bytes]) -> None:
        """The signer has answered: what was allowed is used up."""
        ...


class NoAuthority:
    """Nobody: every action of two people is refused."""

    def allow(self, action: str, payloads: Sequence[bytes]) -> tuple[bytes, bytes]:
        """See :class:`Authority`."""
        raise AuthorityError(f"{action} ({len(payloads)}) needs two people and none is configured")

    def close(self, action: str, payloads: Sequence[bytes]) -> None:
        """See :class:`Authority`."""


@dataclass(frozen=True, slots=True)
class Person:
    """An enrolled person: number and approval key."""

    number: int
    signer: Signer = field(repr=False)


@dataclass(frozen=True, slots=True)
class TwoPeople:
    """Two unlocked approval keys; one asks, the other approves."""

    env: Environment
    asker: Person
    approver: Person
    clock: Clock

    def allow(self, action: str, payloads: Sequence[bytes]) -> tuple[bytes, bytes]:
        """See :class:`Authority`."""
        now_s = self.clock()
        request = make_request(
            self.asker.signer, self.env, person=self.asker.number, action=action,
            payloads=payloads, now_s=now_s,
        )  # fmt: skip
        approval = make_approval(
            self.approver.signer, self.env, person=self.approver.number, request=request,
            now_s=now_s,
        )  # fmt: skip
        return request, approval

    def close(self, action: str, payloads: Sequence[bytes]) -> None:
        """See :class:`Authority`."""
