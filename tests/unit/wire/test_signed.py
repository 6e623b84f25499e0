"""One verification rule per algorithm, one frame for signed objects, one encoding per value."""

from hashlib import sha256

import cbor2
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from nacl.signing import SigningKey

from wire import bundle, cbor, cose, dates, ecdsa, tlv
from wire.env import Environment
from wire.errors import EnvironmentMismatchError, FormatError, SignatureInvalidError, WireError
from wire.objects import FundRelease, Programme, Tariff, Unit, open_signed

KEY = ec.derive_private_key(0x1234, ec.SECP256R1())
POINT = KEY.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
MESSAGE = b"one rupiah"
SEED = SigningKey(b"\x07" * 32)
ED_KEY = bytes(SEED.verify_key)
ENV = Environment.DEMO_LIVE
N = ecdsa.P256_ORDER


def sign() -> tuple[int, int]:
    return decode_dss_signature(KEY.sign(MESSAGE, ec.ECDSA(hashes.SHA256())))


def raw(r: int, s: int) -> bytes:
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def test_high_and_low_s_both_verify() -> None:
    r, s = sign()
    ecdsa.verify_p256(POINT, raw(r, s), MESSAGE)
    ecdsa.verify_p256(POINT, raw(r, N - s), MESSAGE)
    ecdsa.verify_p256(ecdsa.compress(POINT), raw(r, s), MESSAGE)


@pytest.mark.parametrize("case", ["r=0", "s=0", "r=n", "s=n", "short", "long", "other"])
def test_ecdsa_refuses(case: str) -> None:
    r, s = sign()
    bad = {
        "r=0": raw(0, s),
        "s=0": raw(r, 0),
        "r=n": raw(N, s),
        "s=n": raw(r, N),
        "short": raw(r, s)[:-1],
        "long": raw(r, s) + b"\0",
        "other": raw(r, s ^ 1),
    }[case]
    with pytest.raises(SignatureInvalidError):
        ecdsa.verify_p256(POINT, bad, MESSAGE)


@pytest.mark.parametrize(
    "point",
    [b"", b"\x00", POINT[:-1] + bytes([POINT[-1] ^ 1]), b"\x04" + bytes(64), POINT + b"\0",
     b"\x06" + POINT[1:], b"\x02" + b"\xff" * 32],
)  # fmt: skip
def test_points_off_the_curve_are_refused(point: bytes) -> None:
    with pytest.raises(FormatError):
        ecdsa.p256_public_key(point)


@pytest.mark.parametrize(
    "key",
    [
        bytes(32),
        b"\x01" + bytes(31),
        b"\xff" * 32,
        (2**255 - 19).to_bytes(32, "little"),
        ED_KEY[:31],
    ],
)
def test_ed25519_refuses_small_order_and_non_canonical_keys(key: bytes) -> None:
    with pytest.raises(FormatError):
        ecdsa.check_ed25519_key(key)


def fund() -> FundRelease:
    return FundRelease("SP2D-1", 0x0101, 150_000, 1_790_000_000)


def signed(env: Environment = ENV, kind: str = "funds") -> cose.Sign1:
    payload = bytes(fund())
    signature = SEED.sign(cose.to_be_signed(ED_KEY, kind, env, payload)).signature
    return cose.assemble(ED_KEY, kind, env, payload, signature)


def test_every_flipped_bit_of_a_signed_object_is_found() -> None:
    good = signed().raw
    assert open_signed(FundRelease, good, ED_KEY, ENV) == fund()
    for at in range(len(good)):
        for bit in range(8):
            bad = bytearray(good)
            bad[at] ^= 1 << bit
            with pytest.raises(WireError):
                open_signed(FundRelease, bytes(bad), ED_KEY, ENV)


def test_an_object_of_another_environment_or_type_is_refused() -> None:
    with pytest.raises(EnvironmentMismatchError):
        open_signed(FundRelease, signed(Environment.LIVE).raw, ED_KEY, ENV)
    with pytest.raises(FormatError):
        open_signed(FundRelease, signed(kind="ack").raw, ED_KEY, ENV)


def test_the_object_is_what_another_cose_library_reads() -> None:
    tag = cbor2.loads(signed().raw)
    assert tag.tag == 18
    protected, unprotected, payload, signature = tag.value
    assert unprotected == {}
    structure = cbor2.dumps(["Signature1", protected, b"", payload])
    SEED.verify_key.verify(structure, signature)
    assert signed().hash == sha256(structure).digest()


@pytest.mark.parametrize(
    "data",
    [b"\x18\x05", b"\x82\x01\x02\x00", b"\xa1\x01\x02\x03", b"\x9f\x01\xff", b"", b"\x82\x01",
     b"\x59\x00\x01\x00"],
)  # fmt: skip
def test_cbor_has_one_encoding(data: bytes) -> None:
    with pytest.raises(FormatError):
        cbor.decode_array(data, 2)


def test_a_cbor_sequence_round_trips_and_refuses_a_long_head() -> None:
    items = [b"", b"a", b"b" * 30, b"c" * 300]
    assert list(cbor.decode_sequence(cbor.encode_sequence(items))) == items
    with pytest.raises(FormatError):
        list(cbor.decode_sequence(b"\x58\x01a"))


@pytest.mark.parametrize(
    "data", [b"\x93\x81\x01a", b"\x93\x02a", b"\x93\x80", b"\x5f\x1e\x00", b""]
)
def test_tlv_refuses(data: bytes) -> None:
    with pytest.raises(FormatError):
        tlv.parse_sequence(data, (0x93,))


@pytest.mark.parametrize(
    "data", [b"\x20\x26\x13\x01", b"\x19\x99\x01\x01", b"\x20\x2a\x01\x01", b""]
)
def test_dates_refuse(data: bytes) -> None:
    with pytest.raises(FormatError):
        dates.date_from_bcd(data)


def test_goods_stand_exactly_in_baskets() -> None:
    def programme(unit: Unit, tariff: Tariff) -> Programme:
        return Programme(1, 1, "Dinas", "Pangan", "Food", 0x1A01, unit, "bulog", 1, 0, 0, True,
                         (), (tariff,))  # fmt: skip

    with pytest.raises(FormatError):
        bytes(programme(Unit.BASKET, Tariff(1, 150_000, ())))
    with pytest.raises(FormatError):
        bytes(programme(Unit.RUPIAH, Tariff(0, 2, ())))


def test_a_bundle_file_is_one_whole_stream() -> None:
    packed = bundle.pack(b"x" * 1000)
    assert bundle.unpack(packed) == b"x" * 1000
    for bad in (packed[:-1], packed + b"\0", b"no zlib"):
        with pytest.raises(FormatError):
            bundle.unpack(bad)
