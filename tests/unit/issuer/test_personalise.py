"""The way of a card through the desk, and every card that does not go it."""

from __future__ import annotations

import dataclasses

import pytest

from card_os.host.links import CardRemoved, InProcessLink
from card_os.host.security_domain import SecurityDomainSession
from card_os.reference.foreign import DroppingCard, ForeignCard
from issuer.cardwork import RelayChannel
from issuer.errors import OrderUnknownError, TransferError
from issuer.identify import Kind, examine
from issuer.outcomes import (
    Fault,
    Faulty,
    Interrupted,
    Issued,
    KeyServiceRefused,
    Refusal,
    Refused,
    Scrapped,
    Turned,
    TurnedAway,
    Unfinishable,
    Waiting,
    WrongKeys,
)
from keys.errors import UnreachableError
from keys.kdf import StaticKeys
from keys.relay import CardRelay
from tests.unit.issuer.desk_world import (
    COMMANDS,
    DAY_S,
    DESK_ID,
    ENV,
    NOW_S,
    OFFICER,
    TRANSPORT,
    CutLink,
    DeskWorld,
    activate,
    issued_once,
)
from wire.chain import IssuanceKind
from wire.cvc import Certificate
from wire.entitlement import Entitlement
from wire.env import LIVE_PURSE_AID, PACKAGE_AID, Environment
from wire.log import DeskStep, Load, Reason, Rejected
from wire.objects import KeyRole
from wire.purse import InstallParameters, Life


@pytest.fixture
def w():
    return DeskWorld()


# --- the good way ---------------------------------------------------------------------------


def test_a_card_is_issued_loaded_and_its_code_opens_it(w):
    number, card = w.order(), w.card()
    outcome = w.make(card)
    assert outcome == Issued(number, b"DEMO\0\0\0\1", (1, 2), False)
    assert outcome.is_good
    assert w.steps(number) == list(DeskStep)[:8]
    assert len(w.certificates(w.desk.book.job(number).order.family)) == 1
    activate(w, card, outcome.card_id)


def test_the_loads_stand_in_the_desk_log_with_the_cards_statements(w):
    w.order()
    w.make(w.card())
    loads = [r.body for r in w.desk.log.records() if isinstance(r.body, Load)]
    hashes = {Entitlement.parse(w.entitlement(b"DEMO\0\0\0\1", n)).hash for n in (1, 2)}
    assert {x.entitlement for x in loads} == hashes


def test_a_programme_without_funds_gives_a_card_without_wallets(w):
    w.order()
    w.source.wallets = ()
    assert w.make(w.card()).wallets == ()


def test_the_card_has_our_keys_only_and_the_service_alone_opens_it(w):
    w.order()
    card = w.card()
    w.make(card)
    raw = w.signed_order()
    with CardRelay(w.service, raw, OFFICER) as relay, pytest.raises(Exception, match="order"):
        SecurityDomainSession(InProcessLink(card), RelayChannel(relay))


def test_a_specimen_desk_makes_specimens_by_the_same_code():
    w = DeskWorld(Environment.DEMO_SPECIMEN)
    w.order()
    card = w.card()
    assert w.make(card).is_good
    assert examine(InProcessLink(card), w.env).kind == Kind.PURSE
    live = DeskWorld()
    live.order()
    before = card.nvm.writes
    assert live.make(card) == TurnedAway(Turned.SPECIMEN, "DEMO_SPECIMEN")
    assert card.nvm.writes == before


def test_no_code_stands_in_the_log_the_events_or_the_card_folder_in_clear(w):
    w.order()
    outcome = w.make(w.card())
    code = w.code(outcome.card_id)
    assert len(code) == 8
    written = b"".join(r.raw for r in w.desk.log.records())
    files = b"".join(p.read_bytes() for p in w.folder.rglob("*") if p.is_file())
    assert code.encode() not in written + files
    assert code not in repr(w.events)
    (mailer,) = (w.folder / "mail" / "out").iterdir()
    assert mailer.stat().st_mode & 0o777 == 0o600


def test_a_mailer_goes_out_only_when_the_card_counts(w):
    w.order()
    w.source.error = TransferError("no line")
    card = w.card()
    outcome = w.make(card)
    assert isinstance(outcome, Waiting)
    assert not (w.folder / "mail" / "out").exists()
    w.source.error = None
    assert w.make(card) == Issued(outcome.order, outcome.card_id, (1, 2), True)
    activate(w, card, outcome.card_id)


# --- refused before anything is written ---------------------------------------------------------


def test_wrong_transport_keys_stop_after_one_try_that_costs_the_card_none(w):
    number = w.order()
    card = w.card(keys=StaticKeys(b"X" * 16, b"Y" * 16, b"Z" * 16))
    link, before = CutLink(card), card.nvm.writes
    outcome = w.desk.personalise(link, OFFICER)
    assert isinstance(outcome, WrongKeys)
    assert sum(c[1] == 0x50 for c in link.sent) == 1
    assert not any(c[1] == 0x82 for c in link.sent)
    assert card.nvm.writes == before
    assert w.steps(number) == [DeskStep.STARTED, DeskStep.FAILED]


def test_a_chip_that_was_never_received_is_left_as_it_is(w):
    number = w.order()
    card = w.card(received=False)
    before = card.nvm.writes
    outcome = w.make(card)
    assert isinstance(outcome, KeyServiceRefused)
    assert outcome.code == "stock"
    assert card.nvm.writes == before
    assert w.desk.book.next().number == number


def test_a_foreign_card_and_a_mute_one_are_turned_away_and_logged(w):
    w.order()
    assert w.make(ForeignCard()) == TurnedAway(Turned.NOT_A_CHIP_OF_OURS, "")
    mute = w.make(DroppingCard())
    assert (type(mute), mute.reason) == (TurnedAway, Turned.MUTE)
    reasons = [r.body.reason for r in w.desk.log.records() if isinstance(r.body, Rejected)]
    assert reasons == [Reason.FOREIGN_CARD, Reason.DEAD_CARD]


def test_without_an_order_nothing_is_begun(w):
    card = w.card()
    before = card.nvm.writes
    assert w.make(card) == Refused(Refusal.NO_ORDER, b"")
    assert card.nvm.writes == before
    with pytest.raises(OrderUnknownError):
        w.make(card, b"?" * 16)


def test_one_order_makes_one_card(w):
    number, card, other = w.order(), w.card(), w.card()
    card_id = w.make(card, number).card_id
    assert w.make(card, number) == Refused(Refusal.CARD_ISSUED, number, card_id)
    assert w.make(other, number) == Refused(Refusal.ORDER_ISSUED, number, card_id)
    second = w.order()
    assert w.make(card, second) == Refused(Refusal.CARD_OF_OTHER_ORDER, number, card_id)


def test_an_order_whose_card_was_certified_takes_no_other_chip(w):
    number, card, other = w.order(), w.card(), w.card()
    w.desk.personalise(CutLink(card, COMMANDS - 5), OFFICER)
    before = other.nvm.writes
    outcome = w.make(other, number)
    assert isinstance(outcome, Refused)
    assert outcome.reason == Refusal.ORDER_HAS_CARD
    assert other.nvm.writes == before
    assert w.desk.book.next() is None


def test_an_order_that_ended_is_not_begun(w):
    number = w.order()
    w.clock.now_s += 2 * DAY_S
    assert w.desk.book.next() is None
    assert w.make(w.card(), number) == Refused(Refusal.ORDER_ENDED, number)


def test_a_key_service_that_does_not_answer_changes_nothing(w):
    class Silent:
        def __getattr__(self, _):
            def call(*_):
                raise UnreachableError("gone")

            return call

    number, card = w.order(), w.card()
    w.verbs = Silent()
    w.start()
    outcome = w.make(card)
    assert isinstance(outcome, KeyServiceRefused)
    assert outcome.code == "unreachable"
    w.verbs = w.service
    w.start()
    issued_once(w, number, card, w.make(card))


# --- cards that lie -------------------------------------------------------------------------------


def test_an_instance_that_was_there_before_is_replaced_by_our_own(w):
    """A maker who installs the purse under a root of his own gains nothing."""
    from card_os.host.security_domain import LocalChannel

    w.order()
    card = w.card()
    link = InProcessLink(card)
    other = DeskWorld(seed=2)
    with SecurityDomainSession(link, LocalChannel(lambda _: TRANSPORT, w.rng.randbytes)) as sd:
        parameters = bytes(InstallParameters(ENV, other.trust.root_key))
        sd.install_for_install(PACKAGE_AID, PACKAGE_AID + b"\x01", LIVE_PURSE_AID, parameters)
    assert w.make(card).is_good


def test_a_key_set_left_by_the_maker_makes_the_card_unfinishable(w):
    from card_os.reference.keysets import KeySets
    from card_os.reference.memory import Persistent

    number, card = w.order(), w.card()
    assert isinstance(w.desk.personalise(CutLink(card, 12), OFFICER), Interrupted)
    store = Persistent(card.nvm, "sd/")
    sets = KeySets(store)
    back = StaticKeys(b"B" * 16, b"B" * 16, b"B" * 16)
    sets._put_set(0x42, back)
    store.put("order", sets.versions() + b"\x42")
    outcome = w.make(card)
    assert outcome == Unfinishable(Fault.FOREIGN_KEY_SET, number, None, "key versions 42")
    assert w.make(card, scrap=True) == Scrapped(
        number, None, "foreign-key-set: key versions 42"
    )  # fmt: skip
    assert w.make(card).reason == Turned.SCRAPPED
    assert w.make(w.card()).order == number


class Tampered:
    """The key service with one answer changed."""

    def __init__(self, service, **answers) -> None:
        self._service, self._answers = service, answers

    def __getattr__(self, name: str):
        real = getattr(self._service, name)
        change = self._answers.get(name)
        return real if change is None else lambda *a: change(real(*a))


def test_a_certificate_of_another_root_is_not_put_on_a_card(w):
    number, card = w.order(), w.card()
    other = DeskWorld(seed=2)
    other.order()
    foreign = other.make(other.card())
    raw = other.state.card(foreign.card_id).certificate
    w.verbs = Tampered(w.service, certify_card=lambda _: raw)
    w.start()
    outcome = w.make(card)
    assert isinstance(outcome, Unfinishable)
    assert (outcome.reason, outcome.order) == (Fault.CERTIFICATE, number)


def test_a_certificate_for_other_keys_is_not_put_on_a_card(w):
    w.order()
    first = w.make(w.card())
    raw = w.state.card(first.card_id).certificate
    number, card = w.order(), w.card()
    w.verbs = Tampered(w.service, certify_card=lambda _: raw)
    w.start()
    outcome = w.make(card)
    assert (outcome.reason, outcome.order) == (Fault.CERTIFICATE, number)


def test_a_card_that_shows_another_certificate_is_unfinishable(w):
    number, one, two = w.order(), w.card(), w.card()
    w.source.error = TransferError("wait")
    w.make(one, number)
    second = w.order()
    other = w.make(two, second)
    raw = w.state.card(other.card_id).certificate
    w.verbs = Tampered(w.service, card_certificate=lambda _: raw)
    w.start()
    outcome = w.make(one)
    assert (type(outcome), outcome.reason) == (Unfinishable, Fault.CERTIFICATE)


def test_a_lost_mailer_makes_the_card_unfinishable_and_scrapping_frees_the_order(w):
    number, card = w.order(), w.card()
    w.source.error = TransferError("wait")
    card_id = w.make(card).card_id
    (w.folder / "mail" / "pending" / f"{card_id.hex()}.age").unlink()
    w.source.error = None
    outcome = w.make(card)
    assert (type(outcome), outcome.reason) == (Unfinishable, Fault.CODE_LOST)
    assert isinstance(w.make(card, scrap=True), Scrapped)
    assert w.steps(number)[-1] == DeskStep.SCRAPPED
    scraps = [i for i in w.issuance.items if i.kind == IssuanceKind.SCRAPPED]
    assert [i.item for i in scraps] == [card_id]
    assert w.make(card).reason == Turned.SCRAPPED
    assert w.make(w.card()).order == number


def test_a_card_already_handed_over_is_not_made_again(w):
    w.order()
    card = w.card()
    card_id = w.make(card).card_id
    activate(w, card, card_id)
    w.db.execute("UPDATE job SET state = 0, step = 7")  # the desk forgot that it was issued
    outcome = w.make(card)
    assert (type(outcome), outcome.reason) == (Unfinishable, Fault.LIFE)


def test_an_entitlement_that_another_key_signed_is_not_loaded(w):
    number, card = w.order(), w.card()
    honest = w.source.entitlements
    stranger = DeskWorld(seed=2).world.signer(KeyRole.ISSUER)
    w.source.entitlements = lambda c: [w.entitlement(c, 1, signer=stranger)]
    outcome = w.make(card)
    assert isinstance(outcome, Waiting)
    w.source.entitlements = honest
    issued_once(w, number, card, w.make(card))


def test_an_entitlement_of_another_card_is_not_loaded(w):
    w.order()
    first = w.make(w.card())
    w.order()
    w.source.entitlements = lambda _: [w.entitlement(first.card_id, 1)]
    outcome = w.make(w.card())
    assert isinstance(outcome, Waiting)
    assert outcome.detail == "an entitlement is for another card"


def test_a_wallet_nobody_loaded_here_is_found_when_the_card_is_read_back(w):
    number, card = w.order(), w.card()
    w.desk.personalise(CutLink(card, COMMANDS - 4), OFFICER)
    w.source.wallets = (1,)  # the second was loaded in the visit before
    outcome = w.make(card)
    assert (type(outcome), outcome.reason) == (Unfinishable, Fault.CONTENT)
    assert outcome.detail == "wallets, entitlement 2"
    w.source.wallets = (1, 2)
    issued_once(w, number, card, w.make(card))


def test_a_card_that_blocks_its_transport_code_is_found_when_it_is_read_back(w):
    from issuer import cardwork

    loaded = [Entitlement.parse(b) for b in ()]
    w.order()
    card = w.card()
    states = []
    real = cardwork._differences
    cardwork._differences = lambda state, e: states.append(state) or real(state, e)
    try:
        w.source.wallets = ()
        assert w.make(card).is_good
    finally:
        cardwork._differences = real
    for name, value in {
        "life": Life.ACTIVE, "flags": 1, "sequence": 1, "acknowledged": 1, "script_number": 1,
        "script_count": 1, "pin_set_count": 1, "bypass_count": 1, "bypass_total": 1,
        "pin_tries": 4, "pin_unblocks_left": 9,
    }.items():  # fmt: skip
        assert real(dataclasses.replace(states[0], **{name: value}), loaded) == [name]


def test_a_card_that_refuses_a_command_is_faulty_and_may_be_tried_again(w):
    class Refusing(CutLink):
        def transmit(self, command: bytes, /) -> bytes:
            return b"\x6f\x00" if command[1] == 0x2A else super().transmit(command)

    number, card = w.order(), w.card()
    outcome = w.desk.personalise(Refusing(card), OFFICER)
    assert isinstance(outcome, Faulty)
    assert outcome.step == DeskStep.CERTIFIED
    issued_once(w, number, card, w.make(card))


def test_the_desk_sees_no_management_key_in_clear(w):
    """PUT KEY passes the desk; neither our keys nor the transport keys stand in any byte of it."""
    from keys.kdf import diversify

    w.order()
    card = w.card()
    link = CutLink(card)
    w.desk.personalise(link, OFFICER)
    kdd = next(c.kdd for c in [w.state.card(b"DEMO\0\0\0\1")])
    ours = diversify(b"m" * 16, kdd)
    seen = b"".join(link.sent)
    for key in (ours.enc, ours.mac, ours.dek, b"T" * 16, b"M" * 16, b"D" * 16):
        assert key not in seen


def test_the_certificate_says_what_the_order_did(w):
    number = w.order()
    outcome = w.make(w.card())
    family = w.desk.book.job(number).order.family
    (raw,) = w.certificates(family)
    assert Certificate.parse(raw).subject == outcome.card_id
    assert w.desk.book.job(number).order.desk == DESK_ID
    assert w.clock() == NOW_S


def test_an_error_of_the_link_before_the_card_is_known(w):
    w.order()
    card = w.card()
    outcome = w.desk.personalise(CutLink(card, 2, error=lambda: CardRemoved("x")), OFFICER)
    assert outcome == Interrupted(b"", None, "x")


def test_a_card_that_forgets_our_keys_is_unfinishable(w):
    class Forgetting(CutLink):
        """Its memory is as before once PUT KEY was answered."""

        def transmit(self, command: bytes, /) -> bytes:
            before = dict(card.nvm._cells)
            answer = super().transmit(command)
            if command[1] == 0xD8:
                card.nvm._cells = before
            return answer

    w.order()
    card = w.card()
    outcome = w.desk.personalise(Forgetting(card), OFFICER)
    assert (type(outcome), outcome.reason) == (Unfinishable, Fault.OTHER_KEYS)


def test_without_links_no_code_is_made_and_the_card_can_go_on_later(w):
    number, card = w.order(), w.card()
    links, w.desk.tools = w.desk.tools, dataclasses.replace(w.desk.tools, links=())
    outcome = w.make(card)
    assert isinstance(outcome, Faulty)
    assert not (w.folder / "mail").exists()
    w.desk.tools = links
    issued_once(w, number, card, w.make(card))


def test_what_is_read_back_must_be_signed_and_be_what_was_loaded(w):
    from issuer.cardwork import CardWork

    w.order()
    card_id = w.make(w.card()).card_id
    raw, other = (w.entitlement(card_id, n) for n in (1, 2))
    work = CardWork(None, w.desk.tools, w.desk.book.jobs()[0], OFFICER, None)
    loaded = [Entitlement.parse(raw)]
    assert work._stands(Entitlement.parse(raw), loaded)
    assert not work._stands(Entitlement.parse(other), loaded)
    assert not work._stands(Entitlement.parse(raw[:-1] + bytes([raw[-1] ^ 1])), loaded)
