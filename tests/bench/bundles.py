"""Bundles of a village: size full and as a delta, making and applying them."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from sqlmodel import Session, select

from backend.models import Card, Family, Station
from terminal.roster import Roster
from terminal.store import connect
from tests.bench import bare, issue
from tests.bench.frame import ROOT, Row, Section, Size, timed
from tests.support.backend_world import BackendWorld, make
from wire.objects import KeyRole

TITLE = "Bundle"
STATION = b"TERM0001"


def measure(size: Size) -> Section:
    """Sizes, times, the bare verifications beside the apply."""
    made = Section(text=[
        f"A terminal of {size.cards:,} families with three entitlements each. Full: everything.",
        "Delta: a hundredth of the cards changed since. Made: composed, signed and kept by the",
        "backend (wall). Applied: verified whole and installed, one transaction (wall); beside it",
        "one bare verification per entitlement.",
    ])  # fmt: skip
    with tempfile.TemporaryDirectory() as name:
        world = make(Path(name))
        issue.prepare(world, size.cards)
        with world.office.db.write() as session:
            _families(session)
        world.office.entitle()
        world.terminal(STATION)
        full, full_s = _made(world, None)
        base = (1, _counter(world))
        changed = max(1, size.cards // 100)
        with world.office.db.write() as session:
            for card in session.exec(select(Card).limit(changed)):
                card.acknowledged += 1
                session.add(card)
        delta, delta_s = _made(world, base)
        made.add(
            Row("full bundle", len(full) / 1e3, "kB"),
            Row(f"delta, {changed} cards", len(delta) / 1e3, "kB"),
            Row("full bundle made", full_s, "s"), Row("delta made", delta_s, "s"),
            *_applied(world, full, delta, size),
        )  # fmt: skip
    return made


def _families(session: Session) -> None:
    """Their rows in the registry: a bundle is of an area."""
    for n, card in enumerate(session.exec(select(Card)).all()):
        session.add(
            Family(family=card.family, no_kk=f"{n:016}", nik=f"{n:016}", name="X", sex="P",
                   birth_date="1980-01-01", village_code="6201010001", address="", members=4,
                   decile=1, flags="")
        )  # fmt: skip


def _made(world: BackendWorld, base: tuple[int, int] | None) -> tuple[bytes, float]:
    begun = time.perf_counter()
    raw = world.office.bundle(STATION, base)
    assert raw is not None
    return raw, time.perf_counter() - begun


def _counter(world: BackendWorld) -> int:
    with world.office.db.read() as session:
        station = session.get(Station, STATION)
        assert station is not None
        return station.bundle_counter


def _applied(world: BackendWorld, full: bytes, delta: bytes, size: Size) -> list[Row]:
    (ROOT / "build").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=ROOT / "build") as name:
        db = connect(Path(name) / "roster.db")
        roster = Roster(db, station=STATION, trust=world.keys.trust, allow_demo=True)
        full_s = timed(time.perf_counter, lambda: roster.install(full))
        delta_s = timed(time.perf_counter, lambda: roster.install(delta))
        entitlements = [e for c in roster.cards() for e in c.entitlements]
        db.close()
    key = world.keys.signers[KeyRole.ISSUER, 1].public_key
    items = [bare.signed(key, e) for e in entitlements]
    bare_s = timed(time.perf_counter, lambda: bare.verify(items))
    return [
        Row("full bundle applied", full_s, "s"), Row("delta applied", delta_s, "s"),
        Row(f"{len(items):,} bare verifications", bare_s, "s"),
        Row("bare verifications over the apply", bare_s / full_s, ""),
    ]  # fmt: skip
