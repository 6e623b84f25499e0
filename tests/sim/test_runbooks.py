"""Each section of docs/runbooks.md: what is refused after the remedy, what still settles."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path

import pytest
from pyroaring import BitMap

from backend.errors import BackendError, ForkError
from card_os.host.errors import (
    BypassSpentError,
    CardRefusedError,
    DateRefusedError,
    KeyUnknownError,
    NotPermittedError,
)
from keys.enrol import Provision, StationRequest
from keys.errors import ApprovalError, KeysError, RevokedKeyError, SessionRefusedError
from keys.hierarchy import Root, new_signer
from keys.issuance import IssuanceItem, object_item
from keys.kdf import diversify
from keys.scp03 import Scp03Host
from keys.securechannel import SecurityLevel
from keys.signer import Signer, sign_object
from terminal.carry import apply_acknowledgement, install_bundle
from terminal.config import Config, Folder
from terminal.errors import AcknowledgementRefusedError, BundleRefusedError
from terminal.outcomes import CardRefused, Stop, TerminalRefused
from terminal.visit import Visit
from tests.support import keys_world as kw
from tests.support.backend_world import DESK, ENV, SCHOOL
from tests.support.people import Person, TwoKeys
from tests.support.runbook_world import DAY_S, WORDS, Credentials, Hall, Town, at_the_backends_time
from tests.support.terminal_world import PIN, Card
from wire import cbor, dates, log
from wire.bundle import Bundle, pack
from wire.chain import IssuanceKind
from wire.cose import Sign1
from wire.cvc import Certificate, Role
from wire.entitlement import NEVER_S, Entitlement, Lot
from wire.errors import WireError
from wire.log import Reason, Record, Upload
from wire.objects import (
    Acknowledgement,
    DecisionKind,
    Enrolment,
    FundRelease,
    Hotlist,
    KeyRole,
    TerminalLost,
    UploadHead,
)
from wire.purse import Debit
from wire.receipt import Receipt


@pytest.fixture
def town(tmp_path: Path):
    made = Town(tmp_path)
    yield made
    made.close()


def settles(town: Town, *, but: set[int] = frozenset(), held: tuple[str, ...] = ()) -> None:
    """Exact to the rupiah; the auditor finds what is named and no more, held is what is named."""
    assert town.is_exact()
    assert town.audit() == set(but)
    assert sorted(town.held().values()) == sorted(held)


def honest(town: Town, hall: Hall) -> Card:
    """A card that was served and whose receipt is settled before anything is stolen."""
    hall.pay(town.cards[0])
    hall.sync()
    settles(town)
    return town.cards[0]


def take(
    town: Town, card: Card, held: Credentials, *, bypass: bool = False, at: int = 1
) -> Receipt:
    """The thief's own program debits; there is no log behind it."""
    with town.session(card, held) as session:
        if not bypass:
            session.verify_pin(PIN)
        wanted = Debit(SCHOOL, 500, session.state.sequence, at, town.clock(), 1, bytes(32))
        return session.debit(wanted, bypass=bypass)


def wait_until_it_ends(town: Town, hall: Hall, card: Card) -> None:
    """35 days in which the card meets an honest terminal, whose own certificate is renewed."""
    for _ in range(2):
        town.clock.now_s += 20 * DAY_S
        town.office.renew(hall.request)
        hall.sync()
        hall.pay(card)


def pay_by_decision(town: Town, card: Card, sequence: int) -> None:
    town.office.decide(DecisionKind.PAY, card.card_id, SCHOOL, first=sequence, last=sequence,
                       amount=0, number=f"K-{sequence}", reason="bukti dari kartu")  # fmt: skip


# --- things that are carried about ------------------------------------------------------------


def test_a_stolen_terminal(town: Town) -> None:
    hall, other = town.hall(), town.hall("TERM0002")
    card = honest(town, hall)
    unsent = hall.pay(card)  # in the stolen device when it goes
    town.office.lost_terminal(hall.name, "dicuri")
    with pytest.raises(BackendError):
        town.office.renew(hall.request)
    stolen = hall.own()
    hall.pay(town.cards[1])  # it works on where a card comes with its PIN
    hall.sync()  # and whatever it sends is held
    other.sync()
    other.pay(card)  # carries home what the card remembers
    other.sync()
    settles(town, held=("terminal-lost", "terminal-lost"))
    pay_by_decision(town, card, unsent)
    settles(town, held=("terminal-lost",))
    wait_until_it_ends(town, other, card)
    ended = hall.begin(card)
    assert isinstance(ended, TerminalRefused)
    assert ended.why == Stop.CERTIFICATE_ENDED
    with pytest.raises(DateRefusedError):  # by the card's own date, whatever the thief's clock says
        take(town, card, stolen)


def test_a_lost_officer_key(town: Town) -> None:
    hall, other = town.hall(), town.hall("TERM0002")
    card = honest(town, hall)
    stolen = hall.supervisor()
    taken = 3
    for _ in range(taken):  # the bound: the bypasses that this wallet's entitlement allows
        take(town, card, stolen, bypass=True)
    with pytest.raises(BypassSpentError):
        take(town, card, stolen, bypass=True)
    fresh = hall.folder.make_officer(Role.SUPERVISOR, 42, WORDS, town.world.random)
    with pytest.raises(ApprovalError):  # nobody makes himself an officer
        town.world.service.certify_officer(fresh)
    town.office.certify_officer(fresh)
    other.sync()
    other.pay(card)
    other.sync()
    settles(town, but={2}, held=("no-intent",) * taken)
    wait_until_it_ends(town, other, card)
    with pytest.raises(DateRefusedError):
        town.session(card, stolen)


def test_a_terminals_channel_key(town: Town) -> None:
    hall, other = town.hall(), town.hall("TERM0002")
    card = honest(town, hall)
    stolen = hall.own()
    take(town, card, stolen)
    town.office.lost_terminal(hall.name, "kunci kanal bocor")
    with pytest.raises(BackendError):
        town.office.renew(hall.request)
    other.sync()
    other.pay(card)
    other.sync()
    settles(town, but={2}, held=("no-intent",))
    wait_until_it_ends(town, other, card)
    with pytest.raises(DateRefusedError):
        take(town, card, stolen)


def test_a_terminals_log_key(town: Town) -> None:
    hall = town.hall()
    card = honest(town, hall)
    sequence = hall.pay(card)
    before = town.office.report()["settled_minor"]
    first = hall.engine.journal.unacknowledged()[0]
    forged = Record.make(first.sequence, first.previous, town.clock(),
                         log.Rejected(Reason.DEAD_CARD, None, "palsu"))  # fmt: skip
    head = UploadHead(hall.name, forged.sequence, forged.sequence, forged.hash)
    signed = sign_object(hall.opened.log_key, head, ENV)
    town.office.ingest(bytes(Upload(head, signed, (forged,))))  # the thief is faster
    with pytest.raises(ForkError):
        town.office.ingest(hall.stick())
    with pytest.raises(AcknowledgementRefusedError):  # the bundle shows the other chain
        hall.sync()
    assert hall.begin(card) == TerminalRefused(Stop.RESTORED_IMAGE)
    town.office.lost_terminal(hall.name, "kunci log bocor")
    other = town.hall("TERM0002")
    other.pay(card)  # the card carries the true receipt home
    other.sync()
    assert 2 in town.found()
    assert town.held() == {(card.card_id.hex(), sequence): "no-intent"}
    pay_by_decision(town, card, sequence)
    assert town.is_exact()
    assert town.office.report()["settled_minor"] > before


def test_a_cards_own_keys(town: Town) -> None:
    hall, other = town.hall(), town.hall("TERM0002")
    card = honest(town, hall)
    other.sync()
    clone = copy.deepcopy(card, {id(card.issuer): card.issuer})
    hall.pay(card, 1000)
    other.pay(clone, 2000)
    hall.sync()
    other.sync()
    settles(town, but={3}, held=("clone",))
    town.office.lost_card(card.card_id, DESK)
    for each, chip in ((hall, card), (other, clone)):
        each.sync()
        refused = each.begin(chip)
        assert isinstance(refused, CardRefused)
        assert refused.reason == Reason.HOTLISTED
    hall.pay(town.cards[1])
    hall.sync()
    other.sync()
    settles(town, but={3}, held=("clone",))


def test_card_management_keys(town: Town) -> None:
    w = kw.make()
    card = w.card()
    with kw.CardRelay(w.service, w.order(), 7) as relay:
        kw.keyed(w, relay, card)
        genuine = relay.certify()
    keys = diversify(w.service._keys.master, kw.JCOP_LIKE.kdd_of((1).to_bytes(4, "big")))
    host = Scp03Host(lambda answer: keys, SecurityLevel.FULL, w.rng.randbytes)
    kw.select(card, kw.SD_AID)
    second = host.external_authenticate(kw.send(card, host.initialize_update()))
    assert host.finish(kw.send(card, second))  # he is the card's manager
    with kw.CardRelay(w.service, w.order(), 7) as own, pytest.raises(SessionRefusedError):
        own.certify()  # but no key of his making is ever certified
    assert genuine.subject[:4] == b"DEMO"
    hall = town.hall()
    honest(town, hall)
    with at_the_backends_time():
        other_keys = Card(town.issuer, 1, "active")  # the same card id, keys of his own
    refused = hall.begin(other_keys)
    assert isinstance(refused, CardRefused)
    assert refused.reason == Reason.IDENTITY_CHANGED
    settles(town)


# --- keys of the hierarchy ------------------------------------------------------------


def test_the_root(tmp_path: Path, town: Town) -> None:
    hall = town.hall()
    honest(town, hall)
    stolen = Root(ENV, town.keys.root.signer)
    false_ca = new_signer(KeyRole.TERMINAL_CA, town.world.random)
    now_s = town.clock()
    link = stolen.link(KeyRole.TERMINAL_CA, 2, false_ca.public_key, lowest_kept=2, now_s=now_s)
    false_policy = new_signer(KeyRole.POLICY, town.world.random)
    statement = stolen.state(KeyRole.POLICY, 2, false_policy.public_key, now_s, now_s=now_s)
    anew = Town(tmp_path / "anew", seed=2)  # the remedy: another ceremony, other cards
    new_hall = anew.hall()
    for raw in (statement, stolen.revoke(anew.signer(KeyRole.POLICY).public_key,
                                         anew.heads(), now_s=now_s)):  # fmt: skip
        with pytest.raises((WireError, KeysError)):
            anew.office.trust.add_statement(raw)
        with pytest.raises((WireError, KeysError)):
            anew.office.trust.add_revocation(raw)
    with pytest.raises((WireError, KeysError)):
        anew.office.found([link.raw])
    with pytest.raises(BundleRefusedError):
        install_bundle(new_hall.engine, thiefs_bundle(hall, false_policy, (statement,)))
    assert new_hall.begin(town.cards[1]) == TerminalRefused(Stop.CARD_REFUSES_US)
    with pytest.raises(CardRefusedError):  # a card under the new root knows no link of his
        anew.session(anew.cards[0], town.forged_certificate(false_ca, Role.TERMINAL))
    hall.pay(town.cards[1])  # what the old world holds is counted to its end
    hall.sync()
    settles(town)
    new_hall.pay(anew.cards[0])
    new_hall.sync()
    settles(anew)
    anew.close()


def thiefs_bundle(hall: Hall, signer, statements: tuple[bytes, ...] = (), **changes) -> bytes:
    """The hall's installed world, as he would have it, under his signature."""
    version = hall.engine.roster.version
    raw = hall.town.office.bundle(hall.name, None)
    from dataclasses import replace

    from wire.bundle import unpack

    honest_one = Bundle.parse(Sign1.parse(unpack(raw)).payload)
    made = replace(honest_one, **({"counter": version.counter + 1_000_000,
                                   "statements": (*honest_one.statements, *statements)}
                                  | changes))  # fmt: skip
    return pack(hall.town.sign(signer, made))


def test_the_card_ca(town: Town) -> None:
    hall = town.hall()
    card = honest(town, hall)
    with at_the_backends_time():
        forged = Card(town.issuer, 900, "active")  # a certificate that no log has
    opened = hall.begin(forged)
    assert isinstance(opened, Visit)
    assert opened.wallets() == []  # without an entitlement there is nothing in it
    opened.close()
    town.replace(KeyRole.CARD_CA)
    hall.sync()
    refused = hall.begin(forged)
    assert isinstance(refused, CardRefused)
    assert refused.reason == Reason.CARD_CERTIFICATE
    with pytest.raises(RevokedKeyError):
        town.office.append_issuance([IssuanceItem(
            IssuanceKind.CARD_CERTIFICATE, forged.certificate.raw, b"F" * 16, None, b"O" * 32
        )])  # fmt: skip
    hall.reopen()
    hall.pay(card)  # the bundle names the honest cards of the revoked CA
    hall.sync()
    settles(town, but={19})  # what was read from the false card


def test_the_terminal_ca(town: Town) -> None:
    hall = town.hall()
    card = honest(town, hall)
    forged = town.forged_certificate(town.signer(KeyRole.TERMINAL_CA), Role.TERMINAL)
    take(town, card, forged)
    assert hall.engine.roster.links() == []  # the first of each kind stay at the desk (ADR 7)
    made = town.replace(KeyRole.TERMINAL_CA)
    hall.sync()
    assert [link.public_key for link in hall.engine.roster.links()] == [made.public_key]
    assert hall.begin(card) == TerminalRefused(Stop.CARD_REFUSES_US)  # not renewed yet
    town.office.renew(hall.request)
    hall.sync()
    hall.pay(card)  # brings the link to the card, the thief's receipt home
    with pytest.raises(KeyUnknownError):
        take(town, card, forged)
    hall.sync()
    settles(town, but={19}, held=("unknown-terminal",))


def forged_entitlement(town: Town, card: Card, sequence: int) -> Entitlement:
    body = Entitlement.encode_body(
        env=ENV, card_id=card.card_id, certificate_hash=card.certificate.digest[:16],
        wallet=SCHOOL, programme=programme_of(town), sequence=sequence, loaded=600_000,
        lots=(Lot(NEVER_S, 600_000),), forfeited_through=0, cap=200_000,
        issued=dates.day_of(town.clock()), acknowledged=0, settled_debited=0, settled_reversed=0,
        bypass_total=3, key_version=1,
    )  # fmt: skip
    return Entitlement.parse(body + town.signer(KeyRole.ISSUER).sign(body))


def programme_of(town: Town) -> int:
    (raw,) = [e for e in town.office.entitlements_of(town.cards[0].card_id)
              if Entitlement.parse(e).wallet == SCHOOL]  # fmt: skip
    return Entitlement.parse(raw).programme


def test_the_issuer_key(town: Town) -> None:
    hall = town.hall()
    card, accomplice = honest(town, hall), town.cards[1]
    hall.pay(accomplice)
    hall.sync()
    with at_the_backends_time():
        accomplice.load_raw(forged_entitlement(town, accomplice, 2))
    town.replace(KeyRole.ISSUER)
    hall.sync()
    refused = hall.begin(accomplice)
    assert isinstance(refused, CardRefused)
    assert refused.reason == Reason.ENTITLEMENT_FORGED
    hall.reopen()
    hall.pay(card)  # entitlements that the bundle names stand; the link reaches the card
    with at_the_backends_time(), pytest.raises(CardRefusedError):
        card.load_raw(forged_entitlement(town, card, 9))
    hall.sync()
    idle = town.cards[2]  # has taken nothing yet, and now meets the link first
    assert isinstance(hall.begin(idle), Visit)
    town.office.entitle()  # all anew by the second key: cards keep the first no more
    for each in (card, idle):
        newest = [Entitlement.parse(raw) for raw in town.office.entitlements_of(each.card_id)]
        assert {e.key_version for e in newest} == {2}
    assert town.office.entitle() == (0, [])
    hall.sync()
    hall.pay(card)
    hall.pay(idle)
    hall.sync()
    settles(town)


def falsely_enrolled(town: Town, thief: Signer, asked: StationRequest, honest: bytes) -> bytes:
    """An honest provision file, the enrolment in it by the thief."""
    false = Enrolment(asked.station, asked.kind, asked.log_key, "*", "Palsu", town.clock())
    return bytes(dataclasses.replace(Provision.parse(honest), enrolment=town.sign(thief, false)))


def test_the_registry_key(town: Town) -> None:
    hall = town.hall()
    card = honest(town, hall)
    heads = town.heads()
    thief = town.signer(KeyRole.REGISTRY)
    funds = FundRelease("SP2D-PALSU", 1, 900_000_000, town.clock())
    town.revoke(thief.public_key, heads)
    town.rotate(KeyRole.REGISTRY)
    forged = sign_object(thief, funds, ENV)
    with pytest.raises(RevokedKeyError):
        town.office.trust.verify(FundRelease, bytes(forged))
    closing = sign_object(thief, TerminalLost(hall.name, 1, "palsu", town.clock()), ENV)
    town.office.append_issuance([object_item(forged)])  # by hash alone it would be in the log
    assert (
        town.office.trust.revocation(thief.public_key).issuance_sequence == heads.issuance_sequence
    )
    with pytest.raises(RevokedKeyError):
        town.office.trust.verify(TerminalLost, bytes(closing))
    other = town.hall("TERM0002")  # enrolled by the second key
    unborn = Folder(town.folder / "TERM0003", demo=True, log_n=10)
    request = unborn.create(Config(station="TERM0003", environment=ENV), WORDS, town.world.random)
    for folder, asked in ((unborn, request), (other.folder, other.request)):
        with pytest.raises(RevokedKeyError):  # one is not enrolled yet, one holds an honest one
            folder.provision(falsely_enrolled(town, thief, asked, other.provision), WORDS)
    hall.sync()
    hall.reopen()  # the enrolment by the first still opens the terminal
    hall.pay(card)
    hall.sync()
    other.pay(card)
    other.sync()
    assert town.is_exact()
    assert town.held() == {}
    kind = town.folder / "export/objects/funds.cbor"
    town.office.export(town.folder / "export")
    kind.write_bytes(kind.read_bytes() + cbor.encode_sequence([bytes(forged)]))
    assert town.judge("export") == {1}  # inserted, it is set aside and releases nothing


def test_the_policy_key(town: Town) -> None:
    hall = town.hall()
    card = honest(town, hall)
    thief = town.signer(KeyRole.POLICY)
    empty = town.sign(thief, Hotlist(2, town.clock(), BitMap().serialize()))
    forged = thiefs_bundle(hall, thief, hotlist=empty)
    town.office.block({town.cards[1].card_id}, hotlist_only=True)
    install_bundle(hall.engine, forged)
    hall.pay(town.cards[1], 700)  # the harm: a blocked card is served
    town.replace(KeyRole.POLICY)
    assert hall.sync().version is None  # his number is above ours
    town.office.db.found(ENV, 2)  # config.json "epoch": 2
    assert hall.sync().version is not None
    with pytest.raises(BundleRefusedError):
        install_bundle(hall.engine, thiefs_bundle(hall, thief, epoch=3))
    assert isinstance(hall.begin(town.cards[1]), CardRefused)
    hall.pay(card)
    hall.sync()
    assert town.is_exact()
    assert 19 in town.found()  # his bundle was installed, and nobody issued it


def test_the_ack_key(town: Town) -> None:
    hall = town.hall()
    card = honest(town, hall)
    thief = town.signer(KeyRole.ACK)
    town.replace(KeyRole.ACK)
    hall.sync()  # the answer is by a key that only the bundle states
    hall.pay(card)
    end = hall.engine.journal.unacknowledged()[-1]
    forged = town.sign(thief, Acknowledgement(hall.name, end.sequence, end.hash, town.clock()))
    with pytest.raises(AcknowledgementRefusedError):
        apply_acknowledgement(hall.engine, forged)
    assert hall.engine.journal.unacknowledged()[-1] == end  # nothing was pruned
    assert hall.sync().pruned > 0
    settles(town)  # the heads that the first key published still hold


def test_an_approval_key(town: Town) -> None:
    hall = town.hall()
    card = honest(town, hall)
    stolen = town.keys.people[1]
    alone = TwoKeys(ENV, Person(1, stolen), Person(1, stolen), town.clock)
    both, town.office.authority = town.office.authority, alone
    with pytest.raises(BackendError):  # one key was never two people
        town.office.lost_terminal(hall.name, "palsu")
    town.office.authority = both
    town.revoke(stolen.public_key)
    with pytest.raises(BackendError):
        town.office.lost_terminal(hall.name, "palsu")
    mine = new_signer(KeyRole.APPROVAL, town.world.random)
    now_s = town.clock()
    town.office.trust.add_statement(
        town.keys.root.state(KeyRole.APPROVAL, 1, mine.public_key, now_s, now_s=now_s)
    )
    town._restart({})
    town.office.authority = TwoKeys(ENV, Person(1, mine), both.approver, town.clock)
    hall.pay(card)
    hall.sync()
    town.office.block({town.cards[1].card_id})  # the script needs two people, and has them
    settles(town)


def test_the_personalisers_channel_key(town: Town) -> None:
    hall = town.hall()
    card = honest(town, hall)
    service = town.world.service
    made = Certificate.parse(service.personaliser_certificate())
    stolen = Credentials(made, service._keys.personaliser)
    with town.session(card, stolen) as session, pytest.raises(NotPermittedError):
        session.verify_pin(PIN)
    with town.session(card, stolen) as session, pytest.raises(CardRefusedError):
        session.personalise("40817263", card.certificate)
    town.new_personaliser()
    town.replace(KeyRole.TERMINAL_CA)
    renewed = Certificate.parse(town.world.service.personaliser_certificate())
    assert renewed.public_key != made.public_key  # else the old key would be good again
    town.office.renew(hall.request)
    hall.sync()
    hall.pay(card)
    with pytest.raises(KeyUnknownError):
        town.session(card, stolen)
    hall.sync()
    settles(town)
