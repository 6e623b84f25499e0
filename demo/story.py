"""The story: from an empty folder to an audited month, played by the real programs.

Each act does one thing that the programme must survive and notes what happened; the summary is
counted from those notes, from the backend's report and from the auditor's, never assumed.
"""

from __future__ import annotations

import json
import random
import secrets
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from demo.founding import CARDS, Founding, StoryError
from demo.office import run_folder
from demo.paper import picture
from demo.point import OFFICER, Point
from demo.tray import Tray
from wire.purse import pin_too_simple

FOOD, CASH, SCHOOL, CLINIC = 6657, 6658, 6659, 6660
NO_SECRET = "000000"  # noqa: S105 - typed where no PIN is asked


@dataclass(slots=True)
class Family:
    """One card of the story and its PIN, as the family knows it."""

    state: Path
    card_id: str
    wallets: frozenset[int]
    pin: str = field(repr=False)


@dataclass(slots=True)
class Story(Founding):
    """One run. ``seed``: which family does what."""

    seed: int = field(kw_only=True)
    families: list[Family] = field(default_factory=list)
    rng: random.Random = field(init=False)
    lost: Family = field(init=False)
    regrets: Family = field(init=False)
    grows: Family = field(init=False)
    torn: Family = field(init=False)
    early: Family = field(init=False)
    abroad: list[Family] = field(init=False)
    others: list[Family] = field(init=False)

    @property
    def a(self) -> Point:
        """The point that syncs over HTTP."""
        return self.points["TERM000A"]

    @property
    def b(self) -> Point:
        """The point whose log travels on a stick."""
        return self.points["TERM000B"]

    @property
    def c(self) -> Point:
        """The point that is lost."""
        return self.points["TERM000C"]

    def play(self) -> dict[str, Any]:
        """Every act in order; the summary."""
        self.rng = random.Random(self.seed)  # noqa: S311 - no secret comes of it
        self._acts(*self._founding(), self._open_shifts)
        self._acts(
            self._issue, self._cast, self._stock, self._hand_over, self._redeem,
            self._strangers, self._torn, self._voids, self._top_ups, self._lost_terminal,
            self._lost_card, self._carry_by_file, self._settle, self._audit, self._tamper,
            self._receipts,
        )  # fmt: skip
        return self.counts

    # --- cards -------------------------------------------------------------------------------

    def _open_shifts(self) -> None:
        for point in self.points.values():
            point.run("shift", "open", "--officer", str(OFFICER))

    def _issue(self) -> None:
        self._orders()
        blanks = [self._card(n + 1) for n in range(CARDS)]
        done = self.desk.issue(blanks, lambda n: self.step(f"kartu {n}"))
        self._must(all(x["good"] for x in done), "a card was not issued")
        self.families = [
            Family(state, x["card_id"], frozenset(x["wallets"]), self._pin())
            for state, x in zip(blanks, done, strict=True)
        ]
        self.say(
            f"{len(done)} kartu dibuat dari pesanan bertanda tangan, dibaca ulang dan benar.",
            f"{len(done)} cards made from signed orders, read back and right.",
        )

    def _pin(self) -> str:
        while True:
            pin = f"{secrets.randbelow(1_000_000):06d}"
            if not pin_too_simple(pin.encode()):
                return pin

    def _hand_over(self) -> None:
        codes = self.desk.codes()
        for n, family in enumerate(self.families):
            self._give(self.a, family, codes[family.card_id], f"BAST-{n + 1:03d}")
        self.say(
            f"{len(self.families)} kartu diserahkan dengan BAST; setiap keluarga memilih PIN.",
            f"{len(self.families)} cards handed over with a signed note; each family chose a PIN.",
        )

    def _give(self, point: Point, family: Family, code: str, bast: str) -> None:
        with self._inserted(family.state):
            done = point.activate(code, family.pin, bast, self.places[point.station])
        self._must(done["good"], f"not handed over: {done}")
        self.step(bast)

    def _inserted(self, state: Path) -> _Inserted:
        return _Inserted(self.tray, lambda: self.tray.insert(state))

    def _tap(self, point: Point, family: Family, *wishes: str, deliver: bool = True) -> Any:
        with self._inserted(family.state):
            done = point.tap(*wishes, pin=family.pin, deliver=deliver)
        self.step(point.station)
        return done

    def _cast(self) -> None:
        """Which family plays which part, by the wallets that its card holds."""
        left = list(self.families)

        def pick(*wallets: int) -> Family:
            for family in left:
                if family.wallets >= set(wallets):
                    left.remove(family)
                    return family
            raise StoryError(f"no family left with wallets {wallets}: take another SEED")

        self.lost = pick(CASH, FOOD)  # its card is lost
        self.regrets = pick(CASH, CLINIC)  # voids after the hand-over
        self.abroad = [pick(CASH, CLINIC), pick(FOOD, CLINIC)]  # at the point that burns
        self.grows = pick(CASH)  # takes the top-up
        self.torn, self.early = pick(CLINIC), pick(CLINIC)
        self.others = left

    def _redeem(self) -> None:
        """Partial amounts, baskets and visits at three points."""
        for n, family in enumerate([self.regrets, self.early, *self.others]):
            self._take(self.b if n % 2 else self.a, family)
        for family in self.abroad:
            self._take(self.c, family)
        self.say(
            "Penyaluran tanpa jaringan di tiga titik; setiap ketukan memberi struk.",
            "Redeemed without a network at three points; every tap printed a slip.",
        )

    def _take(self, point: Point, family: Family) -> None:
        wallets = sorted(family.wallets - {SCHOOL, CLINIC})[:2] or [CLINIC]
        done = self._tap(point, family, *(self._wish(w) for w in wallets))
        self._must(self._paid(done), f"not redeemed: {done}")

    @staticmethod
    def _paid(done: dict[str, Any]) -> bool:
        """Whether the last thing that happened is a debit handed over (or kept back on wish)."""
        last = done["outcomes"][-1]["outcome"] if done["outcomes"] else ""
        return last in {"Delivered.final", "Delivered", "Redeemed"}

    def _wish(self, wallet: int) -> str:
        amount = self.rng.randrange(50, 200) * 1_000 if wallet == CASH else 1
        return f"{wallet}={amount}"

    # --- what goes wrong ---------------------------------------------------------------------

    def _strangers(self) -> None:
        """A specimen, a card without our applet, two cards that do not answer."""
        specimen = self.specimen
        strangers: list[tuple[Callable[[], None], str]] = [
            (lambda: self.tray.insert(specimen), "SPECIMEN_CARD"),
            (lambda: self.tray.insert_stand_in("foreign"), "FOREIGN_CARD"),
            (lambda: self.tray.insert_stand_in("dropping"), "DEAD_CARD"),
            (lambda: self.tray.insert_stand_in("unfit"), "DEAD_CARD"),
        ]
        before, refused = sha256(specimen.read_bytes()).digest(), []
        for insert, why in strangers:
            with _Inserted(self.tray, insert):
                done = self.a.tap(f"{CASH}=1000", pin=NO_SECRET)
            said = done["outcomes"][-1]
            self._must(said.get("reason") == why, f"{why} expected: {said}")
            refused.append(said["reason"])
            self.say(said["id"], said["en"])
            self.step(why)
        self._must(sha256(specimen.read_bytes()).digest() == before, "a specimen was written to")
        self.counts["specimen_refused"] = refused.count("SPECIMEN_CARD")
        self.counts["not_recognised_refused"] = len(refused) - self.counts["specimen_refused"]

    def _torn(self) -> None:
        """The power fails within a DEBIT; the next tap finds out what the card did."""
        family = self.torn
        with self._inserted(family.state):
            self.tray.tear_debit(2)
            done = self.a.tap(f"{CLINIC}=1", pin=family.pin)
        self._must(not done["good"], "the torn tap looked good")
        said = done["outcomes"][-1]
        self.say(said["id"], said["en"])
        again = self._tap(self.a, family, f"{CLINIC}=1")
        self._must(self._paid(again), f"not recovered: {again}")
        status = self.a.run("status")
        self._must(not status["unknown"], "an intent is still open")
        self.counts["torn_recovered"] = 1

    def _voids(self) -> None:
        before, after = self.early, self.regrets
        held = self._intent(self._tap(self.a, before, f"{CLINIC}=1", deliver=False))
        self._void(before, held, on_counter=False)
        given = self._intent(self._tap(self.a, after, f"{CASH}=50000", deliver=False))
        self.a.run("deliver", str(given))
        void = self._void(after, given, on_counter=True)
        self.a.run("returned", str(void))
        self.counts["voided"] = 2
        self.say(
            "Dua pembatalan: satu sebelum, satu sesudah barang diserahkan dan dikembalikan.",
            "Two voids: one before, one after the goods were handed over and came back.",
        )

    def _void(self, family: Family, intent: int, *, on_counter: bool) -> int:
        with self._inserted(family.state):
            done = self.a.void(intent, "salah jumlah", on_counter=on_counter)
        self._must(done["good"], f"not voided: {done}")
        self.step("batal")
        return int(done["outcomes"][-1]["void"])

    @staticmethod
    def _intent(done: dict[str, Any]) -> int:
        redeemed = [x for x in done["outcomes"] if x["outcome"] == "Redeemed"]
        return int(redeemed[-1]["intent"])

    def _top_ups(self) -> None:
        """A second decree and its funds: more cash for every family that has a card."""
        decree = json.loads((self.data / "sk.json").read_text("utf-8"))
        rows = [dict(row, programmes=["tunai"]) for row in decree["rows"][:CARDS]]
        for n, row in enumerate(rows):
            row["row"] = n + 1
        text = json.dumps(rows, sort_keys=True, separators=(",", ":"))
        decree |= {"number": "188.44/456/2026", "rows": rows,
                   "annex_sha256": sha256(text.encode()).hexdigest()}  # fmt: skip
        folder = self.root / "live"
        (folder / "sk-2.json").write_text(json.dumps(decree), encoding="utf-8")
        release = {"sp2d": "00007/SP2D-REKAAN/2026", "date": "2026-11-20", "programme": "tunai",
                   "amount_minor": 250_000 * (CARDS + 40)}  # fmt: skip
        (folder / "funds-2.json").write_text(json.dumps({"releases": [release]}), encoding="utf-8")
        self.office.backend("import", "--decree", str(folder / "sk-2.json"),
                            "--funds", str(folder / "funds-2.json"))  # fmt: skip
        for point in (self.a, self.b):
            point.sync()
        made = self.office.backend("entitle")
        self.a.sync()
        done = self._tap(self.a, self.grows, self._wish(CASH))
        self._must(self._paid(done), f"no top-up: {done}")
        self.say(
            f"SK kedua: {made['entitlements']} hak baru; satu diambil kartu tanpa jaringan.",
            f"Second decree: {made['entitlements']} new entitlements; a card took one offline.",
        )

    def _lost_terminal(self) -> None:
        """The third point burns; two families tap elsewhere and their cards bring it home."""
        shutil.rmtree(self.c.folder)
        self.office.backend("lost-terminal", self.c.station, "--reason", "terbakar")
        for family in self.abroad:
            done = self._tap(self.a, family, f"{CLINIC}=1")
            self._must(self._paid(done), f"not redeemed: {done}")
        self.a.sync()
        held = self.office.backend("report", "--json")["held"]
        lost = [x for x in held if x.get("terminal") == self.c.station.encode().hex()]
        for x in lost:
            self.office.backend("decide", "pay", x["card"], "--wallet", str(x["wallet"]),
                                "--first", str(x["sequence"]), "--number",
                                f"PTS-{x['card'][-2:]}-{x['sequence']}", "--reason",
                                "struk dibawa pulang kartu")  # fmt: skip
        self.counts["brought_home"] = len(lost)
        self.say(
            f"Satu terminal hilang: {len(lost)} struknya dibawa pulang kartu, diputuskan dibayar.",
            f"One terminal lost: {len(lost)} of its receipts came home on cards, paid by decision.",
        )

    def _lost_card(self) -> None:
        """A card is lost: blocked, refused, its residual moved, replaced and used."""
        old = self.lost
        self.office.backend("lost-card", old.card_id, "--desk", self.desk.station)
        self.a.sync()
        self._by_file()
        self._by_file()  # the second trip carries the SYNC of the block home
        with self._inserted(old.state):
            done = self.a.tap(f"{CASH}=1000", pin=old.pin)
        self._must(not done["good"], "a hotlisted card paid")
        self.counts["hotlisted_refused"] = 1
        self.say(done["outcomes"][-1]["id"], done["outcomes"][-1]["en"])
        self.a.sync()
        self.desk.run("orders")
        blank = self._card(CARDS + 1)
        (made,) = self.desk.issue([blank], lambda _: self.step("pengganti"))
        self._must(made["good"], f"no replacement: {made}")
        moved = self.office.backend("move", old.card_id, "--new-card", made["card_id"],
                                    "--number", "PTS-PINDAH",
                                    "--reason", "kartu hilang")  # fmt: skip
        self.office.backend("entitle")
        self.a.sync()
        new = Family(blank, made["card_id"], old.wallets, self._pin())
        self._give(self.a, new, self.desk.codes()[new.card_id], "BAST-900")
        done = self._tap(self.a, new, f"{CASH}=250000", f"{FOOD}=1")
        self._must(self._paid(done), f"the replacement does not pay: {done}")
        again = self._tap(self.a, new, f"{CASH}=250000")  # the top-up its old card never took
        self._must(self._paid(again), f"the moved top-up does not pay: {again}")
        self.counts["replaced"] = 1
        self.say(f"Kartu hilang diganti; sisa haknya dipindahkan: {moved['moved']}.",
                 f"The lost card is replaced; its residual moved: {moved['moved']}.")  # fmt: skip

    # --- home ----------------------------------------------------------------------------------

    def _by_file(self) -> tuple[Path, bytes]:
        """The second point's log and data travel on a stick."""
        stick = self.root / "stick"
        stick.mkdir(exist_ok=True)
        log = stick / f"{int(time.time() * 1000)}.upload"
        self.b.run("sync", "--export", str(log))
        self.office.backend("ingest", str(log))
        ack = log.with_suffix(".upload.ack")
        bundle = stick / "bundle"
        self.b.run("sync", "--import", str(ack))
        self.office.backend("bundle", "--station", self.b.station, "--out", str(bundle))
        self.b.run("sync", "--import", str(bundle))
        return log, ack.read_bytes()

    def _carry_by_file(self) -> None:
        """The stick again, and the same upload twice: nothing changes, the answer is the same."""
        self.b.run("shift", "close")
        log, ack = self._by_file()
        before = self.office.backend("report", "--json")
        answer = self.office.backend("ingest", str(log))["uploads"]
        after = self.office.backend("report", "--json")
        same = before["counts"] == after["counts"]
        self._must(same and set(answer.values()) == {"exists"}, "a double upload counted")
        self._must(log.with_suffix(".upload.ack").read_bytes() == ack, "another answer")
        ignored = after["uploads"]["duplicates"] - before["uploads"]["duplicates"]
        self.counts["duplicates_ignored"] = ignored
        self._by_file()  # the SYNC record of the last data
        self.step("stik USB")

    def _settle(self) -> None:
        self.a.run("shift", "close")
        self.a.sync()
        self.desk.run("sync")
        paid = self.office.backend("settle")
        for x in paid["payments"]:
            self.say(f"Dibayar ke {x['provider']}: Rp{x['amount_minor']:,}".replace(",", "."),
                     f"Paid to {x['provider']}: Rp{x['amount_minor']:,}")  # fmt: skip
        self.step("pembayaran")

    def _audit(self) -> None:
        export, build = self.root / "export", self.root
        self.office.backend("export", "--out", str(export))
        shutil.copy(self.office.trust, build / "trust.cbor")
        report = self.office.backend("report", "--json")
        found = self._verify(export, build / "audit.json")
        own, counts = json.loads((build / "audit.json").read_text("utf-8")), report["counts"]
        (build / "report.json").write_text(json.dumps(report, indent=1), encoding="utf-8")
        self._must(own["difference_minor"] == report["difference_minor"], "two differences")
        self._must(own["goods_difference"] == report["goods_difference"], "two goods differences")
        self.counts |= {
            "families": counts["families"], "verified": counts["verified"],
            "not_verified": counts["not_verified"], "cards_issued": counts["cards_issued"],
            "redemptions": counts["redemptions"], "receipts": counts["receipts"],
            "funds_minor": report["funds_minor"], "settled_minor": report["settled_minor"],
            "difference_minor": report["difference_minor"],
            "goods_difference": report["goods_difference"],
            "auditor_findings": len(own["findings"]), "backend_findings": len(report["findings"]),
        }  # fmt: skip
        self._must(found == bool(own["findings"]), "the auditor's exit code differs")
        self.step("audit")

    def _verify(self, export: Path, out: Path) -> bool:
        argv = self.programs.argv(
            "backend.audit.cli", "verify", str(export), "--trust", str(self.root / "trust.cbor"),
            "--demo", "--json", str(out),
        )  # fmt: skip
        return self.programs.run(argv, allowed=(0, 1)).returncode == 1

    def _tamper(self) -> None:
        """One byte of a copy is altered; the auditor must find it."""
        copy = self.root / "tampered"
        shutil.copytree(self.root / "export", copy)
        path = self.rng.choice(sorted(p for p in copy.rglob("*.cbor") if p.stat().st_size))
        data = bytearray(path.read_bytes())
        data[self.rng.randrange(len(data))] ^= 1 << self.rng.randrange(8)
        path.write_bytes(data)
        argv = self.programs.argv("backend.audit.cli", "verify", str(copy), "--trust",
                                  str(self.root / "trust.cbor"), "--demo")  # fmt: skip
        code = self.programs.run(argv, allowed=(0, 1, 2)).returncode
        self.counts["tamper_found"] = int(code != 0)
        name = path.relative_to(copy)
        self.say(f"Satu byte di {name} diubah: ditemukan pemeriksa.",
                 f"One byte of {name} altered: found by the auditor.")  # fmt: skip
        shutil.rmtree(copy)

    def _receipts(self) -> None:
        folder = run_folder(self.root / "receipts")
        slips = [slip for paper in self.papers.values() for slip in paper.slips()]
        for n, slip in enumerate(slips, start=1):
            picture(slip, folder / f"{n:03d}.png")
        self.counts["slips"] = len(slips)
        self._must(len(slips) >= self.counts["redemptions"] - 1, "a slip is missing")


class _Inserted:
    """A card in the reader for the length of a block."""

    def __init__(self, tray: Tray, insert: Callable[[], None]) -> None:
        self._tray, self._insert = tray, insert

    def __enter__(self) -> None:
        self._insert()

    def __exit__(self, *_: object) -> None:
        self._tray.remove()
