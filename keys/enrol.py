"""How a station or an officer asks for what it needs, proving that it holds its keys.

The terminal CA checks the proof of possession (PROTOCOL.md §3).
A proof of possession is a signature over ``BTPOP`` ‖ the request's body, the body being the CBOR
array of all its fields but the proofs. The station's log key signs a body that names its channel
key, so the enrolment of the log key (by two people) covers the channel key too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Protocol, Self

from keys.errors import PossessionError
from keys.signer import Signer
from wire import cbor, ecdsa
from wire.cvc import Role
from wire.env import Environment
from wire.errors import FormatError, SignatureInvalidError, require
from wire.objects import StationKind
from wire.schema import U32, Blob, Bytes8, Bytes32, Limit, Point, Shape, Signed

POSSESSION_DOMAIN = b"BTPOP"
Proof = Annotated[bytes, Limit(64, 64)]


class ProvableKey(Protocol):
    """A key-agreement key that can prove possession by one signature."""

    @property
    def public_key(self) -> bytes:
        """The public point, 65 bytes."""
        ...

    def prove(self, message: bytes) -> bytes:
        """ECDSA over ``message``, raw r‖s."""
        ...


def _message(fields: list[cbor.Value]) -> bytes:
    return POSSESSION_DOMAIN + cbor.encode(fields)


@dataclass(frozen=True, slots=True)
class StationRequest(Shape):
    """A terminal or desk asks to be enrolled, and (with a channel key) for a certificate."""

    environment: Environment
    station: Bytes8
    kind: StationKind
    log_key: Bytes32
    channel_key: Point | None
    log_pop: Proof
    channel_pop: Proof | None

    def check(self) -> None:
        """A channel key and its proof come together."""
        require((self.channel_key is None) == (self.channel_pop is None), "key without proof")

    @classmethod
    def make(
        cls,
        env: Environment,
        station: bytes,
        kind: StationKind,
        log: Signer,
        channel: ProvableKey | None = None,
    ) -> Self:
        """The request of a station with these keys."""
        channel_key = channel.public_key if channel else None
        message = _message([int(env), station, int(kind), log.public_key, channel_key])
        proof = channel.prove(message) if channel else None
        return cls(env, station, kind, log.public_key, channel_key, log.sign(message), proof)

    @property
    def message(self) -> bytes:
        """What both proofs sign."""
        return _message(
            [int(self.environment), self.station, int(self.kind), self.log_key, self.channel_key]
        )

    def verify(self) -> Self:
        """Return self if both keys proved possession; else :class:`PossessionError`."""
        try:
            ecdsa.verify_ed25519(self.log_key, self.log_pop, self.message)
            if self.channel_key is not None:
                ecdsa.verify_p256(self.channel_key, self.channel_pop or b"", self.message)
        except (SignatureInvalidError, FormatError) as e:
            raise PossessionError("the station did not prove its keys") from e
        return self


@dataclass(frozen=True, slots=True)
class OfficerRequest(Shape):
    """An officer asks for a certificate in one role at one terminal."""

    environment: Environment
    terminal: Bytes8
    role: Role
    officer: U32
    channel_key: Point
    channel_pop: Proof

    @classmethod
    def make(
        cls, env: Environment, terminal: bytes, role: Role, officer: int, channel: ProvableKey
    ) -> Self:
        """The request of an officer with this key."""
        message = _message([int(env), terminal, int(role), officer, channel.public_key])
        return cls(env, terminal, role, officer, channel.public_key, channel.prove(message))

    @property
    def message(self) -> bytes:
        """What the proof signs."""
        return _message(
            [int(self.environment), self.terminal, int(self.role), self.officer, self.channel_key]
        )

    def verify(self) -> Self:
        """Return self if the key proved possession; else :class:`PossessionError`."""
        try:
            ecdsa.verify_p256(self.channel_key, self.channel_pop, self.message)
        except (SignatureInvalidError, FormatError) as e:
            raise PossessionError("the officer did not prove the key") from e
        return self


@dataclass(frozen=True, slots=True)
class Provision(Shape):
    """What a station gets back: enrolment, trust file, certificates, links, first bundle file."""

    enrolment: Signed
    trust: Blob
    certificates: tuple[Signed, ...]
    links: tuple[Signed, ...]
    bundle: Blob
