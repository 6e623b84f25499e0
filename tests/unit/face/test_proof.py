"""The checks of a receipt: all hold on honest bytes, and each alone notices what it is for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from backend.face.book import Book
from backend.face.gather import papers_of, receipt_view
from backend.face.proof import CHECKS, Outcome, Papers, Step, prove
from tests.support.fraud_reports import ONE_WORKER
from wire.env import Environment
from wire.receipt import Receipt

SECOND = 2


def papers(book: Book, sequence: int = SECOND) -> Papers:
    """A receipt in the middle of a card's chain, with all its papers."""
    held = next(
        h for h in book.world.receipts.values()
        if h.receipt.sequence == sequence and sequence < book.world.cards[h.receipt.card_id].newest
        and book.world.ask_of(h.receipt) is not None
    )  # fmt: skip
    return papers_of(book, held.receipt.raw, held.place)


def outcome(book: Book, changed: Papers) -> dict[Step, Outcome]:
    return {c.step: c.outcome for c in prove(book.world.trust, changed)}


def flip(raw: bytes | None, at: int = -1) -> bytes:
    assert raw is not None
    data = bytearray(raw)
    data[at] ^= 1
    return bytes(data)


def test_every_check_holds_on_every_honest_receipt(book: Book, many: Book) -> None:
    for each in (book, many):
        for name, held in each.world.receipts.items():
            view = receipt_view(each, name)
            assert view is not None
            ends = {c.step: c.outcome for c in view.checks}
            assert Outcome.FAILS not in ends.values(), (held.name, ends)
            absent = {s for s, o in ends.items() if o == Outcome.ABSENT}
            # Only what went down with the lost terminal is not there.
            assert absent <= {Step.INTENT}, held.name
            assert absent == set() or each.world.ask_of(held.receipt) is None
            assert b"".join(p.raw for p in view.parts) == view.raw == held.receipt.raw


def test_each_single_byte_flipped_fails_a_check(book: Book) -> None:
    whole = papers(book)
    for at in range(len(whole.receipt)):
        ends = outcome(book, replace(whole, receipt=flip(whole.receipt, at)))
        assert ends[Step.SIGNATURE] == Outcome.FAILS, at
        assert ends[Step.RECORD] == Outcome.FAILS or ends[Step.FORM] == Outcome.FAILS, at


def test_the_page_of_a_flipped_byte_shows_it_and_the_receipt_stays(book: Book) -> None:
    name = next(iter(book.world.receipts))
    honest = receipt_view(book, name)
    assert honest is not None
    for at in (0, 22, 100, 209):
        view = receipt_view(book, name, at)
        assert view is not None
        assert (view.altered, view.is_proven) == (at, False)
        assert view.raw != honest.raw
        assert (view.body_hash != honest.body_hash) == (at < 146)
    assert receipt_view(book, name, 210).altered is None  # type: ignore[union-attr]
    assert receipt_view(book, name).is_proven  # type: ignore[union-attr]
    assert receipt_view(book, bytes(32)) is None


# --- each check alone ------------------------------------------------------------

PAPER_OF = {
    Step.CERTIFICATE: "issued", Step.LINK: "previous", Step.ENTITLEMENT: "entitlement",
    Step.COUNTERS: "before", Step.TERMINAL: "terminal_certificate", Step.INTENT: "intent",
    Step.RECORD: "record", Step.UPLOAD: "upload", Step.ACKNOWLEDGED: "acknowledgement",
}  # fmt: skip
ABSENT_WITHOUT = PAPER_OF | {
    Step.ROOT: "issued", Step.LOGGED: "issued_next", Step.FOLLOWED: "following",
    Step.SIGNATURE: "issued",
}  # fmt: skip


@pytest.mark.parametrize("step", sorted(ABSENT_WITHOUT))
def test_a_paper_that_is_not_there_is_never_passed(book: Book, step: Step) -> None:
    without = replace(papers(book), **{ABSENT_WITHOUT[step]: None})
    assert outcome(book, without)[step] == Outcome.ABSENT


@pytest.mark.parametrize(
    ("step", "paper"),
    [
        (Step.CERTIFICATE, "issued"), (Step.ENTITLEMENT, "entitlement"),
        (Step.TERMINAL, "terminal_certificate"), (Step.UPLOAD, "upload"),
        (Step.UPLOAD, "enrolment"), (Step.ACKNOWLEDGED, "acknowledgement"),
    ],
)  # fmt: skip
def test_a_paper_with_an_altered_signature_fails(book: Book, step: Step, paper: str) -> None:
    whole = papers(book)
    raw = getattr(whole, paper)
    at = -1
    if paper == "issued":  # the certificate's last byte, within its entry
        certificate = book.world.cards[Receipt.parse(whole.receipt).card_id].certificate
        at = raw.index(certificate.raw) + len(certificate.raw) - 1
    elif paper == "upload":  # the last byte of the signed head
        at = raw.index(b"\x58\x40") + 65
    changed = replace(whole, **{paper: flip(raw, at)})
    assert outcome(book, changed)[step] == Outcome.FAILS


def test_another_paper_of_the_same_kind_does_not_do(book: Book) -> None:
    """A neighbour's genuine paper passes its own signature and fails here."""
    whole = papers(book)
    mine = Receipt.parse(whole.receipt)
    other = next(
        papers_of(book, h.receipt.raw, h.place) for h in book.world.receipts.values()
        if h.receipt.card_id != mine.card_id and h.receipt.terminal_id != mine.terminal_id
        and h.receipt.sequence == SECOND and book.world.ask_of(h.receipt) is not None
    )  # fmt: skip
    for step, paper in PAPER_OF.items():
        changed = replace(whole, **{paper: getattr(other, paper)})
        assert outcome(book, changed)[step] != Outcome.HOLDS, step
    for step, paper in ((Step.FOLLOWED, "following"), (Step.LOGGED, "issued_next"),
                        (Step.LOGGED, "issued"), (Step.ROOT, "statements")):  # fmt: skip
        value = () if paper == "statements" else getattr(other, paper) or whole.receipt
        assert outcome(book, replace(whole, **{paper: value}))[step] != Outcome.HOLDS, step


def test_the_rule_of_each_comparison(book: Book) -> None:
    """Re-made by the holder of the card's key, only the comparison is left to notice it."""
    whole = papers(book)
    body = bytearray(whole.receipt)
    for step, at in ((Step.COUNTERS, 25), (Step.LINK, 145), (Step.INTENT, 97),
                     (Step.TERMINAL, 53), (Step.ENTITLEMENT, 103)):  # fmt: skip
        changed = bytes(body[:at]) + bytes([body[at] ^ 1]) + bytes(body[at + 1 :])
        assert outcome(book, replace(whole, receipt=changed))[step] == Outcome.FAILS, step


def test_a_statement_of_another_root_is_refused(book: Book) -> None:
    whole = papers(book)
    changed = tuple(flip(raw) for raw in whole.statements)
    assert outcome(book, replace(whole, statements=changed))[Step.ROOT] == Outcome.FAILS


def test_a_receipt_of_another_environment_fails(book: Book) -> None:
    whole = papers(book)
    raw = whole.receipt[:4] + bytes([Environment.DEMO_SPECIMEN]) + whole.receipt[5:]
    assert outcome(book, replace(whole, receipt=raw))[Step.ENVIRONMENT] == Outcome.FAILS


def test_the_first_receipt_links_to_the_certificate(book: Book) -> None:
    first = papers(book, 1)
    assert outcome(book, first)[Step.LINK] == Outcome.HOLDS
    assert outcome(book, first)[Step.COUNTERS] == Outcome.HOLDS
    assert first.has_before  # the load before it


def test_every_step_is_made(book: Book) -> None:
    assert [Step.FORM, *CHECKS] == list(Step)
    assert [c.step for c in prove(book.world.trust, papers(book))] == list(Step)


@ONE_WORKER
def test_the_page_of_every_receipt_of_every_fraud_can_be_made(frauds: dict[str, Book]) -> None:
    failing = 0
    for book in frauds.values():
        for name, paper in book.papers.items():
            if paper.raw[:3] == b"BTR" and name in {*book.world.aside_names, *_named(book)}:
                view = receipt_view(book, name)
                assert view is not None
                failing += not view.is_proven
    assert failing > 10


def _named(book: Book) -> set[bytes]:
    """Receipts that findings name."""
    every = {e for f in book.report.findings for e in (f.subject, *f.evidence)}
    refs = [book.find(e) for e in every]
    return {bytes.fromhex(r.key) for r in refs if r is not None and r.kind == "struk"}
