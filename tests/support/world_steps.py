"""What may happen in the simulated village, one function a step; all of it honest people's doing.

Cards tear, are pulled and get lost; terminals crash at commits and get lost; files and answers are
lost, repeated, late and out of order. Nobody here lies: that is :mod:`tests.support.world_foes`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import httpx
from sqlmodel import select

from backend.errors import ConflictError, FundsError, ReserveError, UnknownError
from backend.models import DecisionRow, ReceiptRow
from terminal import sync
from terminal.carry import apply_acknowledgement, build_upload, install_bundle
from terminal.errors import (
    AcknowledgementRefusedError,
    BundleRefusedError,
    StepError,
    TransferError,
)
from terminal.outcomes import Activated, Outcome, PinSet, Redeemed, Voided
from terminal.projection import State
from terminal.visit import Visit
from tests.support.terminal_world import CODE, PIN
from tests.support.world_sim import Crash, Mail, Point, SimCard, World, require
from wire.cvc import Role
from wire.log import IntentKind, StockMove
from wire.objects import DecisionKind, GoodsLine, Unit
from wire.purse import Life
from wire.receipt import ReceiptKind

Step = Callable[[World], None]
TEAR, PULL, CRASH = 0.12, 0.12, 0.06
MAX_LOST_CARDS, MAX_LOST_POINTS = 8, 4


# --- a visit ------------------------------------------------------------


def visiting(w: World, point: Point, card: SimCard, role: Role,
             action: Callable[[Visit], None], *, calm: bool = False) -> None:  # fmt: skip
    """One card in one reader, with what may go wrong; the truth is read afterwards."""
    r = w.random
    trouble = 0.0 if calm else r.random()
    tear = r.randrange(40) if trouble and trouble < TEAR else None
    pull = r.randrange(30) if TEAR <= trouble < TEAR + PULL else None
    if TEAR + PULL <= trouble < TEAR + PULL + CRASH:
        point.crash_in, point.crash_after = r.randrange(6), r.random() < 0.5
    card.pull_answer = r.random() < 0.5
    link = card.put_in(tear=tear, pull=pull)
    try:
        with opened(w, point, point.engine.begin(link, role, point.officers.get(role))) as visit:
            note(w, card, point)
            action(visit)
    except Crash:
        w.counts["crash"] += 1
        card.take_out()
        note(w, card, point)
        point.restart()
    except NoVisitError:
        pass
    finally:
        point.crash_in = None
        w.counts["torn" if tear is not None else "pulled" if pull is not None else "whole"] += 1
        card.take_out()
        note(w, card, point)


class NoVisitError(Exception):
    """The card was not served."""


def opened(w: World, point: Point, begun: Visit | Outcome) -> Visit:
    """The visit; a refusal is counted."""
    if isinstance(begun, Visit):
        return begun
    point.rejections[begun.key] += 1
    w.counts[f"refused {begun.key}"] += 1
    raise NoVisitError


def note(w: World, card: SimCard, point: Point) -> None:
    """Take in what the card did here."""
    w.observe(card, point)


def say(w: World, point: Point, visit: Visit) -> None:
    """Debits that wait for a word: were the goods handed over?"""
    for row in visit.undelivered():
        goods = w.goods_of(point, row.sequence)
        if goods.state == "none" and w.random.random() < 0.4:
            continue
        hand_over(w, point, row.sequence, visit)


def hand_over(w: World, point: Point, intent: int, visit: Visit | None) -> None:
    """Goods into the family's hands, then DELIVERED."""
    if w.goods_of(point, intent).state == "none":
        w.hand(point, intent)
    if visit is not None and w.random.random() < 0.6:
        visit.delivered(intent)
    else:
        point.engine.delivered(intent)


def pick_card(w: World) -> SimCard:
    """Somebody's card."""
    return w.random.choice(w.held)


def pick_point(w: World) -> Point:
    """A terminal at work."""
    return w.random.choice(w.live)


# --- at the counter ------------------------------------------------------------


def tap(w: World) -> None:
    """A family (or a finder) at the counter: wallets, amounts, goods."""
    card, point = pick_card(w), pick_point(w)
    if card.store.card.life is Life.INERT:
        hand_out(w, card, point)
        return
    role = Role.SUPERVISOR if w.random.random() < 0.05 else Role.TERMINAL

    def spend(visit: Visit) -> None:
        say(w, point, visit)
        bypass = ""
        if role is Role.SUPERVISOR:
            bypass = "jari luka"
        else:
            if w.random.random() < 0.05:
                visit.verify_pin("918273")
            visit.verify_pin(PIN)
        for view in [v for v in visit.wallets() if v.most]:
            if w.random.random() < 0.5:
                continue
            amount = w.random.choice((1, view.most, w.random.randint(1, view.most)))
            paid = visit.redeem(view.wallet, amount, bypass_reason=bypass)
            w.counts[f"redeem {type(paid).__name__}"] += 1
            note(w, card, point)
            if not isinstance(paid, Redeemed):
                continue
            require(paid.receipt.hash in w.receipts, "a receipt that the card does not hold")
            if w.random.random() < 0.85:
                hand_over(w, point, paid.intent, visit)

    visiting(w, point, card, role, spend)


def hand_out(w: World, card: SimCard, point: Point) -> None:
    """A card is handed to its family."""

    def give(visit: Visit) -> None:
        done = visit.activate(CODE, PIN, bast=f"BAST-{card.card_id.hex()}", place="Balai")
        w.counts["activated"] += isinstance(done, Activated)

    visiting(w, point, card, Role.HANDOVER, give)


def void(w: World) -> None:
    """A supervisor takes the card's latest debit back, before or after the hand-over."""
    card, point = pick_card(w), pick_point(w)
    rows = [
        x for x in point.journal.intents_of(card.card_id)
        if x.kind == IntentKind.DEBIT and x.state in {State.RECEIPTED, State.DELIVERED}
    ]  # fmt: skip
    if not rows:
        return
    row = rows[-1]

    def take_back(visit: Visit) -> None:
        goods = w.goods_of(point, row.sequence)
        if goods.state == "handed" and point.journal.intent(row.sequence).state == State.RECEIPTED:
            point.engine.delivered(row.sequence)
        on_counter = goods.state == "handed"
        done = visit.void(row.sequence, on_counter=on_counter, reason="salah tekan")
        w.counts[f"void {type(done).__name__}"] += 1
        note(w, card, point)
        if isinstance(done, Voided) and on_counter:
            put_away(w, point)

    visiting(w, point, card, Role.SUPERVISOR, take_back)


def put_away(w: World, point: Point) -> None:
    """Goods on the counter after a void go where the outcome says."""
    for row in point.journal.suspended():
        goods = w.goods_of(point, row.debit or 0)
        if row.state == State.RECEIPTED:
            goods.state = "stock"
            point.engine.returned(row.sequence)
        else:
            point.engine.given_back(row.sequence)


def tidy(w: World) -> None:
    """The counter is tidied."""
    put_away(w, pick_point(w))


def dispute(w: World) -> None:
    """The holder says a receipt is wrong."""
    card, point = pick_card(w), pick_point(w)
    if not card.truth or card.is_lost:
        return

    def object_to(visit: Visit) -> None:
        visit.verify_pin(PIN)
        last = visit.last_receipts(1)
        if last and last[0].kind == ReceiptKind.DEBIT and w.goods[last[0].hash].state == "handed":
            visit.dispute(last[0].sequence)
            w.counts["dispute"] += 1

    visiting(w, point, card, Role.TERMINAL, object_to)


def change_pin(w: World) -> None:
    """A new PIN and back again; a torn change leaves either."""

    def change(visit: Visit) -> None:
        w.counts["pin"] += isinstance(visit.change_pin(PIN, PIN), PinSet)

    visiting(w, pick_point(w), pick_card(w), Role.TERMINAL, change)


def shift(w: World) -> None:
    """A shift ends with a count and another begins."""
    point = pick_point(w)
    with suppress(StepError):
        if w.random.random() < 0.3:
            move = w.random.choice((StockMove.LOST, StockMove.COUNTED))
            shelf = {x.good: x.quantity for x in point.journal.stock()}
            number = shelf["gula"] - 7 if move == StockMove.COUNTED else 3
            point.engine.move_stock(move, GoodsLine("gula", Unit.GRAM, number))
        point.engine.close_shift()
    point.engine.open_shift(w.random.choice((5, 6)))


# --- between terminals and office ------------------------------------------------------------


def sync_http(w: World, point: Point | None = None) -> None:
    """A sync over a line that may fail anywhere."""
    point = point or pick_point(w)
    if point.withheld_until > w.counts["step"]:
        return
    crash = w.random.random() < 0.05
    if crash:
        point.crash_in, point.crash_after = w.random.randrange(3), w.random.random() < 0.5
    try:
        sync.over_http(point.engine, point.log_key, w.client)
        w.counts["sync"] += 1
    except (TransferError, BundleRefusedError, AcknowledgementRefusedError) as e:
        w.counts[f"sync {type(e).__name__}"] += 1
    except Crash:
        w.counts["crash"] += 1
        point.restart()
    finally:
        point.crash_in = None


def write_file(w: World) -> None:
    """A terminal's upload on a stick, or the office's bundle."""
    point = pick_point(w)
    if point.withheld_until > w.counts["step"]:
        return
    if w.random.random() < 0.5:
        upload = build_upload(point.journal, point.log_key)
        if upload is not None:
            point.sent.append(bytes(upload))
            w.mail.append(Mail("upload", point, bytes(upload)))
        return
    held = point.engine.roster.version
    base = (held.epoch, held.counter) if w.random.random() < 0.7 else None
    raw = w.office.bundle(point.name, base)
    if raw is not None:
        w.mail.append(Mail("bundle", point, raw))


def carry_file(w: World) -> None:
    """A stick arrives: late, out of order, again, or never."""
    if not w.mail:
        return
    item = w.mail.pop(w.random.randrange(len(w.mail)))
    fate = w.random.random()
    if fate < 0.1:
        return
    if fate < 0.3:
        w.mail.append(item)
    try:
        if item.kind == "upload":
            answer = w.client.post("/v1/uploads", content=item.raw)
            if answer.status_code == 200:
                w.mail.append(Mail("ack", item.point, answer.content))
        elif item.point.works and item.kind == "ack":
            apply_acknowledgement(item.point.engine, item.raw)
        elif item.point.works:
            install_bundle(item.point.engine, item.raw)
            item.point.installed.append(item.raw)
        w.counts[f"file {item.kind}"] += 1
    except (BundleRefusedError, AcknowledgementRefusedError) as e:
        w.counts[f"file {type(e).__name__}"] += 1
    except httpx.HTTPError:
        w.mail.append(item)


# --- the office ------------------------------------------------------------


def top_up(w: World) -> None:
    """A new round, sometimes only half paid for."""
    w.top_up(w.random.choice((1.0, 1.0, 0.5)))


def entitle(w: World) -> None:
    """Whatever may be issued: newer acknowledgements for the cards too."""
    w.office.entitle()


def settle(w: World) -> None:
    """Providers are paid."""
    w.office.settle()


def renew(w: World) -> None:
    """A terminal's next certificate."""
    w.office.renew(pick_point(w).request())


def lose_card(w: World) -> None:
    """A card is reported lost; it burnt, or somebody goes on using it."""
    if w.counts["lost card"] >= MAX_LOST_CARDS:
        return
    mine = [c for c in w.held if not c.is_lost and c.store.card.life is Life.ACTIVE]
    if not mine:
        return
    card = w.random.choice(mine)
    w.counts["lost card"] += 1
    card.is_lost, card.is_gone = True, w.random.random() < 0.4
    w.office.lost_card(card.card_id, b"DESK0001")
    w.order_cards()
    w.office.entitle()


def move_residual(w: World) -> None:
    """What is left on a lost card goes to its replacement, as far as it may."""
    for card in [c for c in w.cards if c.is_lost]:
        heirs = [c for c in w.cards if c.family == card.family and not c.is_lost]
        for wallet, left in w.office.reserve(card.card_id)["exposure"].items():
            if not heirs or left <= 0:
                continue
            w.counts["decision"] += 1
            with suppress(ReserveError, UnknownError, ConflictError):
                w.office.move(
                    card.card_id,
                    heirs[0].card_id,
                    wallet,
                    number=f"PINDAH/{w.counts['decision']}",
                    reason="hilang",
                )
                w.counts["moved"] += 1
    w.office.entitle()


def lose_point(w: World) -> None:
    """A terminal drowns with all it has not sent; another takes its place."""
    if w.counts["lost point"] >= MAX_LOST_POINTS:
        return
    point = pick_point(w)
    close_point(w, point)
    w.counts["lost point"] += 1


def close_point(w: World, point: Point) -> None:
    """TERMINAL_LOST, and a new terminal under a new id."""
    point.is_lost = True
    w.office.lost_terminal(point.name, "hanyut")
    sync_http(w, w.new_point())


def decide(w: World) -> None:
    """Two people decide over what is held: pay what the family has, return what it has not."""
    with w.office.db.read() as session:
        rows = list(session.exec(select(ReceiptRow).where(ReceiptRow.held != "")))
        taken = {
            (d.card_id, n) for d in session.exec(select(DecisionRow))
            for n in range(d.first, d.last + 1)
        }  # fmt: skip
    final = [r for r in rows if r.held in {"terminal-lost", "disputed"}
             and (r.card_id, r.sequence) not in taken and r.hash in w.goods]  # fmt: skip
    mine = {c.card_id for c in w.cards if not c.is_lost}
    if not final:
        return
    row = w.random.choice(final)
    state = w.goods[row.hash].state
    if state == "handed":
        kind = DecisionKind.PAY
    elif state == "none" and row.held == "terminal-lost" and row.card_id in mine:
        kind = DecisionKind.RETURN
    else:
        return
    w.counts["decision"] += 1
    w.counts[f"decided {kind.name}"] += 1
    w.decided.add(row.hash)
    w.office.decide(
        kind,
        row.card_id,
        row.wallet,
        first=row.sequence,
        last=row.sequence,
        amount=row.amount,
        number=f"SK/{w.counts['decision']}",
        reason="sim",
    )
    with suppress(FundsError):
        w.office.entitle()


def wait(w: World) -> None:
    """Nothing for some hours."""
    w.clock.now_s += w.random.randrange(3600, 5 * 3600)


STEPS: dict[Step, float] = {
    tap: 46, void: 9, tidy: 2, dispute: 1, change_pin: 1, shift: 1, sync_http: 12, write_file: 10,
    carry_file: 10, top_up: 1.2, entitle: 2, settle: 1.5, renew: 0.4, lose_card: 0.5,
    move_residual: 0.7, lose_point: 0.25, decide: 1, wait: 1,
}  # fmt: skip


def run(w: World, steps: int, extra: dict[Step, float] | None = None) -> None:
    """Let that many steps happen; what went wrong is told with seed and step."""
    table = STEPS | (extra or {})
    choices, weights = list(table), list(table.values())
    w.wire.trouble = 0.15
    for _ in range(steps):
        w.counts["step"] += 1
        w.clock.now_s += w.random.randrange(5, 240)
        step = w.random.choices(choices, weights)[0]
        try:
            step(w)
        except Exception as e:
            e.add_note(f"seed {w.seed}, step {w.counts['step']}: {step.__name__}")
            raise
