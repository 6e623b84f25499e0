"""A village hall for tests: the kiosk, a reader, a printer and officers that a test moves."""

from __future__ import annotations

from keys.errors import PassphraseError
from terminal import kiosk_commands as ask
from terminal import kiosk_screens as at
from terminal.counter import Counter
from terminal.kiosk import Kiosk
from terminal.kiosk_screens import Action, Task
from terminal.printer import Printed
from tests.support.terminal_world import (
    FOOD,
    HANDOVER,
    PIN,
    SUPERVISOR,
)

WORDS = "officer words"


class Hall:
    """A kiosk whose reader, printer and officers are the test's."""

    def __init__(self, terminal, card, *, carry=None, printer=True):
        self.terminal, self.card = terminal, card
        self.views, self.slips, self.printer = [], [], Printed()
        self.connect_error = None
        counter = Counter(terminal.engine, "Balai desa", self.print if printer else None)
        self.kiosk = Kiosk(counter, connect=self.connect, unlock=self.unlock,
                           publish=self.views.append, carry=carry)  # fmt: skip

    def print(self, lines):
        self.slips.append(lines)
        return self.printer

    def connect(self):
        if self.connect_error is not None:
            raise self.connect_error
        return self.card.link()

    def unlock(self, role, number, words):
        officer = self.terminal.officers[role]
        if words != WORDS or number != officer.number:
            raise PassphraseError("wrong")
        return officer

    @property
    def screen(self):
        return self.kiosk.screen

    @property
    def outcome(self):
        assert isinstance(self.screen, at.Result), self.screen
        return self.screen.outcome

    def put(self, card=None):
        self.card = card or self.card
        self.kiosk.card_came()
        return self.screen

    def pull(self):
        self.card.power_off()
        self.kiosk.card_went()
        return self.screen

    def do(self, *commands):
        for command in commands:
            wanted = ask.Do(command) if isinstance(command, Action) else command
            before = self.kiosk.view.number
            self.kiosk.command(before, wanted)
            assert self.kiosk.view.number > before, (wanted, self.screen)
        return self.screen

    def ignores(self, command):
        wanted = ask.Do(command) if isinstance(command, Action) else command
        before = self.kiosk.view
        self.kiosk.command(before.number, wanted)
        return self.kiosk.view == before

    def as_officer(self, task):
        role_number = HANDOVER if task is Task.ACTIVATE else SUPERVISOR
        return self.do(ask.OpenMenu(), ask.Begin(task), ask.Unlock(role_number, WORDS))

    def steps(self):
        return [v.screen.step for v in self.views if isinstance(v.screen, at.Busy)]

    def pay(self, wallet=FOOD, amount=1):
        return self.do(ask.Choose(wallet), ask.SetAmount(amount), ask.Enter(PIN))
