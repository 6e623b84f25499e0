"""More frauds against 1 to 11 and over reserves, one for each check that the others do not need."""

from __future__ import annotations

from backend import ledger
from keys.signer import Ed25519Signer, P256KeyAgreement, P256Signer
from tests.support.audit_frauds import case, fraud
from tests.support.audit_people import SoftCard
from tests.support.audit_story import (
    CASH,
    FOOD,
    PROVISIONAL,
    SCHOOL,
    Story,
    early_move,
    known_at_last,
)
from tests.support.audit_world import DAY_S, RICE, SUPERVISOR
from wire import cvc, dates, ecdsa, log
from wire.chain import Citation, IssuanceKind
from wire.invariants import Invariant
from wire.log import Record
from wire.objects import (
    GoodsLine,
    KeyRole,
    Unit,
)
from wire.receipt import ReceiptKind, Verification

I = Invariant  # noqa: E741 - a table below


# --- 1, 2 ------------------------------------------------------------


@fraud(I.SIGNATURES)
def an_upload_under_another_key(s: Story):
    """Somebody who lacks the log key sends records for a terminal."""
    s.w.upload(s.two)
    s.w.record(s.two, log.Boot("lain"))
    s.two.log_key, own = Ed25519Signer.generate(s.w.random), s.two.log_key
    s.w.upload(s.two)
    s.two.log_key = own


@fraud(I.SIGNATURES)
def a_card_certified_by_the_wrong_ca(s: Story):
    """The terminal CA's keeper signs a card certificate; the card is used."""
    real = case(s)
    key, channel = P256Signer.generate(s.w.random), P256KeyAgreement.generate(s.w.random)
    number = 0xEEEEEE
    card_id = s.w.env.mark + number.to_bytes(4, "big")
    unsigned = cvc.encode_unsigned(
        serial=number, issuer=cvc.CaId(s.w.env.mark, cvc.CaKind.CARD_CA, 1), subject=card_id,
        effective=dates.day_of(s.w.now_s), expires=dates.add_days(dates.day_of(s.w.now_s), 100),
        extension=cvc.CardExtension(s.w.env, ecdsa.compress(key.public_key)),
        public_key=channel.public_key,
    )  # fmt: skip
    cert = cvc.assemble(unsigned, s.w.keys.signer(KeyRole.TERMINAL_CA).sign(unsigned))
    s.w.note(IssuanceKind.CARD_CERTIFICATE, bytes(cert), family=s.families[7], order=bytes(32))
    ghost = SoftCard(card_id, key, cert, s.families[7], link=cert.digest)
    s.w.entitle(ghost, CASH, 100_000, Citation(s.decree, 23))
    ghost.wallets, ghost.held, ghost.pins = dict(real.wallets), dict(real.held), 1
    s.w.debit(s.one, ghost, CASH, 10_000, book=False)


@fraud(I.TERMINAL_CHAIN)
def records_skipped(s: Story):
    """The operator leaves a record out and signs the rest."""
    s.w.upload(s.two)
    s.w.record(s.two, log.Boot("a"))
    s.w.record(s.two, log.Boot("b"))
    s.w.upload(s.two, records=s.two.records[-1:])


@fraud(I.TERMINAL_CHAIN)
def a_record_that_links_elsewhere(s: Story):
    """A record replaced before the rest was signed."""
    s.w.upload(s.two)
    last = s.two.records[-1]
    s.two.records.append(Record.make(last.sequence + 1, s.w.random(32), s.w.tick(), log.Boot("b")))


# --- 7 ------------------------------------------------------------


@fraud(I.ENTITLEMENT_ISSUED)
def an_older_entitlement(s: Story):
    """A broken chip goes back to an entitlement it has left."""
    card = case(s)
    old = card.held[CASH]
    s.w.entitle(card, CASH, 0, None)
    s.w.load(s.one, card, CASH)
    s.w.debit(s.one, card, CASH, 1_000)
    s.w.debit(s.one, card, CASH, 1_000, entitlement_sequence=old.sequence)


@fraud(I.ENTITLEMENT_ISSUED)
def an_entitlement_below_the_one_before(s: Story):
    """The issuer signs a lower L."""
    s.w.entitle(case(s), CASH, -1_000, None, book=False)


@fraud(I.ENTITLEMENT_ISSUED)
def an_entitlement_for_another_certificate(s: Story):
    """The issuer binds it to another chip of the same number."""
    s.w.entitle(case(s), CASH, 0, None, certificate_hash=bytes(16))


@fraud(I.ENTITLEMENT_ISSUED)
def a_wallet_of_another_programme(s: Story):
    """The issuer names another programme for the wallet."""
    s.w.entitle(case(s), CASH, 0, None, programme=3)


# --- 8 ------------------------------------------------------------


@fraud(I.INTENT_RECEIPT)
def a_receipt_of_no_intent(s: Story):
    """A receipt entered twice, the second time for nothing."""
    tap = s.w.debit(s.one, case(s), CASH, 1_000)
    s.w.record(s.one, log.Receipted(60_000, bytes(tap.receipt)))


@fraud(I.INTENT_RECEIPT)
def a_receipt_for_another_intent(s: Story):
    """One receipt serves two intents."""
    tap = s.w.debit(s.one, case(s), CASH, 1_000)
    other = s.w.intent(s.one, case(s), CASH, 1_000)
    s.w.record(s.one, log.Receipted(other.sequence, bytes(tap.receipt)))


@fraud(I.INTENT_RECEIPT)
def delivered_without_a_receipt(s: Story):
    """Goods leave the store without the card."""
    intent = s.w.intent(s.one, case(s), FOOD, 1)
    s.w.record(s.one, log.Delivered(intent.sequence))


@fraud(I.INTENT_RECEIPT)
def delivered_for_nothing(s: Story):
    """DELIVERED of no intent."""
    s.w.record(s.one, log.Delivered(60_000))


@fraud(I.INTENT_RECEIPT)
def aborted_without_evidence(s: Story):
    """ABORTED while the card stood elsewhere."""
    intent = s.w.intent(s.one, case(s), CASH, 1_000)
    s.w.record(s.one, log.Aborted(intent.sequence, 7, None))


@fraud(I.INTENT_RECEIPT)
def aborted_on_a_receipt_that_proves_nothing(s: Story):
    """ABORTED on a receipt of another place."""
    card = case(s)
    tap = s.w.debit(s.one, card, CASH, 1_000)
    intent = s.w.intent(s.one, card, CASH, 1_000)
    s.w.record(s.one, log.Aborted(intent.sequence, card.sequence, bytes(tap.receipt)))


@fraud(I.INTENT_RECEIPT)
def aborted_on_no_receipt(s: Story):
    """ABORTED on a statement."""
    card = case(s)
    intent = s.w.intent(s.one, card, CASH, 1_000)
    from wire.receipt import StatementKind

    said = s.w.statement(s.one, card, StatementKind.LOAD, wallet=CASH)
    s.w.record(s.one, log.Aborted(intent.sequence, card.sequence, bytes(said)))


@fraud(I.INTENT_RECEIPT)
def a_dispute_over_nothing(s: Story):
    """DISPUTE of a receipt that nobody has."""
    s.w.record(s.one, log.Dispute(case(s).card_id, 1, s.w.random(32)))


@fraud(I.INTENT_RECEIPT)
def other_goods_shown_than_signed(s: Story):
    """The screen shows less rice than the tariff gives."""
    card = case(s)
    lines = (GoodsLine(RICE, Unit.GRAM, 4_000),)
    s.w.record(s.one, log.Intent(
        card.card_id, card.certificate.digest, FOOD, 1, 1, lines, card.sequence,
        s.one.serials[cvc.Role.TERMINAL, 0], 0, 1, 1, 1, "",
    ))  # fmt: skip


@fraud(I.INTENT_RECEIPT)
def a_delivered_void(s: Story):
    """DELIVERED names a void."""
    card = case(s)
    void, _ = s.w.void(s.w.debit(s.one, card, SCHOOL, 1_000, deliver=False), card)
    s.w.record(s.one, log.Delivered(void.sequence))


@fraud(I.INTENT_RECEIPT)
def delivered_before_the_receipt(s: Story):
    """Goods go before the receipt is durable."""
    card = case(s)
    tap = s.w.debit(s.one, card, SCHOOL, 1_000, record=False)
    s.w.record(s.one, log.Delivered(tap.intent.sequence))
    s.w.record(s.one, log.Receipted(tap.intent.sequence, bytes(tap.receipt)))
    s.w.payable(tap.receipt)


# --- 9 ------------------------------------------------------------


def open_void(s: Story, intent: int, sequence: int, *, on_counter=False) -> Record:
    card = case(s)
    return s.w.record(s.one, log.VoidIntent(
        intent, card.card_id, sequence, s.one.serials[cvc.Role.SUPERVISOR, SUPERVISOR],
        SUPERVISOR, on_counter, "x",
    ))  # fmt: skip


@fraud(I.VOIDS)
def a_void_of_nothing(s: Story):
    """VOID names no debit."""
    open_void(s, 60_000, 0)


@fraud(I.VOIDS)
def a_void_of_another_receipt(s: Story):
    """VOID names another sequence than its debit's receipt."""
    card = case(s)
    tap = s.w.debit(s.one, card, SCHOOL, 1_000)
    s.w.unpayable(tap.receipt, open_void(s, tap.intent.sequence, 9).hash)


@fraud(I.VOIDS)
def a_reversal_without_a_void(s: Story):
    """A reversal under the intent of a debit."""
    card = case(s)
    s.w.debit(s.one, card, SCHOOL, 1_000, deliver=False)
    intent = s.w.intent(s.one, card, SCHOOL, 1_000)
    made = s.w.receipt(s.one, card, ReceiptKind.REVERSAL, intent, SCHOOL, 1_000,
                       officer=SUPERVISOR)  # fmt: skip
    s.w.record(s.two, log.Collected(bytes(made)))
    s.w.post(ledger.reversal(made.hash, 3, 1_000))


@fraud(I.VOIDS)
def goods_back_without_a_void(s: Story):
    """RETURNED while the void is open."""
    card = case(s)
    tap = s.w.debit(s.one, card, SCHOOL, 1_000)
    void = open_void(s, tap.intent.sequence, card.sequence, on_counter=True)
    s.w.unpayable(tap.receipt, void.hash)
    s.w.record(s.one, log.Returned(void.sequence))


@fraud(I.VOIDS)
def goods_back_for_nothing(s: Story):
    """RETURNED of no void."""
    s.w.record(s.one, log.Returned(60_000))


@fraud(I.VOIDS)
def goods_back_twice(s: Story):
    """RETURNED twice for one void."""
    card = case(s)
    void, _ = s.w.void(s.w.debit(s.one, card, FOOD, 1), card)
    s.w.record(s.one, log.Returned(void.sequence))


@fraud(I.VOIDS)
def given_back_although_voided(s: Story):
    """GIVEN_BACK after a proven void."""
    card = case(s)
    void, _ = s.w.void(s.w.debit(s.one, card, SCHOOL, 1_000), card)
    s.w.record(s.one, log.GivenBack(void.sequence))


@fraud(I.VOIDS)
def handed_over_after_its_void(s: Story):
    """The basket of a voided debit leaves the store."""
    card = case(s)
    tap = s.w.debit(s.one, card, SCHOOL, 1_000, deliver=False)
    void, _ = s.w.void(tap, card)
    s.w.record(s.one, log.Delivered(tap.intent.sequence))
    s.w.record(s.one, log.Returned(void.sequence))


# --- 10, 11 ------------------------------------------------------------


@fraud(I.CAPS_AND_COUNTS)
def neither_pin_nor_bypass(s: Story):
    """A broken chip asks nobody."""
    s.w.debit(s.one, case(s), CASH, 1_000, verification=Verification.NONE)


@fraud(I.CAPS_AND_COUNTS)
def a_bypass_without_its_reason(s: Story):
    """The supervisor's reason is missing."""
    case(s).bypasses += 1
    s.w.debit(s.one, case(s), CASH, 1_000, verification=Verification.BYPASS, officer=SUPERVISOR)


@fraud(I.CAPS_AND_COUNTS)
def bypasses_that_do_not_count(s: Story):
    """A broken chip does not count its bypasses."""
    s.w.debit(s.one, case(s), CASH, 1_000)
    s.w.debit(s.one, case(s), CASH, 1_000, bypass=True, bypass_count=0)
    case(s).bypasses = 0


@fraud(I.CAPS_AND_COUNTS)
def a_tariff_never_signed(s: Story):
    """The terminal names a basket that no programme object has."""
    card = case(s)
    intent = s.w.record(s.one, log.Intent(
        card.card_id, card.certificate.digest, SCHOOL, 1_000, 9, (), card.sequence,
        s.one.serials[cvc.Role.TERMINAL, 0], 0, 1, 1, 1, "",
    ))  # fmt: skip
    made = s.w.receipt(s.one, card, ReceiptKind.DEBIT, intent, SCHOOL, 1_000, basket_version=9)
    s.w.record(s.one, log.Receipted(intent.sequence, bytes(made)))
    s.w.post(ledger.debit(made.hash, 3, 1_000))


@fraud(I.TIME)
def before_the_entitlement_was_dated(s: Story):
    """The issuer dates an entitlement ahead, the terminal takes it."""
    card = case(s)
    s.w.entitle(card, CASH, 0, None, issued=dates.day_of(s.w.now_s + 3 * DAY_S))
    s.w.load(s.one, card, CASH)
    s.w.debit(s.one, card, CASH, 1_000)


@fraud(I.TIME)
def a_log_ahead_of_its_arrival(s: Story):
    """The terminal's clock runs an hour ahead."""
    s.w.record(s.two, log.Boot("betang"), time_s=s.w.now_s + 3600)
    s.w.upload(s.two)


@fraud(I.TIME)
def two_terminals_two_days_apart(s: Story):
    """The second terminal's clock was set back by days."""
    card = case(s)
    s.w.tick(4 * DAY_S)
    s.w.debit(s.one, card, SCHOOL, 1_000)
    now_s, s.w.now_s = s.w.now_s, s.w.now_s - 2 * DAY_S
    tap = s.w.debit(s.two, card, SCHOOL, 1_000, book=False)
    s.w.now_s = now_s
    s.w.post(ledger.debit(tap.receipt.hash, 3, 1_000))
    s.w.payable(tap.receipt)


# --- reserves (14, 18) ------------------------------------------------------------


@fraud(I.CONSERVATION)
def a_reserve_never_booked(s: Story):
    """The provisional amount moves and nobody writes down what it may cost."""
    early_move(s, reserved=0)


@fraud(I.CONSERVATION)
def a_reserve_booked_too_high(s: Story):
    """More is put by than moved, to be taken out quietly."""
    early_move(s, reserved=PROVISIONAL + 1)


@fraud(I.DECREE_ROW)
def more_than_the_provisional_amount(s: Story):
    """Two people release the residual although a terminal does not know of the block."""
    early_move(s, PROVISIONAL + 1)


@fraud(I.CONSERVATION)
def a_reserve_cleared_by_the_wrong_terminal(s: Story):
    """The books are cleaned on a SYNC of a terminal that knew already."""
    early_move(s)
    s.w.sync(s.one)
    s.w.post(ledger.reserve_cleared(s.one.records[-1].hash, 2, PROVISIONAL))


@fraud(I.CONSERVATION)
def a_reserve_cleared_by_an_older_sync(s: Story):
    """The second terminal's SYNC is of the hotlist before."""
    early_move(s)
    s.w.hotlist_version -= 1
    record = known_at_last(s)
    s.w.hotlist_version += 1
    s.w.post(ledger.reserve_cleared(record.hash, 2, PROVISIONAL))


@fraud(I.CONSERVATION)
def a_reserve_never_cleared(s: Story):
    """Every terminal knows, and the reserve stays to hide another loss."""
    early_move(s)
    known_at_last(s)


@fraud(I.CONSERVATION)
def a_reserve_cleared_while_an_intent_is_pending(s: Story):
    """The SYNC of the block still lists a debit of the lost card as pending."""
    intent = s.w.intent(s.two, s.cards[1], CASH, 1_000)
    early_move(s)
    s.w.sync(s.two, (intent.sequence,))
    s.w.post(ledger.reserve_cleared(s.two.records[-1].hash, 2, PROVISIONAL))
