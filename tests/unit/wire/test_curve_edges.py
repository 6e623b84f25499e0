"""Every door that checks a point or a signature, at the edges of both curves.

One list of bad points and one of bad signatures meet each verifier: certificates, raw objects, the
trust file's chain, COSE of both algorithms, both ends of SCP11a, the reference card and the applet.
A malleated signature (r, n − s) is taken everywhere, and never makes another object.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from random import Random

import pytest

from keys.enrol import OfficerRequest, StationRequest
from keys.errors import PossessionError
from keys.hierarchy import make_world
from keys.scp11 import InvalidPointError, Scp11aHost, SoftwareEcdhKey, open_card_session
from keys.signer import Ed25519Signer, P256KeyAgreement
from keys.trust import TrustStore
from tests.support import purse_world, vectors
from tests.support.applet_world import AppletBench
from tests.support.purse_world import (
    STRANGER,
    TERMINAL,
    TERMINAL_CA,
    Bench,
    World,
    malleated,
    private_key,
    sign,
    stages,
)
from tests.support.terminal_world import START_S
from wire import cose, cvc, ecdsa, objects, tlv
from wire.apdu import CommandApdu
from wire.chain import TrustFile
from wire.cvc import CaKind, Role, TerminalExtension
from wire.entitlement import Entitlement, Script, ScriptAction
from wire.errors import FormatError, SignatureInvalidError, WireError
from wire.purse import CardKeys, Ins
from wire.receipt import Receipt, Statement

P = 2**256 - 2**224 + 2**192 + 2**96 - 1  # the field of P-256
N = ecdsa.P256_ORDER
GOOD = purse_world.point(STRANGER)
B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
ROOT_OF_B = pow(B, (P + 1) // 4, P)  # (0, √b) is a point, with x ≡ p


def word(n: int) -> bytes:
    return n.to_bytes(32, "big")


BAD_POINTS = {
    "off the curve": GOOD[:-1] + bytes([GOOD[-1] ^ 1]),
    "zero, zero": b"\x04" + bytes(64),
    "the identity": bytes(1),
    "the identity at full length": bytes(65),
    "hybrid form": bytes([6 + (GOOD[-1] & 1)]) + GOOD[1:],
    "x beyond the field": b"\x04" + word(P) + word(ROOT_OF_B),
    "y beyond the field": b"\x04" + word(0) + word(2**256 - 1),
    "all ones": b"\x04" + b"\xff" * 64,
    "a point of the twist": b"\x04" + word(4) + word(1),
    "cut": GOOD[:-1],
    "a byte more": GOOD + b"\x00",
}
FULL_LENGTH = {name: p for name, p in BAD_POINTS.items() if len(p) == 65}
BAD_COMPRESSED = {
    "no such x": b"\x02" + word(next(x for x in range(1, 99)
                                     if pow(x**3 - 3 * x + B, (P - 1) // 2, P) != 1)),
    "x beyond the field": b"\x02" + word(P),
    "zeros": bytes(33),
    "another form": b"\x05" + GOOD[1:33],
}  # fmt: skip


def spoilt(signature: bytes) -> dict[str, bytes]:
    r, s = signature[:32], signature[32:]
    zero, n, above = word(0), word(N), word(2**256 - 1)
    return {
        "r = 0": zero + s, "s = 0": r + zero, "both 0": zero + zero, "r = n": n + s,
        "s = n": r + n, "both n": n + n, "r > n": above + s, "s > n": r + above,
        "r = n + 1": word(N + 1) + s, "s negated too far": r + word(N - 1), "swapped": s + r,
    }  # fmt: skip


BAD_SIGNATURES = list(spoilt(bytes(64)))
ED_P, ED_L = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493
_Y8 = int.from_bytes(
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little"
)
SMALL_ORDER = {  # the eight points of order 1, 2, 4, 8, and their other encodings
    "order 1": word(1), "order 2": word(ED_P - 1), "order 4": word(0),
    "order 4, sign": word(1 << 255), "order 8": word(_Y8), "order 8, sign": word(_Y8 | 1 << 255),
    "order 8, other": word(ED_P - _Y8), "order 8, other, sign": word(ED_P - _Y8 | 1 << 255),
}  # fmt: skip
NON_CANONICAL = {
    "y = p": word(ED_P), "y = p + 1": word(ED_P + 1), "y = 2^255 - 1": word(2**255 - 1),
    "order 1, sign": word(1 | 1 << 255), "all ones": b"\xff" * 32,
    "y = p + 3, a point of the curve": word(ED_P + 3),
}  # fmt: skip
BAD_ED_KEYS = {name: key[::-1] for name, key in (SMALL_ORDER | NON_CANONICAL).items()}


# --- points and keys themselves -----------------------------------------------------------------


@pytest.mark.parametrize("name", BAD_POINTS)
def test_no_bad_point_is_a_key(name: str) -> None:
    point = BAD_POINTS[name]
    message = b"x"
    for use in (ecdsa.p256_public_key, ecdsa.compress,
                lambda p: ecdsa.verify_p256(p, sign(STRANGER, message), message)):  # fmt: skip
        with pytest.raises(FormatError):
            use(point)
    with pytest.raises(FormatError):
        CardKeys.parse(GOOD + point)
    with pytest.raises(FormatError):
        CardKeys.parse(point + GOOD)


@pytest.mark.parametrize("name", BAD_COMPRESSED)
def test_no_bad_compressed_point_is_a_key(name: str) -> None:
    with pytest.raises(FormatError):
        ecdsa.decompress(BAD_COMPRESSED[name])


@pytest.mark.parametrize("name", BAD_ED_KEYS)
def test_no_bad_ed25519_key_is_a_key(name: str) -> None:
    with pytest.raises(FormatError):
        ecdsa.check_ed25519_key(BAD_ED_KEYS[name])
    forged = word(1)[::-1] + bytes(32)  # R the identity, S 0: verifies under order 1 with any text
    with pytest.raises(WireError):
        ecdsa.verify_ed25519(BAD_ED_KEYS[name], forged, b"anything")


def test_ed25519_signatures_at_their_edges() -> None:
    key, message = vectors.Ed25519("edge"), b"one rupiah"
    good = key.sign(message)
    r, s = good[:32], int.from_bytes(good[32:], "little")
    ecdsa.verify_ed25519(key.public, good, message)
    for bad in (
        r + (s + ED_L).to_bytes(32, "little"),
        r + bytes(32),
        bytes(32) + good[32:],
        r + ED_L.to_bytes(32, "little"),
        r + b"\xff" * 32,
        word(ED_P + 1)[::-1] + good[32:],
        *(k + good[32:] for k in BAD_ED_KEYS.values()),
    ):
        with pytest.raises(SignatureInvalidError):
            ecdsa.verify_ed25519(key.public, bad, message)


# --- raw objects and certificates ---------------------------------------------------------------

RAW: dict[str, tuple[Callable[[bytes], object], bytes, vectors.P256]] = {
    "receipt": (Receipt.parse, vectors.signed(vectors.receipt_body(), vectors.RECEIPT_KEY),
                vectors.RECEIPT_KEY),
    "statement": (Statement.parse, bytes.fromhex(vectors.statements()["accept"][0]["bytes"]),
                  vectors.RECEIPT_KEY),
    "entitlement": (Entitlement.parse, vectors.entitlement(), vectors.ISSUER),
    "script": (Script.parse, bytes.fromhex(vectors.scripts()["accept"][0]["bytes"]),
               vectors.ISSUER),
    "terminal certificate": (cvc.Certificate.parse, vectors.terminal_certificate().raw,
                             vectors.TERMINAL_CA),
    "card certificate": (cvc.Certificate.parse, vectors.card_certificate().raw, vectors.CARD_CA),
    "link": (cvc.Certificate.parse, vectors.link().raw, vectors.ROOT),
}  # fmt: skip


@pytest.mark.parametrize("name", RAW)
def test_an_object_of_a_bad_signature_or_under_a_bad_key_does_not_verify(name: str) -> None:
    parse, raw, key = RAW[name]
    parse(raw).verify(key.public)  # type: ignore[attr-defined]
    parse(raw[:-64] + malleated(raw[-64:])).verify(key.public)  # type: ignore[attr-defined]
    for bad in spoilt(raw[-64:]).values():
        with pytest.raises(SignatureInvalidError):
            parse(raw[:-64] + bad).verify(key.public)  # type: ignore[attr-defined]
    for point in BAD_POINTS.values():
        with pytest.raises(FormatError):
            parse(raw).verify(point)  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["receipt", "statement", "entitlement", "script"])
def test_a_malleated_signature_names_no_other_object(name: str) -> None:
    parse, raw, _ = RAW[name]
    other = parse(raw[:-64] + malleated(raw[-64:]))
    assert other.hash == parse(raw).hash  # type: ignore[attr-defined]


# --- the trust store ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def made():
    world = make_world(purse_world.ENV, random=Random(3).randbytes, now_s=START_S,  # noqa: S311
                       from_s=START_S - 86_400)  # fmt: skip
    return world, TrustStore(world.trust, allow_demo=True)


@pytest.mark.parametrize("why", BAD_SIGNATURES)
def test_the_trust_store_takes_no_bad_signature(made, why: str) -> None:
    world, trust = made
    link = world.links[0]
    assert trust.link(cvc.assemble(link.signed_bytes, malleated(link.signature)))
    with pytest.raises(SignatureInvalidError):
        trust.link(cvc.assemble(link.signed_bytes, spoilt(link.signature)[why]))
    statement = world.trust.statements[0]
    with pytest.raises(SignatureInvalidError):
        trust.add_statement(statement[:-64] + spoilt(statement[-64:])[why])
    signer = world.signer(objects.KeyRole.ISSUER)
    body = vectors.entitlement()[:-64]
    good = signer.sign(body)
    assert trust.entitlement(body + good)
    with pytest.raises(SignatureInvalidError):
        trust.entitlement(body + spoilt(good)[why])


@pytest.mark.parametrize("why", BAD_SIGNATURES)
def test_cose_es256_takes_no_bad_signature(why: str) -> None:
    shape = vectors.sample_objects()[0]
    raw, key = vectors.sign_object(shape), vectors.ROOT.public
    good = cose.Sign1.parse(raw)
    again = cose.Sign1.parse(raw[:-64] + malleated(raw[-64:]))
    assert again.verify(key, "key", vectors.ENV) == good.payload
    assert again.hash == good.hash
    bad = cose.Sign1.parse(raw[:-64] + spoilt(raw[-64:])[why])
    with pytest.raises(SignatureInvalidError):
        bad.verify(key, "key", vectors.ENV)


@pytest.mark.parametrize("name", BAD_ED_KEYS)
def test_cose_eddsa_takes_no_bad_key(name: str) -> None:
    key = BAD_ED_KEYS[name]
    forged = word(1)[::-1] + bytes(32)
    raw = cose.assemble(key, "funds", vectors.ENV, b"\x80", forged).raw
    with pytest.raises(WireError):
        cose.Sign1.parse(raw).verify(key, "funds", vectors.ENV)
    with pytest.raises(FormatError):
        bytes(objects.KeyStatement(objects.KeyRole.ACK, 1, key, 0, 1))
    request = StationRequest.make(vectors.ENV, b"TERM0001", objects.StationKind.DESK,
                                  Ed25519Signer.generate(lambda n: b"k" * n))  # fmt: skip
    with pytest.raises(PossessionError):
        replace(request, log_key=key, log_pop=forged).verify()


@pytest.mark.parametrize("name", FULL_LENGTH)
def test_no_statement_or_request_names_a_bad_point(made, name: str) -> None:
    point = FULL_LENGTH[name]
    with pytest.raises(FormatError):
        bytes(objects.KeyStatement(objects.KeyRole.ISSUER, 9, point, 0, 1))
    key = P256KeyAgreement.generate(lambda n: b"k" * n)
    officer = OfficerRequest.make(vectors.ENV, b"TERM0001", Role.SUPERVISOR, 41, key)
    with pytest.raises(PossessionError):
        replace(officer, channel_key=point).verify()


@pytest.mark.parametrize("name", FULL_LENGTH)
def test_a_signed_statement_of_a_bad_key_is_refused(name: str) -> None:
    """The root itself cannot bring a key that is no point."""
    trust = TrustStore(TrustFile(vectors.ENV, vectors.ROOT.public, (), ()), allow_demo=True)
    good = objects.KeyStatement(objects.KeyRole.ISSUER, 9, GOOD, 0, 1)
    assert trust.add_statement(vectors.sign_object(good)) == good
    payload, root = bytes(good).replace(GOOD, FULL_LENGTH[name]), vectors.ROOT
    message = cose.to_be_signed(root.public, "key", vectors.ENV, payload)
    bad = cose.assemble(root.public, "key", vectors.ENV, payload, root.sign(message)).raw
    with pytest.raises(WireError):
        trust.add_statement(bad)


# --- SCP11a, both ends --------------------------------------------------------------------------


def agreed() -> tuple[Scp11aHost, CommandApdu]:
    host = Scp11aHost(SoftwareEcdhKey(private_key(TERMINAL)), GOOD, lambda n: b"h" * n)
    return host, host.command()


@pytest.mark.parametrize("name", FULL_LENGTH)
def test_no_end_of_scp11a_takes_a_bad_point(name: str) -> None:
    point, own = FULL_LENGTH[name], SoftwareEcdhKey(private_key(STRANGER))
    with pytest.raises(InvalidPointError):
        Scp11aHost(own, point, lambda n: b"h" * n)
    host, command = agreed()
    answer, _ = open_card_session(command, own, purse_world.point(TERMINAL), lambda n: b"c" * n)
    (key, receipt) = tlv.parse_sequence(answer.data, (0x5F49, 0x86))
    bad = tlv.encode(0x5F49, point) + tlv.encode(0x86, receipt)
    with pytest.raises(InvalidPointError):
        host.finish(replace(answer, data=bad))
    spoiled = replace(command, data=command.data[:-65] + point)
    for other, static in ((spoiled, purse_world.point(TERMINAL)), (command, point)):
        with pytest.raises(InvalidPointError):
            open_card_session(other, own, static, lambda n: b"c" * n)
    assert key != point


# --- the card, and the applet -------------------------------------------------------------------


@pytest.fixture(scope="module", params=["reference", "applet"])
def card(request) -> Bench:
    if request.param == "reference":
        return purse_world.stage()
    host = request.getfixturevalue("applet_host")
    return stages(AppletBench(World(), applet_class=host.make))["ACTIVE"]


def with_key(point: bytes) -> cvc.Certificate:
    unsigned = cvc.encode_unsigned(
        serial=1, issuer=World().ca(CaKind.TERMINAL_CA), subject=b"TERM0001",
        effective=date(2026, 6, 1), expires=date(2026, 7, 6),
        extension=TerminalExtension(purse_world.ENV, Role.TERMINAL, 0), public_key=point,
    )  # fmt: skip
    return cvc.assemble(unsigned, sign(TERMINAL_CA, unsigned))


def test_the_card_takes_no_certificate_of_a_bad_point(card: Bench) -> None:
    before = card.store.logical_state()
    for name, point in FULL_LENGTH.items():
        assert card.pso(with_key(point)) == 0x6A80, name
    assert card.store.logical_state() == before
    assert card.pso(with_key(GOOD)) == 0x9000


def test_the_card_takes_no_link_of_a_bad_point_or_signature(card: Bench) -> None:
    bench = card.fork()
    before = bench.store.logical_state()
    good = bench.world.link(CaKind.ISSUER, 2)
    at = good.signed_bytes.index(good.public_key)
    for name, point in FULL_LENGTH.items():
        unsigned = good.signed_bytes[:at] + point + good.signed_bytes[at + 65 :]
        link = cvc.assemble(unsigned, sign(purse_world.ROOT, unsigned))
        assert bench.pso(link) == 0x6A80, name
    for why, bad in spoilt(good.signature).items():
        assert bench.pso(cvc.assemble(good.signed_bytes, bad)) == 0x6982, why
    assert bench.store.logical_state() == before
    assert bench.pso(cvc.assemble(good.signed_bytes, malleated(good.signature))) == 0x9000


def test_the_card_takes_no_bad_signature(card: Bench) -> None:
    bench = card.fork()
    certificate = bench.world.terminal_certificate(serial=77)
    for why, bad in spoilt(certificate.signature).items():
        assert bench.pso(cvc.assemble(certificate.signed_bytes, bad)) == 0x6982, why
    entitlement, script = bench.entitlement(sequence=9), bench.world.script(ScriptAction.UNBLOCK)
    session = bench.open()
    before = bench.store.logical_state()
    for ins, raw in ((Ins.LOAD, entitlement.raw), (Ins.SCRIPT, script.raw)):
        for why, bad in spoilt(raw[-64:]).items():
            assert session.sw(ins, 0, 0, raw[:-64] + bad) == 0x6982, (ins, why)
    assert bench.store.logical_state() == before
    for ins, raw in ((Ins.LOAD, entitlement.raw), (Ins.SCRIPT, script.raw)):
        assert session.sw(ins, 0, 0, raw[:-64] + malleated(raw[-64:])) == 0x9000


def test_the_card_agrees_with_no_bad_point(card: Bench) -> None:
    bench = card.fork()
    for name, point in FULL_LENGTH.items():
        assert bench.pso(bench.world.terminal_certificate()) == 0x9000
        host = Scp11aHost(SoftwareEcdhKey(private_key(TERMINAL)), bench.channel_public,
                          bench.random)  # fmt: skip
        command = host.command()
        sent = replace(command, data=command.data[:-65] + point)
        assert bench.transmit(sent).sw == 0x6A80, name
