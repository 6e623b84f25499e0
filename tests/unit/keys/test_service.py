"""The key service's registry, policy, issuer and terminal verbs: every refusal, and the log."""

from dataclasses import replace

import pytest

from keys.enrol import OfficerRequest, StationRequest
from keys.errors import (
    ApprovalError,
    CertificateRefusedError,
    DateRefusedError,
    HierarchyError,
    IssuanceError,
    PossessionError,
    QuotaError,
    RequestUsedError,
    SequenceError,
)
from keys.service import KeyService, Quotas
from keys.signer import Ed25519Signer, P256KeyAgreement, sign_object
from keys.state import State
from keys.trust import ENROL_APPROVER, TrustStore
from tests.support import keys_world as kw
from tests.support.keys_world import CAUSE, DAY_S, ENV, NOW_S, PARAMETERS, TODAY, wish
from wire import cvc
from wire.bundle import Bundle
from wire.chain import IssuanceKind, check_entries
from wire.cose import Sign1
from wire.dates import add_days
from wire.entitlement import Entitlement, Lot, Script
from wire.env import Environment
from wire.errors import EnvironmentMismatchError, FormatError
from wire.objects import (
    Acknowledgement,
    ApproverEnrolment,
    Enrolment,
    FundRelease,
    Hotlist,
    KeyRole,
    KeyStatement,
    Parameters,
    StationKind,
    TerminalLost,
)

FUNDS = FundRelease("SP2D-1", 1, 5_000_000, NOW_S)


@pytest.fixture
def w():
    return kw.make()


# --- registry ---------------------------------------------------------------------------------


def test_registry_signs_logs_and_releases(w) -> None:
    raws = w.registry(FUNDS, FundRelease("SP2D-2", 1, 1, NOW_S))
    assert w.trust.verify(FundRelease, raws[0], at_s=NOW_S) == FUNDS
    assert [(i.item, i.note) for i in w.log.items] == [(kw.hash_of(r), "funds") for r in raws]
    check_entries(w.log.chain(NOW_S))


@pytest.mark.parametrize("ahead_s", [DAY_S, DAY_S + 1])
def test_registry_refuses_post_dated(w, ahead_s) -> None:
    shape = FundRelease("x", 1, 1, NOW_S + ahead_s)
    if ahead_s == DAY_S:
        assert w.registry(shape)
    else:
        with pytest.raises(DateRefusedError):
            w.registry(shape)
        assert w.log.items == []


def test_registry_refuses_other_kinds(w) -> None:
    ack = Acknowledgement(kw.TERMINAL, 1, bytes(32), NOW_S)
    with pytest.raises(ApprovalError, match="registry"):
        w.registry(ack)
    with pytest.raises(ApprovalError, match="one kind"):
        w.service.sign_registry([FUNDS, PARAMETERS], b"", b"")
    with pytest.raises(ApprovalError, match="one kind"):
        w.service.sign_registry([], b"", b"")


def test_a_request_is_used_once(w) -> None:
    pair = w.two("funds", [bytes(FUNDS)])
    w.service.sign_registry([FUNDS], *pair)
    with pytest.raises(RequestUsedError):
        w.service.sign_registry([FUNDS], *pair)


def test_other_bytes_than_approved(w) -> None:
    pair = w.two("funds", [bytes(FUNDS)])
    with pytest.raises(ApprovalError, match="other bytes"):
        w.service.sign_registry([FundRelease("SP2D-1", 1, 5_000_001, NOW_S)], *pair)


def test_nothing_leaves_before_the_log_and_the_same_request_resumes(w) -> None:
    pair = w.two("funds", [bytes(FUNDS)])
    w.log.error = IssuanceError("down")
    with pytest.raises(IssuanceError):
        w.service.sign_registry([FUNDS], *pair)
    w.log.error = None
    (raw,) = w.service.sign_registry([FUNDS], *pair)
    assert [i.item for i in w.log.items] == [kw.hash_of(raw)]
    with pytest.raises(RequestUsedError):
        w.service.sign_registry([FUNDS], *pair)


def test_while_the_log_is_down_nothing_more_is_made(w) -> None:
    w.log.error = IssuanceError("down")
    pairs = [w.two("funds", [bytes(FUNDS)], now_s=NOW_S + n) for n in range(2)]
    for pair in pairs:
        with pytest.raises(IssuanceError):
            w.service.sign_registry([FUNDS], *pair)
    held = [w.state.held_result(kw.hash_of(request)) for request, _ in pairs]
    assert [h is not None for h in held] == [True, False]


def test_numbers_end(w) -> None:
    w.state._db.execute("INSERT INTO counter VALUES ('card', ?)", (0xFFFFFFFF,))
    with pytest.raises(QuotaError):
        w.state.next_number("card")


def test_outbox_survives_and_goes_first(tmp_path) -> None:
    w = kw.make(path=tmp_path / "s.sqlite")
    w.log.error = IssuanceError("down")
    with pytest.raises(IssuanceError):
        w.registry(FUNDS)
    w.state.close()
    again = kw.make(path=tmp_path / "s.sqlite")
    later = FundRelease("later", 1, 1, NOW_S)
    again.registry(later)
    assert [i.note for i in again.log.items] == ["funds", "funds"]
    assert again.log.items[1].item == kw.hash_of(
        bytes(sign_object(again.world.signer(KeyRole.REGISTRY), later, ENV))
    )


def test_registry_quota_counts_per_day() -> None:
    w = kw.make(Quotas(registry=2))
    w.registry(FUNDS, FUNDS)
    with pytest.raises(QuotaError):
        w.registry(FundRelease("y", 1, 1, NOW_S))
    w.clock.now_s += DAY_S
    assert w.registry(FundRelease("z", 1, 1, NOW_S))


def test_a_refused_batch_leaves_quota_and_request(w) -> None:
    before = w.state.held_result(b"x")
    shapes = [FUNDS, FundRelease("x", 1, 1, NOW_S + 2 * DAY_S)]
    with pytest.raises(DateRefusedError):
        w.registry(*shapes)
    assert w.log.items == []
    assert before is None


# --- key windows, wrong keys --------------------------------------------------------------------


def test_a_key_signs_only_in_its_window(w) -> None:
    w.clock.now_s += 2 * 366 * DAY_S
    with pytest.raises((HierarchyError, ApprovalError)):
        w.registry(FUNDS)
    with pytest.raises(HierarchyError, match="may sign now"):
        w.service.personaliser_certificate()


def test_a_revoked_key_signs_no_more(w) -> None:
    key = w.world.signer(KeyRole.TERMINAL_CA).public_key
    w.service.personaliser_certificate()
    w.service._own_certificate = None
    from keys.hierarchy import Heads

    w.trust.add_revocation(w.world.root.revoke(key, Heads(), now_s=NOW_S))
    with pytest.raises(HierarchyError):
        w.service.personaliser_certificate()


def test_a_signer_must_be_the_stated_key(w) -> None:
    other = kw.make(seed=2)
    with pytest.raises(HierarchyError, match="not the stated"):
        KeyService(w.trust, other.service._keys, w.state, w.log, clock=w.clock, random=bytes)


def test_state_is_of_one_environment(tmp_path) -> None:
    State(tmp_path / "s", ENV).close()
    with pytest.raises(HierarchyError):
        State(tmp_path / "s", Environment.LIVE)


# --- policy -------------------------------------------------------------------------------------


def parameters(w, version=1, permille=10):
    shape = Parameters(version, 1, 1, 1, 1, 1, 1, permille)
    return w.service.sign_policy(shape, *w.two("parameters", [bytes(shape)]))


def test_parameters_need_two_people(w) -> None:
    with pytest.raises(ApprovalError, match="two people"):
        w.service.sign_policy(PARAMETERS)
    raw = parameters(w)
    assert w.trust.verify(Parameters, raw) == PARAMETERS
    assert w.log.items[-1].note == "parameters"


def test_policy_versions_rise(w) -> None:
    parameters(w, 2)
    w.clock.now_s += 1  # else it would be the same request
    with pytest.raises(SequenceError):
        parameters(w, 2, permille=11)
    first = w.hotlist(1, [])
    w.service.sign_policy(first)
    with pytest.raises(SequenceError):
        w.service.sign_policy(replace(first, time_s=first.time_s - 1))


def test_a_policy_object_whose_answer_was_lost_is_given_again_and_logged_once(w) -> None:
    raw, first = parameters(w), w.hotlist(1, [])
    assert w.service.sign_policy(PARAMETERS) == raw
    made = w.service.sign_policy(first)
    before = len(w.log.items)
    assert w.service.sign_policy(first) == made
    assert len(w.log.items) == before


def test_a_large_hotlist_step_needs_two_people(w) -> None:
    w.certified(1)
    w.certified(2)
    parameters(w, 1, permille=500)
    w.service.sign_policy(w.hotlist(1, [1]))  # one of two: not above the share
    with pytest.raises(ApprovalError):
        w.service.sign_policy(w.hotlist(2, [2, 3]))  # one off, two on
    shape = w.hotlist(2, [2, 3])
    assert w.service.sign_policy(shape, *w.two("hotlist", [bytes(shape)]))
    with pytest.raises(ApprovalError):
        w.service.sign_policy(w.hotlist(3, []))  # taking cards off is a step too


def test_a_hotlist_is_a_bitmap_and_not_post_dated(w) -> None:
    with pytest.raises(FormatError):
        w.service.sign_policy(Hotlist(1, NOW_S, b"no bitmap"))
    w.clock.now_s += 3 * DAY_S
    shape = w.hotlist(1, [])
    w.clock.now_s -= 3 * DAY_S
    with pytest.raises(DateRefusedError):
        w.service.sign_policy(shape)


def bundle(hotlist: bytes, params: bytes) -> Bundle:
    return Bundle("a", kw.TERMINAL, 1, 1, 0, NOW_S, (), (), hotlist, params,
                  (), (), (), (), (), (), ())  # fmt: skip


def test_a_bundle_carries_the_newest_hotlist_and_parameters(w) -> None:
    params, old = parameters(w), w.service.sign_policy(w.hotlist(1, []))
    assert w.service.sign_policy(bundle(old, params))
    assert w.log.items[-1].note == "bundle"
    new = w.service.sign_policy(w.hotlist(2, []))
    with pytest.raises(SequenceError):
        w.service.sign_policy(bundle(old, params))
    newer = parameters(w, 2)
    with pytest.raises(SequenceError):
        w.service.sign_policy(bundle(new, params))
    assert w.service.sign_policy(bundle(new, newer))


def test_policy_refuses_other_roles(w) -> None:
    with pytest.raises(ApprovalError):
        w.service.sign_policy(FUNDS)


# --- entitlements, scripts ----------------------------------------------------------------------


@pytest.fixture
def carded(w):
    w.cert = w.certified()
    return w


def test_entitlement_signed_and_logged_with_its_cause(carded) -> None:
    w = carded
    (raw,) = w.entitle(wish(w.cert))
    assert w.trust.entitlement(raw).loaded == 100
    item = w.log.items[-1]
    assert (item.kind, item.item, item.cause) == (IssuanceKind.ENTITLEMENT, raw, CAUSE)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"sequence": 1, "cause": None}, SequenceError),
        ({"sequence": 2, "loaded": 99, "cause": None}, SequenceError),
        ({"sequence": 2, "forfeited_through": 9, "cause": None}, SequenceError),
        ({"sequence": 2, "cause": None, "loaded": 101}, SequenceError),
        ({"sequence": 2}, SequenceError),  # a cause without a rise
        ({"sequence": 2, "cause": None, "programme": 2}, SequenceError),
        ({"sequence": 2, "cause": None, "certificate_hash": bytes(16)}, SequenceError),
        ({"sequence": 2, "cause": None, "card_id": b"DEMO\x00\x00\x00\x09"}, SequenceError),
        ({"sequence": 2, "cause": None, "issued": add_days(TODAY, 2)}, DateRefusedError),
        ({"sequence": 2, "cause": None, "env": Environment.LIVE}, EnvironmentMismatchError),
        ({"sequence": 2, "cause": None, "key_version": 2}, HierarchyError),
    ],
)
def test_entitlement_refusals(carded, changes, error) -> None:
    w = carded
    first = wish(w.cert, forfeited_through=10)
    w.entitle(first)
    held = len(w.log.items)
    changes = {"forfeited_through": 10, "cap": 99} | changes
    with pytest.raises(error):
        w.entitle(wish(w.cert, **changes))
    assert len(w.log.items) == held


def test_a_good_second_entitlement(carded) -> None:
    w = carded
    w.entitle(wish(w.cert))
    (anew,) = w.entitle(wish(w.cert, sequence=2, cause=None))
    lots = (Lot(NOW_S, 100), Lot(NOW_S + 1, 150))
    tomorrow = add_days(TODAY, 1)
    (more,) = w.entitle(wish(w.cert, sequence=3, loaded=150, lots=lots, issued=tomorrow))
    assert [Entitlement.parse(r).loaded for r in (anew, more)] == [100, 150]


def test_the_same_entitlement_gives_the_same_bytes(carded) -> None:
    w = carded
    (first,) = w.entitle(wish(w.cert))
    held = len(w.log.items)
    w.clock.now_s += 1
    assert w.entitle(wish(w.cert)) == [first]
    assert len(w.log.items) == held


def test_quota_of_value_per_programme() -> None:
    w = kw.make(Quotas(loaded={1: 150}, loaded_default=10))
    cert = w.certified()
    w.entitle(wish(cert))
    with pytest.raises(QuotaError):
        w.entitle(wish(cert, sequence=2, loaded=151))
    with pytest.raises(QuotaError):
        w.entitle(wish(cert, wallet=2, programme=2, loaded=11))
    assert w.entitle(wish(cert, sequence=2, loaded=150))


def test_quota_of_entitlements_and_scripts() -> None:
    w = kw.make(Quotas(entitlements=1, scripts=1))
    cert = w.certified()
    w.entitle(wish(cert))
    with pytest.raises(QuotaError):
        w.entitle(wish(cert, sequence=2, cause=None))
    w.script(kw.script_body(cert))
    with pytest.raises(QuotaError):
        w.script(kw.script_body(cert, number=2))


def test_scripts(carded) -> None:
    w = carded
    (raw,) = w.script(kw.script_body(w.cert))
    assert w.trust.script(raw).number == 1
    assert w.log.items[-1].item == raw
    w.clock.now_s += 1
    assert w.script(kw.script_body(w.cert)) == [raw]
    from wire.entitlement import ScriptAction

    for changes, error in (
        ({"action": ScriptAction.UNBLOCK}, SequenceError),
        ({"number": 2, "issued": add_days(TODAY, 2)}, DateRefusedError),
        ({"number": 2, "env": Environment.LIVE}, EnvironmentMismatchError),
        ({"number": 2, "card_id": b"DEMO\x00\x00\x00\x09"}, SequenceError),
    ):
        with pytest.raises(error):
            w.script(kw.script_body(w.cert, **changes))
    assert Script.parse(w.script(kw.script_body(w.cert, number=2))[0]).number == 2


def test_scrapped_cards_get_nothing(carded) -> None:
    w = carded
    w.service.scrap_card(w.cert.subject, "rusak")
    with pytest.raises(SequenceError, match="scrapped"):
        w.entitle(wish(w.cert))


def test_issuer_needs_two_people(carded) -> None:
    w = carded
    body = wish(w.cert)
    for action in ("scripts", "order"):
        with pytest.raises(ApprovalError, match="the request is for"):
            w.service.sign_entitlements([body], *w.two(action, [bytes(body)]))
    with pytest.raises(ApprovalError, match="1 to 20000"):
        w.service.sign_entitlements([], b"", b"")
    with pytest.raises(ApprovalError, match="1 to 20000"):
        w.service.sign_scripts([], b"", b"")
    moved = wish(w.cert, cause=type(CAUSE)(b"Z" * 32, 1))
    with pytest.raises(ApprovalError, match="other bytes"):  # the cause is approved too
        w.service.sign_entitlements([moved], *w.two("entitlements", [bytes(body)]))


# --- terminals and officers ---------------------------------------------------------------------


def test_terminal_certificate_and_renewal(w) -> None:
    w.enrol_terminal()
    cert = cvc.Certificate.parse(w.service.certify_terminal(w.station_request()))
    w.trust.terminal_certificate(cert)
    assert (cert.subject, cert.extension.role) == (kw.TERMINAL, cvc.Role.TERMINAL)
    assert (cert.expires - cert.effective).days == 35
    w.clock.now_s += 30 * DAY_S
    again = cvc.Certificate.parse(w.service.certify_terminal(w.station_request()))
    assert again.serial == cert.serial + 1
    assert [i.kind for i in w.log.items[-2:]] == [IssuanceKind.TERMINAL_CERTIFICATE] * 2


def test_terminal_refusals(w) -> None:
    with pytest.raises(CertificateRefusedError):
        w.service.certify_terminal(w.station_request())
    w.enrol_terminal()
    stranger = StationRequest.make(
        ENV, kw.TERMINAL, StationKind.TERMINAL, Ed25519Signer.generate(w.rng.randbytes),
        w.terminal_channel,
    )  # fmt: skip
    with pytest.raises(CertificateRefusedError, match="log key"):
        w.service.certify_terminal(stranger)
    good = w.station_request()
    bad = StationRequest(
        good.environment, good.station, good.kind, good.log_key, good.channel_key,
        good.log_pop, bytes(64),
    )  # fmt: skip
    with pytest.raises(PossessionError):
        w.service.certify_terminal(bad)
    w.registry(TerminalLost(kw.TERMINAL, 0, "dicuri", NOW_S))
    with pytest.raises(CertificateRefusedError):
        w.service.certify_terminal(good)
    w.clock.now_s += 1
    with pytest.raises(CertificateRefusedError, match="before"):
        w.enrol_terminal()


def officer(w, role=cvc.Role.SUPERVISOR, number=9, key=None):
    key = key or P256KeyAgreement.generate(w.rng.randbytes)
    return OfficerRequest.make(ENV, kw.TERMINAL, role, number, key)


def test_officers_need_two_people_once(w) -> None:
    ask = officer(w)
    with pytest.raises(CertificateRefusedError):
        w.service.certify_officer(ask)
    w.enrol_terminal()
    with pytest.raises(ApprovalError):
        w.service.certify_officer(ask)
    cert = cvc.Certificate.parse(
        w.service.certify_officer(ask, *w.two("certify-officer", [bytes(ask)]))
    )
    assert (cert.extension.role, cert.extension.officer) == (cvc.Role.SUPERVISOR, 9)
    assert w.service.certify_officer(ask)  # renewal
    with pytest.raises(ApprovalError):
        w.service.certify_officer(officer(w))  # another key
    with pytest.raises(PossessionError):
        w.service.certify_officer(
            OfficerRequest(ENV, kw.TERMINAL, ask.role, 9, ask.channel_key, bytes(64))
        )


def test_personalisers_are_not_for_officers(w) -> None:
    w.enrol_terminal()
    ask = officer(w, cvc.Role.PERSONALISER)
    with pytest.raises(CertificateRefusedError):
        w.service.certify_officer(ask, *w.two("certify-officer", [bytes(ask)]))
    assert w.service._state.officer_known(kw.TERMINAL, 4, 9, ask.channel_key) is False


def test_certificate_quota() -> None:
    w = kw.make(Quotas(certificates=1))
    w.enrol_terminal()
    w.service.certify_terminal(w.station_request())
    with pytest.raises(QuotaError):
        w.service.certify_terminal(w.station_request())


def test_personaliser_renews_in_time(w) -> None:
    first = w.service.personaliser_certificate()
    assert w.service.personaliser_certificate() == first
    w.clock.now_s += 31 * DAY_S
    second = cvc.Certificate.parse(w.service.personaliser_certificate())
    assert bytes(second) != first
    assert w.trust.terminal_certificate(second).extension.role == cvc.Role.PERSONALISER


# --- later approvers ------------------------------------------------------------------------------


def approver(
    w, *, person=3, role=KeyRole.APPROVAL, action=ENROL_APPROVER, life_s=DAY_S, from_s=NOW_S
):
    signer = Ed25519Signer.generate(w.rng.randbytes)
    statement = bytes(KeyStatement(role, person, signer.public_key, from_s, from_s + life_s))
    return signer, ApproverEnrolment(statement, *w.two(action, [statement]))


def test_two_people_enrol_a_third(tmp_path) -> None:
    w = kw.make(path=tmp_path / "s")
    signer, enrolment = approver(w)
    w.service.enrol_approver(enrolment)
    w.world.people[3] = signer
    assert w.service.sign_registry([FUNDS], *w.two("funds", [bytes(FUNDS)], 3, 1))
    with pytest.raises(RequestUsedError):
        w.service.enrol_approver(enrolment)
    w.state.close()
    again = kw.make(path=tmp_path / "s")  # remembered
    again.world.people[3] = signer
    later = FundRelease("n", 1, 1, NOW_S)
    assert again.service.sign_registry([later], *again.two("funds", [bytes(later)], 2, 3))


@pytest.mark.parametrize(
    "changes",
    [
        {"from_s": NOW_S + DAY_S + 1},
        {"person": 1},
        {"role": KeyRole.REGISTRY},
        {"action": "funds"},
        {"life_s": 500 * DAY_S},
    ],
)
def test_approver_refusals(w, changes) -> None:
    from keys.errors import KeysError

    before = w.trust.statements()
    with pytest.raises(KeysError):
        w.service.enrol_approver(approver(w, **changes)[1])
    assert w.trust.statements() == before


def test_trust_file_and_stock(w) -> None:
    assert TrustStore(w.world.trust, allow_demo=True).env == ENV
    assert w.service.trust_file() == bytes(w.world.trust)
    w.state.receive_chips("b1", [bytes(10)])
    assert w.service.stock() == (1, 0, 0)


def test_enrolment_is_logged_whole(w) -> None:
    w.enrol_terminal()
    item = w.log.items[-1]
    assert item.kind == IssuanceKind.ENROLMENT
    assert Enrolment.parse(Sign1.parse(item.item).payload).station == kw.TERMINAL
