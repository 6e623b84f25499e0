"""Import files that no form describes: refused as such, and the next file is taken."""

from __future__ import annotations

import hashlib
import json

import pytest
from sqlmodel import select

from backend.errors import ImportRefusedError
from backend.models import Object
from tests.support import backend_world
from wire.objects import FieldVerification, StockDelivery


@pytest.fixture
def world(tmp_path):
    made = backend_world.make(tmp_path)
    made.import_all(rows=3)
    yield made
    made.office.db.engine.dispose()


def visits(session) -> list[Object]:
    return list(session.exec(select(Object).where(Object.kind == FieldVerification.KIND)))


FILES = backend_world._files(62, 3)


def decree(**changes: object) -> bytes:
    data = json.loads(FILES["sk.json"]) | changes
    text = json.dumps(data["rows"], separators=(",", ":"), sort_keys=True)
    return json.dumps(data | {"annex_sha256": hashlib.sha256(text.encode()).hexdigest()}).encode()


def first_row(**changes: object) -> bytes:
    row = json.loads(FILES["sk.json"])["rows"][0] | changes
    return decree(rows=[row])


def programme(**changes: object) -> bytes:
    one = json.loads(FILES["programmes.json"])["programmes"][0] | changes
    return json.dumps({"programmes": [one]}).encode()


@pytest.mark.parametrize(("name", "raw"), [  # all met by fuzz-objects
    ("verifications", FILES["verifikasi.csv"].replace(b"waktu", b"wakt\x81", 1)),
    ("decree", decree(date=20260306)),
    ("decree", first_row(no_kk=True)),
    ("decree", first_row(programmes=[[]])),
    ("programmes", programme(id={})),
    ("programmes", programme(id=None)),
    ("funds", b'{"releases":[{"sp2d":"x","programme":[],"amount_minor":1,"date":"2026-01-01"}]}'),
    ("funds", b'{"releases":' + b"[" * 100_000 + b"}"),
])  # fmt: skip
def test_what_has_another_form_is_refused(world, name: str, raw: bytes) -> None:
    with pytest.raises(ImportRefusedError):
        getattr(world.office, f"import_{name}")(raw)


def test_a_line_that_says_the_same_in_other_words_is_the_same_object(world) -> None:
    """Its position is no part of what is signed; a second draft stopped every import after it."""
    office, raw = world.office, FILES["verifikasi.csv"]
    again = raw.replace(b",114.", b",115.", 1)
    assert again != raw
    with office.db.read() as session:
        before = len(visits(session))
    world.clock.now_s += 60
    office.import_verifications(again)
    other = raw.replace(b",114.", b",116.", 1)
    with office.db.read() as session:
        held = visits(session)
        assert (len(held), all(o.raw for o in held)) == (before, True)
    office.import_verifications(other)


def test_two_such_lines_in_one_file_are_one_object(tmp_path) -> None:
    world = backend_world.make(tmp_path)
    header, first, *_ = FILES["verifikasi.csv"].splitlines(keepends=True)
    world.office.import_households(FILES["dtsen.csv"])
    world.office.import_verifications(header + first + first.replace(b",114.", b",115.", 1))
    with world.office.db.read() as session:
        held = visits(session)
    assert [bool(o.raw) for o in held] == [True]
    world.office.db.engine.dispose()


def deliveries(number: str, time_s: int) -> bytes:
    line = {"good": "beras", "unit": "g", "quantity": 5}
    item = {"number": number, "provider": "Perum Bulog", "terminal": b"TERM0001".hex(),
            "time_s": time_s, "lines": [line]}  # fmt: skip
    return json.dumps({"deliveries": [item]}).encode()


def test_a_post_dated_delivery_does_not_stop_the_next(world) -> None:
    """Met by fuzz-objects: the signer refused the draft, which stayed and was refused for ever."""
    both = json.loads(deliveries("SJ-0", 5)), json.loads(deliveries("SJ-1", 2**31))
    file = {"deliveries": [x["deliveries"][0] for x in both]}
    with pytest.raises(ImportRefusedError, match="post-dated"):
        world.office.import_deliveries(json.dumps(file).encode())
    with world.office.db.read() as session:
        assert not list(session.exec(select(Object).where(Object.kind == StockDelivery.KIND)))
    assert world.office.import_deliveries(deliveries("SJ-2", world.clock())) == 1
