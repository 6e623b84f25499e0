"""Two people, two signatures, checked where the key is (PROTOCOL.md §3, approval keys).

One person signs a request for the SHA-256 of exact bytes, another an approval of that request.
For several payloads the hash is :func:`batch_hash`. A signer keeps the requests it used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from keys.errors import ApprovalError, TrustError
from keys.signer import Signer, sign_object
from keys.trust import TrustStore
from wire import cbor
from wire.cose import Sign1
from wire.env import Environment
from wire.errors import WireError
from wire.objects import Approval, Request

MAX_LIFE_S = 30 * 86_400
SKEW_S = 300  # how far a person's clock may run ahead of the signer's


@dataclass(frozen=True, slots=True)
class Approved:
    """What two people allowed: the request's hash (32 bytes) and who they are."""

    request_hash: bytes
    asker: int
    approver: int


def payload_hash(payload: bytes) -> bytes:
    """The hash a request names for one payload."""
    return sha256(payload).digest()


def batch_hash(payloads: Sequence[bytes]) -> bytes:
    """The hash for several: SHA-256 of the CBOR array of their SHA-256; of one: its own."""
    hashes = [sha256(p).digest() for p in payloads]
    return hashes[0] if len(hashes) == 1 else sha256(cbor.encode([*hashes])).digest()


def make_request(
    signer: Signer,
    env: Environment,
    *,
    person: int,
    action: str,
    payloads: Sequence[bytes],
    now_s: int,
    life_s: int = 86_400,
) -> bytes:
    """A COSE Request by ``person`` for these payloads."""
    wanted = Request(person, action, batch_hash(payloads), now_s, now_s + life_s)
    return bytes(sign_object(signer, wanted, env))


def make_approval(
    signer: Signer, env: Environment, *, person: int, request: bytes, now_s: int
) -> bytes:
    """A COSE Approval by ``person`` of the request with these bytes."""
    return bytes(sign_object(signer, Approval(person, Sign1.parse(request).hash, now_s), env))


def check_approval(
    trust: TrustStore,
    request: bytes,
    approval: bytes,
    *,
    action: str,
    payloads: Sequence[bytes],
    now_s: int,
) -> Approved:
    """Two different enrolled people allow exactly these payloads, now; :class:`ApprovalError`.

    1. both objects verify under keys enrolled for the persons they name, and fit together;
    2. both keys may still sign today; 3. neither is post-dated; 4. the request has not expired
    and did not ask for too long; 5. it is for this action and these bytes.
    """
    try:
        asked, agreed = trust.two_people(request, approval)  # 1
        trust.verify(Request, request, at_s=now_s)  # 2
        trust.verify(Approval, approval, at_s=now_s)
    except (TrustError, WireError) as e:
        raise ApprovalError(f"request or approval does not stand: {e}") from e
    if max(asked.time_s, agreed.time_s) > now_s + SKEW_S:  # 3
        raise ApprovalError("request or approval is post-dated")
    if now_s > asked.expires_s or asked.expires_s - asked.time_s > MAX_LIFE_S:  # 4
        raise ApprovalError("the request has expired, or asks for too long")
    if asked.action != action:  # 5
        raise ApprovalError(f"the request is for {asked.action}, not {action}")
    if asked.payload_hash != batch_hash(payloads):
        raise ApprovalError("the request is for other bytes")
    return Approved(Sign1.parse(request).hash, asked.person, agreed.person)
