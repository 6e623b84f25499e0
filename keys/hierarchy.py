"""The hierarchy under one root: statements, links, revocations (PROTOCOL.md §3).

:class:`Root` is the root key at work, in a ceremony or a rotation. :func:`make_world` builds a
whole hierarchy in memory; a folder on disk is :mod:`keys.folder`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from keys import ca
from keys.errors import HierarchyError
from keys.signer import Ed25519Signer, P256Signer, Signer, sign_object
from wire import cvc
from wire.chain import TrustFile
from wire.cose import key_id
from wire.env import Environment
from wire.objects import P256_ROLES, KeyRole, KeyStatement, Revocation

YEAR_S = 366 * ca.DAY_S
OVERLAP_S = 35 * ca.DAY_S  # a yearly key signs on while its successor's link reaches the cards
SERVICE_ROLES = (
    KeyRole.CARD_CA, KeyRole.TERMINAL_CA, KeyRole.ISSUER, KeyRole.REGISTRY, KeyRole.POLICY,
)  # fmt: skip
LINK_KINDS = {KeyRole.TERMINAL_CA: cvc.CaKind.TERMINAL_CA, KeyRole.ISSUER: cvc.CaKind.ISSUER}

KeyName = tuple[KeyRole, int]


@dataclass(frozen=True, slots=True)
class Heads:
    """The newest published heads of ledger and issuance log: what a revocation still honours."""

    ledger_sequence: int = 0
    ledger_head: bytes = bytes(32)
    issuance_sequence: int = 0
    issuance_head: bytes = bytes(32)


@dataclass(frozen=True, slots=True)
class Root:
    """The root key of one environment, for as long as it is assembled."""

    env: Environment
    signer: Signer = field(repr=False)

    def state(
        self, role: KeyRole, version: int, public_key: bytes, from_s: int, *, now_s: int,
        life_s: int = YEAR_S + OVERLAP_S,
    ) -> bytes:  # fmt: skip
        """A key statement (COSE). ``version``: of the role; for APPROVAL the person's number.

        :class:`HierarchyError` for ROOT, LOG or a version below 1;
        :class:`keys.errors.DateRefusedError` for a ``from_s`` beyond now + 1 day.
        """
        if role in {KeyRole.ROOT, KeyRole.LOG}:
            raise HierarchyError(f"the root states no {role.name} key")
        if version < 1:
            raise HierarchyError("versions and persons count from 1")
        ca.check_time(from_s, now_s)
        statement = KeyStatement(role, version, public_key, from_s, from_s + life_s)
        return bytes(sign_object(self.signer, statement, self.env))

    def link(
        self, role: KeyRole, version: int, public_key: bytes, *, lowest_kept: int, now_s: int,
        may_step_back: bool = False,
    ) -> cvc.Certificate:  # fmt: skip
        """A link certificate for the cards, dated today; as :func:`keys.ca.issue_link`.

        :class:`HierarchyError` for a role whose key cards do not keep.
        """
        if role not in LINK_KINDS:
            raise HierarchyError("cards keep terminal CA and issuer keys only")
        return ca.issue_link(
            ca.Issuer(self.env, 1, self.signer), kind=LINK_KINDS[role], version=version,
            public_key=public_key, lowest_kept=lowest_kept, now_s=now_s,
            may_step_back=may_step_back,
        )  # fmt: skip

    def revoke(self, public_key: bytes, heads: Heads, *, now_s: int) -> bytes:
        """A revocation (COSE) of this key, effective now."""
        revocation = Revocation(
            key_id(public_key), now_s, heads.ledger_sequence, heads.ledger_head,
            heads.issuance_sequence, heads.issuance_head,
        )  # fmt: skip
        return bytes(sign_object(self.signer, revocation, self.env))

    def trust(
        self, keys: Mapping[KeyName, bytes], *, from_s: int, now_s: int
    ) -> tuple[TrustFile, tuple[cvc.Certificate, ...]]:
        """The first trust file and the links: all statements from ``from_s`` on."""
        statements = tuple(
            self.state(role, version, key, from_s, now_s=now_s)
            for (role, version), key in keys.items()
        )
        links = tuple(
            self.link(role, version, key, lowest_kept=version, now_s=now_s)
            for (role, version), key in keys.items()
            if role in LINK_KINDS
        )
        return TrustFile(self.env, self.signer.public_key, statements, ()), links


def new_signer(role: KeyRole, random: Callable[[int], bytes]) -> P256Signer | Ed25519Signer:
    """A new software key of the kind this role has: P-256 down to the issuer, else Ed25519."""
    kind = P256Signer if role in P256_ROLES else Ed25519Signer
    return kind.generate(random)


@dataclass(frozen=True, slots=True)
class World:
    """A whole hierarchy in memory. ``people``: approval keys by the person's number."""

    env: Environment
    root: Root = field(repr=False)
    signers: Mapping[KeyName, Signer] = field(repr=False)
    people: Mapping[int, Signer] = field(repr=False)
    trust: TrustFile
    links: tuple[cvc.Certificate, ...]

    def signer(self, role: KeyRole, version: int = 1) -> Signer:
        """The signer of this role."""
        return self.signers[role, version]

    def issuer(self, role: KeyRole, version: int = 1) -> ca.Issuer:
        """The CA of this role, as :mod:`keys.ca` takes it."""
        return ca.Issuer(self.env, version, self.signers[role, version])


def make_world(
    env: Environment, *, random: Callable[[int], bytes], now_s: int, from_s: int | None = None
) -> World:
    """A root, one key of every role, and two people (numbers 1 and 2) under it."""
    root = Root(env, P256Signer.generate(random))
    signers: dict[KeyName, Signer] = {
        (role, 1): new_signer(role, random) for role in (*SERVICE_ROLES, KeyRole.ACK)
    }
    people: dict[int, Signer] = {n: new_signer(KeyRole.APPROVAL, random) for n in (1, 2)}
    keys = {name: s.public_key for name, s in signers.items()}
    keys |= {(KeyRole.APPROVAL, n): s.public_key for n, s in people.items()}
    start = now_s if from_s is None else from_s
    trust, links = root.trust(keys, from_s=start, now_s=now_s)
    return World(env, root, signers, people, trust, links)
