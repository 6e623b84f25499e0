"""What bundles brought: entitlements, scripts, hotlist, programmes, trust. Apart from the journal.

A bundle (docs/wire.md#bundle) is verified whole, then installed whole in one transaction; one that
is not newer, not for this terminal or not built on what is installed changes nothing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256

from pyroaring import BitMap

from keys.errors import KeysError
from keys.trust import TrustStore
from terminal.errors import (
    BaseMissingError,
    BundleRefusedError,
    NotNewerError,
    RosterEmptyError,
)
from terminal.store import named_errors, transaction
from wire import cvc
from wire.bundle import Bundle, CardEntry, unpack
from wire.chain import TrustFile
from wire.cose import Sign1
from wire.dates import start_of_day_s
from wire.ecdsa import SIGNATURE_BYTES
from wire.errors import WireError
from wire.objects import (
    Acknowledgement,
    Hotlist,
    Parameters,
    Programme,
    Revocation,
    StockDelivery,
)

_SCHEMA = """
CREATE TABLE trust (one INTEGER PRIMARY KEY CHECK (one = 1), raw BLOB NOT NULL);
CREATE TABLE version (
  one INTEGER PRIMARY KEY CHECK (one = 1), epoch INTEGER NOT NULL, counter INTEGER NOT NULL,
  hash BLOB NOT NULL, time_s INTEGER NOT NULL, hotlist_version INTEGER NOT NULL,
  hotlist BLOB NOT NULL, parameters BLOB NOT NULL, newest_s INTEGER NOT NULL);
CREATE TABLE card (card_id BLOB PRIMARY KEY, raw BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE programme (code INTEGER PRIMARY KEY, wallet INTEGER NOT NULL UNIQUE,
  raw BLOB NOT NULL);
CREATE TABLE ceiling (wallet INTEGER PRIMARY KEY, highest INTEGER NOT NULL);
CREATE TABLE certificate (hash BLOB PRIMARY KEY, raw BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE link (hash BLOB PRIMARY KEY, raw BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE delivery (hash BLOB PRIMARY KEY, raw BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE acknowledgement (hash BLOB PRIMARY KEY, raw BLOB NOT NULL) WITHOUT ROWID;
"""


@lru_cache(maxsize=64)
def _certificate(raw: bytes) -> cvc.Certificate:
    """Read anew for every card otherwise, a fifth of the work of a tap."""
    return cvc.Certificate.parse(raw)


def _named_by(cards: Iterable[CardEntry]) -> Iterator[bytes]:
    """Hashes of the certificates, entitlements and scripts that card entries name."""
    for entry in cards:
        yield entry.certificate
        yield from (sha256(raw[:-SIGNATURE_BYTES]).digest() for raw in entry.entitlements)
        yield from (sha256(raw[:-SIGNATURE_BYTES]).digest() for raw in entry.scripts)


def _carried_by(bundle: Bundle) -> set[bytes]:
    """Hashes of all that a bundle carries or names, but not of the bundle."""
    objects = (bundle.hotlist, bundle.parameters, *bundle.programmes, *bundle.deliveries,
               *bundle.acknowledgements)  # fmt: skip
    certificates = {cvc.Certificate.parse(raw).digest for raw in bundle.certificates}
    return {*_named_by(bundle.cards), *(Sign1.parse(raw).hash for raw in objects), *certificates}


@dataclass(frozen=True, slots=True)
class Version:
    """The installed bundle. ``newest_s`` is the latest time any object of it names."""

    epoch: int
    counter: int
    hash: bytes
    time_s: int
    hotlist_version: int
    newest_s: int


@dataclass(frozen=True, slots=True)
class _Checked:
    """A bundle of which everything was verified."""

    bundle: Bundle
    hash: bytes
    trust: TrustStore
    hotlist: Hotlist
    parameters: Parameters
    programmes: tuple[tuple[Programme, bytes], ...]
    newest_s: int


class Roster:
    """The installed data of one terminal over an open connection.

    Whatever reads or writes may raise :class:`terminal.errors.JournalError` and its kinds. Card ids
    are 8 bytes.
    """

    def __init__(
        self, db: sqlite3.Connection, *, station: bytes, trust: TrustFile, allow_demo: bool
    ) -> None:
        """``trust`` is the provisioned trust file; statements from bundles are added to it.

        Raises :class:`keys.errors.DemoRefusedError` for a DEMO root unless ``allow_demo``.
        """
        self._db, self._station, self._allow_demo = db, station, allow_demo
        with named_errors():
            made = db.execute("SELECT 1 FROM sqlite_master WHERE name = 'version'").fetchone()
        if made is None:
            with transaction(db):
                for statement in _SCHEMA.split(";\n"):
                    db.execute(statement)
        row = self._one("SELECT raw FROM trust")
        held = trust if row is None else TrustFile.parse(row[0])
        if held.root_key != trust.root_key or held.environment != trust.environment:
            raise BundleRefusedError("the roster hangs from another root")
        self._named: frozenset[bytes] | None = None
        self._trust = TrustStore(held, allow_demo=allow_demo, covered=self._covers)
        self._hotlist: tuple[int, BitMap] | None = None

    @property
    def trust(self) -> TrustStore:
        """What stands under the root, bundles included."""
        return self._trust

    # --- installing ----------------------------------------------------------------------------

    def install(self, file: bytes, *, floor: tuple[int, int] = (0, 0)) -> Version:
        """Verify and install one bundle file; the version installed.

        ``floor``: (epoch, counter) that the journal saw last; nothing older may come back.
        Raises :class:`BundleRefusedError` and its kinds; then nothing has changed.
        """
        try:
            checked = self._check(unpack(file))
        except (WireError, KeysError, ValueError) as e:
            raise BundleRefusedError(str(e)) from e
        self._check_place(checked, floor)
        with transaction(self._db):
            self._write(checked)
        self._trust, self._hotlist, self._named = checked.trust, None, None
        return self.version

    def _covers(self, _: Revocation, name: bytes) -> bool:
        """Whether what is installed names an object of a revoked key (PROTOCOL.md §3).

        A terminal holds no issuance log. The bundle stands for it: the backend puts into one only
        what its log took before the revocation, and a Policy key that is not revoked signs that.
        """
        if self._named is None:
            acknowledged = self._raws("SELECT hash FROM acknowledgement")
            self._named = frozenset([*_named_by(self.cards()), *acknowledged])
        return name in self._named

    def _check(self, signed: bytes) -> _Checked:
        """1. key statements and revocations 2. the bundle 3. everything inside."""
        sign1 = Sign1.parse(signed)
        unproven = Bundle.parse(sign1.payload)
        # 1. The bundle may bring the statement of the key that signed it: the root vouches.
        named: set[bytes] = set()
        trust = TrustStore(
            self._trust.trust_file(), allow_demo=self._allow_demo,
            covered=lambda revocation, name: name in named or self._covers(revocation, name),
        )  # fmt: skip
        for raw in unproven.statements:
            trust.add_statement(raw)
        for raw in unproven.revocations:
            trust.add_revocation(raw)
        # 2.
        bundle = trust.verify(Bundle, signed, at_s=unproven.time_s)
        if bundle.station != self._station:
            raise BundleRefusedError("the bundle is for another terminal")
        # 3.
        named |= _carried_by(bundle)
        hotlist = trust.verify(Hotlist, bundle.hotlist)
        BitMap.deserialize(hotlist.serials)
        parameters = trust.verify(Parameters, bundle.parameters)
        programmes = tuple((trust.verify(Programme, raw), raw) for raw in bundle.programmes)
        newest = max([bundle.time_s, hotlist.time_s, *self._check_cards(trust, bundle.cards)])
        self._check_rest(trust, bundle)
        return _Checked(bundle, sign1.hash, trust, hotlist, parameters, programmes, newest)

    def _check_cards(self, trust: TrustStore, cards: Iterable[CardEntry]) -> Iterator[int]:
        """Every entitlement and script is the issuer's and for the card it stands under."""
        for entry in cards:
            for raw in entry.entitlements:
                entitlement = trust.entitlement(raw)
                bound = (entitlement.card_id, entitlement.certificate_hash)
                if bound != (entry.card_id, entry.certificate[:16]):
                    raise BundleRefusedError("an entitlement stands under another card")
                yield start_of_day_s(entitlement.issued)
            for raw in entry.scripts:
                script = trust.script(raw)
                if script.card_id != entry.card_id:
                    raise BundleRefusedError("a script stands under another card")
                yield start_of_day_s(script.issued)

    def _check_rest(self, trust: TrustStore, bundle: Bundle) -> None:
        for raw in bundle.certificates:
            certificate = trust.terminal_certificate(cvc.Certificate.parse(raw))
            if certificate.subject != self._station:
                raise BundleRefusedError("a certificate for another terminal")
        for raw in bundle.links:
            trust.link(cvc.Certificate.parse(raw))
        for raw in bundle.deliveries:
            if trust.verify(StockDelivery, raw).terminal != self._station:
                raise BundleRefusedError("a delivery for another terminal")
        for raw in bundle.acknowledgements:
            trust.verify(Acknowledgement, raw)

    def _check_place(self, checked: _Checked, floor: tuple[int, int]) -> None:
        """Newer than what is installed, with a hotlist no older, on the base it names."""
        b = checked.bundle
        held = self._version()
        if (b.epoch, b.counter) < floor:
            raise NotNewerError("older than a bundle this journal has seen")
        if held is None:
            if b.base:
                raise BaseMissingError("a delta, but nothing is installed")
            return
        if (b.epoch, b.counter) <= (held.epoch, held.counter):
            raise NotNewerError("not newer than the installed bundle")
        if checked.hotlist.version < held.hotlist_version:
            raise BundleRefusedError("the hotlist is older than the installed one")
        if b.base and (b.epoch, b.base) != (held.epoch, held.counter):
            raise BaseMissingError("a delta on another bundle")

    def _write(self, c: _Checked) -> None:
        db, b = self._db, c.bundle
        if not b.base:
            for table in ("card", "programme", "ceiling", "delivery"):
                db.execute(f"DELETE FROM {table}")  # noqa: S608 - names above
        db.execute("INSERT OR REPLACE INTO trust VALUES (1, ?)", (bytes(c.trust.trust_file()),))
        held = self._version()
        newest = max(c.newest_s, held.newest_s if held else 0)
        db.execute(
            "INSERT OR REPLACE INTO version VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?)",
            (b.epoch, b.counter, c.hash, b.time_s, c.hotlist.version, c.hotlist.serials,
             b.parameters, newest),
        )  # fmt: skip
        put = "INSERT OR REPLACE INTO {} VALUES ({})"
        db.executemany(put.format("card", "?, ?"), [(e.card_id, bytes(e)) for e in b.cards])
        for programme, raw in c.programmes:
            db.execute("DELETE FROM programme WHERE wallet = ?", (programme.wallet,))
            row = (programme.code, programme.wallet, raw)
            db.execute(put.format("programme", "?, ?, ?"), row)
        db.executemany(put.format("ceiling", "?, ?"), [(x.wallet, x.highest) for x in b.ceilings])
        for table, raws in {"certificate": b.certificates, "link": b.links}.items():
            certificates = [cvc.Certificate.parse(raw) for raw in raws]
            db.executemany(put.format(table, "?, ?"), [(x.digest, x.raw) for x in certificates])
        for table, raws in {
            "delivery": b.deliveries, "acknowledgement": b.acknowledgements
        }.items():  # fmt: skip
            rows = [(Sign1.parse(raw).hash, raw) for raw in raws]
            db.executemany(put.format(table, "?, ?"), rows)

    def provision(self, certificates: Iterable[bytes], links: Iterable[bytes]) -> None:
        """Take the certificates and links of a Provision file, verified; all or none.

        :class:`BundleRefusedError` for another terminal's; ``keys.errors.TrustError`` and
        ``WireError`` for what does not stand.
        """
        made = [self._trust.terminal_certificate(cvc.Certificate.parse(x)) for x in certificates]
        if any(x.subject != self._station for x in made):
            raise BundleRefusedError("a certificate for another terminal")
        linked = [self._trust.link(cvc.Certificate.parse(x)) for x in links]
        with transaction(self._db):
            for table, items in {"certificate": made, "link": linked}.items():
                self._db.executemany(
                    f"INSERT OR REPLACE INTO {table} VALUES (?, ?)",  # noqa: S608 - names above
                    [(x.digest, x.raw) for x in items],
                )

    # --- reading -------------------------------------------------------------------------------

    def _one(self, sql: str, *values: object) -> tuple[bytes, ...] | None:
        with named_errors():
            row: tuple[bytes, ...] | None = self._db.execute(sql, values).fetchone()
            return row

    def _raws(self, sql: str) -> list[bytes]:
        with named_errors():
            return [row[0] for row in self._db.execute(sql)]

    def _version(self) -> Version | None:
        with named_errors():
            row = self._db.execute(
                "SELECT epoch, counter, hash, time_s, hotlist_version, newest_s FROM version"
            ).fetchone()
        return None if row is None else Version(*row)

    @property
    def version(self) -> Version:
        """The installed version; :class:`RosterEmptyError` when there is none."""
        found = self._version()
        if found is None:
            raise RosterEmptyError("no bundle is installed")
        return found

    @property
    def newest_s(self) -> int:
        """The latest time any installed object names; 0 when nothing is installed."""
        found = self._version()
        return 0 if found is None else found.newest_s

    @property
    def is_empty(self) -> bool:
        """Whether no bundle is installed."""
        return self._version() is None

    @property
    def parameters(self) -> Parameters:
        """The signed parameters in force; :class:`RosterEmptyError` when there are none."""
        row = self._one("SELECT parameters FROM version")
        if row is None:
            raise RosterEmptyError("no bundle is installed")
        return Parameters.parse(Sign1.parse(row[0]).payload)

    def is_hotlisted(self, card_id: bytes) -> bool:
        """Whether the card's serial stands in the exact hotlist."""
        version = self.version
        if self._hotlist is None or self._hotlist[0] != version.hotlist_version:
            row = self._one("SELECT hotlist FROM version")
            bitmap = BitMap.deserialize(row[0]) if row else BitMap()
            self._hotlist = (version.hotlist_version, bitmap)
        return int.from_bytes(card_id[4:], "big") in self._hotlist[1]

    def card(self, card_id: bytes) -> CardEntry | None:
        """What the backend knows of the card; None for a card of another area."""
        row = self._one("SELECT raw FROM card WHERE card_id = ?", card_id)
        return None if row is None else CardEntry.parse(row[0])

    def cards(self) -> list[CardEntry]:
        """Every card of the area."""
        return [CardEntry.parse(raw) for raw in self._raws("SELECT raw FROM card")]

    def programmes(self) -> list[Programme]:
        """The programmes, by code."""
        raws = self._raws("SELECT raw FROM programme ORDER BY code")
        return [Programme.parse(Sign1.parse(raw).payload) for raw in raws]

    def programme_of(self, wallet: int) -> Programme | None:
        """The programme that a wallet belongs to."""
        row = self._one("SELECT raw FROM programme WHERE wallet = ?", wallet)
        return None if row is None else Programme.parse(Sign1.parse(row[0]).payload)

    def ceiling(self, wallet: int) -> int | None:
        """The highest L any card may hold there."""
        row = self._one("SELECT highest FROM ceiling WHERE wallet = ?", wallet)
        return None if row is None else int(row[0])

    def certificates(self) -> list[cvc.Certificate]:
        """The terminal's and its officers' certificates."""
        return [_certificate(x) for x in self._raws("SELECT raw FROM certificate")]

    def links(self) -> list[cvc.Certificate]:
        """The links that a card in use may lack (docs/adr/0007).

        Not the first of a kind: every card had it before it left the desk, and takes none twice.
        """
        held = (_certificate(x) for x in self._raws("SELECT raw FROM link"))
        return [x for x in held if cvc.CaId.parse(x.subject).version > 1]

    def deliveries(self) -> list[tuple[bytes, StockDelivery]]:
        """(hash, delivery) of every stock delivery named in bundles."""
        raws = self._raws("SELECT raw FROM delivery")
        signed = [Sign1.parse(x) for x in raws]
        return [(s.hash, StockDelivery.parse(s.payload)) for s in signed]

    def acknowledgements(self) -> list[bytes]:
        """Every acknowledgement that came in bundles."""
        return self._raws("SELECT raw FROM acknowledgement")
