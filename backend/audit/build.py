"""From the bytes of an export to a :class:`World`: every signature verified once.

1. trust file; 2. issuance log; 3. objects; 4. ledger and heads; 5. station chains (``logs``).
What does not verify is set aside with the invariant it breaks (PROTOCOL.md §7): another
environment 16, absent from the issuance log 19, anything else 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import TypeVar

from pyroaring import BitMap

from backend.audit import logs
from backend.audit.errors import DemoRootError, TrustUnreadableError
from backend.audit.facts import Fact
from backend.audit.findings import Finding, What, of_error, say
from backend.audit.load import SHAPES, Export
from backend.audit.model import Card, Issued, Object, Station, World
from keys.errors import DemoRefusedError, KeysError, RevokedKeyError
from keys.trust import TrustStore
from wire import cvc
from wire.chain import GENESIS, IssuanceEntry, IssuanceKind, LedgerEntry, TrustFile
from wire.cose import Sign1
from wire.errors import EnvironmentMismatchError, WireError
from wire.invariants import Invariant
from wire.objects import (
    Acknowledgement,
    Enrolment,
    Hotlist,
    IssuanceHead,
    LedgerHead,
    Revocation,
    SignedShape,
    TerminalLost,
)

E = TypeVar("E", IssuanceEntry, LedgerEntry)
H = TypeVar("H", LedgerHead, IssuanceHead)
BUNDLE_NOTE = "bundle"


def open_trust(
    raw: bytes, *, allow_demo: bool, log: Callable[[], World] | None = None
) -> TrustStore:
    """The trust store of a trust file's bytes; ``log`` gives the world that covers objects.

    Raises :class:`TrustUnreadableError` and :class:`DemoRootError`.
    """

    def covered(revocation: Revocation, name: bytes) -> bool:
        return log is not None and _covers(log(), revocation, name)

    try:
        return TrustStore(TrustFile.parse(raw), allow_demo=allow_demo, covered=covered)
    except DemoRefusedError as e:
        raise DemoRootError(str(e)) from e
    except (WireError, KeysError) as e:
        raise TrustUnreadableError(str(e)) from e


def _covers(world: World, revocation: Revocation, name: bytes) -> bool:
    """Whether the issuance log up to the head the revocation names holds the object."""
    entry = world.names.get(name)
    at = revocation.issuance_sequence
    if entry is None or not 0 < entry.sequence <= at <= len(world.issuance):
        return False
    return world.issuance[at - 1].hash == revocation.issuance_head


def build(export: Export, trust_raw: bytes, *, allow_demo: bool) -> World:
    """The world of an export under a trust file; see :func:`open_trust` for errors."""
    holder: list[World] = []
    trust = open_trust(trust_raw, allow_demo=allow_demo, log=lambda: holder[0])  # 1
    world = World(trust)
    holder.append(world)
    world.chain_faults += [f for f in export.faults if f.invariant == Invariant.CHAINED_LEDGER]
    world.aside += [f for f in export.faults if f.invariant != Invariant.CHAINED_LEDGER]
    world.issuance = _chain(world, export.issuance, IssuanceEntry.parse, "issuance")
    for entry in world.issuance:
        name = name_of(entry)
        if name is not None:
            world.names.setdefault(name, entry)
    for entry in world.issuance:  # 2
        _enter(world, entry)
    _objects(world, export)  # 3
    world.ledger = _chain(world, export.ledger, LedgerEntry.parse, "ledger")
    _heads(world, export)  # 4
    times = [e.time_s for e in world.issuance] + [e.time_s for e in world.ledger]
    times += [a.arrived_s for _, a in world.of(Acknowledgement)]
    world.now_s = max([world.now_s, *times])
    logs.read(world, export.uploads)  # 5
    return world


def name_of(entry: IssuanceEntry) -> bytes | None:
    """The hash by which others name what an entry holds; None for SCRAPPED or unreadable."""
    match entry.kind:
        case IssuanceKind.OBJECT:
            return entry.item
        case IssuanceKind.ENTITLEMENT | IssuanceKind.SCRIPT:
            return sha256(entry.item[:-64]).digest()
        case IssuanceKind.ENROLMENT:
            try:
                return Sign1.parse(entry.item).hash
            except WireError:
                return None
        case IssuanceKind.SCRAPPED:
            return None
        case _:
            return sha256(entry.item).digest()


def _chain(
    world: World, raws: tuple[bytes, ...], parse: Callable[[bytes], E], name: str
) -> list[E]:
    """Entries of one chain; each break is noted once."""
    entries: list[E] = []
    previous, expected = GENESIS, 1
    for raw in raws:
        try:
            entry = parse(raw)
        except WireError as e:
            _chain_fault(world, f"{name}/{expected}", say(Fact.ENTRY_UNREADABLE, detail=str(e)))
            expected += 1
            previous = sha256(raw).digest()
            continue
        if (entry.sequence, entry.previous) != (expected, previous):
            _chain_fault(world, f"{name}/{expected}", say(Fact.ENTRY_NOT_FOLLOWING))
        if entries and entry.time_s < entries[-1].time_s:
            _chain_fault(world, f"{name}/{expected}", say(Fact.ENTRY_OLDER))
        entries.append(entry)
        previous, expected = entry.hash, expected + 1
    return entries


def _chain_fault(world: World, subject: str, what: What) -> None:
    world.chain_faults.append(Finding(Invariant.CHAINED_LEDGER, subject, what))


def bad(world: World, error: Exception, subject: str, name: bytes, owner: str) -> None:
    """Set an item aside for what its verification raised."""
    is_foreign = isinstance(error, EnvironmentMismatchError)
    invariant = Invariant.NO_SPECIMEN if is_foreign else Invariant.SIGNATURES
    world.set_aside(invariant, subject, of_error(error), name, owner)


# --- issuance log ------------------------------------------------------------


def _enter(world: World, entry: IssuanceEntry) -> None:
    name = name_of(entry) or sha256(entry.item).digest()
    try:
        match entry.kind:
            case IssuanceKind.CARD_CERTIFICATE:
                _enter_card(world, entry)
            case IssuanceKind.TERMINAL_CERTIFICATE:
                cert = world.trust.terminal_certificate(cvc.Certificate.parse(entry.item))
                world.certificates.setdefault((cert.subject, cert.serial), (cert, entry))
            case IssuanceKind.ENTITLEMENT:
                _enter_entitlement(world, entry)
            case IssuanceKind.SCRIPT:
                script = world.trust.script(entry.item)
                if script.card_id in world.cards:
                    world.cards[script.card_id].scripts[script.number] = script
            case IssuanceKind.LINK:
                world.trust.link(cvc.Certificate.parse(entry.item))
            case IssuanceKind.ENROLMENT:
                _enter_station(world, entry, name)
            case IssuanceKind.SCRAPPED:
                if entry.item in world.cards:
                    world.cards[entry.item].scrapped = entry.sequence
            case IssuanceKind.OBJECT:
                pass
    except (WireError, KeysError) as e:
        bad(world, e, f"issuance/{entry.sequence}", name, "key service")
        if entry.kind == IssuanceKind.CARD_CERTIFICATE:
            world.aside_cards |= _subject(entry.item)


def _subject(raw: bytes) -> set[bytes]:
    """The card a certificate that is set aside names: what it signs is listed with it."""
    try:
        return {cvc.Certificate.parse(raw).subject}
    except WireError:
        return set()


def _enter_card(world: World, entry: IssuanceEntry) -> None:
    identity = world.trust.card_certificate(cvc.Certificate.parse(entry.item))
    if identity.card_id in world.cards:
        world.set_aside(
            Invariant.ISSUANCE_LOG,
            identity.card_id.hex(),
            say(Fact.CERTIFICATE_TWICE),
            identity.certificate.digest,
            "key service",
        )
        return
    world.cards[identity.card_id] = Card(
        identity.card_id, identity.certificate, identity.receipt_key, entry
    )


def _enter_entitlement(world: World, entry: IssuanceEntry) -> None:
    e = world.trust.entitlement(entry.item)
    card = world.cards.get(e.card_id)
    if e.card_id in world.aside_cards:
        world.aside_names.add(e.hash)
        return
    if card is None:
        world.set_aside(
            Invariant.ISSUANCE_LOG,
            e.card_id.hex(),
            say(Fact.ENTITLEMENT_NO_CARD),
            e.hash,
            "key service",
        )
        return
    before = card.issued(e.wallet)
    card.entitlements.setdefault(e.wallet, []).append(Issued(e, entry, e.loaded - before))


def _enter_station(world: World, entry: IssuanceEntry, name: bytes) -> None:
    enrolment = world.trust.verify(Enrolment, entry.item, at_s=entry.time_s)
    if enrolment.station in world.stations:
        world.set_aside(
            Invariant.ISSUANCE_LOG,
            enrolment.station.hex(),
            say(Fact.STATION_TWICE),
            name,
            "registry",
        )
        return
    world.stations[enrolment.station] = Station(enrolment, name, entry)


# --- objects ------------------------------------------------------------


def _objects(world: World, export: Export) -> None:
    seen: set[bytes] = set()
    for kind, items in export.objects.items():
        for number, raw in enumerate(items, 1):
            name = _object(world, SHAPES[kind], f"objects/{kind}/{number}", raw)
            seen.add(name)
    for name, entry in world.names.items():
        is_object = entry.kind == IssuanceKind.OBJECT and entry.note != BUNDLE_NOTE
        if (is_object or entry.kind == IssuanceKind.ENROLMENT) and name not in seen:
            _chain_fault(
                world,
                f"issuance/{entry.sequence}",
                say(Fact.OBJECT_ABSENT, object_kind=entry.note or Enrolment.KIND),
            )
    for o, lost in world.of(TerminalLost):
        station = world.stations.get(lost.terminal)
        if station is not None and (station.lost is None or lost.last < station.lost.last):
            station.lost, station.lost_hash = lost, o.hash
    for o, hotlist in world.of(Hotlist):
        try:
            serials = frozenset(BitMap.deserialize(hotlist.serials))
        except Exception as e:  # noqa: BLE001 - the library names no error of its own
            bad(world, e, f"hotlist/{hotlist.version}", o.hash, "policy")
            continue
        if world.hotlists.setdefault(hotlist.version, serials) != serials:
            _chain_fault(world, f"hotlist/{hotlist.version}", say(Fact.TWO_HOTLISTS))


def _object(world: World, shape: type[SignedShape], subject: str, raw: bytes) -> bytes:
    """Verify one object and hold it to the issuance log; its name."""
    name = sha256(raw).digest()
    try:
        name = Sign1.parse(raw).hash
        entry = world.names.get(name)
        payload = world.trust.verify(shape, raw, at_s=entry.time_s if entry else None)
    except (WireError, KeysError) as e:
        bad(world, e, subject, name, shape.SIGNER.name.lower())
        return name
    wanted = shape.KIND if shape is not Enrolment else ""
    if entry is None or entry.note != wanted:
        world.set_aside(
            Invariant.ISSUANCE_LOG,
            subject,
            say(Fact.OBJECT_NOT_LOGGED, object_kind=shape.KIND),
            name,
            shape.SIGNER.name.lower(),
        )
        return name
    if name not in world.objects:
        world.enter(Object(name, payload, entry))
    return name


# --- heads ------------------------------------------------------------


def _heads(world: World, export: Export) -> None:
    issuance, ledger = 0, 0
    for number, raw in enumerate(export.heads, 1):
        subject = f"heads/{number}"
        if kind_of(raw) == LedgerHead.KIND:
            ledger = max(ledger, _head(world, LedgerHead, raw, subject))
        else:
            issuance = max(issuance, _head(world, IssuanceHead, raw, subject))
    newest = (
        (IssuanceHead.KIND, issuance, world.issuance),
        (LedgerHead.KIND, ledger, world.ledger),
    )
    for name, covered, entries in newest:
        if entries and covered < entries[-1].sequence:
            _chain_fault(world, name, say(Fact.HEAD_MISSING))


def _head(world: World, shape: type[H], raw: bytes, subject: str) -> int:
    """Check one published head; the sequence it covers, 0 when it does not stand."""
    try:
        head = open_head(world.trust, shape, raw)
    except (WireError, KeysError) as e:
        bad(world, e, subject, sha256(raw).digest(), "ack")
        return 0
    world.now_s = max(world.now_s, head.time_s)
    entries = world.ledger if isinstance(head, LedgerHead) else world.issuance
    check_head(world, head, entries, subject)
    return head.sequence


def kind_of(raw: bytes) -> str:
    """The type a COSE object names; empty when it cannot be read."""
    try:
        return Sign1.parse(raw).kind
    except WireError:
        return ""


def open_head(trust: TrustStore, shape: type[H], raw: bytes) -> H:
    """One head by the Ack key; of a revoked key up to what its revocation honours.

    Raises :class:`wire.errors.WireError` and :class:`keys.errors.KeysError`.
    """
    head = shape.parse(Sign1.parse(raw).payload)
    try:
        return trust.verify(shape, raw, at_s=head.time_s)
    except RevokedKeyError as e:
        revocation = e.revocation
        honoured = (revocation.issuance_sequence, revocation.issuance_head)
        if shape is LedgerHead:
            honoured = (revocation.ledger_sequence, revocation.ledger_head)
        is_covered = head.sequence < honoured[0] or (head.sequence, head.head) == honoured
        if not is_covered:
            raise
        return head


def check_head(
    world: World,
    head: LedgerHead | IssuanceHead,
    entries: Sequence[LedgerEntry | IssuanceEntry],
    subject: str,
) -> None:
    """Note a head whose entry is missing or another."""
    at = head.sequence
    if not 0 < at <= len(entries) or entries[at - 1].hash != head.head:
        _chain_fault(world, subject, say(Fact.HEAD_OTHER, number=at))
