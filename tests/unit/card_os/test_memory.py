"""The card's memory: all or nothing at every write, in RAM and in a file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from card_os.reference.errors import CardFileError
from card_os.reference.memory import (
    MAX_TRANSACTION_BYTES,
    NestedTransactionError,
    Nvm,
    Persistent,
    PowerLoss,
    TransactionTooLarge,
    Transient,
)


def filled(path: Path | None = None) -> Nvm:
    nvm = Nvm(path)
    nvm.put("a", b"old a")
    nvm.put("gone", b"x")
    return nvm


def change(nvm: Nvm) -> None:
    with nvm.transaction():
        nvm.put("a", b"new a")
        nvm.put("b", b"new b")
        nvm.delete("gone")


def test_transaction_is_all_or_nothing_at_every_write() -> None:
    before = filled()
    after = before.fork()
    change(after)
    assert after.writes == 3 + 1 + 3 + 1  # logged, marked, applied, cleared
    seen = set()
    for n in range(after.writes):
        torn = before.fork()
        torn.tear_before = n
        with pytest.raises(PowerLoss):
            change(torn)
        with pytest.raises(PowerLoss):
            torn.put("c", b"no power")
        torn.power_on()
        assert torn.digest() == (before if n < 4 else after).digest()
        seen.add(torn.digest())
        torn.put("c", b"power again")
    assert seen == {before.digest(), after.digest()}


def test_recovery_itself_may_be_torn() -> None:
    before = filled()
    after = before.fork()
    change(after)
    for first in range(8):
        for second in range(4):
            torn = before.fork()
            torn.tear_before = first
            with pytest.raises(PowerLoss):
                change(torn)
            copy = torn.fork()
            try:
                copy.power_on(tear_before=second)
            except PowerLoss:
                copy.power_on()
            copy.power_on()
            assert copy.digest() == (before if first < 4 else after).digest()


def test_exception_inside_drops_everything() -> None:
    nvm = filled()
    digest, writes = nvm.digest(), nvm.writes
    with pytest.raises(RuntimeError), nvm.transaction():  # noqa: PT012
        nvm.put("a", b"never")
        assert nvm.get("a") == b"never"
        raise RuntimeError
    assert (nvm.digest(), nvm.writes, nvm.get("a")) == (digest, writes, b"old a")


def test_limits() -> None:
    nvm = filled()
    digest = nvm.digest()
    with pytest.raises(TransactionTooLarge), nvm.transaction():  # noqa: PT012
        nvm.put("big", bytes(MAX_TRANSACTION_BYTES))
        nvm.put("more", b"1")
    assert nvm.digest() == digest
    with nvm.transaction():
        nvm.put("big", bytes(MAX_TRANSACTION_BYTES))
    with pytest.raises(NestedTransactionError), nvm.transaction(), nvm.transaction():
        pass


def test_put_outside_a_transaction_is_one_write() -> None:
    nvm = filled()
    nvm.tear_before = 1
    nvm.put("a", b"1")
    with pytest.raises(PowerLoss):
        nvm.put("a", b"2")
    nvm.power_on()
    assert nvm.get("a") == b"1"
    assert vars(nvm)["tear_before"] is None  # cleared behind the type checker's back
    assert nvm.bytes_written == len(b"old a" + b"x" + b"1")


def test_file_holds_what_was_written_at_every_tear(tmp_path: Path) -> None:
    before = filled()
    after = before.fork()
    change(after)
    for n in range(8):
        path = tmp_path / f"card{n}"
        nvm = filled(path)
        nvm.tear_before = n
        with pytest.raises(PowerLoss):
            change(nvm)
        nvm.close()
        assert Nvm(path).digest() == (before if n < 4 else after).digest()


def test_file_cut_at_any_byte_is_before_or_after(tmp_path: Path) -> None:
    path = tmp_path / "card"
    nvm = filled(path)
    base, before = path.stat().st_size, nvm.digest()
    change(nvm)
    whole, after = path.read_bytes(), nvm.digest()
    for size in range(base, len(whole) + 1):
        path.write_bytes(whole[:size])
        assert Nvm(path).digest() in {before, after}
    assert Nvm(path).digest() == after


def test_damaged_record_ends_the_replay(tmp_path: Path) -> None:
    path = tmp_path / "card"
    nvm = filled(path)
    size = path.stat().st_size
    nvm.put("last", b"value")
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)
    assert Nvm(path).get("last") is None
    assert path.stat().st_size == size


def test_another_file_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "letter"
    path.write_bytes(b"dear reader")
    with pytest.raises(CardFileError):
        Nvm(path)
    assert path.read_bytes() == b"dear reader"


def test_compaction_keeps_the_content(tmp_path: Path) -> None:
    nvm = filled(tmp_path / "card")
    for i in range(3000):
        nvm.put("a", i.to_bytes(2, "big") * 100)
    assert (tmp_path / "card").stat().st_size < 400_000
    assert Nvm(tmp_path / "card").digest() == nvm.digest()


def test_survives_a_killed_process(tmp_path: Path) -> None:
    path = tmp_path / "card"
    program = (
        "import os, sys, pathlib; from card_os.reference.memory import Nvm\n"
        "nvm = Nvm(pathlib.Path(sys.argv[1])); nvm.put('a', b'kept'); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path)], check=False)
    assert done.returncode == -9
    assert Nvm(path).get("a") == b"kept"


@given(st.lists(st.tuples(st.sampled_from("abc"), st.none() | st.binary(max_size=8)), max_size=6))
def test_transaction_equals_single_writes(changes: list[tuple[str, bytes | None]]) -> None:
    single, together = filled(), filled()
    for nvm in (single, together):
        with together.transaction() if nvm is together else single.fork().transaction():
            for key, value in changes:
                if value is None:
                    nvm.delete(key)
                else:
                    nvm.put(key, value)
    assert single.digest() == together.digest()
    assert single.keys() == together.keys()


def test_a_part_sees_only_its_own_names() -> None:
    nvm = filled()
    part = Persistent(nvm, "p/")
    with part.transaction():
        part.put("a", b"mine")
        assert part.keys() == ["a"]
    assert (part.get("a"), nvm.get("a"), nvm.get("p/a")) == (b"mine", b"old a", b"mine")
    part.delete("a")
    assert part.keys() == []


def test_transient_never_shows_its_content() -> None:
    ram = Transient(key=b"secret")
    assert "secret" not in repr(ram)
    ram.clear()
    assert not ram
