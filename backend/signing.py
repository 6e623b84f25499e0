"""Who signs for the backend: the key service, asked by one person and approved by another.

Two people are two signatures at the signer (PROTOCOL.md §3; docs/ledger.md#two-people).
The backend itself holds only the Ack key, and neither person's. :class:`KeyVerbs` is what it
uses of :class:`keys.service.KeyService` or its client; no transaction may be open while it is
called, because the service appends to our issuance log before it answers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from backend import notes
from backend.clock import Clock
from backend.errors import AuthorityError, RefusedError
from keys.enrol import OfficerRequest, StationRequest
from keys.errors import KeysError
from keys.exchange import Exchange, Part, Pending
from keys.service import EntitlementWish
from wire.cose import Sign1
from wire.env import Environment
from wire.errors import WireError
from wire.objects import Request, SignedShape


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
class TwoPeople:
    """Two people in processes of their own, each with one key; here is neither.

    An action is put into ``exchange`` and waited for, at most ``polls`` times ``pause``. What
    was signed for it stays there until the signer has answered: the same job run again takes it.
    """

    env: Environment
    exchange: Exchange
    clock: Clock
    pause: Callable[[], None]
    polls: int

    def allow(self, action: str, payloads: Sequence[bytes]) -> tuple[bytes, bytes]:
        """See :class:`Authority`; :class:`RefusedError` when one of them refuses."""
        pending = Pending(self.env, action, tuple(payloads))
        try:
            return self._wait(pending)
        except (KeysError, WireError, OSError) as e:
            raise AuthorityError(f"{action}: {e}") from e

    def _wait(self, pending: Pending) -> tuple[bytes, bytes]:
        name = self.exchange.offer(pending)
        notes.log().info("two people are asked", action=pending.action, pending=name,
                 payloads=len(pending.payloads))  # fmt: skip
        for _ in range(self.polls):
            refusal = self.exchange.read(name, Part.REFUSAL)
            if refusal is not None:
                self.exchange.clear(name)
                raise RefusedError(f"{pending.action}: {refusal.decode(errors='replace')}")
            request = self.exchange.read(name, Part.REQUEST)
            approval = self.exchange.read(name, Part.APPROVAL)
            if request is not None and self._has_expired(request):
                self.exchange.clear(name)
                self.exchange.offer(pending)
            elif request is not None and approval is not None:
                return request, approval
            self.pause()
        who = "the asker" if request is None else "the approver"
        raise AuthorityError(
            f"{pending.action}: {name} waits for {who}; run this again when it is signed"
        )

    def _has_expired(self, request: bytes) -> bool:
        return Request.parse(Sign1.parse(request).payload).expires_s < self.clock()

    def close(self, action: str, payloads: Sequence[bytes]) -> None:
        """See :class:`Authority`."""
        self.exchange.clear(Pending(self.env, action, tuple(payloads)).name)
