"""What a station needs until it syncs again, full or as a delta (PROTOCOL.md §5, wire/bundle.py).

A delta holds only the cards whose entries changed since its base; everything else of a bundle is
small and always whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from sqlmodel import Session, col, select

from backend import cards, entitle, issuance, objects, receipts
from backend.eligibility import ProgrammeRules, eligible
from backend.errors import UnknownError
from backend.importing import household_of
from backend.models import (
    BundleRow,
    Card,
    Certificate,
    Family,
    IntentRow,
    Plan,
    Row,
    ScriptRow,
    Station,
    Upload,
    World,
)
from backend.report import programme_plan
from keys.trust import TrustStore
from wire import cbor
from wire.bundle import Bundle, CardEntry, Note, Why
from wire.chain import IssuanceKind
from wire.errors import require
from wire.objects import Hotlist, Parameters, Programme, StockDelivery

ALL_AREAS = "*"
DIGEST_BYTES = 16

_TEXTS = {
    Why.FUNDS_NOT_RELEASED: (
        "Dana putaran ini belum cair. Hak Anda tercatat; silakan datang setelah diumumkan.",
        "The funds of this round are not released yet. Your right is recorded; come when called.",
    ),
    Why.NOT_IN_ROUND: (
        "Keluarga tidak tercantum pada putaran ini. Bila keliru, ajukan sanggah di desa.",
        "The family is not in this round. If that is wrong, object at the village office.",
    ),
    Why.BLOCKED: (
        "Kartu ini diblokir. Hubungi petugas penerbitan.",
        "This card is blocked. Ask the card issuing officer.",
    ),
    Why.REPLACED: (
        "Kartu ini sudah diganti. Pakai kartu yang baru.",
        "This card was replaced. Use the new one.",
    ),
}


@dataclass(frozen=True, slots=True)
class Draft:
    """A bundle to be signed, its cards' hashes for later deltas, and a hash of what it says."""

    bundle: Bundle
    entries: bytes
    content: bytes


def compose(
    session: Session, trust: TrustStore, station: bytes, base: tuple[int, int] | None, now_s: int
) -> Draft | None:
    """The next bundle of a station that holds ``base`` (epoch, counter); takes its counter.

    None when the station holds all of this already. Raises :class:`UnknownError`.
    """
    row = session.get(Station, station)
    world = session.get(World, 1)
    if row is None or world is None:
        raise UnknownError("no such station")
    entries = card_entries(session, row)
    held = None
    if base is not None and base[0] == world.epoch:
        held = session.get(BundleRow, (station, base[1]))
    changed = _changed(entries, held)
    bundle = Bundle(
        area=row.area, station=station, epoch=world.epoch, counter=row.bundle_counter + 1,
        base=held.counter if held else 0, time_s=now_s, cards=tuple(changed),
        **_shared(session, trust, row, now_s),
    )  # fmt: skip
    digests = cbor.encode([[e.card_id, _digest(e)] for e in entries])
    content = sha256(bytes(_still(bundle)) + digests).digest()
    if held is not None and held.content == content:
        return None
    row.bundle_counter += 1
    session.add(row)
    return Draft(bundle, digests, content)


def _still(b: Bundle) -> Bundle:
    """The bundle without what differs in every one."""
    return Bundle(
        b.area, b.station, b.epoch, 1, 0, 0, b.statements, b.revocations, b.hotlist,
        b.parameters, b.programmes, b.ceilings, (), b.certificates, b.links, b.deliveries,
        b.acknowledgements,
    )  # fmt: skip


def keep(session: Session, draft: Draft, signed: bytes) -> None:
    """Keep a signed bundle, so that a SYNC naming it is known and a delta can build on it."""
    b = draft.bundle
    objects.keep(session, Bundle.KIND, signed, f"{b.station.hex()}/{b.epoch}/{b.counter}")
    session.add(BundleRow(station=b.station, counter=b.counter, content=draft.content,
                          entries=draft.entries, time_s=b.time_s))  # fmt: skip


def _digest(entry: CardEntry) -> bytes:
    return sha256(bytes(entry)).digest()[:DIGEST_BYTES]


def _changed(entries: Sequence[CardEntry], held: BundleRow | None) -> list[CardEntry]:
    if held is None:
        return [*entries]
    value = cbor.decode(held.entries)
    require(isinstance(value, list), "kept bundle entries damaged")
    known = {bytes(x[0]): x[1] for x in value} if isinstance(value, list) else {}  # type: ignore[arg-type, index]
    return [e for e in entries if known.get(e.card_id) != _digest(e)]


def _shared(session: Session, trust: TrustStore, station: Station, now_s: int) -> dict[str, Any]:
    held = trust.trust_file()
    ack = session.exec(
        select(Upload.ack).where(Upload.station == station.station)
        .order_by(col(Upload.id).desc()).limit(1)
    ).all()  # fmt: skip
    return {
        "statements": held.statements,
        "revocations": held.revocations,
        "hotlist": _newest(session, Hotlist),
        "parameters": _newest(session, Parameters),
        "programmes": tuple(_newest_programmes(session)),
        "ceilings": entitle.ceilings(session),
        "certificates": _certificates(session, station.station, now_s),
        "links": tuple(issuance.items_of(session, IssuanceKind.LINK)),
        "deliveries": _deliveries(session, station.station),
        "acknowledgements": tuple(ack),
    }


def _newest(session: Session, shape: type[Hotlist | Parameters]) -> bytes:
    best: tuple[int, bytes] | None = None
    for raw, (_, payload) in zip(
        objects.signed_of(session, shape.KIND), objects.payloads_of(session, shape), strict=True
    ):
        if best is None or payload.version > best[0]:
            best = (payload.version, raw)
    if best is None:
        raise UnknownError(f"no {shape.KIND} was signed yet")
    return best[1]


def _newest_programmes(session: Session) -> list[bytes]:
    raws = dict(zip(
        ((p.code, p.version) for _, p in objects.payloads_of(session, Programme)),
        objects.signed_of(session, Programme.KIND), strict=True,
    ))  # fmt: skip
    return [raws[p.code, p.version] for _, p in sorted(objects.programmes(session).items())]


def _deliveries(session: Session, station: bytes) -> tuple[bytes, ...]:
    pairs = zip(
        objects.signed_of(session, StockDelivery.KIND),
        objects.payloads_of(session, StockDelivery), strict=True,
    )  # fmt: skip
    return tuple(raw for raw, (_, d) in pairs if d.terminal == station)


def _certificates(session: Session, station: bytes, now_s: int) -> tuple[bytes, ...]:
    rows = session.exec(
        select(Certificate).where(Certificate.station == station, Certificate.expires >= now_s)
        .order_by(col(Certificate.serial))
    )  # fmt: skip
    newest = {(r.role, r.officer): r.raw for r in rows}
    return tuple(newest.values())


# --- cards ------------------------------------------------------------


def card_entries(session: Session, station: Station) -> list[CardEntry]:
    """What the backend knows of each card of the station's area, by card id.

    An area is the front of a village code (``62.10.04``), or ``*`` for all.
    """
    statement = select(Card, Family).join(Family, col(Family.family) == col(Card.family))
    if station.area != ALL_AREAS:
        statement = statement.where(col(Family.village_code).startswith(station.area))
    rules = {
        plan.code: ProgrammeRules.from_json(programme_plan(plan).get("rules", {}))
        for plan in session.exec(select(Plan))
    }
    resolved = _resolved(session, station)
    found = session.exec(statement.where(col(Card.scrapped).is_(False)).order_by(col(Card.card_id)))
    return [
        CardEntry(
            card.card_id, card.digest, card.acknowledged, card.script_count, card.pin_set_count,
            tuple(e.raw for e in cards.newest_entitlements(session, card.card_id)),
            _scripts(session, card), tuple(resolved.get(card.card_id, ())),
            _notes(session, card, family, rules),
        )
        for card, family in found
    ]  # fmt: skip


def _scripts(session: Session, card: Card) -> tuple[bytes, ...]:
    rows = session.exec(
        select(ScriptRow.raw)
        .where(ScriptRow.card_id == card.card_id, ScriptRow.number > card.script_count)
        .order_by(col(ScriptRow.number))
    )
    return tuple(rows)


def _resolved(session: Session, station: Station) -> dict[bytes, list[bytes]]:
    """Receipts s + 1 that settle intents of this station still without an outcome."""
    waiting = session.exec(
        select(IntentRow).where(
            IntentRow.station == station.station, col(IntentRow.receipt).is_(None),
            col(IntentRow.aborted).is_(False),
        )
    )  # fmt: skip
    found: dict[bytes, list[bytes]] = {}
    for intent in waiting:
        row = receipts.find(session, intent.card_id, intent.expected + 1)
        if row is not None:
            found.setdefault(intent.card_id, []).append(row.raw)
    return found


def _notes(
    session: Session, card: Card, family: Family, rules: dict[int, ProgrammeRules]
) -> tuple[Note, ...]:
    of_family = session.exec(select(Row).where(Row.family == family.family)).all()
    is_replaced = session.exec(
        select(Card.card_id).where(Card.predecessor == card.card_id)
    ).first() is not None  # fmt: skip
    notes = []
    for code in sorted(rules):
        rows = [r for r in of_family if r.programme == code]
        if card.blocked_version:
            notes.append(_note(code, Why.REPLACED if is_replaced else Why.BLOCKED))
        elif any(not r.funded for r in rows):
            notes.append(_note(code, Why.FUNDS_NOT_RELEASED))
        elif not rows:
            reason = eligible(household_of(family), rules[code])
            if reason is None:
                notes.append(_note(code, Why.NOT_IN_ROUND))
            else:
                notes.append(Note(code, Why.EXCLUDED_BY_RULE, reason.text("id"),
                                  reason.text("en")))  # fmt: skip
    return tuple(notes)


def _note(code: int, why: Why) -> Note:
    return Note(code, why, *_TEXTS[why])
