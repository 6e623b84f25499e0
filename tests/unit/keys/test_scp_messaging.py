"""Secure messaging: every level and mode round trips, and any changed byte is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.kdf import cmac
from keys.securechannel import (
    MAX_PLAIN_BYTES,
    CardMessaging,
    CipherError,
    CommandMacError,
    DataTooLongError,
    HostMessaging,
    OrderError,
    ParameterError,
    ResponseMacError,
    SecurityLevel,
    SessionClosedError,
    SessionKeys,
    pad,
    unpad,
)
from tests.unit.keys.scp_support import LEVELS, OK, change, scp03_pair, scp11_pair
from wire.apdu import CommandApdu, ResponseApdu

COMMAND = CommandApdu(0x80, 0xE2, 0x11, 0x00, b"fifteen bytes..", 256)
R_MAC_LEVELS = [level for level in LEVELS if level.r_mac]
C_MAC_LEVELS = LEVELS[1:]
PAIRS = [scp11_pair, scp03_pair, lambda: scp03_pair(32, s16=True)]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("s16", [False, True])
@pytest.mark.parametrize("size", [16, 24, 32])
@pytest.mark.parametrize("pseudo_random", [False, True])
def test_every_level_carries_every_length(level, s16, size, pseudo_random):
    host, card = scp03_pair(size, level, s16=s16, pseudo_random=pseudo_random)
    assert (host.level, card.level) == (level, level)
    for n in (0, 1, 15, 16, 17, MAX_PLAIN_BYTES):
        command = CommandApdu(0x80, 0xE2, 1, 2, bytes([n]) * n, 256)
        assert card.unwrap(host.wrap(command)) == command
        response = ResponseApdu(bytes([n]) * n, 0x9000)
        assert host.unwrap(card.wrap(response)) == response


def test_levels_hide_what_they_promise():
    for level in LEVELS:
        host, card = scp03_pair(level=level)
        secured = host.wrap(COMMAND)
        assert (COMMAND.data in secured.data) is not level.c_enc
        card.unwrap(secured)
        response = card.wrap(ResponseApdu(b"answer to that", 0x9000))
        assert (b"answer to that" in response.data) is not level.r_enc
        assert (len(response.data) > 14) is level.r_mac


def test_iso_class_round_trips():
    host, card = scp11_pair()
    command = CommandApdu(0x00, 0xB0, 0, 0, b"", 256)
    secured = host.wrap(command)
    assert secured.cla == 0x04
    assert card.unwrap(secured) == command


@pytest.mark.parametrize("pair", PAIRS)
@given(at=st.integers(0, 300), mask=st.integers(1, 255), data=st.binary(max_size=60))
def test_any_changed_command_byte_is_refused(pair, at, mask, data):
    host, card = pair()
    secured = host.wrap(CommandApdu(0x80, 0xE2, 0x11, 0x00, data))
    raw = secured.header + secured.data
    raw = change(raw, at % len(raw), mask)
    with pytest.raises(CommandMacError):
        card.unwrap(CommandApdu(*raw[:4], raw[4:], 256))
    with pytest.raises(SessionClosedError):
        card.unwrap(secured)


@pytest.mark.parametrize("pair", PAIRS)
@given(
    at=st.integers(0, 300),
    mask=st.integers(1, 255),
    data=st.binary(max_size=60),
    sw=st.sampled_from([0x9000, 0x6283, 0x63C2]),
)
def test_any_changed_answer_byte_is_refused(pair, at, mask, data, sw):
    host, card = pair()
    card.unwrap(host.wrap(COMMAND))
    raw = bytes(card.wrap(ResponseApdu(data, sw)))
    response = ResponseApdu.parse(change(raw, at % len(raw), mask))
    with pytest.raises(ResponseMacError):
        host.unwrap(response)
    with pytest.raises(SessionClosedError):
        host.wrap(COMMAND)


@pytest.mark.parametrize("level", C_MAC_LEVELS)
def test_changed_command_is_refused_at_every_level(level):
    host, card = scp03_pair(level=level)
    secured = host.wrap(COMMAND)
    data = change(secured.data, 0, 1)
    with pytest.raises(CommandMacError):
        card.unwrap(CommandApdu(*secured.header_fields, data))
    assert not card.is_open


@pytest.mark.parametrize("level", R_MAC_LEVELS)
@pytest.mark.parametrize("sw", [0x9000, 0x6283, 0x63C2])
def test_success_without_r_mac_is_refused(level, sw):
    for data, why in ((b"", "without"), (b"x", "without"), (bytes(8), "is wrong")):
        host, card = scp03_pair(level=level)
        card.unwrap(host.wrap(COMMAND))
        with pytest.raises(ResponseMacError, match=why):
            host.unwrap(ResponseApdu(data, sw))
        assert not host.is_open


@pytest.mark.parametrize("level", R_MAC_LEVELS)
def test_error_status_comes_bare_and_the_session_goes_on(level):
    host, card = scp03_pair(level=level)
    card.unwrap(host.wrap(COMMAND))
    bare = card.wrap(ResponseApdu(b"", 0x6985))
    assert bare == ResponseApdu(b"", 0x6985)
    assert host.unwrap(bare) == bare
    assert card.unwrap(host.wrap(COMMAND)) == COMMAND
    assert host.unwrap(card.wrap(OK)) == OK


def test_error_status_with_data_is_refused_on_both_ends():
    host, card = scp11_pair()
    card.unwrap(host.wrap(COMMAND))
    with pytest.raises(ParameterError):
        card.wrap(ResponseApdu(b"x", 0x6985))
    with pytest.raises(ResponseMacError):
        host.unwrap(ResponseApdu(bytes(24), 0x6985))


def test_warnings_are_protected():
    host, card = scp11_pair()
    card.unwrap(host.wrap(COMMAND))
    response = card.wrap(ResponseApdu(b"", 0x63C2))
    assert len(response.data) == 8
    assert host.unwrap(response) == ResponseApdu(b"", 0x63C2)


@pytest.mark.parametrize("cla", [0x80, 0x00, 0x85, 0x8C, 0x94, 0xC4])
def test_unprotected_or_foreign_classes_close_the_session(cla):
    host, card = scp11_pair()
    secured = host.wrap(COMMAND)
    with pytest.raises(CommandMacError):
        card.unwrap(CommandApdu(cla, *secured.header_fields[1:], secured.data))
    assert not card.is_open


def test_command_shorter_than_its_mac():
    host, card = scp11_pair()
    secured = host.wrap(COMMAND)
    with pytest.raises(CommandMacError, match="no room"):
        card.unwrap(CommandApdu(*secured.header_fields, secured.data[:7]))


def test_replayed_command_is_refused():
    host, card = scp11_pair()
    secured = host.wrap(COMMAND)
    card.unwrap(secured)
    card.wrap(OK)
    with pytest.raises(CommandMacError):
        card.unwrap(secured)


def test_replayed_answer_is_refused():
    host, card = scp11_pair()
    card.unwrap(host.wrap(COMMAND))
    old = card.wrap(OK)
    host.unwrap(old)
    card.unwrap(host.wrap(COMMAND))
    with pytest.raises(ResponseMacError):
        host.unwrap(old)


def test_answer_of_the_command_reflected_is_refused():
    host, _ = scp11_pair()
    secured = host.wrap(COMMAND)
    with pytest.raises(ResponseMacError):
        host.unwrap(ResponseApdu(secured.data, 0x9000))


def test_equal_commands_differ_on_the_wire():
    host, card = scp11_pair()
    seen = set()
    for _ in range(4):
        secured = host.wrap(COMMAND)
        card.unwrap(secured)
        response = card.wrap(ResponseApdu(b"same", 0x9000))
        host.unwrap(response)
        seen |= {secured.data[:-8], response.data[:-8]}
    assert len(seen) == 8


def test_command_without_data_steps_the_counter_on_both_ends():
    host, card = scp11_pair()
    secured = host.wrap(CommandApdu(0x80, 0xCA, 0, 0))
    assert len(secured.data) == 8  # the host enciphers nothing: only the MAC
    assert card.unwrap(secured).data == b""
    host.unwrap(card.wrap(OK))
    assert card.unwrap(host.wrap(COMMAND)) == COMMAND


def test_turns_strictly_alternate():
    host, card = scp11_pair()
    with pytest.raises(OrderError):
        host.unwrap(OK)
    with pytest.raises(OrderError):
        card.wrap(OK)
    secured = host.wrap(COMMAND)
    with pytest.raises(OrderError):
        host.wrap(COMMAND)
    card.unwrap(secured)
    with pytest.raises(OrderError):
        card.unwrap(secured)


@pytest.mark.parametrize(
    ("level", "s16", "longest"),
    [(0x33, False, 239), (0x33, True, 223), (0x11, False, 247), (0x11, True, 239)],
)
def test_what_does_not_fit_changes_nothing(level, s16, longest):
    host, card = scp03_pair(level=SecurityLevel(level), s16=s16)
    with pytest.raises(DataTooLongError):
        host.wrap(CommandApdu(0x80, 1, 0, 0, bytes(longest + 1)))
    command = CommandApdu(0x80, 1, 0, 0, bytes(longest), 256)
    assert card.unwrap(host.wrap(command)) == command
    with pytest.raises(DataTooLongError):
        card.wrap(ResponseApdu(bytes(250), 0x9000))
    assert host.unwrap(card.wrap(OK)) == OK


@pytest.mark.parametrize("cla", [0x84, 0x81, 0x90, 0x04])
def test_host_protects_plain_classes_only(cla):
    host, _ = scp11_pair()
    with pytest.raises(ParameterError):
        host.wrap(CommandApdu(cla, 1, 0, 0))
    host.wrap(COMMAND)


def test_level_none_takes_no_secured_class():
    _, card = scp03_pair(level=SecurityLevel.NONE)
    with pytest.raises(ParameterError):
        card.unwrap(CommandApdu(0x84, 1, 0, 0))


@pytest.mark.parametrize("end", [0, 1])
def test_closed_means_closed(end):
    session = scp11_pair()[end]
    session.close()
    assert not session.is_open
    for use in (session.wrap, session.unwrap, session.encrypt_sensitive):
        with pytest.raises(SessionClosedError):
            use(bytes(16) if use == session.encrypt_sensitive else COMMAND)


def _raw_pair():
    """Both ends on keys we know, to forge authentic but malformed messages."""
    keys = SessionKeys(bytes(16), b"m" * 16, b"r" * 16, b"d" * 16)
    ends = [c(keys, SecurityLevel.C_MAC_R_MAC, bytes(16)) for c in (HostMessaging, CardMessaging)]
    full = [c(keys, SecurityLevel.FULL, bytes(16)) for c in (HostMessaging, CardMessaging)]
    return *ends, *full


@pytest.mark.parametrize("cla", [0x80, 0x00, 0x85, 0x8C, 0x94, 0xC4])
def test_right_mac_under_a_foreign_class_is_refused(cla):
    keys = SessionKeys(bytes(16), b"m" * 16, b"r" * 16, b"d" * 16)
    card = CardMessaging(keys, SecurityLevel.C_MAC, bytes(16))
    mac = cmac(keys.mac, bytes(16) + bytes([cla, 1, 0, 0, 8]))[:8]
    with pytest.raises(CommandMacError, match="not protected"):
        card.unwrap(CommandApdu(cla, 1, 0, 0, mac))
    assert not card.is_open


@pytest.mark.parametrize("data", [bytes(15), bytes(16)])
def test_authentic_nonsense_ciphertext_closes_either_end(data):
    mac_host, mac_card, host, card = _raw_pair()
    forged = mac_host.wrap(CommandApdu(0x80, 1, 0, 0, data))  # a MAC, but no ciphertext
    with pytest.raises(CipherError):
        card.unwrap(forged)
    assert not card.is_open
    host.wrap(CommandApdu(0x80, 1, 0, 0))
    mac_card.unwrap(_mac_only_twin(host))
    with pytest.raises(CipherError):
        host.unwrap(mac_card.wrap(ResponseApdu(data, 0x9000)))
    assert not host.is_open


def _mac_only_twin(host):
    """A MAC-only command under the same chain as the one ``host`` just sent without data."""
    twin = HostMessaging(host._keys, SecurityLevel.C_MAC_R_MAC, bytes(16))
    secured = twin.wrap(CommandApdu(0x80, 1, 0, 0))
    assert twin._chain == host._chain
    return secured


def test_enciphered_nothing_is_accepted_as_nothing():
    """yubikit sends a padding block for an empty field; a card may answer so too."""
    mac_host, mac_card, host, card = _raw_pair()
    host._counter = 1  # as for the first command
    block = host._encrypt(host._keys, b"", response=False)
    host._counter = 0
    assert card.unwrap(mac_host.wrap(CommandApdu(0x80, 1, 0, 0, block))).data == b""
    host.wrap(CommandApdu(0x80, 1, 0, 0))
    mac_card.unwrap(_mac_only_twin(host))
    answer = mac_card.wrap(ResponseApdu(card._encrypt(card._keys, b"", response=True), 0x9000))
    assert host.unwrap(answer) == OK


@given(st.binary(max_size=64))
def test_padding_round_trips(data):
    assert len(pad(data)) % 16 == 0
    assert unpad(pad(data)) == data


@pytest.mark.parametrize("data", [b"", bytes(16), b"\x80" + bytes(16), b"a" * 16, b"\x81" * 16])
def test_wrong_padding_is_refused(data):
    with pytest.raises(CipherError):
        unpad(data)


def test_sensitive_data():
    host, card = scp11_pair()
    secret = bytes(range(32))
    assert card.decrypt_sensitive(host.encrypt_sensitive(secret)) == secret
    assert host.encrypt_sensitive(secret) != secret
    for bad in (b"", bytes(15)):
        with pytest.raises(ParameterError):
            host.encrypt_sensitive(bad)
        with pytest.raises(ParameterError):
            card.decrypt_sensitive(bad)


def test_parameters_of_a_session():
    keys = SessionKeys(*[bytes(16)] * 4)
    for chain, mac_bytes in ((bytes(8), 8), (bytes(16), 4)):
        with pytest.raises(ParameterError):
            HostMessaging(keys, SecurityLevel.FULL, chain, mac_bytes)
    for level in (0x02, 0x10, 0x30, 0x31, 0xFF):
        with pytest.raises(ParameterError):
            SecurityLevel.parse(level)


def test_keys_do_not_print():
    keys = SessionKeys(b"secret-enc", b"secret-mac", b"secret-rmac", b"secret-dek")
    assert "secret" not in repr(keys)
    assert repr(HostMessaging(keys, SecurityLevel.FULL, bytes(16))) == (
        "HostMessaging(level=FULL, turn=COMMAND)"
    )
