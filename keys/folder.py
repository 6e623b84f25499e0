"""A hierarchy on disk: the folder of one environment's key service (PROTOCOL.md §3, "where").

``config.json`` (no secrets), ``sealed/`` (keys under the passphrase), ``trust.cbor``,
``links.cbor``, ``root.age`` and ``ceremony.json`` (after the ceremony), ``protocol.txt``,
``state.sqlite``. With a PKCS#11 token, the role keys stand there and not in ``sealed/``. Sealed
files: :mod:`keys.store`; ``trust.cbor`` as docs/wire.md#trust, ``links.cbor`` a CBOR sequence.
Wherever a passphrase or a token is used, :class:`StoreError` and :class:`keys.errors.TokenError`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from keys import ceremony
from keys.cardsession import ChipKeySource, TransportMaster, TransportSets
from keys.errors import HierarchyError, NotDemoError, StockError, StoreError
from keys.hierarchy import LINK_KINDS, SERVICE_ROLES, KeyName, Root, new_signer
from keys.issuance import IssuanceAppender
from keys.kdf import KDD_BYTES, StaticKeys, kcv
from keys.pkcs11 import Token
from keys.service import Keys, KeyService, Quotas
from keys.signer import Ed25519Signer, KeyAgreement, P256KeyAgreement, P256Signer, Signer
from keys.state import State
from keys.store import DEFAULT_LOG_N, SealedStore, write_private
from keys.trust import TrustStore, check_demo
from wire import cbor, cvc
from wire.chain import TrustFile
from wire.env import Environment
from wire.objects import P256_ROLES, KeyRole

SCP03_MASTER_BYTES = 16  # AES-128: what every card of the market takes
MASTER, PERSONALISER, CONFIG = "scp03-master", "personaliser", "config.json"


@dataclass(frozen=True, slots=True)
class Secrets:
    """What a person types: the passphrase of the sealed files, the PIN of the token."""

    passphrase: str = field(repr=False)
    pin: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class TokenPlace:
    """Where the PKCS#11 token is."""

    library: str
    label: str


def store_name(role: KeyRole, version: int) -> str:
    """Name of a role key in the sealed store and on the token."""
    return f"{role.name.lower()}-{version}"


class KeyFolder:
    """The folder at ``path``; ``log_n`` is scrypt's cost for what it seals."""

    def __init__(self, path: Path, config: dict[str, Any], *, log_n: int = DEFAULT_LOG_N) -> None:
        self.path = path
        self.config = config
        self.env = Environment(config["environment"])
        self._opened: Token | None = None
        self.store = SealedStore(path / "sealed", log_n=log_n)

    # --- making and opening ------------------------------------------------------------------

    @classmethod
    def create(
        cls,
        path: Path,
        env: Environment,
        secrets: Secrets,
        *,
        random: Callable[[int], bytes],
        place: TokenPlace | None = None,
        log_n: int = DEFAULT_LOG_N,
    ) -> Self:
        """A new folder with a key of every role, the SCP03 master and the personaliser's key.

        Nothing signs before the ceremony has stated the keys. :class:`HierarchyError` when there
        is a folder already.
        """
        if (path / CONFIG).exists():
            raise HierarchyError(f"{path} holds keys already; it was left as it is")
        token = None if place is None else {"library": place.library, "label": place.label}
        config: dict[str, Any] = {
            "environment": int(env), "keys": {}, "pkcs11": token, "batches": {},
            "personaliser": env.mark.decode() + "PERS", "quotas": {},
        }  # fmt: skip
        folder = cls(path, config, log_n=log_n)
        for role in SERVICE_ROLES:
            folder.add_key(role, 1, secrets, random=random)
        master = random(SCP03_MASTER_BYTES)
        folder.store.save(MASTER, master, secrets.passphrase)
        config["scp03_kcv"] = kcv(master).hex()
        agreement = P256KeyAgreement.generate(random)
        folder.store.save(PERSONALISER, agreement.private_bytes(), secrets.passphrase)
        folder.save_config()
        return folder

    @classmethod
    def open(cls, path: Path, *, allow_demo: bool, log_n: int = DEFAULT_LOG_N) -> Self:
        """The folder; :class:`HierarchyError` where there is none.

        :class:`keys.errors.DemoRefusedError` for a DEMO environment without ``allow_demo``, and
        :class:`NotDemoError` for another one with it.
        """
        try:
            config = json.loads((path / CONFIG).read_text())
            folder = cls(path, config, log_n=log_n)
        except (OSError, ValueError, KeyError, TypeError) as e:
            raise HierarchyError(f"{path} is no key folder") from e
        check_demo(folder.env, allow_demo=allow_demo)
        if allow_demo and not folder.env.is_demo:
            raise NotDemoError("this root is not marked DEMO")
        return folder

    def save_config(self) -> None:
        """Write ``config.json``."""
        text = json.dumps(self.config, indent=1, sort_keys=True) + "\n"
        write_private(self.path / CONFIG, text.encode())

    # --- keys --------------------------------------------------------------------------------

    def add_key(
        self, role: KeyRole, version: int, secrets: Secrets, *, random: Callable[[int], bytes]
    ) -> bytes:
        """Make the key of this role and version, and return its public key (65 or 32 bytes).

        ``config.json`` is not written yet. :class:`HierarchyError` when there is one.
        """
        name = store_name(role, version)
        if name in self.config["keys"]:
            raise HierarchyError(f"there is a {role.name} key {version} already")
        token = self._token(secrets)
        signer: Signer
        if token is not None and (role in P256_ROLES or token.has_eddsa):
            make = token.generate_p256 if role in P256_ROLES else token.generate_ed25519
            signer, where = make(name), "pkcs11"
        else:
            made = new_signer(role, random)
            self.store.save(name, made.private_bytes(), secrets.passphrase)
            signer, where = made, "sealed"
        self.config["keys"][name] = {
            "role": role.name, "version": version, "where": where,
            "public": signer.public_key.hex(),
        }  # fmt: skip
        return signer.public_key

    def _token(self, secrets: Secrets) -> Token | None:
        place = self.config["pkcs11"]
        if place is not None and self._opened is None:
            self._opened = Token(place["library"], place["label"], secrets.pin)
        return self._opened

    def public_keys(self) -> dict[KeyName, bytes]:
        """Public keys by role and version: points of 65 bytes, Ed25519 keys of 32."""
        return {
            (KeyRole[k["role"]], k["version"]): bytes.fromhex(k["public"])
            for k in self.config["keys"].values()
        }

    def signers(self, secrets: Secrets) -> dict[KeyName, Signer]:
        """Every role key, opened; :class:`StoreError` unless each is the key the list names."""
        token = self._token(secrets)
        found: dict[KeyName, Signer] = {}
        for name, entry in self.config["keys"].items():
            role, version = KeyRole[entry["role"]], entry["version"]
            signer = self._signer(name, role, entry["where"], token, secrets)
            if signer.public_key.hex() != entry["public"]:
                raise StoreError(f"{name} is another key than the folder's list says")
            found[role, version] = signer
        return found

    def _signer(
        self, name: str, role: KeyRole, where: str, token: Token | None, secrets: Secrets
    ) -> Signer:
        if where == "pkcs11":
            if token is None:
                raise StoreError(f"{name} is on a token, and none is configured")
            return token.p256(name) if role in P256_ROLES else token.ed25519(name)
        raw = self.store.load(name, secrets.passphrase)
        kind = P256Signer if role in P256_ROLES else Ed25519Signer
        return kind.from_private_bytes(raw)

    def new_personaliser(self, secrets: Secrets, *, random: Callable[[int], bytes]) -> bytes:
        """Another personaliser's channel key in place of the one held; its public key (65 bytes).

        What the old one's certificate opens ends with that, or with its Terminal CA.
        """
        self.store.load(PERSONALISER, secrets.passphrase)  # all stay under one passphrase
        agreement = P256KeyAgreement.generate(random)
        self.store.save(PERSONALISER, agreement.private_bytes(), secrets.passphrase, replace=True)
        return agreement.public_key

    # --- under the root ------------------------------------------------------------------------

    def hold_ceremony(
        self,
        root: P256Signer,
        others: Mapping[KeyName, bytes],
        *,
        random: Callable[[int], bytes],
        now_s: int,
        from_s: int,
    ) -> ceremony.Ceremony:
        """State every key of the folder and ``others`` (Ack, the first two approval keys).

        The root is sealed, its shares are in the answer and nowhere else. :class:`HierarchyError`
        when it was held already or does not enrol two people, :class:`keys.errors.CeremonyError`
        when a share or the sealed file fails its test, which leaves the folder as it was.
        """
        if (self.path / "trust.cbor").exists():
            raise HierarchyError("the ceremony was held already")
        people = [n for role, n in others if role == KeyRole.APPROVAL]
        if len(people) != 2:
            raise HierarchyError("the ceremony enrols exactly two people; they enrol the others")
        held = ceremony.hold(root, self.env, random=random, now_s=now_s)
        keys = {**self.public_keys(), **others}
        trust, links = Root(self.env, root).trust(keys, from_s=from_s, now_s=now_s)
        TrustStore(trust, allow_demo=self.env.is_demo)
        record = held.record
        facts = {"root_key": record.root_key.hex(), "wrapping_kcv": record.wrapping_kcv.hex(),
                 "held_at_s": now_s}  # fmt: skip
        write_private(self.path / "root.age", held.sealed_root)
        write_private(self.path / "ceremony.json", json.dumps(facts).encode())
        write_private(self.path / "protocol.txt", self._protocol(record).encode())
        write_private(self.path / "links.cbor", cbor.encode_sequence([bytes(x) for x in links]))
        write_private(self.path / "trust.cbor", bytes(trust))  # last: without it, hold it again
        return held

    def _protocol(self, record: ceremony.Record) -> str:
        keys = "\n".join(f"  {name:16} {e['public'][:24]}… ({e['where']})"
                         for name, e in sorted(self.config["keys"].items()))  # fmt: skip
        return (
            ceremony.protocol(record)
            + f"\nKCV induk SCP03 / SCP03 master KCV  {self.config['scp03_kcv'].upper()}\n"
            + f"\nKunci yang dinyatakan / keys stated\n{keys}\n"
        )

    def root(self, shares: Sequence[str]) -> Root:
        """The root for one sitting, from three shares; :class:`keys.errors.CeremonyError`.

        :class:`HierarchyError` before the ceremony.
        """
        try:
            facts = json.loads((self.path / "ceremony.json").read_text())
            sealed = (self.path / "root.age").read_bytes()
        except (OSError, ValueError) as e:
            raise HierarchyError("the ceremony was not held here") from e
        root_key, check = bytes.fromhex(facts["root_key"]), bytes.fromhex(facts["wrapping_kcv"])
        return Root(self.env, ceremony.recover(shares, sealed, root_key, check))

    def trust(self) -> TrustStore:
        """What the root stated; :class:`HierarchyError` before the ceremony."""
        try:
            raw = (self.path / "trust.cbor").read_bytes()
        except OSError as e:
            raise HierarchyError("the ceremony was not held yet") from e
        return TrustStore(TrustFile.parse(raw), allow_demo=self.env.is_demo)

    def links(self) -> tuple[cvc.Certificate, ...]:
        """Every link, oldest first."""
        raw = (self.path / "links.cbor").read_bytes()
        return tuple(cvc.Certificate.parse(x) for x in cbor.decode_sequence(raw))

    def save_trust(self, trust: TrustStore) -> None:
        """Write the trust file anew."""
        write_private(self.path / "trust.cbor", bytes(trust.trust_file()))

    def rotate(
        self,
        root: Root,
        role: KeyRole,
        secrets: Secrets,
        *,
        random: Callable[[int], bytes],
        now_s: int,
    ) -> int:
        """The next version of a role key: made, stated, linked; its version.

        Cards keep the one before, unless it was revoked: revoke first, then rotate
        (docs/runbooks.md). :class:`HierarchyError` for a role whose key is not in this folder.
        """
        if role not in SERVICE_ROLES:
            raise HierarchyError(f"a {role.name} key does not stand in this folder")
        trust = self.trust()
        version = max(v for r, v in self.public_keys() if r == role) + 1
        public = self.add_key(role, version, secrets, random=random)
        self.save_config()  # before it is stated: a stated key that nobody holds is worse
        trust.add_statement(root.state(role, version, public, now_s, now_s=now_s))
        if role in LINK_KINDS:
            before = trust.revocation(trust.key(role, version - 1).public_key)
            lowest = version if before else version - 1
            link = root.link(role, version, public, lowest_kept=lowest, now_s=now_s)
            links = [bytes(x) for x in (*self.links(), trust.link(link))]
            write_private(self.path / "links.cbor", cbor.encode_sequence(links))
        self.save_trust(trust)
        return version

    # --- stock, service --------------------------------------------------------------------------

    def receive(self, delivery: dict[str, Any], secrets: Secrets) -> int:
        """Take a maker's delivery: seal its transport keys, enter its chips; how many chips.

        ``{batch, kvn, chips: [kdd hex | {kdd, enc, mac, dek}], master? | keys?: [enc, mac, dek]}``.
        :class:`StockError` when it is malformed.
        """
        try:
            batch, kdds, sealed = _read_delivery(delivery)
        except (KeyError, TypeError, ValueError) as e:
            raise StockError("the delivery list is malformed") from e
        self.store.save(f"batch-{batch}", sealed, secrets.passphrase)
        state = State(self.path / "state.sqlite", self.env)
        state.receive_chips(batch, kdds)
        state.close()
        self.config["batches"][batch] = len(kdds)
        self.save_config()
        return len(kdds)

    def _batches(self, secrets: Secrets) -> dict[str, ChipKeySource]:
        names = self.config["batches"]
        return {b: _key_source(self.store.load(f"batch-{b}", secrets.passphrase)) for b in names}

    def service(
        self,
        secrets: Secrets,
        issuance: IssuanceAppender,
        *,
        clock: Callable[[], int],
        random: Callable[[int], bytes],
    ) -> KeyService:
        """The key service over this folder, everything unlocked; ``clock`` gives Unix seconds."""
        agreement: KeyAgreement = P256KeyAgreement.from_private_bytes(
            self.store.load(PERSONALISER, secrets.passphrase)
        )
        keys = Keys(
            self.signers(secrets), self.store.load(MASTER, secrets.passphrase),
            self._batches(secrets), agreement, self.config["personaliser"].encode(),
        )  # fmt: skip
        quotas = dict(self.config["quotas"])
        loaded = {int(k): int(v) for k, v in quotas.pop("loaded", {}).items()}
        state = State(self.path / "state.sqlite", self.env)
        return KeyService(
            self.trust(), keys, state, issuance,
            clock=clock, random=random, quotas=Quotas(loaded=loaded, **quotas),
        )  # fmt: skip


def _read_delivery(delivery: dict[str, Any]) -> tuple[str, list[bytes], bytes]:
    batch, kvn = str(delivery["batch"]).lower(), int(delivery["kvn"])
    if not batch.replace("-", "").isalnum() or len(batch) > 40 or not 0 <= kvn <= 0xFF:
        raise ValueError("batch name or key version")
    kdds, sets = [], {}
    for chip in delivery["chips"]:
        row = chip if isinstance(chip, dict) else {"kdd": chip}
        kdd = bytes.fromhex(row["kdd"])
        if len(kdd) != KDD_BYTES:
            raise ValueError("key diversification data is 10 bytes")
        kdds.append(kdd)
        if "enc" in row:
            sets[kdd.hex()] = [row["enc"], row["mac"], row["dek"]]
    if "keys" in delivery:
        sets[""] = list(delivery["keys"])
    kept = {"kvn": kvn, "master": delivery.get("master"), "sets": sets}
    sealed = json.dumps(kept).encode()
    _key_source(sealed)  # refuse what could not be read back
    return batch, kdds, sealed


def _key_source(sealed: bytes) -> ChipKeySource:
    kept = json.loads(sealed)
    if kept["master"]:
        source = TransportMaster(kept["kvn"], bytes.fromhex(kept["master"]))
        source.keys(bytes(KDD_BYTES))
        return source
    sets = {
        bytes.fromhex(kdd): StaticKeys(*(bytes.fromhex(k) for k in keys))
        for kdd, keys in kept["sets"].items()
    }
    if not sets:
        raise ValueError("a delivery without transport keys")
    return TransportSets(kept["kvn"], sets)


def delivery_keys(delivery: dict[str, Any]) -> ChipKeySource:
    """The transport keys of a maker's delivery (:meth:`KeyFolder.receive`), nothing kept.

    For the hands that load the applet before the chips are received; :class:`StockError`.
    """
    try:
        return _key_source(_read_delivery(delivery)[2])
    except (KeyError, TypeError, ValueError) as e:
        raise StockError("the delivery list is malformed") from e
