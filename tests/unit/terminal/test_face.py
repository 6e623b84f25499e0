"""The hall's forms, board, words and worker, without a browser."""

from __future__ import annotations

import asyncio
import queue
import threading

import pytest

from card_os.host.links import NoReader
from card_os.host.pcsc import Glance
from terminal import kiosk_commands as ask
from terminal import kiosk_screens as at
from terminal.config import ConfigError, Folder
from terminal.face import forms, serve, words
from terminal.face.board import Board
from terminal.kiosk_socket import SocketReader
from terminal.kiosk_thread import KioskThread
from terminal.outcomes import CardLost, PinAccepted, Step
from tests.unit.terminal.test_cli import point  # noqa: F401 - a fixture
from tests.unit.terminal.test_words import examples
from wire.objects import GoodsLine, Unit

READY = at.Ready()


# --- forms ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verb", "fields", "command"),
    [
        ("open-shift", {"officer": "11"}, ask.OpenShift(11)),
        ("act", {"action": "deliver"}, ask.Do(at.Action.DELIVER)),
        ("amount", {"amount": "150.000"}, ask.SetAmount(150_000)),
        ("enter", {"secret": "271954"}, ask.Enter("271954")),
        ("begin", {"task": "void"}, ask.Begin(at.Task.VOID)),
        ("unlock", {"officer": "4", "passphrase": "a b"}, ask.Unlock(4, "a b")),
        ("hand-over", {"bast": "B-1"}, ask.HandOver("B-1", "")),
        ("back", {}, ask.Back()),
    ],
)
def test_a_form_becomes_its_command(verb, fields, command):
    assert forms.command(verb, fields, READY) == command


@pytest.mark.parametrize(
    ("verb", "fields"),
    [
        ("nothing", {}), ("amount", {}), ("amount", {"amount": "-1"}), ("amount", {"amount": "٣"}),
        ("amount", {"amount": "9" * 12}), ("act", {"action": "x"}), ("begin", {"task": "x"}),
        ("close-shift", {}), ("choose", {"wallet": "1e3"}), ("amount", {"amount": "9" * 5_000}),
    ],
)  # fmt: skip
def test_a_form_that_is_not_ours_is_refused(verb, fields):
    with pytest.raises(forms.FormError):
        forms.command(verb, fields, READY)


def test_counts_are_in_the_units_people_say():
    lines = (GoodsLine("beras", Unit.GRAM, 50_000), GoodsLine("rupiah", Unit.RUPIAH, 5))
    counting = at.Counting(lines, 0, 0, 0)
    fields = {"count0": "49,5", "count1": "1.250.000"}
    closed = forms.command("close-shift", fields, counting)
    assert closed == ask.CloseShift((49_500, 1_250_000))
    assert forms.quantity("1.000,25", Unit.MILLILITRE) == 1_000_250
    for wrong in (
        "0,0001",
        "-1",
        "",
        "x",
        "nan",
        "inf",
        "9999999999",
        "1E9999999",
        "٣",
        "1" * 5_000,
    ):
        with pytest.raises(forms.FormError):
            forms.quantity(wrong, Unit.GRAM)


# --- words ---------------------------------------------------------------------------------------


def test_every_step_and_outcome_has_its_words():
    assert set(words.BUSY) == {*Step, None}
    for outcome in examples():
        assert words.kind(outcome) in {"done", "refused", "warning"}
        assert len(set(words.title(outcome))) == 2
        if words.kind(outcome) == "done":
            assert outcome.is_good
    assert words.kind(CardLost(Step.OPENING)) == "refused"
    assert words.title(PinAccepted()) == ("Selesai", "Done")


# --- the board -----------------------------------------------------------------------------------


def view(number, screen=READY):
    return at.View(number, screen, object())


def test_followers_get_the_newest_view_and_its_mark():
    board = Board()
    with pytest.raises(LookupError):
        _ = board.view
    board.publish(view(1))
    first = board.mark
    board.publish(view(1))  # only the strip is another
    assert board.mark == first

    async def follow():
        seen = []
        async for now, mark in board.follow():
            seen.append((now.number, mark))
            if len(seen) == 1:
                threading.Thread(target=board.publish, args=(view(2),)).start()
            if now.number == 2:
                return seen
        return seen

    seen = asyncio.run(asyncio.wait_for(follow(), 5))
    assert [n for n, _ in seen] == [1, 2]
    assert seen[0][1] == first != seen[1][1]


# --- the worker ----------------------------------------------------------------------------------


class Reader:
    """Says what the test puts into it."""

    def __init__(self):
        self.states = queue.Queue()

    def glance(self, known=None, timeout_s=0.0):
        try:
            found = self.states.get(timeout=timeout_s)
        except queue.Empty:
            return known or Glance(False, 0, 0)
        if found is None:
            raise NoReader("gone")
        return Glance(*found, 0)


class Noting:
    """A kiosk that notes what it is told."""

    def __init__(self):
        self.told, self.more = [], threading.Condition()

    def note(self, what):
        with self.more:
            self.told.append(what)
            self.more.notify_all()

    def waits_for(self, count):
        with self.more:
            assert self.more.wait_for(lambda: len(self.told) >= count, 10), self.told
            return self.told

    def command(self, number, command):
        self.note((number, command))
        if number < 0:
            raise RuntimeError("a fault")

    def reader_changed(self, *, present):
        self.note(present)

    def show(self, screen):
        self.note(screen)

    def close(self):
        self.note("closed")


@pytest.fixture
def noted(monkeypatch):
    kiosk, reader = Noting(), Reader()
    for name in ("card_came", "card_went", "refresh"):
        monkeypatch.setattr(f"terminal.kiosk_thread.Kiosk.{name}", lambda k, n=name: k.note(n))
    thread = KioskThread(lambda: kiosk, reader)
    thread.start()
    yield kiosk, reader, thread
    thread.stop()
    assert kiosk.told[-1] == "closed"


def test_the_reader_is_told_in_order(noted):
    kiosk, reader, thread = noted
    states = [(False, 0), (True, 1), (True, 1), (True, 3), (False, 4), (True, 5), None, (False, 5)]
    for state in states:
        reader.states.put(state)
    told = kiosk.waits_for(8)
    # (True, 3): within a blink one card went and another came.
    assert told == ["card_came", "card_went", "card_came", "card_went", "card_came", False,
                    "card_went", True]  # fmt: skip
    thread.command(7, ask.Back())
    assert kiosk.waits_for(9)[-1] == (7, ask.Back())


def test_a_fault_stops_the_counter_and_says_so(noted):
    kiosk, _, thread = noted
    thread.command(-1, ask.Back())
    assert kiosk.waits_for(3) == [(-1, ask.Back()), at.Stopped(), "closed"]


def test_what_the_start_raises_is_raised():
    def fail():
        raise ConfigError("no folder")

    with pytest.raises(ConfigError):
        KioskThread(fail, Reader()).start()


def test_the_hall_of_a_folder(point, tmp_path):  # noqa: F811 - the fixture
    """From a provisioned folder to its first screen, with the marks of its world."""
    point.provision()
    folder = Folder(tmp_path / "t", demo=True, log_n=12)
    from terminal import cli

    def open_terminal():
        return folder.open("terminal words", clock=point.clock, random=bytes)

    hall = serve.make_hall(folder, open_terminal, cli._counter, port=1)
    assert hall.face.mark.demo
    assert not hall.face.mark.specimen
    hall.worker.start()
    hall.worker.stop()


def test_the_reader_of_a_folder():
    class Config:
        reader = "socket:/nowhere/at.all"

    reader = serve.reader_of(Config())
    assert isinstance(reader, SocketReader)
    with pytest.raises(NoReader):
        reader.glance()
