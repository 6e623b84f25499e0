"""Who commits each named fraud, with which keys, and the findings that must name it.

``AUTHORS``: author → keys in their hands. ``EXPECTED``: fraud → (author, facts found, in any
order); its invariant stands where the fraud is entered. The documentation's table is made here.
"""

from __future__ import annotations

from backend.audit.facts import Fact
from tests.sim.test_frauds import FRAUDS

AUTHORS = {
    "stranger": "keys of their own making",
    "operator": "the terminal's log key and channel key",
    "chip": "a card's receipt key (broken chip), at an honest terminal",
    "operator and chip": "the terminal's log key, a card's receipt key",
    "supervisor and chip": "log key, the officer's key, a card's receipt key",
    "officer": "the hand-over officer's key, the terminal's log key",
    "administrator": "the Ack key: books, heads, acknowledgements, export",
    "registry officers": "the registry key and two approval keys",
    "policy officer": "the policy key",
    "issuing officers": "the issuer key and two approval keys",
    "card CA's keeper": "the card CA's key, card keys made with it",
    "terminal CA's keeper": "the terminal CA's key, a station's keys made with it",
    "key service": "every signer's key, and what is appended to the issuance log",
}
_TOLD = """
funds_released_under_the_policy_key | policy officer | UNKNOWN_KEY
receipts_made_by_the_operator | operator | BAD_SIGNATURE
a_void_without_a_supervisor | operator and chip | WRONG_ROLE
an_upload_under_another_key | stranger | BAD_FORM
a_card_certified_by_the_wrong_ca | terminal CA's keeper | BAD_SIGNATURE
a_second_hidden_log | operator and chip | INTENT_MISSING
a_forked_log | operator | RECORD_FORKED ACKNOWLEDGED_OTHER
records_taken_out_of_an_upload | administrator | ACKNOWLEDGED_OTHER
records_skipped | operator | RECORDS_MISSING
a_record_that_links_elsewhere | operator | RECORD_UNLINKED
a_cloned_card | operator and chip | CLONE
a_receipt_that_never_came | operator | RECEIPT_MISSING
a_receipt_that_links_elsewhere | chip | LINK_OTHER
a_chip_that_counts_half | chip | COUNTERS_WRONG
a_chip_that_loads_itself | chip | COUNTERS_WRONG
a_chip_that_invents_a_reversal | chip | COUNTERS_WRONG
an_entitlement_that_nobody_issued | chip | ENTITLEMENT_UNKNOWN
an_entitlement_issued_after_its_use | issuing officers | ENTITLEMENT_AFTER_USE
an_older_entitlement | chip | ENTITLEMENT_OLDER_NAMED
an_entitlement_below_the_one_before | issuing officers | ENTITLEMENT_ORDER
an_entitlement_for_another_certificate | issuing officers | ENTITLEMENT_CERTIFICATE
a_wallet_of_another_programme | issuing officers | WALLET_PROGRAMME
aborted_although_it_happened | operator | ABORTED_WITH_RECEIPT
delivered_twice | operator | DELIVERED_TWICE
two_receipts_for_one_intent | operator and chip | RECEIPTS_MANY
more_taken_than_was_shown | operator | RECEIPT_NOT_ASKED
a_receipt_of_no_intent | operator | RECEIPT_NO_INTENT
a_receipt_for_another_intent | operator | RECEIPT_OTHER_INTENT
delivered_without_a_receipt | operator | DELIVERED_NO_RECEIPT
delivered_for_nothing | operator | DELIVERED_NO_INTENT
aborted_without_evidence | operator | ABORTED_NO_EVIDENCE
aborted_on_a_receipt_that_proves_nothing | operator | ABORTED_NOT_EXCLUDED
aborted_on_no_receipt | operator | ABORTED_NO_RECEIPT
a_dispute_over_nothing | operator | DISPUTE_UNKNOWN
other_goods_shown_than_signed | operator | GOODS_OTHER
a_delivered_void | operator | DELIVERED_VOID
delivered_before_the_receipt | operator | DELIVERED_EARLY
a_void_of_less_than_the_debit | supervisor and chip | REVERSAL_OTHER VOID_NOT_ASKED
goods_kept_after_a_void | operator | GOODS_NOT_BACK
a_void_of_nothing | operator | VOID_NO_DEBIT
a_void_of_another_receipt | operator | VOID_OTHER
a_reversal_without_a_void | supervisor and chip | REVERSAL_UNASKED
goods_back_without_a_void | operator | RETURNED_UNPROVEN
goods_back_for_nothing | operator | RETURNED_NO_INTENT
goods_back_twice | operator | RETURNED_TWICE
given_back_although_voided | operator | GIVEN_BACK_NO_ABORT
handed_over_after_its_void | operator | HANDED_AFTER_VOID VOID_NO_GOODS
above_the_cap | operator and chip | ABOVE_PROGRAMME_CAP ABOVE_CAP
outside_the_window | operator | OUTSIDE_WINDOW
what_had_expired | operator and chip | EXPIRED
bypassed_too_often | supervisor and chip | BYPASSES_MANY
a_pin_set_that_nobody_can_explain | officer | PIN_UNEXPLAINED
a_script_that_nobody_issued | chip | SCRIPT_UNEXPLAINED
neither_pin_nor_bypass | chip | NO_PIN
a_bypass_without_its_reason | supervisor and chip | BYPASS_REASON
bypasses_that_do_not_count | supervisor and chip | BYPASS_STEP
a_tariff_never_signed | operator | TARIFF_UNSIGNED
a_log_that_runs_backwards | operator | RECORD_OLDER
a_receipt_of_another_day | operator | TIME_NOT_INTENT
under_an_expired_certificate | operator and chip | OUTSIDE_TERMINAL_CERTIFICATE
before_the_entitlement_was_dated | issuing officers | BEFORE_ENTITLEMENT
a_log_ahead_of_its_arrival | operator | RECORD_FUTURE
two_terminals_two_days_apart | operator | TIME_OLDER
a_blocked_card_at_a_synced_terminal | operator | AFTER_HOTLIST
a_blocked_card_under_a_newer_certificate | operator | CERTIFICATE_AFTER_HOTLIST
settled_twice | administrator | SETTLEMENT_SUM
paid_without_a_hand_over | administrator | PAID_BUT_HELD
paid_above_the_tariff | administrator | PAYABLE_OTHER NOT_OWED
a_reversed_debit_still_paid | administrator | PAID_BUT_HELD
payable_twice | administrator | PAYABLE_TWICE
a_payable_of_nothing | administrator | PAYABLE_UNPROVEN
an_unpayable_of_nothing | administrator | UNPAYABLE_NOTHING
funds_paid_to_nobody | administrator | SETTLEMENT_SHAPE
a_returned_debit_still_paid | administrator | PAID_BUT_HELD
a_written_off_debit_still_paid | administrator | PAID_BUT_HELD
paid_while_a_void_is_open | administrator | PAID_BUT_HELD
a_load_only_the_ledger_knows | administrator | LEDGER_UNEXPLAINED
a_debit_missing_from_the_ledger | administrator | LEDGER_MISSING
forfeited_only_on_paper | administrator | FORFEIT_OTHER
an_entry_of_an_unknown_kind | administrator | LEDGER_KIND
one_debit_booked_twice | administrator | LEDGER_UNEXPLAINED
a_debit_called_a_loss | administrator | LEDGER_MISSING LEDGER_UNEXPLAINED
an_issue_of_another_amount | administrator | LEDGER_OTHER
a_forfeit_of_nothing | administrator | FORFEIT_UNSHOWN
a_reserve_never_booked | administrator | LEDGER_MISSING
a_reserve_booked_too_high | administrator | LEDGER_OTHER
a_reserve_cleared_by_the_wrong_terminal | administrator | LEDGER_UNEXPLAINED
a_reserve_cleared_by_an_older_sync | administrator | LEDGER_UNEXPLAINED
a_reserve_never_cleared | administrator | LEDGER_MISSING
a_reserve_cleared_while_an_intent_is_pending | administrator | LEDGER_UNEXPLAINED
less_received_than_delivered | operator | RECEIVED_OTHER
a_checkpoint_that_lies | operator | COUNTED_OTHER COUNTED_OTHER COUNTED_OTHER
stock_lost_only_in_the_ledger | administrator | LEDGER_UNEXPLAINED
received_twice | operator | RECEIVED_TWICE
stock_out_of_nowhere | operator | NO_DELIVERY
more_went_out_than_came_in | operator | MORE_OUT
a_specimen_card_redeemed | operator and chip | FOREIGN
specimen_funds | registry officers | FOREIGN
a_training_log | operator | FOREIGN
a_ledger_written_anew | administrator | HEAD_OTHER
an_object_left_out_of_the_export | administrator | OBJECT_ABSENT
two_hotlists_of_one_version | policy officer | TWO_HOTLISTS
an_entry_dated_back | administrator | ENTRY_OLDER
one_row_used_twice | issuing officers | CAUSE_TWICE
more_than_the_row_says | issuing officers | ROW_LESS
loaded_without_funds | issuing officers | FUNDS_LESS
a_family_nobody_visited | registry officers | ROW_NO_VISIT
more_moved_than_was_left | registry officers | MOVED_MORE
more_than_the_provisional_amount | registry officers | MOVED_EARLY
a_load_without_a_row | issuing officers | NO_CAUSE
a_row_that_is_not_there | issuing officers | NO_ROW
another_familys_row | issuing officers | ROW_OTHER
a_row_cited_without_a_step | issuing officers | CAUSE_NO_STEP
a_decision_that_gives_nothing | issuing officers | DECISION_GIVES_NOTHING
a_decision_that_is_not_there | issuing officers | NO_DECISION
a_decision_about_another_card | issuing officers | DECISION_OTHER
more_than_the_decision | issuing officers | DECISION_LESS
more_returned_than_taken | registry officers | RETURNED_MORE
moved_to_another_family | registry officers | MOVED_FAMILY
a_row_on_a_neighbours_visit | registry officers | ROW_NO_VISIT
a_second_card_for_one_family | registry officers | TWO_CARDS
a_card_kept_out_of_the_log | card CA's keeper | CARD_NOT_LOGGED
an_unlogged_terminal_certificate | terminal CA's keeper | CERTIFICATE_NOT_LOGGED
an_entitlement_kept_out_of_the_log | issuing officers | ENTITLEMENT_NOT_LOGGED
a_decision_kept_out_of_the_log | registry officers | OBJECT_NOT_LOGGED
a_card_without_an_order | key service | NO_ORDER
a_card_for_another_than_ordered | key service | ORDER_OTHER
two_cards_of_one_order | key service | ORDER_TWICE
a_second_certificate_of_one_card | card CA's keeper | CERTIFICATE_TWICE
a_station_enrolled_twice | registry officers | STATION_TWICE
a_terminal_kept_out_of_the_log | key service | OBJECT_NOT_LOGGED CERTIFICATE_NOT_LOGGED
a_bundle_kept_out_of_the_log | policy officer | BUNDLE_NOT_LOGGED
an_entitlement_of_a_card_nobody_certified | issuing officers | ENTITLEMENT_NO_CARD
a_script_kept_out_of_the_log | issuing officers | SCRIPT_NOT_LOGGED
"""
EXPECTED: dict[str, tuple[str, tuple[Fact, ...]]] = {
    name: (author, tuple(Fact[x] for x in facts.split()))
    for name, author, facts in (line.split(" | ") for line in _TOLD.strip().splitlines())
}


def table() -> str:
    """The frauds by author, for docs/audit.md: each with the invariant that finds it."""
    lines = ["| author | holds | frauds, and the invariant that finds each |", "|---|---|---|"]
    for author, keys in AUTHORS.items():
        names = [n for n, (who, _) in EXPECTED.items() if who == author]
        told = [f"{n.replace('_', ' ')} {int(FRAUDS[n][0])}" for n in names]
        lines.append(f"| {author} | {keys} | {'; '.join(told)} |")
    return "\n".join(lines)
