"""Uploaders and kills of the backend, in small (`make sim-upload` is the campaign), and the planted
bugs that the campaign's own function finds.
"""

from __future__ import annotations

import pytest

from tests.support import upload_campaign
from tests.support.campaign import FaultError
from tests.support.upload_campaign import SMALL, STORES, play

SEED = 7
pytestmark = pytest.mark.xdist_group("uploads")  # one story for all of them

EARLY = """
import threading
from backend import ingest, office

class UndoneError(Exception):
    pass

honest = office.Office.take_upload

def early(self, raw):
    with self.db.read() as session:
        checked = ingest.check(session, self.trust, raw)
    try:
        with self.db.write() as session:
            answer = ingest.apply(session, self.trust, self.ack, checked, self.clock())
            raise UndoneError
    except UndoneError:
        threading.Timer(3, honest, (self, raw)).start()
        return answer

office.Office.take_upload = early
"""
"""An answer before its commit, as somebody might who wants to answer fast."""

TWICE = """
from backend import receipts
honest = receipts.settle

def twice(book, receipt):
    held = receipts.find(book.session, receipt.card_id, receipt.sequence)
    row = honest(book, receipt)
    if held is not None:
        receipts._book_amount(book, held)
    return row

receipts.settle = twice
"""
"""A receipt that two terminals carried home is booked twice."""


@pytest.fixture(scope="module", autouse=True)
def templates():
    yield
    upload_campaign.close()


@pytest.mark.parametrize("store", STORES)
def test_every_upload_counts_once_whoever_is_killed(store):
    counts = play(SEED, 0, SMALL, store=store)
    assert counts["kills"] == 1
    assert counts["receipts, each settled once"] >= 15, counts


def test_an_acknowledgement_before_the_commit_is_found():
    with pytest.raises(FaultError, match="acknowledged to"):
        play(SEED, 0, SMALL, patch=EARLY, store="sqlite")


def test_a_receipt_booked_twice_is_found():
    with pytest.raises(FaultError):
        play(SEED, 1, SMALL, patch=TWICE, store="sqlite")
