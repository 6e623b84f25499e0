"""What stands under a root, and what does not."""

import os

import pytest

from keys import ca
from keys.approvals import make_approval, make_request
from keys.errors import (
    DemoRefusedError,
    OutsideWindowError,
    RevokedKeyError,
    TrustError,
    UnknownKeyError,
)
from keys.hierarchy import Heads, make_world
from keys.signer import Ed25519Signer, P256KeyAgreement, P256Signer, sign_object
from keys.trust import ENROL_APPROVER, TrustStore
from tests.support import keys_world as kw
from tests.support.keys_world import DAY_S, ENV, NOW_S, TODAY
from wire import cvc
from wire.chain import TrustFile
from wire.cose import Sign1
from wire.dates import add_days
from wire.env import Environment
from wire.errors import EnvironmentMismatchError, FormatError, SignatureInvalidError
from wire.objects import (
    Approval,
    ApproverEnrolment,
    FundRelease,
    KeyRole,
    KeyStatement,
    Request,
    StationKind,
    UploadHead,
)

FUNDS = FundRelease("n", 1, 2, NOW_S)


@pytest.fixture(scope="module")
def world():
    return make_world(ENV, random=os.urandom, now_s=NOW_S, from_s=NOW_S - 10 * DAY_S)


@pytest.fixture
def trust(world) -> TrustStore:
    return TrustStore(world.trust, allow_demo=True)


def signed(world, shape, role=KeyRole.REGISTRY, env=ENV) -> bytes:
    return bytes(sign_object(world.signer(role), shape, env))


def test_demo_is_refused_without_the_flag(world) -> None:
    with pytest.raises(DemoRefusedError):
        TrustStore(world.trust, allow_demo=False)
    live = make_world(Environment.LIVE, random=os.urandom, now_s=NOW_S)
    assert TrustStore(live.trust, allow_demo=False).env == Environment.LIVE


def test_statements_of_another_root_or_environment(world) -> None:
    other = make_world(ENV, random=os.urandom, now_s=NOW_S)
    mixed = TrustFile(ENV, world.trust.root_key, other.trust.statements, ())
    with pytest.raises(FormatError):
        TrustStore(mixed, allow_demo=True)
    moved = TrustFile(Environment.LIVE, world.trust.root_key, world.trust.statements, ())
    with pytest.raises(EnvironmentMismatchError):
        TrustStore(moved, allow_demo=True)
    with pytest.raises(FormatError):
        TrustStore(TrustFile(ENV, b"\x04" + bytes(64), (), ()), allow_demo=True)


def test_verify(world, trust) -> None:
    assert trust.verify(FundRelease, signed(world, FUNDS), at_s=NOW_S) == FUNDS
    with pytest.raises(UnknownKeyError):
        trust.verify(FundRelease, signed(world, FUNDS, KeyRole.ACK))
    with pytest.raises(EnvironmentMismatchError):
        trust.verify(FundRelease, signed(world, FUNDS, env=Environment.DEMO_SPECIMEN))
    bad = bytearray(signed(world, FUNDS))
    bad[-1] ^= 1
    with pytest.raises(SignatureInvalidError):
        trust.verify(FundRelease, bytes(bad))


@pytest.mark.parametrize("at_s", [NOW_S - 11 * DAY_S, NOW_S + 500 * DAY_S])
def test_window(world, trust, at_s) -> None:
    with pytest.raises(OutsideWindowError):
        trust.verify(FundRelease, signed(world, FUNDS), at_s=at_s)
    assert trust.verify(FundRelease, signed(world, FUNDS))


def test_root_objects_verify_under_the_root_alone(world, trust) -> None:
    assert trust.verify(KeyStatement, world.trust.statements[0]).version == 1
    forged = signed(world, trust.statements()[0], KeyRole.CARD_CA)
    with pytest.raises(FormatError):
        trust.verify(KeyStatement, forged)
    with pytest.raises(FormatError):
        trust.add_statement(forged)


def revoke(world, trust, role, at_s=NOW_S, heads=None):
    return trust.add_revocation(
        world.root.revoke(world.signer(role).public_key, heads or Heads(), now_s=at_s)
    )


def test_revoked_key_carries_its_heads(world, trust) -> None:
    heads = Heads(3, b"l" * 32, 4, b"i" * 32)
    revoke(world, trust, KeyRole.REGISTRY, heads=heads)
    with pytest.raises(RevokedKeyError) as caught:
        trust.verify(FundRelease, signed(world, FUNDS))
    assert caught.value.revocation.issuance_head == b"i" * 32


def test_earliest_revocation_stays(world, trust) -> None:
    revoke(world, trust, KeyRole.REGISTRY, NOW_S)
    revoke(world, trust, KeyRole.REGISTRY, NOW_S - 5)
    revoke(world, trust, KeyRole.REGISTRY, NOW_S + 5)
    found = trust.revocation(world.signer(KeyRole.REGISTRY).public_key)
    assert found is not None
    assert found.revoked_at_s == NOW_S - 5


def test_covered_objects_of_a_revoked_key_count(world) -> None:
    raw, later = signed(world, FUNDS), signed(world, FundRelease("m", 1, 2, NOW_S))
    known = {Sign1.parse(raw).hash}
    trust = TrustStore(world.trust, allow_demo=True, covered=lambda _, h: h in known)
    revoke(world, trust, KeyRole.REGISTRY)
    assert trust.verify(FundRelease, raw) == FUNDS
    with pytest.raises(RevokedKeyError):
        trust.verify(FundRelease, later)


def test_revocations_need_the_root(world, trust) -> None:
    good = trust.add_revocation(world.root.revoke(bytes(32), Heads(), now_s=NOW_S))
    with pytest.raises(FormatError):
        trust.add_revocation(signed(world, good, KeyRole.CARD_CA))


def test_one_key_one_role_one_version(world, trust) -> None:
    key = Ed25519Signer.generate(os.urandom).public_key
    trust.add_statement(world.root.state(KeyRole.ACK, 2, key, NOW_S, now_s=NOW_S))
    for role, version in ((KeyRole.REGISTRY, 2), (KeyRole.APPROVAL, 9), (KeyRole.ACK, 3)):
        with pytest.raises(TrustError, match="stated twice"):
            trust.add_statement(world.root.state(role, version, key, NOW_S, now_s=NOW_S))
    other = Ed25519Signer.generate(os.urandom).public_key
    with pytest.raises(TrustError, match="two statements"):
        trust.add_statement(world.root.state(KeyRole.ACK, 2, other, NOW_S, now_s=NOW_S))
    trust.add_statement(world.root.state(KeyRole.APPROVAL, 1, other, NOW_S, now_s=NOW_S))
    assert trust.key(KeyRole.APPROVAL, 1).public_key == other  # the person's newest
    assert trust.newest(KeyRole.ACK).version == 2


def test_trust_file_round_trip(world, trust) -> None:
    revoke(world, trust, KeyRole.ACK)
    again = TrustStore(TrustFile.parse(bytes(trust.trust_file())), allow_demo=True)
    assert again.statements() == trust.statements()
    assert again.revocation(world.signer(KeyRole.ACK).public_key) is not None


def test_unknown_versions(trust) -> None:
    with pytest.raises(UnknownKeyError):
        trust.key(KeyRole.ISSUER, 2)
    with pytest.raises(UnknownKeyError):
        TrustStore(TrustFile(ENV, trust.root_key, (), ()), allow_demo=True).newest(KeyRole.ACK)


def test_upload_head(trust) -> None:
    log = Ed25519Signer.generate(os.urandom)
    head = UploadHead(kw.TERMINAL, 1, 2, bytes(32))
    raw = bytes(sign_object(log, head, ENV))
    assert trust.upload_head(raw, log.public_key) == head
    with pytest.raises(FormatError):
        trust.upload_head(raw, Ed25519Signer.generate(os.urandom).public_key)


# --- two people -------------------------------------------------------------------------


def pair(world, **changes):
    f = {"asker": 1, "approver": 2, "ask_as": 1, "agree_as": 2, "at_s": NOW_S, "agree_s": NOW_S,
         "hash": None} | changes  # fmt: skip
    request = bytes(sign_object(world.people[f["ask_as"]],
                    Request(f["asker"], "x", bytes(32), f["at_s"], NOW_S + 100), ENV))  # fmt: skip
    named = f["hash"] or Sign1.parse(request).hash
    approval = Approval(f["approver"], named, f["agree_s"])
    return request, bytes(sign_object(world.people[f["agree_as"]], approval, ENV))


def test_two_people(world, trust) -> None:
    assert trust.two_people(*pair(world))[0].action == "x"


@pytest.mark.parametrize(
    "changes",
    [
        {"approver": 1, "agree_as": 1},
        {"approver": 1},  # the name of one, the key of another
        {"asker": 2},
        {"hash": bytes(32)},
        {"agree_s": NOW_S - 1},
        {"agree_s": NOW_S + 101},
        {"at_s": NOW_S - 20 * DAY_S},
        {"asker": 3},
        {"approver": 3},
    ],
)
def test_two_people_refusals(world, trust, changes) -> None:
    with pytest.raises(TrustError):
        trust.two_people(*pair(world, **changes))


def test_one_person_with_two_keys_is_one_person(world, trust) -> None:
    new = Ed25519Signer.generate(os.urandom)
    trust.add_statement(
        world.root.state(KeyRole.APPROVAL, 1, new.public_key, NOW_S - 5, now_s=NOW_S)
    )
    request, _ = pair(world)
    approval = bytes(sign_object(new, Approval(1, Sign1.parse(request).hash, NOW_S), ENV))
    with pytest.raises(TrustError, match="one person"):
        trust.two_people(request, approval)


def approver(world, *, role=KeyRole.APPROVAL, person=3, action=ENROL_APPROVER, other=b""):
    key = Ed25519Signer.generate(os.urandom).public_key
    statement = bytes(KeyStatement(role, person, key, NOW_S, NOW_S + 9))
    asked = make_request(world.people[1], ENV, person=1, action=action,
                         payloads=[other or statement], now_s=NOW_S)  # fmt: skip
    agreed = make_approval(world.people[2], ENV, person=2, request=asked, now_s=NOW_S)
    return ApproverEnrolment(statement, asked, agreed)


def test_a_later_approver(world, trust) -> None:
    made = trust.add_approver(ApproverEnrolment.parse(bytes(approver(world))))
    assert trust.key(KeyRole.APPROVAL, 3) == made


@pytest.mark.parametrize(
    "changes",
    [{"role": KeyRole.REGISTRY}, {"person": 1}, {"person": 2}, {"action": "x"}, {"other": b"x"}],
)
def test_a_later_approver_refused(world, trust, changes) -> None:
    before = trust.statements()
    with pytest.raises(TrustError):
        trust.add_approver(approver(world, **changes))
    assert trust.statements() == before


def test_one_key_under_two_numbers_is_one_person(world, trust) -> None:
    # The store refuses to state a key twice; the check behind it holds on its own.
    held = trust.key(KeyRole.APPROVAL, 1)
    twin = KeyStatement(KeyRole.APPROVAL, 5, held.public_key, held.from_s, held.to_s)
    trust._statements[KeyRole.APPROVAL, 5] = [twin]
    trust._by_kid[next(k for k, v in trust._by_kid.items() if held in v)].append(twin)
    with pytest.raises(TrustError, match="one key"):
        trust.two_people(*pair(world, approver=5, agree_as=1))


# --- certificates -----------------------------------------------------------------------


def card_cert(world, **changes) -> cvc.Certificate:
    issuer = changes.pop("issuer", world.issuer(KeyRole.CARD_CA))
    keys = [P256KeyAgreement.generate(os.urandom).public_key for _ in range(2)]
    fields = {"serial": 1, "card_id": ENV.mark + bytes(4), "channel_key": keys[0],
              "receipt_key": keys[1], "now_s": NOW_S} | changes  # fmt: skip
    return ca.issue_card_certificate(issuer, **fields)


def terminal_cert(world, issuer=None) -> cvc.Certificate:
    log, channel = Ed25519Signer.generate(os.urandom), P256KeyAgreement.generate(os.urandom)
    from keys.enrol import StationRequest

    request = StationRequest.make(ENV, kw.TERMINAL, StationKind.TERMINAL, log, channel)
    return ca.issue_terminal_certificate(
        issuer or world.issuer(KeyRole.TERMINAL_CA), request, serial=1, now_s=NOW_S
    )


def test_certificates_stand(world, trust) -> None:
    cert = card_cert(world)
    assert trust.card_certificate(cert).card_id == cert.subject
    assert trust.terminal_certificate(terminal_cert(world))
    assert [trust.link(x) for x in world.links] == list(world.links)


@pytest.mark.parametrize("kind", ["card", "terminal", "link"])
def test_a_certified_key_is_a_point(world, trust, kind) -> None:
    good, signer, verify = {
        "card": (card_cert(world), world.signer(KeyRole.CARD_CA), trust.card_certificate),
        "terminal": (terminal_cert(world), world.signer(KeyRole.TERMINAL_CA),
                     trust.terminal_certificate),
        "link": (link_cert(world), world.root.signer, trust.link),
    }[kind]  # fmt: skip
    unsigned = cvc.encode_unsigned(
        serial=1, issuer=good.issuer, subject=good.subject, effective=good.effective,
        expires=good.expires, extension=good.extension, public_key=b"\x04" + bytes(64),
    )  # fmt: skip
    with pytest.raises(FormatError, match="not on P-256"):
        verify(cvc.assemble(unsigned, signer.sign(unsigned)))


def test_another_environment_is_named_before_an_unknown_key(trust) -> None:
    stranger = Ed25519Signer.generate(os.urandom)
    raw = bytes(sign_object(stranger, FUNDS, Environment.LIVE))
    with pytest.raises(EnvironmentMismatchError):
        trust.verify(FundRelease, raw)


def test_each_kind_only_where_it_belongs(world, trust) -> None:
    with pytest.raises(TrustError, match="not a card"):
        trust.card_certificate(terminal_cert(world))
    with pytest.raises(TrustError, match="not a terminal"):
        trust.terminal_certificate(card_cert(world))
    with pytest.raises(TrustError, match="not a link"):
        trust.link(card_cert(world))


def test_wrong_ca(world, trust) -> None:
    stranger = ca.Issuer(ENV, 1, P256Signer.generate(os.urandom))
    with pytest.raises(SignatureInvalidError):
        trust.card_certificate(card_cert(world, issuer=stranger))
    with pytest.raises(SignatureInvalidError):
        trust.terminal_certificate(terminal_cert(world, stranger))
    with pytest.raises(UnknownKeyError):
        trust.card_certificate(
            card_cert(world, issuer=ca.Issuer(ENV, 2, world.signer(KeyRole.CARD_CA)))
        )


def test_environment_of_certificates(world, trust) -> None:
    for env in (Environment.DEMO_SPECIMEN, Environment.LIVE):
        issuer = ca.Issuer(env, 1, world.signer(KeyRole.CARD_CA))
        with pytest.raises(EnvironmentMismatchError):
            trust.card_certificate(card_cert(world, issuer=issuer, card_id=env.mark + bytes(4)))
        root = ca.Issuer(env, 1, world.root.signer)
        with pytest.raises(EnvironmentMismatchError):
            trust.link(link_cert(world, root=root))


def test_card_id_mark(world, trust) -> None:
    cert = card_cert(world)
    extension = cvc.CardExtension(ENV, cert.extension.receipt_key)
    unsigned = cvc.encode_unsigned(
        serial=1, issuer=cert.issuer, subject=b"KHBS" + bytes(4), effective=cert.effective,
        expires=cert.expires, extension=extension, public_key=cert.public_key,
    )  # fmt: skip
    moved = cvc.assemble(unsigned, world.signer(KeyRole.CARD_CA).sign(unsigned))
    with pytest.raises(TrustError, match="mark"):
        trust.card_certificate(moved)


def test_effective_date_within_the_cas_window(world, trust) -> None:
    early = card_cert(world, effective=add_days(TODAY, -11))
    with pytest.raises(OutsideWindowError):
        trust.card_certificate(early)
    assert trust.card_certificate(card_cert(world, effective=add_days(TODAY, -10)))


def test_revoked_ca(world, trust) -> None:
    cert = card_cert(world)
    revoke(world, trust, KeyRole.CARD_CA)
    with pytest.raises(RevokedKeyError):
        trust.card_certificate(cert)
    covered = TrustStore(trust.trust_file(), allow_demo=True, covered=lambda _, h: h == cert.digest)
    assert covered.card_certificate(cert)


def link_cert(world, root=None, **changes) -> cvc.Certificate:
    fields = {"kind": cvc.CaKind.ISSUER, "version": 2, "lowest_kept": 1, "now_s": NOW_S,
              "public_key": P256Signer.generate(os.urandom).public_key} | changes  # fmt: skip
    return ca.issue_link(root or ca.Issuer(ENV, 1, world.root.signer), **fields)


def test_links(world, trust) -> None:
    assert trust.link(link_cert(world))
    with pytest.raises(SignatureInvalidError):
        trust.link(link_cert(world, root=ca.Issuer(ENV, 1, P256Signer.generate(os.urandom))))
    with pytest.raises(TrustError, match="another key"):
        trust.link(link_cert(world, version=1))


@pytest.mark.parametrize(
    ("subject", "lowest"),
    [(b"DEMOC\x00\x00\x02", 1), (b"DEMOR\x00\x00\x02", 1), (b"KHBSI\x00\x00\x02", 1),
     (b"DEMOI\x00\x00\x02", 3)],
)  # fmt: skip
def test_link_subjects(world, trust, subject, lowest) -> None:
    unsigned = cvc.encode_unsigned(
        serial=1, issuer=cvc.CaId(b"DEMO", cvc.CaKind.ROOT, 1), subject=subject, effective=TODAY,
        expires=TODAY, extension=cvc.LinkExtension(ENV, lowest, may_step_back=False),
        public_key=P256Signer.generate(os.urandom).public_key,
    )  # fmt: skip
    with pytest.raises(TrustError):
        trust.link(cvc.assemble(unsigned, world.root.signer.sign(unsigned)))


# --- what cards parse -------------------------------------------------------------------


def entitlement(world, signer=None, **changes) -> bytes:
    wish = kw.wish(card_cert(world), **changes)
    return wish.body + (signer or world.signer(KeyRole.ISSUER)).sign(wish.body)


def script(world, signer=None, **changes) -> bytes:
    body = kw.script_body(card_cert(world), **changes)
    return body + (signer or world.signer(KeyRole.ISSUER)).sign(body)


@pytest.mark.parametrize(("make", "name"), [(entitlement, "entitlement"), (script, "script")])
def test_entitlements_and_scripts(world, trust, make, name) -> None:
    verify = getattr(trust, name)
    assert verify(make(world))
    with pytest.raises(SignatureInvalidError):
        verify(make(world, P256Signer.generate(os.urandom)))
    with pytest.raises(EnvironmentMismatchError):
        verify(make(world, env=Environment.LIVE))
    with pytest.raises(UnknownKeyError):
        verify(make(world, key_version=2))
    with pytest.raises(OutsideWindowError):
        verify(make(world, issued=add_days(TODAY, -11)))
    raw = make(world)
    revoke(world, trust, KeyRole.ISSUER)
    with pytest.raises(RevokedKeyError):
        verify(raw)
