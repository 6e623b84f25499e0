"""The real `betang-terminal face`, driven as a browser does and killed in the middle of taps.

The card is the reference purse behind a socket (:mod:`card_os.host.socketlink`), served by the
campaign's process. After each kill the dead folder must hold the INTENT of every debit on the card
and whatever the screen had promised; after each restart and the same card again, the card's debits
are the journal's receipts one to one, and no money has come or gone.
"""

from __future__ import annotations

import http.client
import re
import shutil
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Self
from urllib.parse import urlencode

from card_os.icc import ATR_T1
from card_os.reference.memory import Persistent
from card_os.reference.purse_store import PurseStore
from card_os.reference.serve import CardServer
from terminal.config import JOURNAL, ROSTER, Config
from terminal.journal import Journal, Station
from terminal.projection import State
from terminal.store import connect
from terminal.visit import Visit
from tests.support.campaign import FaultError
from tests.support.killed import PATIENCE_S, free_port, program
from tests.support.power_campaign import WORDS, Founding
from tests.support.terminal_world import CASH, PIN, START_S, Card, entry
from wire.purse import Ins
from wire.receipt import Receipt

KILLS = 10
LOADED = 1_000_000
TAP_S, START_UP_S = 0.8, 0.3
"""Kills by the clock fall within so many seconds of the first screen, or of the start."""
APDUS = 30
LOAD = "from terminal import cli; from terminal.face import serve"
CLOCK = "since = time.monotonic(); time.time = lambda: at + time.monotonic() - since"


class Gone(Exception):  # noqa: N818 - an event, as planned
    """The process is dead."""


class Watched:
    """A card that can have the process killed at a command."""

    def __init__(self, card: Card) -> None:
        self.card = card
        self.left: int | None = None
        self.only: int | None = None
        self.is_after = False
        self.kill: Callable[[], None] = lambda: None

    def power_on(self) -> bytes:
        """The ATR."""
        return self.card.power_on()

    def power_off(self) -> None:
        """The supply goes."""
        self.card.power_off()

    def transmit(self, raw: bytes, /) -> bytes:
        """One command; at the chosen one the process dies before the card does it, or after."""
        if self.left is None or self.only not in {None, raw[1]}:
            return self.card.transmit(raw)
        if self.left > 0:
            self.left -= 1
            return self.card.transmit(raw)
        self.left = None
        answer = self.card.transmit(raw) if self.is_after else b""
        self.kill()
        return answer


class Browser:
    """One tab: cookie, token and what is shown."""

    def __init__(self, port: int) -> None:
        self._http = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
        self._cookie, self._token, self.page = "", "", ""

    def look(self) -> str:
        """The page now."""
        answer, self.page = self._ask("GET", "/", None)
        if answer.getheader("set-cookie"):
            self._cookie = str(answer.getheader("set-cookie")).split(";")[0]
        found = re.search(r'"X-CSRF": "([^"]+)"', self.page)
        self._token = found[1] if found else ""
        return self.page

    def press(self, verb: str, **fields: str | int) -> None:
        """A form of the page."""
        number = re.search(r'name="screen" value="(\d+)"', self.page)
        body = urlencode({"screen": number[1] if number else "0", **fields})
        answer, text = self._ask("POST", f"/do/{verb}", body)
        if answer.status != 204:
            raise FaultError(f"{verb} was answered {answer.status}: {text[:200]}")

    def _ask(
        self, method: str, path: str, body: str | None
    ) -> tuple[http.client.HTTPResponse, str]:
        headers = {"Cookie": self._cookie} if self._cookie else {}
        if body is not None:
            headers |= {"X-CSRF": self._token, "Content-Type": "application/x-www-form-urlencoded"}
        try:
            self._http.request(method, path, body, headers)
            answer = self._http.getresponse()
            return answer, answer.read().decode()
        except (OSError, http.client.HTTPException) as e:
            self._http.close()
            raise Gone from e

    def can(self, verb: str) -> bool:
        """Whether the page offers it."""
        return f'hx-post="/do/{verb}"' in self.page

    @property
    def actions(self) -> list[str]:
        """A result's buttons."""
        return re.findall(r'name="action" value="([^"]+)"', self.page)

    def close(self) -> None:
        """Leave."""
        self._http.close()


class Point:
    """A provisioned folder, two cards and the place where one of them is."""

    def __init__(self, seed: int, patch: str = "") -> None:
        self.random, self.patch = Random(seed), patch  # noqa: S311 - repeatable
        self.root = Path(tempfile.mkdtemp(prefix="betang-kill-"))
        self.path, self.counts = self.root / "t", Counter[str]()
        self.founding = Founding(seed)
        self.cards = [Watched(self.founding.card), Watched(self.founding.issuer.card(2))]
        self._found()
        self.server = CardServer(ATR_T1, control=self.root / "c", listen=str(self.root / "a"))
        self.server.start()
        self.promised: dict[bytes, int] = {}
        self.delivered: set[tuple[bytes, int]] = set()
        self.cycle = 0
        self.face = program(LOAD, CLOCK)

    def _found(self) -> None:
        f, issuer = self.founding, self.founding.issuer
        f.entries = [entry(w.card, issuer.entitlement(w.card, CASH, loaded=LOADED))
                     for w in self.cards]  # fmt: skip
        folder = f.folder(self.path)
        config = Config(station="TERM0001", environment=issuer.env,
                        reader=f"socket:{self.root / 'a'}")  # fmt: skip
        folder.provision(f.provision(folder.create(config, WORDS, f.random)), WORDS)
        opened = folder.open(WORDS, clock=lambda: START_S, random=f.random)
        opened.engine.open_shift(5)
        self.station: Station = opened.engine.journal.station
        opened.engine.journal._db.close()
        opened.engine.roster._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:  # fmt: skip
        self.face.rest()
        self.server.close()
        shutil.rmtree(self.root)

    # --- the process ------------------------------------------------------------

    def start(self) -> int:
        """Start the face; its port."""
        port = free_port()
        self.cycle += 1
        self.face.start(START_S + 600 * self.cycle, [
            "--data", str(self.path), "--demo", "face", "--port", str(port),
        ], {"BETANG_PASSPHRASE": WORDS}, self.patch)  # fmt: skip
        return port

    def _opens(self, browser: Browser) -> None:
        """The tab, once the face answers."""
        end = time.monotonic() + PATIENCE_S
        while True:
            try:
                browser.look()
            except Gone:
                if self.face.is_dead():
                    raise
                if time.monotonic() > end:
                    raise FaultError("the face does not come up") from None
                time.sleep(0.01)
            else:
                return

    # --- one kill ------------------------------------------------------------

    def round(self) -> None:
        """Start with a card in, tap until killed, and look at what is left."""
        self._round()
        self.look_at_the_dead()

    def _round(self) -> None:
        way = self.random.choice(("command", "command", "debit", "clock", "clock", "start"))
        card = self.random.choice(self.cards)
        self._insert(card)
        if way in {"command", "debit"}:
            card.left = self.random.randrange(APDUS if way == "command" else 3)
            card.only = Ins.DEBIT if way == "debit" else None
            card.is_after, card.kill = self.random.random() < 0.5, self.face.kill
        timer: threading.Timer | None = None
        browser = Browser(self.start())
        if way == "start":
            timer = self._kill_within(START_UP_S)
        try:
            self._opens(browser)
            if way == "clock":
                timer = self._kill_within(TAP_S)
            end = time.monotonic() + 2 * PATIENCE_S
            while True:
                try:
                    self._go_on(browser, card)
                except Gone:  # dead, or a line that was idle too long on a busy machine
                    if self.face.is_dead(1.0):
                        raise
                if time.monotonic() > end:
                    raise FaultError("the face lives and is not killed")
        except Gone:
            self.face.died()
            self.counts["kills"] += 1
            self.counts["kills by " + way] += 1
        finally:
            browser.close()
            if timer is not None:
                timer.cancel()

    def _kill_within(self, seconds: float) -> threading.Timer:
        timer = threading.Timer(self.random.uniform(0, seconds), self.face.kill)
        timer.start()
        return timer

    def _insert(self, card: Watched) -> None:
        for other in self.cards:
            other.left = None
        self.server.place.hold(card, ATR_T1)
        self.server.place.put_in()

    def _go_on(self, browser: Browser, card: Watched) -> None:
        """What a person does on this screen."""
        page = browser.look()
        if browser.can("choose"):
            self.agree(card.card)
            browser.press("choose", wallet=CASH)
        elif browser.can("amount"):
            browser.press("amount", amount=self.random.randrange(1, 500))
        elif browser.can("enter"):
            browser.press("enter", secret=PIN)
        elif browser.actions:
            self._answer(browser, card.card)
        elif browser.can("back"):
            browser.press("back")
        elif not browser.can("menu") and "data-busy" not in page:
            raise FaultError(f"a screen nobody can leave: {page[-600:]}")

    def _answer(self, browser: Browser, card: Card) -> None:
        actions, sequence = browser.actions, purse(card).card.sequence
        if "deliver" in actions:
            self.agree(card)
            self.promised[card.card_id] = sequence
            self.counts["results seen"] += 1
            is_given = self.random.random() < 0.8
            browser.press("act", action="deliver" if is_given else "not-delivered")
        elif "void" in actions:
            browser.press("act", action="next")
        else:
            if "again" not in actions and self.promised.get(card.card_id) == sequence:
                self.counts["ends seen"] += 1
            browser.press("act", action="more" if "more" in actions else actions[0])

    # --- what must hold ------------------------------------------------------------

    def look_at_the_dead(self) -> None:
        """A copy of the killed folder: one chain, every debit's INTENT, every promise kept."""
        with tempfile.TemporaryDirectory(dir=self.root) as place:
            for name in (JOURNAL, ROSTER):
                for file in self.path.glob(f"{name}*"):
                    if not file.name.endswith("-shm"):
                        shutil.copy(file, place)
            journal = Journal(connect(Path(place) / JOURNAL), self.station)
            try:
                journal.check()
                for watched in self.cards:
                    self._dead(journal, watched.card)
            finally:
                journal._db.close()

    def _dead(self, journal: Journal, card: Card) -> None:
        for r in receipts(card):
            row = journal.find_intent(r.terminal_sequence)
            if row is None or row.hash != r.intent_hash:
                raise FaultError(f"debit {r.sequence} of the card has no INTENT in the journal")
            if row.receipt is None and r.sequence <= self.promised.get(card.card_id, 0):
                raise FaultError(f"the screen showed debit {r.sequence}, the journal forgot it")
            if row.receipt is None:
                self.counts["debits recovered"] += 1
        pending = journal.open_intents(card.card_id)
        self.counts["intents pending"] += len(pending)

    def agree(self, card: Card) -> None:
        """Card and journal say the same, and the money is all there."""
        journal = Journal(connect(self.path / JOURNAL), self.station)
        try:
            check_agree(journal, card)
        finally:
            journal._db.close()
        self.counts["agreements"] += 1

    def settle(self) -> None:
        """Both cards once more at the same terminal, in this process: nothing is left open."""
        folder = self.founding.folder(self.path)
        opened = folder.open(WORDS, clock=lambda: START_S + 600 * (self.cycle + 1),
                             random=self.founding.random)  # fmt: skip
        journal = opened.engine.journal
        for watched in self.cards:
            watched.left = None
            visit = opened.engine.begin(watched.card.link())
            if not isinstance(visit, Visit):
                raise FaultError(f"the card is turned away afterwards: {visit}")
            visit.close()
            check_agree(journal, watched.card)
        journal.check()
        done = journal._intents("WHERE receipt IS NOT NULL")
        self.counts["debits"] += len(done)
        self.counts["delivered"] += sum(i.state is State.DELIVERED for i in done)
        journal._db.close()
        opened.engine.roster._db.close()


def purse(card: Card) -> PurseStore:
    """What the card keeps."""
    return PurseStore(Persistent(card.nvm, "purse/"))


def receipts(card: Card) -> list[Receipt]:
    """Every receipt the card made (fewer than its ring holds)."""
    store = purse(card)
    raws = [store.receipt(store.card, n + 1) for n in range(store.card.sequence)]
    return [Receipt.parse(raw) for raw in raws if raw is not None]


def check_agree(journal: Journal, card: Card) -> None:
    """INTENT → RECEIPT of the journal are the debits of the card; L = balance + debits."""
    if journal.open_intents(card.card_id):
        raise FaultError("an intent is open although its card was seen again")
    rows = [i for i in journal.intents_of(card.card_id) if i.receipt is not None]
    held = {i.receipt.sequence: (i.receipt.raw, i.hash) for i in rows if i.receipt is not None}
    made = {r.sequence: (r.raw, r.intent_hash) for r in receipts(card)}
    if held != made:
        raise FaultError(f"the journal has receipts {sorted(held)}, the card {sorted(made)}")
    total = sum(r.amount for r in receipts(card))
    for wallet in purse(card).wallets(purse(card).card):
        c = wallet.counters
        if (c.loaded, c.debited, c.reversed) != (LOADED, total, 0):
            raise FaultError(f"the card says {c}, its receipts add up to {total}")


def kills(seed: int, number: int, count: int = KILLS, patch: str = "") -> Counter[str]:
    """So many kills of one folder's face, and what came of it."""
    with Point(seed * 1_000_003 + number, patch) as point:
        for _ in range(count):
            point.round()
        point.settle()
        return point.counts
