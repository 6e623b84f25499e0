"""What is cut in the campaign of links: every visit in which something durable changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from card_os.host.links import Link
from terminal.outcomes import (
    Activated,
    PinAccepted,
    PinSet,
    Redeemed,
    Voided,
)
from terminal.visit import Visit
from tests.support.campaign import FaultError
from tests.support.link_world import Clerk, Image, World, fork_card, must_visit, purse_of, visiting
from tests.support.terminal_world import (
    CASH,
    CODE,
    FOOD,
    HANDOVER,
    OTHER_PIN,
    PIN,
    Issuer,
    Terminal,
    entry,
)
from wire.cvc import Role
from wire.entitlement import ScriptAction
from wire.purse import Life

HERE, THERE = b"TERM0001", b"TERM0002"
PAID = 7


Act = Callable[[World, Link], None]


@dataclass(frozen=True)
class Stage:
    """What is cut: how it comes to that, the visit itself, and what follows a restart."""

    name: str
    prepare: Callable[[World], None]
    act: Act
    again: Callable[[World, Terminal], None] = lambda world, terminal: None
    life: str = "active"
    script: ScriptAction | None = None

    @cached_property
    def base(self) -> tuple[World, Image, Image]:
        """The world before the visit that is cut."""
        issuer = Issuer()
        card = issuer.card(life=self.life)
        here, there = Terminal(issuer, HERE), Terminal(issuer, THERE)
        entitlements = (
            issuer.entitlement(card, FOOD), issuer.entitlement(card, CASH, loaded=1_000_000),
        )  # fmt: skip
        officer = HANDOVER if self.script is ScriptAction.PIN_RESET else 0
        scripts = (issuer.script(card, self.script, officer=officer),) if self.script else ()
        world = World(here, there, card, Clerk(), entitlements)
        for terminal in world.terminals:
            terminal.engine.install(terminal.bundle(entry(card, *entitlements, scripts=scripts)))
            terminal.engine.open_shift(5)
        self.prepare(world)
        return world, Image.of(here), Image.of(there)

    def world(self) -> World:
        """A fresh copy of it; ``there`` is not opened, only to be read."""
        base, here, _ = self.base
        return World(here.open(base.here), base.there, fork_card(base.card),
                     base.clerk.copy(), base.entitlements)  # fmt: skip


def pay(world: World, visit: Visit | None, amount: int = PAID) -> None:
    """PIN, debit, goods, DELIVERED, CONFIRM, as far as it goes."""
    if visit is None or not isinstance(visit.verify_pin(PIN), PinAccepted):
        return
    paid = visit.redeem(CASH, amount)
    if isinstance(paid, Redeemed):
        world.clerk.hand_over(visit, paid.intent)


def _loaded(world: World) -> None:
    must_visit(world.here, world.card).close()


def _tap(world: World, link: Link) -> None:
    with visiting(world.here, link) as visit:
        pay(world, visit)


def _first_visit(world: World, link: Link) -> None:
    with visiting(world.here, link):
        pass


def _bypass(world: World, link: Link) -> None:
    with visiting(world.here, link, Role.SUPERVISOR) as visit:
        paid = visit and visit.redeem(CASH, PAID, bypass_reason="tangan luka")
        if visit and isinstance(paid, Redeemed):
            world.clerk.hand_over(visit, paid.intent)


def _paid(world: World) -> Redeemed:
    with must_visit(world.here, world.card) as visit:
        visit.verify_pin(PIN)
        paid = visit.redeem(CASH, PAID)
    if not isinstance(paid, Redeemed):
        raise FaultError(f"not paid: {paid}")
    return paid


def _paid_and_given(world: World) -> None:
    """Handed over, but the card was gone before CONFIRM."""
    paid = _paid(world)
    with must_visit(world.here, world.card) as visit:
        world.clerk.hand_over(visit, paid.intent, confirm=False)


def _void(world: World, link: Link, *, on_counter: bool) -> None:
    debit = world.here.journal.intents_of(world.card.card_id)[-1]
    if on_counter:
        world.clerk.take_back(CASH, PAID)
    with visiting(world.here, link, Role.SUPERVISOR) as visit:
        if visit is None:
            return
        done = visit.void(debit.sequence, on_counter=on_counter, reason="salah")
        if isinstance(done, Voided):
            world.clerk.settle_counter(world.here)


def _activate(world: World, link: Link) -> None:
    with visiting(world.here, link, Role.HANDOVER) as visit:
        if visit is not None:
            visit.activate(CODE, PIN, bast="BAST-1", place="Balai desa")


def _activate_again(world: World, terminal: Terminal) -> None:
    """The officer says it once more: found done, done now, or done elsewhere."""
    if terminal.journal.card(world.card.card_id).handed_over:
        return
    with must_visit(terminal, world.card, Role.HANDOVER) as visit:
        done = visit.activate(CODE, PIN, bast="BAST-1", place="Balai desa")
    handed = [t.journal.card(world.card.card_id).handed_over for t in world.terminals]
    card_is_ours = purse_of(world.card).card.life == Life.ACTIVE and not any(handed)
    if not isinstance(done, Activated) and card_is_ours and terminal is world.here:
        raise FaultError(f"nobody may note the hand-over: {done}")


def _change_pin(world: World, link: Link) -> None:
    with visiting(world.here, link) as visit:
        if visit is not None:
            visit.change_pin(PIN, OTHER_PIN)


def _reset_pin(world: World, link: Link) -> None:
    with visiting(world.here, link, Role.HANDOVER) as visit:
        if visit is not None:
            visit.set_pin_after_reset(OTHER_PIN)


def _first_pin(world: World, terminal: Terminal) -> None:
    """The holder has the old PIN again, whichever was in force."""
    with must_visit(terminal, world.card) as visit:
        if isinstance(visit.verify_pin(OTHER_PIN), PinAccepted):
            done = visit.change_pin(OTHER_PIN, PIN)
            if not isinstance(done, PinSet):
                raise FaultError(f"the PIN in force cannot be changed: {done}")
            return
    # a PIN that was refused leaves the session; the old one must be in force


def _lost_debit(world: World) -> None:
    """The card has paid and its answer was lost: an intent is pending."""
    _loaded(world)
    with must_visit(world.here, world.card) as visit:
        visit.verify_pin(PIN)
        world.card.drop_answer_of = 0
        visit.redeem(CASH, PAID)


def _recover(world: World, link: Link) -> None:
    with visiting(world.here, link) as visit:
        if visit is not None:
            world.clerk.settle(world.here, visit)


def _nothing(world: World) -> None:
    pass


STAGES = [
    Stage("tap with debit and confirm", _loaded, _tap),
    Stage("bypass", _loaded, _bypass),
    Stage("void before hand-over", lambda w: _paid(w) and None,
          lambda w, link: _void(w, link, on_counter=False)),
    Stage("void after hand-over", _paid_and_given,
          lambda w, link: _void(w, link, on_counter=True)),
    Stage("activation", _loaded, _activate, _activate_again, life="inert"),
    Stage("PIN change", _loaded, _change_pin, _first_pin),
    Stage("PIN reset", _loaded, _reset_pin, _first_pin, script=ScriptAction.PIN_RESET),
    Stage("entitlements and script", _nothing, _first_visit, script=ScriptAction.PIN_UNBLOCK),
    Stage("recovery and confirm", _lost_debit, _recover),
]  # fmt: skip
