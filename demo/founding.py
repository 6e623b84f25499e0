"""The demo's world before its first card: two offices, a desk, points, orders, stock.

``make demo`` plays its story on it (:mod:`demo.story`), in ``make play`` people take over.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from demo.desk import Desk
from demo.office import Office, free_port, run_folder
from demo.paper import Paper
from demo.pcscd import PcscdWorld
from demo.point import Point
from demo.programs import Programs
from demo.sockets import SocketWorld
from demo.tray import APPLET_SAID, Tray

CARDS = 10
BULOG, BANK = "Perum Bulog", "Bank Kalteng"
PLACES = {"TERM000A": "Balai Desa Hulu", "TERM000B": "Balai Desa Hilir", "TERM000C": "Pos Seberang"}


class StoryError(Exception):
    """The story went another way than it must."""


@dataclass(slots=True)
class Founding:
    """Everything that runs. ``say`` shows a line in two languages, ``step`` moves the bar.

    ``applet``: the cards run the Java Card applet behind the reference security domain. Every act
    raises :class:`StoryError` or :class:`demo.programs.ProgramError` when it cannot go on.
    """

    root: Path
    data: Path
    programs: Programs
    world: PcscdWorld | SocketWorld
    papers: dict[str, Paper]
    say: Callable[[str, str], None]
    step: Callable[[str], None]
    counts: dict[str, Any] = field(default_factory=dict)
    now: str = ""
    seconds: dict[str, float] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=lambda: dict(PLACES))
    applet: bool = False
    office: Office = field(init=False)
    specimens: Office = field(init=False)
    desk: Desk = field(init=False)
    desk_tray: Tray = field(init=False)
    tray: Tray = field(init=False)
    points: dict[str, Point] = field(init=False)
    specimen: Path = field(init=False)

    def found(self) -> None:
        """Only what comes before the first card: two offices, a desk, points, orders, stock."""
        self._acts(*self._founding(), self._orders, self._stock)

    def _founding(self) -> tuple[Callable[[], None], ...]:
        return (self._cards_from_the_maker, self._two_offices, self._registry, self._points)

    def _acts(self, *acts: Callable[[], None]) -> None:
        for act in acts:
            self.now, begun_s = act.__name__.strip("_"), time.monotonic()
            act()
            self.seconds[self.now] = round(time.monotonic() - begun_s, 1)

    def _cards_from_the_maker(self) -> None:
        if self.applet:
            self.say(*APPLET_SAID)
        for world, count in (("live", CARDS + 2), ("specimen", 1)):
            folder = run_folder(self.root / world)
            argv = self.programs.argv(
                "card_os.reference.cli", "make", str(folder / "cards"), "--delivery",
                str(folder / "delivery.json"), "--count", str(count), "--batch", world,
            )  # fmt: skip
            self.programs.run(argv)
        self.step("kartu kosong")

    def cards(self) -> list[Path]:
        """Every blank card of the live delivery."""
        return [self._card(n + 1) for n in range(CARDS + 2)]

    def _card(self, number: int, world: str = "live") -> Path:
        return self.root / world / "cards" / f"{number:08d}.card"

    def _two_offices(self) -> None:
        """The live office, and beside it the specimen one under a root of its own."""
        self.office = self._office("live")
        self.specimens = self._office("specimen")

        def found(office: Office, world: str) -> None:
            office.hold_ceremony(world, self.root / world / "delivery.json")
            office.open()

        together(lambda: found(self.office, "live"), lambda: found(self.specimens, "specimen"))
        self.say(
            "Dua dunia dibuat, masing-masing dengan akar sendiri bertanda DEMO: kartu asli dan "
            "kartu contoh.",
            "Two worlds made, each under its own root marked DEMO: live cards and specimens.",
        )
        self.step("upacara kunci")

    def _office(self, world: str) -> Office:
        return Office(self.programs, run_folder(self.root / world / "office"), free_port())

    def _registry(self) -> None:
        read, _ = together(
            lambda: self.office.read_registry(self.data),
            lambda: self.specimens.read_registry(self.data),
        )
        shown = read["households"]
        self.counts |= {"rejected_rows": shown["rejected"], "reject_reasons": shown["reasons"]}
        self.say(
            f"{shown['rows']} baris dibaca: {shown['accepted']} keluarga diterima, "
            f"{shown['rejected']} ditolak dengan {len(shown['reasons'])} alasan.",
            f"{shown['rows']} rows read: {shown['accepted']} families accepted, "
            f"{shown['rejected']} rejected for {len(shown['reasons'])} reasons.",
        )
        self.step("data keluarga")

    def _points(self) -> None:
        desk, point = self.world.readers[:2]
        self.desk_tray, self.tray = (
            Tray(self.programs, self.root / f"{name}.ctl", door, applet=self.applet)
            for name, door in zip(("desk", "point"), self.world.doors[:2], strict=True)
        )
        self.desk_tray.start()
        self.tray.start()
        self.desk = Desk(self.programs, self.world, self.office, self.root / "live" / "desk",
                         self.desk_tray, desk)  # fmt: skip
        self.points = {
            name: Point(self.programs, self.world, self.root / name, name, point,
                        self.papers[name].port)
            for name in self.places
        }  # fmt: skip

        def found() -> None:
            for name, place in self.places.items():
                self.points[name].set_up(self.office, "*", place)
                self.step(place)

        def desks() -> Path:
            self.desk.set_up()
            return self._specimen()

        self.specimen, _ = together(desks, found)

    def _specimen(self) -> Path:
        """A real Betang card of the specimen world, made at the same desk reader."""
        desk = Desk(self.programs, self.world, self.specimens, self.root / "specimen" / "desk",
                    self.desk_tray, self.world.readers[0], env="specimen")  # fmt: skip
        desk.set_up()
        self.specimens.backend("orders", "--desk", desk.station)
        desk.run("orders")
        card = self._card(1, "specimen")
        (made,) = desk.issue([card], lambda _: self.step("kartu contoh"))
        self._must(made["good"], "the specimen was not made")
        return card

    def _orders(self) -> None:
        self.office.backend("orders", "--desk", self.desk.station)
        self.desk.run("orders")

    def _stock(self) -> None:
        """Bulog and the bank send goods and cash; each point counts them in."""
        now_s, goods = int(time.time()), {"beras": ("g", 50_000), "minyak": ("ml", 10_000),
                                          "gula": ("g", 10_000)}  # fmt: skip
        sent = []
        for name in self.places:
            lines = [{"good": g, "unit": u, "quantity": q} for g, (u, q) in goods.items()]
            cash = [{"good": "rupiah", "unit": "rupiah", "quantity": 3_000_000}]
            for provider, what in ((BULOG, lines), (BANK, cash)):
                sent.append({"number": f"{provider.split()[0]}-{name}", "provider": provider,
                             "terminal": name.encode().hex(), "time_s": now_s,
                             "lines": what})  # fmt: skip
        path = self.root / "live" / "deliveries.json"
        path.write_text(json.dumps({"deliveries": sent}), encoding="utf-8")
        self.office.backend("import", "--deliveries", str(path))

        def count_in(name: str) -> None:
            self.points[name].sync()
            for provider in (BULOG, BANK):
                self.points[name].run("stock", "receive", f"{provider.split()[0]}-{name}")
            self.step(f"stok {name}")

        together(*(lambda name=name: count_in(name) for name in self.places))

    def _must(self, condition: bool, why: str) -> None:
        if not condition:
            raise StoryError(f"{self.now}: {why}")


def together(*jobs: Callable[[], Any]) -> list[Any]:
    """Run these at the same time; their results, or the first error."""
    with ThreadPoolExecutor(len(jobs)) as pool:
        return [job.result() for job in [pool.submit(job) for job in jobs]]
