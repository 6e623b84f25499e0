"""Certificates issued, proofs of possession, two people's signatures, the issuance items."""

import os
from dataclasses import replace

import httpx
import pytest

from keys import ca
from keys.approvals import (
    MAX_LIFE_S,
    SKEW_S,
    batch_hash,
    check_approval,
    make_approval,
    make_request,
    payload_hash,
)
from keys.enrol import OfficerRequest, Provision, StationRequest
from keys.errors import (
    ApprovalError,
    CertificateRefusedError,
    DateRefusedError,
    HierarchyError,
    IssuanceError,
    PossessionError,
)
from keys.hierarchy import Heads, make_world
from keys.issuance import HttpIssuance, IssuanceItem, MemoryIssuance, decode_items
from keys.signer import Ed25519Signer, P256KeyAgreement
from keys.trust import TrustStore
from tests.support import keys_world as kw
from tests.support.keys_world import DAY_S, ENV, NOW_S, TODAY
from wire import cvc
from wire.chain import IssuanceKind, check_entries
from wire.dates import add_days
from wire.env import Environment
from wire.errors import FormatError
from wire.objects import KeyRole, StationKind

R = os.urandom


@pytest.fixture(scope="module")
def world():
    return make_world(ENV, random=R, now_s=NOW_S, from_s=NOW_S - 40 * DAY_S)


def station(kind=StationKind.TERMINAL, *, channel=True, env=ENV) -> StationRequest:
    key = P256KeyAgreement.generate(R) if channel else None
    return StationRequest.make(env, kw.TERMINAL, kind, Ed25519Signer.generate(R), key)


def officer(role=cvc.Role.HANDOVER, number=4) -> OfficerRequest:
    return OfficerRequest.make(ENV, kw.TERMINAL, role, number, P256KeyAgreement.generate(R))


def certify(world, request, **changes):
    fields = {"serial": 1, "now_s": NOW_S} | changes
    return ca.issue_terminal_certificate(world.issuer(KeyRole.TERMINAL_CA), request, **fields)


# --- dates ------------------------------------------------------------------------------


@pytest.mark.parametrize("days", [-300, 0, 1])
def test_dates_up_to_tomorrow(world, days) -> None:
    assert certify(world, station(), effective=add_days(TODAY, days))


def test_nothing_is_post_dated(world) -> None:
    late = add_days(TODAY, 2)
    with pytest.raises(DateRefusedError):
        certify(world, station(), effective=late)
    keys = [P256KeyAgreement.generate(R).public_key for _ in range(2)]
    with pytest.raises(DateRefusedError):
        ca.issue_card_certificate(
            world.issuer(KeyRole.CARD_CA), serial=1, card_id=ENV.mark + bytes(4),
            channel_key=keys[0], receipt_key=keys[1], now_s=NOW_S, effective=late,
        )  # fmt: skip
    with pytest.raises(DateRefusedError):
        ca.issue_link(
            ca.Issuer(ENV, 1, world.root.signer), kind=cvc.CaKind.ISSUER, version=2,
            public_key=keys[0], lowest_kept=1, now_s=NOW_S, effective=late,
        )  # fmt: skip
    with pytest.raises(DateRefusedError):
        world.root.state(KeyRole.ACK, 2, bytes(32), NOW_S + DAY_S + 1, now_s=NOW_S)


# --- terminals, officers ----------------------------------------------------------------


def test_terminal(world) -> None:
    request = station()
    cert = certify(world, request)
    assert (cert.public_key, cert.subject) == (request.channel_key, kw.TERMINAL)
    assert cert.extension == cvc.TerminalExtension(ENV, cvc.Role.TERMINAL, 0)


def test_officer(world) -> None:
    assert certify(world, officer()).extension == cvc.TerminalExtension(ENV, cvc.Role.HANDOVER, 4)


@pytest.mark.parametrize(
    "request_",
    [
        station(StationKind.DESK),
        station(channel=False),
        station(env=Environment.DEMO_SPECIMEN),
        officer(cvc.Role.TERMINAL),
        officer(cvc.Role.PERSONALISER),
        officer(number=0),
    ],
)
def test_who_gets_none(world, request_) -> None:
    with pytest.raises(CertificateRefusedError):
        certify(world, request_)


@pytest.mark.parametrize("days", [0, 36])
def test_life_of_a_terminal_certificate(world, days) -> None:
    with pytest.raises(CertificateRefusedError):
        certify(world, station(), days=days)
    assert certify(world, station(), days=35)


@pytest.mark.parametrize("name", ["station", "kind", "log_key", "channel_key", "environment"])
def test_station_proof_covers_every_field(name) -> None:
    good, other = station(), station()
    changed = {
        "station": b"TERM0009", "kind": StationKind.DESK, "log_key": other.log_key,
        "channel_key": other.channel_key, "environment": Environment.DEMO_SPECIMEN,
    }[name]  # fmt: skip
    assert StationRequest.parse(bytes(good)).verify() == good
    with pytest.raises(PossessionError):
        replace(good, **{name: changed}).verify()


@pytest.mark.parametrize("name", ["log_pop", "channel_pop"])
def test_both_proofs_count(name) -> None:
    with pytest.raises(PossessionError):
        replace(station(), **{name: station().channel_pop}).verify()


def test_a_channel_key_comes_with_its_proof() -> None:
    with pytest.raises(FormatError):
        bytes(replace(station(), channel_pop=None))
    with pytest.raises(PossessionError):
        replace(station(), channel_pop=None).verify()
    assert station(channel=False).verify().channel_key is None


@pytest.mark.parametrize("name", ["terminal", "role", "officer", "channel_key", "environment"])
def test_officer_proof_covers_every_field(world, name) -> None:
    good = officer()
    changed = {
        "terminal": b"TERM0009", "role": cvc.Role.SUPERVISOR, "officer": 5,
        "channel_key": officer().channel_key, "environment": Environment.DEMO_SPECIMEN,
    }[name]  # fmt: skip
    assert OfficerRequest.parse(bytes(good)).verify() == good
    with pytest.raises(PossessionError):
        certify(world, replace(good, **{name: changed}))


# --- cards, links -----------------------------------------------------------------------


def card(world, **changes):
    keys = [P256KeyAgreement.generate(R).public_key for _ in range(2)]
    fields = {"serial": 1, "card_id": ENV.mark + bytes(4), "channel_key": keys[0],
              "receipt_key": keys[1], "now_s": NOW_S} | changes  # fmt: skip
    return ca.issue_card_certificate(world.issuer(KeyRole.CARD_CA), **fields)


def test_card_certificates(world) -> None:
    same = P256KeyAgreement.generate(R).public_key
    for changes in (
        {"card_id": b"KHBS" + bytes(4)},
        {"card_id": ENV.mark + bytes(5)},
        {"channel_key": same, "receipt_key": same},
    ):
        with pytest.raises(CertificateRefusedError):
            card(world, **changes)
    with pytest.raises(FormatError):
        card(world, channel_key=b"\x04" + bytes(64))
    from wire.ecdsa import compress

    with pytest.raises(CertificateRefusedError, match="uncompressed"):
        card(world, channel_key=compress(same))


@pytest.mark.parametrize(
    ("kind", "version", "lowest"),
    [(cvc.CaKind.CARD_CA, 2, 1), (cvc.CaKind.ROOT, 2, 1), (cvc.CaKind.ISSUER, 2, 3),
     (cvc.CaKind.ISSUER, 2, 0)],
)  # fmt: skip
def test_links_refused(world, kind, version, lowest) -> None:
    with pytest.raises(CertificateRefusedError):
        ca.issue_link(
            ca.Issuer(ENV, 1, world.root.signer), kind=kind, version=version,
            public_key=P256KeyAgreement.generate(R).public_key, lowest_kept=lowest, now_s=NOW_S,
        )  # fmt: skip


def test_root_states_no_root_and_no_log(world) -> None:
    for role, version in ((KeyRole.ROOT, 1), (KeyRole.LOG, 1), (KeyRole.ACK, 0)):
        with pytest.raises(HierarchyError):
            world.root.state(role, version, bytes(32), NOW_S, now_s=NOW_S)
    with pytest.raises(HierarchyError):
        world.root.link(KeyRole.CARD_CA, 2, bytes(65), lowest_kept=1, now_s=NOW_S)
    assert "private" not in repr(world)
    assert Heads().issuance_head == bytes(32)


# --- approvals --------------------------------------------------------------------------


def approve(
    world, *, payloads=(b"p",), check=None, at_s=NOW_S, life_s=100, agree_s=None, now=NOW_S
):
    trust = TrustStore(world.trust, allow_demo=True)
    request = make_request(
        world.people[1], ENV, person=1, action="order", payloads=payloads, now_s=at_s, life_s=life_s
    )
    approval = make_approval(
        world.people[2], ENV, person=2, request=request,
        now_s=at_s if agree_s is None else agree_s,
    )  # fmt: skip
    wanted = {"action": "order", "payloads": payloads} | (check or {})
    return check_approval(trust, request, approval, now_s=now, **wanted)


def test_approval(world) -> None:
    done = approve(world)
    assert (done.asker, done.approver) == (1, 2)
    assert approve(world, payloads=(b"a", b"b"))


@pytest.mark.parametrize(
    "changes",
    [
        {"check": {"action": "scripts"}},
        {"check": {"payloads": (b"q",)}},
        {"payloads": (b"a", b"b"), "check": {"payloads": (b"b", b"a")}},
        {"at_s": NOW_S - 101},
        {"at_s": NOW_S + SKEW_S + 1},
        {"agree_s": NOW_S + SKEW_S + 1, "life_s": 1000},
        {"life_s": MAX_LIFE_S + 1},
        {"at_s": NOW_S + 396 * DAY_S, "now": NOW_S + 396 * DAY_S},
        {"at_s": NOW_S - 41 * DAY_S, "life_s": 60 * DAY_S},
    ],
)
def test_approval_refusals(world, changes) -> None:
    with pytest.raises(ApprovalError):
        approve(world, **changes)


def test_approval_keys_must_still_be_good_today(world) -> None:
    """Signed in the last minute of the keys' year, used after it."""
    end_s = NOW_S - 40 * DAY_S + (366 + 35) * DAY_S
    assert approve(world, at_s=end_s, now=end_s)
    with pytest.raises(ApprovalError):
        approve(world, at_s=end_s, now=end_s + 50)


@pytest.mark.parametrize("ended", [1, 2])
def test_each_of_both_keys_must_be_good_today(world, ended) -> None:
    """Person 1 asks and 2 approves; the newest key of ``ended`` was good then and is not now."""
    trust, people = TrustStore(world.trust, allow_demo=True), dict(world.people)
    people[ended] = Ed25519Signer.generate(R)
    trust.add_statement(
        world.root.state(
            KeyRole.APPROVAL, ended, people[ended].public_key, NOW_S, now_s=NOW_S, life_s=50
        )
    )
    request = make_request(people[1], ENV, person=1, action="x", payloads=[b""], now_s=NOW_S)
    approval = make_approval(people[2], ENV, person=2, request=request, now_s=NOW_S)
    check = {"action": "x", "payloads": [b""]}
    assert check_approval(trust, request, approval, now_s=NOW_S + 50, **check)
    with pytest.raises(ApprovalError, match="may not sign"):
        check_approval(trust, request, approval, now_s=NOW_S + 51, **check)


def test_a_revoked_person_approves_nothing(world) -> None:
    trust = TrustStore(world.trust, allow_demo=True)
    trust.add_revocation(world.root.revoke(world.people[2].public_key, Heads(), now_s=NOW_S))
    request = make_request(world.people[1], ENV, person=1, action="x", payloads=[b""], now_s=NOW_S)
    approval = make_approval(world.people[2], ENV, person=2, request=request, now_s=NOW_S)
    with pytest.raises(ApprovalError, match="revoked"):
        check_approval(trust, request, approval, action="x", payloads=[b""], now_s=NOW_S)
    with pytest.raises(ApprovalError):
        check_approval(trust, b"junk", approval, action="x", payloads=[b""], now_s=NOW_S)


def test_batch_hashes_differ() -> None:
    assert batch_hash([b"a"]) == payload_hash(b"a")
    hashes = {batch_hash(x) for x in ([b"a"], [b"a", b"b"], [b"b", b"a"], [b"ab"], [])}
    assert len(hashes) == 5


# --- issuance items ---------------------------------------------------------------------


ITEMS = [
    IssuanceItem(IssuanceKind.OBJECT, bytes(32), note="order"),
    IssuanceItem(IssuanceKind.SCRAPPED, bytes(8), note="x"),
]


def test_items_travel_and_chain() -> None:
    log = MemoryIssuance()
    log.append_many(ITEMS)
    log.append_many(ITEMS[:1])
    check_entries(log.chain(NOW_S))
    assert len(log.items) == 2
    with pytest.raises(FormatError):
        bytes(IssuanceItem(IssuanceKind.CARD_CERTIFICATE, b"x"))


@pytest.mark.parametrize("status", [200, 409, 500])
def test_http_issuance(status) -> None:
    seen = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append((request.url.path, decode_items(request.content)))
        return httpx.Response(status)

    client = httpx.Client(transport=httpx.MockTransport(answer), base_url="http://backend")
    if status == 200:
        HttpIssuance(client).append_many(ITEMS)
    else:
        with pytest.raises(IssuanceError):
            HttpIssuance(client).append_many(ITEMS)
    assert seen == [("/v1/issuance", tuple(ITEMS))]


def test_http_issuance_unreachable() -> None:
    def answer(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("no")

    client = httpx.Client(transport=httpx.MockTransport(answer), base_url="http://backend")
    with pytest.raises(IssuanceError):
        HttpIssuance(client).append_many(ITEMS)


def test_provision_round_trip() -> None:
    made = Provision(b"e", b"t", (b"c",), (b"l",), b"")
    assert Provision.parse(bytes(made)) == made
