"""Opening SCP03: both ends, every key length, every way in which it must fail."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.scp03 import (
    AuthenticationRefusedError,
    InitializeUpdateAnswer,
    Scp03Host,
    Scp03Options,
)
from keys.securechannel import (
    CommandMacError,
    CryptogramError,
    OrderError,
    ParameterError,
    SecureChannelError,
    SecurityLevel,
)
from tests.unit.keys.scp_support import (
    KDD,
    OK,
    begin_scp03,
    change,
    key_set,
    scp03_card,
    scp03_host,
    scp03_pair,
    stream,
)
from wire.apdu import CommandApdu, ResponseApdu

KEYS = key_set(16)
FULL = SecurityLevel.FULL


def _opening(level=FULL, **kwargs):
    """(card, host, answer to INITIALIZE UPDATE)."""
    card, host = scp03_card(**kwargs), scp03_host(KEYS, level, s16=kwargs.get("s16", False))
    return card, host, begin_scp03(card, host, KEYS)


@pytest.mark.parametrize("i", [0x00, 0x10, 0x20, 0x30, 0x60, 0x70, 0x01, 0x71])
def test_options_round_trip(i):
    assert int(Scp03Options.parse(i)) == i


@pytest.mark.parametrize("i", [0x02, 0x04, 0x08, 0x80, 0x40, 0x50])
def test_unknown_options_are_refused(i):
    with pytest.raises(ParameterError):
        Scp03Options.parse(i)


@pytest.mark.parametrize("s16", [False, True])
@pytest.mark.parametrize("pseudo_random", [False, True])
def test_answer_round_trips(s16, pseudo_random):
    _, _, response = _opening(s16=s16, pseudo_random=pseudo_random)
    answer = InitializeUpdateAnswer.parse(response.data)
    assert bytes(answer) == response.data
    assert (answer.kdd, answer.kvn) == (KDD, 0x30)
    assert answer.sequence == (7 if pseudo_random else None)
    for bad in (response.data[:-1], response.data + b"\0", response.data[:12], b""):
        with pytest.raises(ParameterError):
            InitializeUpdateAnswer.parse(bad)


def test_answer_of_another_protocol_is_refused():
    _, host, response = _opening()
    with pytest.raises(ParameterError, match="not an SCP03"):
        host.external_authenticate(ResponseApdu(change(response.data, 11, 1), 0x9000))


def test_answer_fields_are_checked():
    options = Scp03Options()
    for fields in (
        (bytes(9), 1, options, bytes(8), bytes(8), 1),
        (bytes(10), 256, options, bytes(8), bytes(8), 1),
        (bytes(10), 1, options, bytes(7), bytes(8), 1),
        (bytes(10), 1, options, bytes(8), bytes(16), 1),
        (bytes(10), 1, options, bytes(8), bytes(8), None),
        (bytes(10), 1, options, bytes(8), bytes(8), 1 << 24),
    ):
        with pytest.raises(ParameterError):
            InitializeUpdateAnswer(*fields)


def test_the_host_asks_for_its_keys_by_what_the_card_says():
    asked = []
    host = Scp03Host(lambda a: asked.append(a) or KEYS, FULL, stream(1))
    host.external_authenticate(begin_scp03(scp03_card(), host, KEYS))
    assert (asked[0].kdd, asked[0].kvn) == (KDD, 0x30)


@pytest.mark.parametrize("part", ["enc", "mac"])
def test_card_with_other_keys_is_refused(part):
    other = key_set(16)
    object.__setattr__(other, part, bytes(16))
    card, host = scp03_card(), scp03_host(other, FULL)
    with pytest.raises(CryptogramError):
        host.external_authenticate(begin_scp03(card, host, KEYS))


@given(at=st.integers(13, 28), mask=st.integers(1, 255), aid=st.sampled_from([None, bytes(7)]))
def test_any_change_of_challenge_or_cryptogram_is_refused(at, mask, aid):
    card, host = scp03_card(), scp03_host(KEYS, FULL, aid=aid)
    response = begin_scp03(card, host, KEYS)
    with pytest.raises(CryptogramError):
        host.external_authenticate(ResponseApdu(change(response.data, at, mask), 0x9000))


def test_challenge_that_its_counter_does_not_give_is_refused():
    """Only the check of the challenge sees this: the cryptograms do not cover the counter."""
    _, host, response = _opening()
    moved = response.data[:-1] + bytes([response.data[-1] + 1])
    with pytest.raises(CryptogramError, match="its counter"):
        host.external_authenticate(ResponseApdu(moved, 0x9000))
    card, host = scp03_card(), scp03_host(KEYS, FULL, aid=None)
    response = begin_scp03(card, host, KEYS)
    host.external_authenticate(ResponseApdu(moved[:13] + response.data[13:-3] + moved[-3:], 0x9000))


@given(at=st.integers(0, 19), mask=st.integers(1, 255))
def test_any_change_of_external_authenticate_is_refused(at, mask):
    card, host, response = _opening()
    command = host.external_authenticate(response)
    raw = change(command.header + command.data, at, mask)
    with pytest.raises(SecureChannelError):
        card.external_authenticate(CommandApdu(*raw[:4], raw[4:]))
    with pytest.raises(OrderError):  # the challenge was spent on the attempt
        card.external_authenticate(command)


def test_lowered_level_is_refused():
    card, host, response = _opening()
    command = host.external_authenticate(response)
    lowered = CommandApdu(command.cla, command.ins, 0x01, 0, command.data)
    with pytest.raises(CommandMacError):
        card.external_authenticate(lowered)


def test_right_mac_over_a_wrong_cryptogram_is_refused():
    card, host, response = _opening()
    command = host.external_authenticate(response)
    wrong = CommandApdu(*command.header_fields, change(command.data[:8], 0, 1))
    mac = card._pending.authenticate_chain(wrong, 8)[:8]
    with pytest.raises(CryptogramError):
        card.external_authenticate(CommandApdu(*wrong.header_fields, wrong.data + mac))


@pytest.mark.parametrize("field", range(4))
def test_other_headers_are_not_external_authenticate(field):
    card, host, response = _opening()
    command = host.external_authenticate(response)
    header = list(command.header_fields)
    header[field] ^= 0x44
    with pytest.raises(ParameterError):
        card.external_authenticate(CommandApdu(*header, command.data))


@pytest.mark.parametrize("length", [0, 8, 15, 17, 32])
def test_external_authenticate_of_other_length(length):
    card, host, response = _opening()
    command = host.external_authenticate(response)
    with pytest.raises(ParameterError, match="length"):
        card.external_authenticate(CommandApdu(*command.header_fields, bytes(length)))


@pytest.mark.parametrize(
    ("level", "r_mac", "r_enc"), [(0x11, False, False), (0x13, False, False), (0x33, True, False)]
)
def test_level_beyond_the_options_is_refused_on_both_ends(level, r_mac, r_enc):
    card, host, response = _opening(SecurityLevel(level), r_mac=r_mac, r_enc=r_enc)
    with pytest.raises(ParameterError, match="beyond"):
        host.external_authenticate(response)
    with pytest.raises(ParameterError, match="beyond"):
        card.external_authenticate(CommandApdu(0x84, 0x82, level, 0, bytes(16)))


@pytest.mark.parametrize("field", [0, 1, 3])
def test_other_headers_are_not_initialize_update(field):
    header = [0x80, 0x50, 0x30, 0x00]
    header[field] ^= 0x44
    with pytest.raises(ParameterError, match="not an INITIALIZE"):
        scp03_card().initialize_update(CommandApdu(*header, bytes(8)), KEYS, kdd=KDD, kvn=0x30)


@pytest.mark.parametrize(("s16", "length"), [(False, 16), (False, 0), (True, 8)])
def test_challenge_of_the_other_mode_is_refused(s16, length):
    command = CommandApdu(0x80, 0x50, 0x30, 0, bytes(length))
    with pytest.raises(ParameterError, match="challenge"):
        scp03_card(s16=s16).initialize_update(command, KEYS, kdd=KDD, kvn=0x30)


def test_host_refuses_another_mode_or_version_than_it_asked_for():
    card, _, response = _opening(s16=True)
    host = scp03_host(KEYS, FULL)
    host.initialize_update()
    with pytest.raises(ParameterError, match="S8"):
        host.external_authenticate(response)
    host = scp03_host(KEYS, FULL, kvn=0x31)
    with pytest.raises(ParameterError, match="version"):
        host.external_authenticate(begin_scp03(scp03_card(), host, KEYS))
    assert card is not None


def test_refusals_of_the_card_are_errors():
    _, host, _ = _opening()
    with pytest.raises(AuthenticationRefusedError) as caught:
        host.external_authenticate(ResponseApdu(b"", 0x6A88))
    assert caught.value.sw == 0x6A88
    _, host, response = _opening()
    host.external_authenticate(response)
    with pytest.raises(AuthenticationRefusedError):
        host.finish(ResponseApdu(b"", 0x6300))
    with pytest.raises(OrderError):
        host.finish(OK)
    _, host, response = _opening()
    host.external_authenticate(response)
    with pytest.raises(ParameterError):
        host.finish(ResponseApdu(b"x", 0x9000))


def test_wrong_order_is_refused():
    card, host = scp03_card(), scp03_host(KEYS, FULL)
    with pytest.raises(OrderError):
        host.external_authenticate(OK)
    with pytest.raises(OrderError):
        host.finish(OK)
    with pytest.raises(OrderError):
        card.external_authenticate(CommandApdu(0x84, 0x82, 0x33, 0, bytes(16)))
    response = begin_scp03(card, host, KEYS)
    with pytest.raises(OrderError):
        host.initialize_update()
    command = host.external_authenticate(response)
    with pytest.raises(OrderError):
        host.external_authenticate(response)
    card.reset()
    with pytest.raises(OrderError):
        card.external_authenticate(command)


def test_failed_initialize_update_forgets_the_one_before():
    card, host, response = _opening()
    command = host.external_authenticate(response)
    with pytest.raises(ParameterError):
        card.initialize_update(CommandApdu(0x80, 0x50, 0, 0), KEYS, kdd=KDD, kvn=0x30)
    with pytest.raises(OrderError):
        card.external_authenticate(command)


def test_random_challenges_differ_and_pseudo_random_ones_follow_the_counter():
    card = scp03_card(pseudo_random=False)
    command = CommandApdu(0x80, 0x50, 0, 0, bytes(8))
    two = [card.initialize_update(command, KEYS, kdd=KDD, kvn=1) for _ in range(2)]
    assert two[0].card_challenge != two[1].card_challenge
    card = scp03_card()
    by_counter = [
        card.initialize_update(command, KEYS, kdd=KDD, kvn=1, sequence=n).card_challenge
        for n in (1, 1, 2)
    ]
    assert by_counter[0] == by_counter[1] != by_counter[2]


def test_short_random_source_is_refused():
    host = Scp03Host(lambda _: KEYS, FULL, lambda n: bytes(n - 1))
    with pytest.raises(ParameterError, match="random source"):
        host.initialize_update()


def test_the_dek_is_the_static_one():
    host, _ = scp03_pair()
    assert host._keys.dek == KEYS.dek
