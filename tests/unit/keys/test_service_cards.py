"""Cards: what the key service wraps, believes and certifies; a real card at the other end."""

from pathlib import Path

import pytest

from card_os.reference.profiles import JCOP_LIKE
from keys.cardservice import MAX_SESSION_AGE_S, MAX_SESSIONS
from keys.cardsession import (
    OWN_KVN,
    SD_AID,
    TransportMaster,
    TransportSets,
    install_command,
)
from keys.errors import (
    BusyError,
    ChannelError,
    IssuanceError,
    OrderRefusedError,
    QuotaError,
    SessionRefusedError,
    StockError,
    TrustError,
)
from keys.http import KeyClient
from keys.kdf import diversify
from keys.relay import CardRelay, PersonaliserKey
from keys.scp11 import Scp11aHost
from keys.service import Quotas
from keys.signer import P256KeyAgreement, sign_object
from tests.support import keys_world as kw
from tests.support.keys_world import DAY_S, ENV, GENERATE, NOW_S, keyed, open_channel, send, through
from wire.apdu import CommandApdu, ResponseApdu
from wire.chain import IssuanceKind
from wire.ecdsa import compress, decompress
from wire.env import PACKAGE_AID, Environment, purse_aid
from wire.errors import FormatError
from wire.objects import KeyRole, Order
from wire.purse import CardKeys


@pytest.fixture
def w():
    return kw.make()


@pytest.fixture
def card(w):
    return w.card()


@pytest.fixture
def relay(w):
    return CardRelay(w.service, w.order(predecessor=b"DEMO\x00\x00\x00\x63"), 7)


def test_the_whole_way(w, card, relay) -> None:
    answer = keyed(w, relay, card)
    cert = relay.certify()
    identity = w.trust.card_certificate(cert)
    assert identity.channel_key + identity.receipt_key == answer
    assert cert.subject == b"DEMO\x00\x00\x00\x01"
    item = w.log.items[-1]
    assert (item.kind, item.item) == (IssuanceKind.CARD_CERTIFICATE, bytes(cert))
    assert (item.family, item.predecessor) == (kw.FAMILY, b"DEMO\x00\x00\x00\x63")
    assert w.service.stock() == (0, 1, 0)


def test_serials_are_dense(w) -> None:
    assert [w.certified(n).subject[-1] for n in (5, 9, 7)] == [1, 2, 3]


def test_the_card_holds_our_keys_after_put_key(w, card, relay) -> None:
    open_channel(relay, card)
    with pytest.raises(SessionRefusedError, match="transport"):
        relay.wrap(kw.install(w))
    assert relay.unwrap(send(card, relay.put_key())).data[0] == OWN_KVN
    with pytest.raises(SessionRefusedError, match="no channel"):
        relay.wrap(GENERATE)
    open_channel(relay, card)
    with pytest.raises(SessionRefusedError, match="already"):
        relay.put_key()
    assert w.service.card_session(relay.session_id).is_own


def test_reading_is_allowed_under_transport_keys(card, relay) -> None:
    open_channel(relay, card)
    assert through(relay, card, CommandApdu(0x80, 0xCA, 0, 0xE0, b"", 256)).sw == 0x9000


def test_chip_not_received(w, relay) -> None:
    stranger = w.card(9, received=False)
    with pytest.raises(StockError, match="not in the received stock"):
        open_channel(relay, stranger)


def test_transport_version_not_delivered(w, card, relay) -> None:
    w.service._vault.batches["b1"] = TransportSets(0x30, {b"": kw.TRANSPORT})
    with pytest.raises(StockError, match="transport keys"):
        open_channel(relay, card)


def test_transport_sources() -> None:
    kdd = bytes(10)
    assert TransportMaster(0, b"k" * 16).keys(kdd) == diversify(b"k" * 16, kdd)
    assert TransportSets(0, {kdd: kw.TRANSPORT}).keys(kdd) == kw.TRANSPORT
    with pytest.raises(StockError):
        TransportSets(0, {kdd: kw.TRANSPORT}).keys(b"x" * 10)


def test_wrong_transport_keys_close_the_channel(w, card, relay) -> None:
    w.service._vault.batches["b1"] = TransportMaster(0, b"wrong" + bytes(11))
    with pytest.raises(ChannelError):
        open_channel(relay, card)


def test_a_bad_answer_closes_the_channel(card, relay) -> None:
    kw.rotated(relay, card)
    open_channel(relay, card)
    relay.wrap(CommandApdu(0x80, 0xCA, 0, 0xE0, b"", 256))
    with pytest.raises(ChannelError):
        relay.unwrap(ResponseApdu(b"x" * 24, 0x9000))
    with pytest.raises(SessionRefusedError):
        relay.wrap(GENERATE)


def test_other_check_values_after_put_key_are_refused(w, card, relay, monkeypatch) -> None:
    open_channel(relay, card)
    answer = send(card, relay.put_key())
    session = w.service.card_session(relay.session_id)
    object.__setattr__(session._vault, "master", b"x" * 16)
    with pytest.raises(SessionRefusedError, match="check values"):
        relay.unwrap(answer)


OTHER_ROOT = P256KeyAgreement.from_private_bytes(bytes(31) + b"\x09").public_key
AID = bytes([0x4F, 8]) + purse_aid(ENV)


@pytest.mark.parametrize(
    "command",
    [
        install_command(ENV, OTHER_ROOT, PACKAGE_AID + b"\x01"),
        install_command(Environment.LIVE, OTHER_ROOT, PACKAGE_AID + b"\x01"),
        CommandApdu(0x80, 0xE6, 0x0C, 0, b"\x07", 256),
        CommandApdu(0x80, 0xE6, 0x02, 0, b"\x07" + PACKAGE_AID, 256),
        CommandApdu(0x80, 0xE8, 0x80, 0, b"code", 256),
        CommandApdu(0x80, 0xE4, 0, 0, b"\x4f\x05other", 256),
        CommandApdu(0x80, 0xE4, 0, 0x80, AID, 256),
        CommandApdu(0x80, 0xD8, 0, 0x81, b"\x31", 256),
        CommandApdu(0x80, 0xF0, 0x80, 0x7F),
        CommandApdu(0x80, 0xF0, 0x80, 0xFF),
        CommandApdu(0x80, 0xF0, 0x40, 0x0F, b"\x01"),
        CommandApdu(0x80, 0x46, 0, 0, b"\x00", 256),
        CommandApdu(0x80, 0xE2, 0x80, 0, b"\x42\x01\x00"),
    ],
)
def test_what_is_not_wrapped(card, relay, command) -> None:
    kw.rotated(relay, card)
    open_channel(relay, card)
    with pytest.raises(SessionRefusedError, match="no place"):
        relay.wrap(command)
    assert relay.wrap(CommandApdu(0x80, 0xF0, 0x80, 0x07))  # the channel goes on


def test_install_of_another_module_is_not_wrapped(w, card, relay) -> None:
    kw.rotated(relay, card)
    open_channel(relay, card)
    with pytest.raises(SessionRefusedError):
        relay.wrap(install_command(ENV, w.trust.root_key, b"\xf0OTHER\x01"))


def test_the_purse_can_be_deleted_until_certified(w, card, relay) -> None:
    keyed(w, relay, card)
    open_channel(relay, card)
    assert through(relay, card, CommandApdu(0x80, 0xE4, 0, 0, AID, 256)).sw == 0x9000
    through(relay, card, kw.install(w))
    open_channel(relay, card, purse_aid(ENV))
    through(relay, card, GENERATE)
    relay.certify()
    for command in (CommandApdu(0x80, 0xE4, 0, 0, AID, 256), GENERATE):
        with pytest.raises(SessionRefusedError):
            relay.wrap(command)


# --- certify -----------------------------------------------------------------------------------


def test_keys_must_have_come_in_this_channel(w, card, relay) -> None:
    with pytest.raises(SessionRefusedError):
        relay.certify()
    keyed(w, relay, card)
    relay.initialize_update()  # a new channel forgets them
    with pytest.raises(SessionRefusedError, match="R-MAC"):
        relay.certify()


def test_a_refused_generate_gives_no_keys(w, card, relay) -> None:
    kw.rotated(relay, card)
    open_channel(relay, card)
    assert through(relay, card, GENERATE).sw != 0x9000  # the security domain knows no such command
    with pytest.raises(SessionRefusedError):
        relay.certify()


def test_another_commands_answer_is_no_key(w, card, relay) -> None:
    """Only GENERATE KEYS' own answer counts, whatever else the desk has the card say."""
    kw.rotated(relay, card)
    open_channel(relay, card)
    through(relay, card, CommandApdu(0x80, 0xCA, 0, 0xE0, b"", 256))
    assert w.service.card_session(relay.session_id).card_keys is None


def test_card_keys_are_points() -> None:
    point = OTHER_ROOT
    assert CardKeys.parse(point + point).channel_key == point
    for bad in (point, point + b"\x04" + bytes(64), point + point + b"\x00",
                point + compress(point)):  # fmt: skip
        with pytest.raises(FormatError):
            CardKeys.parse(bad)


def test_a_chip_is_certified_once_and_resumes(w, card, relay) -> None:
    keyed(w, relay, card)
    assert relay.certificate() is None
    cert = relay.certify()
    with pytest.raises(SessionRefusedError, match="before"):
        relay.certify()
    relay.close()
    order = w.service._state.card(cert.subject).order_hash
    assert order is not None
    raw = next(r for r in [relay_order(w, 1)] if kw.hash_of(r) == order)
    with CardRelay(w.service, raw, 8) as again:
        open_channel(again, card)
        assert again.certificate() == cert


def relay_order(w, number):
    """The fixture's order, signed again: Ed25519 gives the same bytes."""
    shape = Order(number.to_bytes(16, "big"), kw.FAMILY, b"S" * 32, 1, b"DEMO\x00\x00\x00\x63",
                  (1,), kw.DESK, NOW_S + DAY_S)  # fmt: skip
    return bytes(sign_object(w.world.signer(KeyRole.REGISTRY), shape, ENV))


def test_a_card_of_another_order_is_not_opened(w, card, relay) -> None:
    keyed(w, relay, card)
    relay.certify()
    other = CardRelay(w.service, w.order(), 7)
    with pytest.raises(OrderRefusedError, match="another order"):
        open_channel(other, card)


def test_an_order_makes_one_card(w, card, relay) -> None:
    keyed(w, relay, card)
    relay.certify()
    second = w.card(2)
    with CardRelay(w.service, relay_order(w, 1), 7) as again:
        keyed(w, again, second)
        with pytest.raises(OrderRefusedError, match="another card"):
            again.certify()


def test_scrapping_frees_the_order_and_retires_the_chip(w, card, relay) -> None:
    keyed(w, relay, card)
    cert = relay.certify()
    with pytest.raises(StockError, match="reason"):
        w.service.scrap_card(cert.subject, "")
    w.service.scrap_card(cert.subject, "cetakan rusak")
    assert (w.log.items[-1].kind, w.log.items[-1].note) == (IssuanceKind.SCRAPPED, "cetakan rusak")
    with pytest.raises(StockError):
        w.service.scrap_card(cert.subject, "again")
    with CardRelay(w.service, relay_order(w, 1), 7) as again:
        with pytest.raises(StockError, match="scrapped"):
            open_channel(again, card)
        keyed(w, again, w.card(2))
        assert again.certify().subject != cert.subject


def test_orders(w) -> None:
    late = w.order(valid_until_s=NOW_S + 10)
    with CardRelay(w.service, late, 7) as relay:
        keyed(w, relay, w.card())
        w.clock.now_s += 11
        with pytest.raises(OrderRefusedError):
            relay.certify()
    with pytest.raises(OrderRefusedError):
        CardRelay(w.service, late, 7)
    forged = bytes(sign_object(w.world.people[1], Order.parse(w_payload(late)), ENV))
    with pytest.raises(TrustError):
        CardRelay(w.service, forged, 7)


def w_payload(raw: bytes) -> bytes:
    from wire.cose import Sign1

    return Sign1.parse(raw).payload


def test_card_quota() -> None:
    w = kw.make(Quotas(cards=1))
    w.certified(1)
    with pytest.raises(QuotaError):
        w.certified(2)


def test_the_log_comes_before_the_certificate(w, card, relay) -> None:
    keyed(w, relay, card)
    w.log.error = IssuanceError("down")
    with pytest.raises(IssuanceError):
        relay.certify()
    with pytest.raises(IssuanceError):
        relay.certificate()
    w.log.error = None
    cert = relay.certificate()
    assert w.log.items[-1].item == bytes(cert)


# --- sessions ------------------------------------------------------------------------------------


def test_sessions_end_and_are_few(w, card, relay) -> None:
    relay.close()
    with pytest.raises(SessionRefusedError):
        relay.initialize_update()
    raw = w.order()
    for _ in range(MAX_SESSIONS):
        CardRelay(w.service, raw, 7)
    with pytest.raises(BusyError):
        CardRelay(w.service, raw, 7)
    w.clock.now_s += MAX_SESSION_AGE_S + 1
    assert CardRelay(w.service, raw, 7)


def test_steps_out_of_turn(relay) -> None:
    with pytest.raises(SessionRefusedError):
        relay.external_authenticate(ResponseApdu(b"", 0x9000))
    with pytest.raises(SessionRefusedError):
        relay.finish(ResponseApdu(b"", 0x9000))
    with pytest.raises(SessionRefusedError):
        relay.unwrap(ResponseApdu(b"", 0x9000))


def test_stock_is_received_once(w) -> None:
    kdd = JCOP_LIKE.kdd_of(bytes(4))
    w.state.receive_chips("b1", [kdd, kdd])
    assert w.service.stock() == (1, 0, 0)
    with pytest.raises(StockError):
        w.state.receive_chips("b2", [kdd])


# --- the personaliser's key ----------------------------------------------------------------------


def test_personaliser_agrees_only_with_cards_certified_here(w, card, relay) -> None:
    keyed(w, relay, card)
    key = PersonaliserKey.of(w.service)
    cert = relay.certify()
    assert len(key.ecdh(cert.public_key)) == 32
    for other in (OTHER_ROOT, decompress(cert.extension.receipt_key)):
        with pytest.raises(StockError):
            key.ecdh(other)
    w.service.scrap_card(cert.subject, "x")
    with pytest.raises(StockError):
        key.ecdh(cert.public_key)


def test_personaliser_opens_a_session_with_the_card(w, card, relay) -> None:
    keyed(w, relay, card)
    cert = relay.certify()
    key = PersonaliserKey.of(w.service)
    kw.select(card, purse_aid(ENV))
    for raw in (*map(bytes, w.world.links), bytes(key.certificate)):
        assert send(card, CommandApdu(0x80, 0x2A, 0, 0x10, raw)).sw == 0x9000
    host = Scp11aHost(key, cert.public_key, w.rng.randbytes)
    assert host.finish(send(card, host.command())).is_open


def test_secrets_do_not_show(w, card, relay) -> None:
    open_channel(relay, card)
    text = repr((w.service._keys, w.service._vault, w.service.card_session(relay.session_id)))
    for secret in (b"m" * 16, b"T" * 16):
        assert repr(secret)[2:-1] not in text
        assert secret.hex() not in text
    assert SD_AID


def test_a_client_on_a_socket_loads_no_certificates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program waits 40 ms for a TLS context that nothing here uses."""

    def loads(*_: object, **__: object) -> None:
        raise AssertionError("certificates of the web were loaded")

    monkeypatch.setattr("ssl.SSLContext.load_verify_locations", loads)
    monkeypatch.setattr("ssl.SSLContext.load_default_certs", loads)
    KeyClient(tmp_path / "keys.sock").close()
