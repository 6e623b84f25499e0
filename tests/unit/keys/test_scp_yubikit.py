"""An independent client opens and uses our card ends: yubikit, unpatched, short APDUs."""

from dataclasses import dataclass

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from yubikit.core import TRANSPORT
from yubikit.core.smartcard import ApduError, SmartCardConnection, SmartCardProtocol
from yubikit.core.smartcard.scp import (
    KeyRef,
    Scp03KeyParams,
    Scp11KeyParams,
    ScpKid,
)
from yubikit.core.smartcard.scp import (
    StaticKeys as YubikitKeys,
)

from keys.scp11 import SoftwareEcdhKey, open_card_session
from keys.securechannel import CardMessaging, SecureChannelError, SecurityLevel
from tests.unit.keys.scp_support import KDD, key_set, scp03_card, stream
from wire.apdu import CommandApdu, ResponseApdu

CERTIFICATE = bytes.fromhex("7F2103AABBCC")
KEYS = key_set(16)
OCE, SD = SoftwareEcdhKey.generate(stream(21)), SoftwareEcdhKey.generate(stream(22))


@dataclass(frozen=True)
class CvCertificate:
    """What yubikit asks of a certificate; ours is no X.509, and it does not look inside."""

    raw: bytes
    subject: str = "DEMO"

    def public_bytes(self, _encoding) -> bytes:
        return self.raw


class Card(SmartCardConnection):
    """A card that echoes the data of protected commands; INS 0E refuses, INS 0C says nothing."""

    def __init__(self, *, pseudo_random: bool = True) -> None:
        self.scp03 = scp03_card(pseudo_random=pseudo_random)
        self.session: CardMessaging | None = None
        self.certificates: list[bytes] = []
        self.seen: list[CommandApdu] = []

    @property
    def transport(self) -> TRANSPORT:
        return TRANSPORT.NFC

    def send_and_receive(self, apdu: bytes) -> tuple[bytes, int]:
        command = CommandApdu.parse(apdu)
        try:
            response = self._answer(command)
        except SecureChannelError:
            response = ResponseApdu(b"", 0x6982)
        return response.data, response.sw

    def _answer(self, command: CommandApdu) -> ResponseApdu:
        if self.session is not None:
            return self._protected(self.session, command)
        if command.ins == 0x50:
            answer = self.scp03.initialize_update(command, KEYS, kdd=KDD, kvn=0x30, sequence=3)
            return ResponseApdu(bytes(answer), 0x9000)
        if command.ins == 0x2A:
            self.certificates.append(command.data)
            return ResponseApdu(b"", 0x9000)
        if command.cla == 0x84:
            self.session = self.scp03.external_authenticate(command)
            return ResponseApdu(b"", 0x9000)
        response, self.session = open_card_session(command, SD, OCE.public, stream(24))
        return response

    def _protected(self, session: CardMessaging, command: CommandApdu) -> ResponseApdu:
        plain = session.unwrap(command)
        self.seen.append(plain)
        if plain.ins == 0x0E:
            return session.wrap(ResponseApdu(b"", 0x6A80))
        data = b"" if plain.ins == 0x0C else plain.data + b"\x01"
        return session.wrap(ResponseApdu(data, 0x9000))


def _private(key: SoftwareEcdhKey) -> ec.EllipticCurvePrivateKey:
    return key.private_key


def _scp03_params(mac: bytes = KEYS.mac) -> Scp03KeyParams:
    return Scp03KeyParams(KeyRef(ScpKid.SCP03, 0x30), YubikitKeys(KEYS.enc, mac, KEYS.dek))


def _scp11_params(*, kid=ScpKid.SCP11a, kvn=1, oce=OCE, sd=SD) -> Scp11KeyParams:
    return Scp11KeyParams(
        KeyRef(kid, kvn),
        _private(sd).public_key(),
        KeyRef(0x10, 0x00),
        _private(oce),
        [CvCertificate(CERTIFICATE)],
    )


def _use(protocol: SmartCardProtocol, card: Card) -> None:
    """Commands of every kind; the session must survive all of them."""
    assert card.session is not None
    assert card.session.level is SecurityLevel.FULL
    for n in (0, 1, 15, 16, 17, 100, 223):
        assert protocol.send_apdu(0x80, 0xE2, 1, 2, bytes([n]) * n) == bytes([n]) * n + b"\x01"
    with pytest.raises(ApduError) as caught:
        protocol.send_apdu(0x80, 0x0E, 0, 0, b"refuse me")
    assert caught.value.sw == 0x6A80
    assert protocol.send_apdu(0x80, 0x0C, 0, 0, b"say nothing") == b""
    assert protocol.send_apdu(0x80, 0xE2, 0, 0, b"after all that") == b"after all that\x01"
    assert card.seen[0].data == b""


@pytest.mark.parametrize("pseudo_random", [False, True])
def test_scp03(pseudo_random):
    card = Card(pseudo_random=pseudo_random)
    protocol = SmartCardProtocol(card)
    protocol.init_scp(_scp03_params())
    _use(protocol, card)


def test_scp03_with_wrong_keys():
    card = Card()
    with pytest.raises(ValueError, match="Incorrect SCP parameters"):
        SmartCardProtocol(card).init_scp(_scp03_params(mac=bytes(16)))
    assert card.session is None


def test_scp11a():
    card = Card()
    protocol = SmartCardProtocol(card)
    protocol.init_scp(_scp11_params())
    assert card.certificates == [CERTIFICATE]
    _use(protocol, card)


@pytest.mark.parametrize(
    "params",
    [
        _scp11_params(kid=ScpKid.SCP11b),
        _scp11_params(kid=ScpKid.SCP11c),
        _scp11_params(kvn=2),
    ],
)
def test_scp11b_and_c_and_other_keys_are_refused(params):
    card = Card()
    with pytest.raises(ApduError):
        SmartCardProtocol(card).init_scp(params)
    assert card.session is None
