"""Frauds against invariants 1 to 9, as verbs on the honest story."""

from __future__ import annotations

from dataclasses import replace

from backend import ledger
from keys.signer import P256Signer
from tests.support.audit_story import CASH, FOOD, SCHOOL, Story
from tests.support.audit_world import (
    DAY_S,
)
from wire import cvc, log
from wire.chain import IssuanceKind
from wire.invariants import Invariant
from wire.log import Record
from wire.objects import (
    FundRelease,
    KeyRole,
)
from wire.receipt import ReceiptKind

FRAUDS: dict[str, tuple[Invariant, object]] = {}


def fraud(invariant: Invariant):
    """Enter a fraud; its name is the function's."""

    def enter(function):
        FRAUDS[function.__name__] = (invariant, function)
        return function

    return enter


def case(story: Story):
    """The card most frauds use: untouched since its hand-over, everything loaded."""
    return story.cards[5]


# --- 1 signatures, chains, roles ------------------------------------------------------------


@fraud(Invariant.SIGNATURES)
def funds_released_under_the_policy_key(s: Story):
    """The policy key's officer releases funds: a wrong role."""
    digest = s.w.sign(FundRelease("SP2D-X", 1, 999_000, s.w.tick()), role=KeyRole.POLICY)
    s.w.post(ledger.fund_release(digest, 1, 999_000))


@fraud(Invariant.SIGNATURES)
def receipts_made_by_the_operator(s: Story):
    """An operator without a card signs a receipt with a key of his own, and takes the goods."""
    key = P256Signer.generate(s.w.random)
    card = case(s).clone()
    s.w.debit(s.one, card, CASH, 50_000, key=key, book=False)


@fraud(Invariant.SIGNATURES)
def a_void_without_a_supervisor(s: Story):
    """A broken chip accepts a void in the operator's own session."""
    card = case(s)
    s.w.void(s.w.debit(s.one, card, SCHOOL, 1_000), card, officer=0)


# --- 2 terminal chains ------------------------------------------------------------


@fraud(Invariant.TERMINAL_CHAIN)
def a_second_hidden_log(s: Story):
    """Card and operator write an intent in a log that is never uploaded."""
    card = case(s)
    intent = Record.make(5, bytes(32), s.w.tick(), log.Intent(
        card.card_id, card.certificate.digest, CASH, 1000, 1, (), card.sequence,
        s.one.serials[cvc.Role.TERMINAL, 0], 0, 1, 1, 1, "",
    ))  # fmt: skip
    receipt = s.w.receipt(s.one, card, ReceiptKind.DEBIT, intent, CASH, 1000)
    s.w.record(s.two, log.Collected(bytes(receipt)))
    s.w.post(ledger.debit(receipt.hash, 2, 1000))


@fraud(Invariant.TERMINAL_CHAIN)
def a_forked_log(s: Story):
    """The operator restores an old image and signs other records at the same places."""
    s.w.upload(s.two)
    last = s.two.records[-1]
    other = Record.make(last.sequence, last.previous, s.w.tick(), log.Boot("lain"))
    s.w.upload(s.two, records=[other])
    s.two.uploaded = len(s.two.records)


@fraud(Invariant.TERMINAL_CHAIN)
def records_taken_out_of_an_upload(s: Story):
    """The administrator drops the newest upload, acknowledged as it is."""
    s.w.upload(s.two)
    s.w.record(s.two, log.Boot("betang"))
    s.w.upload(s.two)
    s.two.uploads.pop()


# --- 3 clones ------------------------------------------------------------


@fraud(Invariant.ONE_BODY)
def a_cloned_card(s: Story):
    """A card read out and spent at two terminals."""
    card = case(s)
    copy = card.clone()
    first = s.w.debit(s.one, card, CASH, 100_000)
    second = s.w.debit(s.two, copy, CASH, 100_000, book=False)
    s.w.unpayable(first.receipt, second.receipt.hash)
    s.w.debit(s.one, card, CASH, 5_000)


# --- 4, 5, 6 one card's row ------------------------------------------------------------


@fraud(Invariant.NO_GAP)
def a_receipt_that_never_came(s: Story):
    """An operator keeps a receipt back, and the card's next visits too, past the signed age."""
    card = case(s)
    s.w.debit(s.one, card, CASH, 1_000)
    s.w.debit(s.two, card, CASH, 40_000, record=False, book=False)
    s.w.debit(s.one, card, CASH, 1_000)
    s.w.tick(31 * DAY_S)


@fraud(Invariant.LINKS)
def a_receipt_that_links_elsewhere(s: Story):
    """A broken chip signs over another past."""
    card = case(s)
    s.w.debit(s.one, card, CASH, 1_000)
    s.w.debit(s.one, card, CASH, 1_000, link=s.w.random(32))
    s.w.debit(s.one, card, CASH, 1_000)


@fraud(Invariant.COUNTERS)
def a_chip_that_counts_half(s: Story):
    """D rises by less than what was taken."""
    card = case(s)
    c = card.wallets[CASH]
    s.w.debit(s.one, card, CASH, 50_000, counters=replace(c, debited=c.debited + 25_000))
    s.w.debit(s.one, card, CASH, 1_000)


@fraud(Invariant.COUNTERS)
def a_chip_that_loads_itself(s: Story):
    """L rises without an entitlement."""
    card = case(s)
    c = card.wallets[CASH]
    s.w.debit(s.one, card, CASH, 1_000, counters=replace(
        c, loaded=c.loaded + 100_000, debited=c.debited + 1_000))  # fmt: skip


@fraud(Invariant.COUNTERS)
def a_chip_that_invents_a_reversal(s: Story):
    """R rises without a void."""
    card = case(s)
    s.w.debit(s.one, card, CASH, 5_000)
    c = card.wallets[CASH]
    s.w.debit(s.one, card, CASH, 1_000, counters=replace(
        c, debited=c.debited + 1_000, reversed=c.reversed + 5_000))  # fmt: skip


# --- 7 entitlements ------------------------------------------------------------


@fraud(Invariant.ENTITLEMENT_ISSUED)
def an_entitlement_that_nobody_issued(s: Story):
    """A broken chip names an entitlement that was never signed."""
    s.w.debit(s.one, case(s), CASH, 1_000, entitlement_sequence=9)


@fraud(Invariant.ENTITLEMENT_ISSUED)
def an_entitlement_issued_after_its_use(s: Story):
    """The issuer key's officer signs ahead and has it entered in the log afterwards."""
    card = case(s)
    new = s.w.entitle(card, CASH, 0, None, logged=False)
    s.w.load(s.one, card, CASH)
    s.w.debit(s.one, card, CASH, 1_000)
    s.w.tick(3 * DAY_S)
    s.w.note(IssuanceKind.ENTITLEMENT, bytes(new))


# --- 8, 9 intents and voids ------------------------------------------------------------


@fraud(Invariant.INTENT_RECEIPT)
def aborted_although_it_happened(s: Story):
    """The operator says the debit failed and keeps the goods; the card tells another terminal."""
    card = case(s)
    tap = s.w.debit(s.one, card, CASH, 50_000, record=False)
    s.w.record(s.one, log.Aborted(tap.intent.sequence, tap.receipt.sequence - 1, None))
    s.w.record(s.two, log.Collected(bytes(tap.receipt)))


@fraud(Invariant.INTENT_RECEIPT)
def delivered_twice(s: Story):
    """One receipt, two hand-overs on paper."""
    tap = s.w.debit(s.one, case(s), FOOD, 1)
    s.w.record(s.one, log.Delivered(tap.intent.sequence))


@fraud(Invariant.INTENT_RECEIPT)
def two_receipts_for_one_intent(s: Story):
    """A broken chip answers one intent twice; the second receipt comes home elsewhere."""
    card = case(s)
    tap = s.w.debit(s.one, card, CASH, 1_000)
    again = s.w.receipt(s.one, card, ReceiptKind.DEBIT, tap.intent, CASH, 1_000)
    s.w.record(s.two, log.Collected(bytes(again)))
    s.w.post(ledger.debit(again.hash, 2, 1_000))


@fraud(Invariant.INTENT_RECEIPT)
def more_taken_than_was_shown(s: Story):
    """The screen shows one amount, the card is asked for another."""
    card = case(s)
    intent = s.w.intent(s.one, card, CASH, 10_000)
    receipt = s.w.receipt(s.one, card, ReceiptKind.DEBIT, intent, CASH, 20_000)
    s.w.record(s.one, log.Receipted(intent.sequence, bytes(receipt)))
    s.w.post(ledger.debit(receipt.hash, 2, 20_000))


@fraud(Invariant.VOIDS)
def a_void_of_less_than_the_debit(s: Story):
    """A broken chip gives back another amount than it took."""
    card = case(s)
    s.w.void(s.w.debit(s.one, card, SCHOOL, 10_000, deliver=False), card, amount=4_000)


@fraud(Invariant.VOIDS)
def goods_kept_after_a_void(s: Story):
    """The family gave the basket back; the operator never put it into stock."""
    card = case(s)
    s.w.void(s.w.debit(s.one, card, FOOD, 1), card, back=False)
    s.w.tick(8 * DAY_S)
