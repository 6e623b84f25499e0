"""What the office drafted is signed: by the key service, where it must be after two people agreed.

docs/ledger.md#two-people, #one-job-at-a-time.
A draft is stored before anybody is asked, so an interrupted job is finished by the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from sqlmodel import Session

from backend import heads, lost, objects
from backend.admit import admit
from backend.clock import Clock
from backend.db import Database
from backend.errors import BackendError, ImportRefusedError, RefusedError, SignerError
from backend.signing import Authority, KeyVerbs
from keys.errors import ApprovalError, IssuanceError, KeysError, UnreachableError
from keys.signer import Signer
from keys.trust import TrustStore
from wire.objects import Decision, KeyRole, SignedShape, TerminalLost

BATCH = 5_000
DAY_S = 86_400
R = TypeVar("R")


@dataclass(slots=True)
class Drafts:
    """Drafts and who signs them; each call owns its transactions, none open while it asks."""

    db: Database
    trust: TrustStore
    keys: KeyVerbs
    authority: Authority
    ack: Signer = field(repr=False)
    clock: Clock

    def sign(self, shape: type[SignedShape]) -> list[bytes]:
        """Have every draft of one kind signed and entered; hashes of the objects."""
        with self.db.turn(shape.KIND):
            return self._sign_drafts(shape)

    def _sign_drafts(self, shape: type[SignedShape]) -> list[bytes]:
        """The same, for who has the turn: what an interrupted job left is signed with it."""
        made: list[bytes] = []
        while True:
            part = self._drafts(shape)
            if not part:
                return made
            try:
                signed = self._sign([shape.parse(payload) for _, payload in part])
            except RefusedError:
                with self.db.write() as session:
                    objects.drop(session, self.trust, [row_id for row_id, _ in part])
                raise
            with self.db.write() as session:
                for (row_id, _), raw in zip(part, signed, strict=True):
                    now_s = self.clock()
                    digest = objects.complete(session, self.trust, row_id, raw, now_s)
                    if shape in {Decision, TerminalLost}:
                        lost.conclude(session, self.trust.env, digest, now_s)
                    made.append(digest)
                heads.publish(session, self.ack, self.trust.env, self.clock())

    def _drafts(self, shape: type[SignedShape]) -> list[tuple[int, bytes]]:
        """The oldest drafts of one kind; one that may not be signed any more is dropped."""
        with self.db.read() as session:
            held = objects.unsigned(session, shape.KIND)[:BATCH]
            drafts = [(d.id or 0, d.payload) for d in held]
            faults = {row_id: self._fault(session, shape.parse(raw)) for row_id, raw in drafts}
            copies = {d.id or 0 for d in held
                      if objects.is_kept(session, self.trust, shape.parse(d.payload))}  # fmt: skip
        if copies:
            with self.db.write() as session:
                objects.forget(session, copies)
            return self._drafts(shape)
        for row_id, fault in faults.items():
            if fault is not None:
                with self.db.write() as session:
                    objects.drop(session, self.trust, [row_id])
                raise fault
        return drafts

    def _fault(self, session: Session, shape: SignedShape) -> BackendError | None:
        """Why this may not be signed; None for what was signed and only its answer was lost."""
        try:
            self._check_time(shape)
            admit(session, shape)
        except BackendError as e:
            return None if objects.is_logged(session, self.trust, shape) else e
        return None

    def _check_time(self, shape: SignedShape) -> None:
        """The signer post-dates nothing, and would refuse with it all that waits beside it."""
        if getattr(shape, "time_s", 0) > self.clock() + DAY_S:
            raise ImportRefusedError("the time is beyond tomorrow; nothing is post-dated")

    def _sign(self, shapes: list[SignedShape]) -> list[bytes]:
        if shapes[0].SIGNER == KeyRole.POLICY:
            return [self._sign_policy(s) for s in shapes]
        return self._with_two(
            shapes[0].KIND, [bytes(s) for s in shapes],
            lambda r, a: self._sign_registry(shapes, r, a),
        )  # fmt: skip

    def _sign_registry(
        self, shapes: list[SignedShape], request: bytes, approval: bytes
    ) -> list[bytes]:
        """Two people may have thought for a minute: what came meanwhile is judged once more."""
        self._drafts(type(shapes[0]))
        return self.keys.sign_registry(shapes, request, approval)

    def _sign_policy(self, shape: SignedShape) -> bytes:
        """Two people are asked only for a step that the signer does not take without them."""
        try:
            return self.keys.sign_policy(shape)
        except ApprovalError:
            return self._with_two(
                shape.KIND, [bytes(shape)], lambda r, a: self.keys.sign_policy(shape, r, a)
            )
        except KeysError as e:
            raise SignerError(f"key service: {e}") from e

    def _with_two(
        self, action: str, payloads: Sequence[bytes], call: Callable[[bytes, bytes], R]
    ) -> R:
        """Have two people allow these bytes, then the signer sign them.

        Their request is kept while the signer's answer is not known: asked again with it, the
        signer gives what it made.
        """
        request, approval = self.authority.allow(action, payloads)
        try:
            made = call(request, approval)
        except (IssuanceError, UnreachableError) as e:
            raise SignerError(f"key service: {e}") from e
        except BackendError:  # overtaken while they thought
            self.authority.close(action, payloads)
            raise
        except KeysError as e:
            self.authority.close(action, payloads)
            raise SignerError(f"key service: {e}") from e
        self.authority.close(action, payloads)
        return made

    def _draft_and_sign(
        self, shape: type[SignedShape], draft: Callable[[Session], R]
    ) -> tuple[R, list[bytes]]:
        with self.db.turn(shape.KIND):
            with self.db.write() as session:
                waiting = {row.id for row in objects.unsigned(session, shape.KIND)}
                made = draft(session)
                for row in objects.unsigned(session, shape.KIND):
                    if row.id not in waiting:
                        self._check_time(shape.parse(row.payload))
            return made, self._sign_drafts(shape)


def ask(call: Callable[[], R]) -> R:
    """Call the key service; what it refuses or cannot is a :class:`SignerError`."""
    try:
        return call()
    except KeysError as e:
        raise SignerError(f"key service: {e}") from e
