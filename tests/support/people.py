"""Two people in one process, for tests that are about something else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from keys.approvals import make_approval, make_request
from keys.signer import Signer
from wire.env import Environment


@dataclass(frozen=True, slots=True)
class Person:
    """An enrolled person: number and approval key."""

    number: int
    signer: Signer = field(repr=False)


@dataclass(frozen=True, slots=True)
class TwoKeys:
    """One asks, the other approves, at once: a :class:`backend.signing.Authority`."""

    env: Environment
    asker: Person
    approver: Person
    clock: Callable[[], int]

    def allow(self, action: str, payloads: Sequence[bytes]) -> tuple[bytes, bytes]:
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
        return
