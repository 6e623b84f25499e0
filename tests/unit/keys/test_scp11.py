"""Opening SCP11a: both ends, one parameter set, every other thing refused."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from keys.scp11 import (
    CONTROL_REFERENCE,
    InvalidPointError,
    Scp11aHost,
    SoftwareEcdhKey,
    open_card_session,
)
from keys.securechannel import (
    CommandMacError,
    CryptogramError,
    OrderError,
    ParameterError,
    SecureChannelError,
    SecurityLevel,
)
from tests.unit.keys.scp_support import change, scp11_pair, stream
from wire import tlv
from wire.apdu import CommandApdu, ResponseApdu

OCE, SD = SoftwareEcdhKey.generate(stream(11)), SoftwareEcdhKey.generate(stream(12))
OTHER = SoftwareEcdhKey.generate(stream(99))
# y of a true point changed; the identity, which SEC 1 codes as one byte, also padded; compressed
BAD_POINTS = {
    "off curve": change(SD.public, 64, 1),
    "identity": b"\x00",
    "identity, padded": bytes(65),
    "zero": b"\x04" + bytes(64),
    "compressed": bytes([2 + SD.public[64] % 2]) + SD.public[1:33],
    "hybrid": bytes([6 + SD.public[64] % 2]) + SD.public[1:],
    "short": SD.public[:-1],
    "long": SD.public + b"\x00",
    "not reduced": b"\x04" + b"\xff" * 64,
    "nothing": b"",
}
bad_points = pytest.mark.parametrize("point", BAD_POINTS.values(), ids=list(BAD_POINTS))


def _host() -> Scp11aHost:
    return Scp11aHost(OCE, SD.public, stream(13))


def _open(command: CommandApdu, oce_public: bytes = OCE.public):
    return open_card_session(command, SD, oce_public, stream(14))


def test_the_command_is_what_the_wire_contract_says():
    command = _host().command()
    assert command.header.hex() == "80820111"
    assert command.data[:15].hex() == "a60d9002110195013c800188810110"
    assert command.data[15:18].hex() == "5f4941"
    assert len(command.data) == 83
    answer, session = _open(command)
    assert answer.data[:3].hex() == "5f4941"
    assert answer.data[68:70].hex() == "8610"
    assert len(answer.data) == 86
    assert session.level is SecurityLevel.FULL


def test_the_first_protected_command_goes_through():
    host, card = scp11_pair()
    command = CommandApdu(0x80, 0xB0, 0, 0, b"x" * 223, 256)
    assert card.unwrap(host.wrap(command)) == command


@given(at=st.integers(0, 82), mask=st.integers(1, 255))
def test_any_changed_byte_of_the_command_is_refused(at, mask):
    """Refused by the card, or its receipt by the host: nobody ends with a session by mistake."""
    host = _host()
    command = host.command()
    try:
        answer, _ = _open(CommandApdu(*command.header_fields, change(command.data, at, mask), 256))
    except SecureChannelError:
        return
    with pytest.raises(CryptogramError):
        host.finish(answer)


@given(at=st.integers(0, 85), mask=st.integers(1, 255))
def test_any_changed_byte_of_the_answer_is_refused(at, mask):
    host = _host()
    answer, _ = _open(host.command())
    with pytest.raises(SecureChannelError):
        host.finish(ResponseApdu(change(answer.data, at, mask), 0x9000))
    with pytest.raises(OrderError):
        host.finish(answer)


@given(at=st.integers(70, 85), mask=st.integers(1, 255))
def test_any_changed_byte_of_the_receipt_is_refused(at, mask):
    host = _host()
    answer, _ = _open(host.command())
    with pytest.raises(CryptogramError):
        host.finish(ResponseApdu(change(answer.data, at, mask), 0x9000))


@pytest.mark.parametrize("length", [0, 8, 15])
def test_truncated_receipt_is_refused(length):
    host = _host()
    answer, _ = _open(host.command())
    cut = answer.data[:68] + tlv.encode(0x86, answer.data[70 : 70 + length])
    with pytest.raises(CryptogramError):
        host.finish(ResponseApdu(cut, 0x9000))


def test_a_card_without_the_static_key_is_refused():
    host = _host()
    answer, _ = open_card_session(host.command(), OTHER, OCE.public, stream(14))
    with pytest.raises(CryptogramError):
        host.finish(answer)


def test_a_host_without_the_static_key_gets_nowhere():
    """It cannot check the receipt, and its first C-MAC fails on the card."""
    impostor = Scp11aHost(OTHER, SD.public, stream(13))
    answer, card = _open(impostor.command())
    with pytest.raises(CryptogramError):
        impostor.finish(answer)
    host = _host()
    foreign, _ = _open(host.command())
    session = host.finish(foreign)
    _, other_card = _open(_host().command(), OTHER.public)
    with pytest.raises(CommandMacError):
        other_card.unwrap(session.wrap(CommandApdu(0x80, 0xB0, 0, 0)))
    assert card.is_open


@pytest.mark.parametrize(
    "header",
    ["80820113", "80820115", "80820110", "80820011", "80820211", "84820111", "00820111",
     "80880111", "80880113"],
)  # fmt: skip
def test_other_key_references_and_scp11b_and_c_are_refused(header):
    data = _host().command().data
    with pytest.raises(ParameterError, match="not MUTUAL AUTHENTICATE"):
        _open(CommandApdu(*bytes.fromhex(header), data))


@pytest.mark.parametrize(
    "reference",
    {
        "scp11b": "a60d9002110095013c800188810110",
        "scp11c": "a60d9002110395013c800188810110",
        "with HostID": "a60d9002110595013c800188810110",
        "another scp": "a60d9002030195013c800188810110",
        "mac only": "a60d90021101950134800188810110",
        "des": "a60d9002110195013c800182810110",
        "aes-256": "a60d9002110195013c800188810120",
        "aes-192": "a60d9002110195013c800188810118",
        "another order": "a60d95013c90021101800188810110",
        "host id present": "a6119002110195013c8001888101108402aabb",
        "long length": "a6810d9002110195013c800188810110",
        "nothing": "",
    }.items(),
    ids=lambda item: item[0],
)
def test_other_parameters_are_refused(reference):
    key = tlv.encode(0x5F49, OCE.public)
    with pytest.raises(ParameterError, match="parameters other than ours"):
        _open(CommandApdu(0x80, 0x82, 0x01, 0x11, bytes.fromhex(reference[1]) + key))


@pytest.mark.parametrize("tail", [b"", b"\x00", tlv.encode(0x5F49, OCE.public)])
def test_left_over_bytes_are_refused(tail):
    host = _host()
    data = host.command().data
    bad = data + tail if tail else data[:-1]
    with pytest.raises(ParameterError, match="MUTUAL"):
        _open(CommandApdu(0x80, 0x82, 0x01, 0x11, bad))
    answer, _ = _open(CommandApdu(0x80, 0x82, 0x01, 0x11, data))
    with pytest.raises(ParameterError, match="answer"):
        host.finish(ResponseApdu(answer.data + (tail or b"\x86\x00"), 0x9000))


@bad_points
def test_bad_ephemeral_point_is_refused_by_the_card(point):
    data = CONTROL_REFERENCE + tlv.encode(0x5F49, point)
    with pytest.raises(InvalidPointError):
        _open(CommandApdu(0x80, 0x82, 0x01, 0x11, data))


@bad_points
def test_bad_static_point_is_refused_by_the_card(point):
    with pytest.raises(InvalidPointError):
        _open(_host().command(), point)


@bad_points
def test_bad_ephemeral_point_is_refused_by_the_host(point):
    host = _host()
    host.command()
    data = tlv.encode(0x5F49, point) + tlv.encode(0x86, bytes(16))
    with pytest.raises(InvalidPointError):
        host.finish(ResponseApdu(data, 0x9000))


@bad_points
def test_bad_static_point_is_refused_by_the_host(point):
    with pytest.raises(InvalidPointError):
        Scp11aHost(OCE, point, stream(13))


@bad_points
def test_bad_point_never_meets_a_private_key(point):
    with pytest.raises(InvalidPointError):
        SD.ecdh(point)


class _Token:
    """A key somewhere else, which may answer anything."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.asked: list[bytes] = []

    def ecdh(self, peer_public: bytes) -> bytes:
        self.asked.append(peer_public)
        return self.answer


def test_keys_may_live_elsewhere_on_either_end():
    secret = OCE.ecdh(SD.public)
    assert secret == SD.ecdh(OCE.public)
    assert len(secret) == 32
    token, chip = _Token(secret), _Token(secret)
    host = Scp11aHost(token, SD.public, stream(13))
    answer, _ = open_card_session(host.command(), chip, OCE.public, stream(14))
    host.finish(answer)
    assert (token.asked, chip.asked) == ([SD.public], [OCE.public])


@bad_points
def test_bad_static_point_never_meets_a_token(point):
    chip = _Token(bytes(32))
    with pytest.raises(InvalidPointError):
        open_card_session(_host().command(), chip, point, stream(14))
    assert chip.asked == []


@pytest.mark.parametrize("secret", [b"", bytes(31), bytes(33), bytes(65)])
def test_secret_of_wrong_length_is_refused(secret):
    host = Scp11aHost(_Token(secret), SD.public, stream(13))
    answer, _ = _open(host.command())
    with pytest.raises(ParameterError, match="shared secret"):
        host.finish(answer)
    with pytest.raises(ParameterError, match="shared secret"):
        open_card_session(_host().command(), _Token(secret), OCE.public, stream(14))


def test_wrong_order_is_refused():
    host = _host()
    with pytest.raises(OrderError):
        host.finish(ResponseApdu(b"", 0x9000))
    answer, _ = _open(host.command())
    with pytest.raises(OrderError):
        host.command()
    host.finish(answer)
    for call in (host.command, lambda: host.finish(answer)):
        with pytest.raises(OrderError):
            call()


@pytest.mark.parametrize("sw", [0x6982, 0x6A80, 0x6300, 0x6310])
def test_refusal_of_the_card_is_an_error(sw):
    host = _host()
    answer, _ = _open(host.command())
    with pytest.raises(ParameterError, match=f"{sw:04X}"):
        host.finish(ResponseApdu(answer.data, sw))


def test_keys_of_other_curves_and_short_randomness_are_refused():
    with pytest.raises(ValueError, match="P-256"):
        SoftwareEcdhKey(ec.generate_private_key(ec.SECP384R1()))
    with pytest.raises(ParameterError, match="random source"):
        SoftwareEcdhKey.generate(lambda n: bytes(n - 1))


def test_private_keys_do_not_print():
    assert repr(SD) == "SoftwareEcdhKey()"
