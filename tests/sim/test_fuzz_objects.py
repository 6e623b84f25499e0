"""fuzz-objects finds what is planted, and a short run of it finds nothing."""

from __future__ import annotations

from random import Random

import cbor2
import pytest

from backend.models import Tally
from backend.office import Office
from tests.support import fuzz_doors, fuzz_guided, fuzz_objects
from tests.support.campaign import FaultError
from tests.support.fuzz_objects import PARSERS, Parser
from wire import cbor, tlv
from wire.errors import FormatError, require
from wire.log import Record


def loose_cbor(raw: bytes) -> object:
    """Takes any encoding of a value."""
    try:
        return cbor2.loads(raw)
    except Exception as e:
        raise FormatError("no") from e


def short_tlv(raw: bytes) -> list[tuple[int, bytes]]:
    """Reads a length without looking whether it is there."""
    require(bool(raw) and raw[0] != 0x5F, "nothing")
    return [(raw[0], raw[2 : 2 + raw[1]])] if raw[1] < 3 else tlv.parse_all(raw)


def loose_record(raw: bytes) -> Record:
    """Forgets that arrays have a length."""
    value = cbor.decode(raw)
    if isinstance(value, list) and len(value) > 5:
        raw = cbor.encode(value[:5])
    return Record.parse(raw)


@pytest.mark.parametrize(("name", "read", "found"), [
    ("cbor", loose_cbor, "is written"), ("tlv", short_tlv, "IndexError|is written"),
    ("record", loose_record, "is written"),
])  # fmt: skip
def test_a_planted_parser_is_found(monkeypatch, name: str, read, found: str) -> None:
    monkeypatch.setitem(PARSERS, name, Parser(read, PARSERS[name].again))
    with pytest.raises(FaultError, match=found):
        hunt(name)


def hunt(name: str) -> None:
    random = Random(1)  # noqa: S311
    for _ in range(3_000):
        fuzz_objects.judge(name, fuzz_objects.changed(random, name))


def test_an_upload_that_is_kept_before_it_is_judged_is_found(monkeypatch) -> None:
    honest = Office.take_upload

    def early(self, raw):
        with self.db.write() as session:
            session.merge(Tally(name="planted", value=len(raw)))
        return honest(self, raw)

    monkeypatch.setattr(Office, "take_upload", early)
    with pytest.raises(FaultError, match="something was stored"):
        fuzz_doors.play_uploads(1, 0, 30)


@pytest.mark.skipif(not fuzz_guided.available(), reason="atheris is not installed")
def test_the_guided_run_finds_what_is_hidden_behind_a_path() -> None:
    with pytest.raises(FaultError, match="IndexError"):
        fuzz_guided.run("cvc", 200_000, 3, "tests.support.fuzz_planted")
    assert fuzz_guided.run("cvc", 2_000, 3) > 0


def test_a_short_run_finds_nothing() -> None:
    for number in range(6):
        fuzz_objects.play(2, number)
    fuzz_doors.play(2, 0, 4)
    fuzz_doors.play_uploads(2, 0, 25)
