"""The security domain as the issuer uses it, relayed: the desk never holds a key."""

import os

import pytest

from card_os.host import errors
from card_os.host.security_domain import (
    ISD_AID,
    DataObject,
    LocalChannel,
    NewKeys,
    PurseKeySession,
    Scope,
    SecurityDomainSession,
)
from keys.kdf import StaticKeys
from keys.securechannel import CryptogramError
from tests.conformance.world import ENV, MODULE_AID, TRANSPORT, Bench
from wire.apdu import CommandApdu
from wire.env import PACKAGE_AID, purse_aid


def test_status_before_and_after_install(bench: Bench) -> None:
    bench.uninstall(ENV)
    with SecurityDomainSession(bench.link, bench.channel()) as domain:
        assert domain.get_status(Scope.APPLICATIONS, purse_aid(ENV)) == ()
        assert [e.aid for e in domain.get_status(Scope.DOMAIN)] == [ISD_AID]
        files = domain.get_status(Scope.LOAD_FILES_AND_MODULES, PACKAGE_AID)
        assert [(e.aid, e.modules) for e in files] == [(PACKAGE_AID, (MODULE_AID,))]
    bench.install()
    with SecurityDomainSession(bench.link, bench.channel()) as domain:
        (purse,) = domain.get_status(Scope.APPLICATIONS, purse_aid(ENV))
        assert (purse.aid, purse.life) == (purse_aid(ENV), 0x07)
        domain.delete(purse_aid(ENV))
        with pytest.raises(errors.NotThereError):
            domain.delete(purse_aid(ENV))


def test_data_objects(bench: Bench) -> None:
    with SecurityDomainSession(bench.link, bench.channel()) as domain:
        assert len(domain.get_data(DataObject.CPLC)) == 42
        assert domain.get_data(DataObject.RECOGNITION)
        keys = domain.key_information()
        assert {k.key_type for k in keys} == {0x88}
        assert [k.kid for k in keys[:3]] == [1, 2, 3]


def test_wrong_keys_are_noticed_before_the_card_is_asked(bench: Bench) -> None:
    wrong = StaticKeys(*[os.urandom(16)] * 3)
    with pytest.raises(CryptogramError):
        SecurityDomainSession(bench.link, LocalChannel(lambda _: wrong, os.urandom))
    with SecurityDomainSession(bench.link, bench.channel()) as domain:
        assert domain.get_status(Scope.DOMAIN)


def test_put_key_is_made_by_the_key_service(bench: Bench) -> None:
    """The same values under the same version: a card shared by a whole run stays as it was."""
    with SecurityDomainSession(bench.link, bench.channel()) as domain:
        kvn = domain.key_information()[0].kvn
    first = kvn > 0x7F  # a maker's set has no version that PUT KEY may name
    new = NewKeys(0x30, 0, TRANSPORT) if first else NewKeys(kvn, kvn, TRANSPORT)
    channel = LocalChannel(lambda _: TRANSPORT, os.urandom, new_keys=lambda _: new)
    with SecurityDomainSession(bench.link, channel) as domain:
        domain.put_key()
        with pytest.raises(errors.SessionOverError):
            domain.get_status(Scope.DOMAIN)
    with SecurityDomainSession(bench.link, bench.channel()) as domain:
        assert domain.key_information()[0].kvn == new.kvn


def test_put_key_without_new_keys(bench: Bench) -> None:
    domain = SecurityDomainSession(bench.link, bench.channel())
    with domain, pytest.raises(errors.UnprovenAnswerError):
        domain.put_key()


def test_a_load_file_that_lies_is_refused(bench: Bench) -> None:
    with SecurityDomainSession(bench.link, bench.channel()) as domain:
        with pytest.raises(errors.CardRefusedError):
            domain.install_for_load(PACKAGE_AID)  # it is loaded
        with pytest.raises(errors.CardRefusedError):
            list(domain.load(bytes(600)))


class Altering:
    """A link that changes the answers to one instruction."""

    def __init__(self, link, ins, change):
        self._link, self._ins, self._change = link, ins, change

    def __getattr__(self, name):
        return getattr(self._link, name)

    def transmit(self, command):
        answer = self._link.transmit(command)
        return self._change(answer) if command[1] == self._ins else answer


@pytest.mark.parametrize(
    "change", [lambda a: b"\x90\x00", lambda a: a[:-3] + bytes([a[-3] ^ 1]) + a[-2:]]
)
def test_generate_keys_needs_its_r_mac(bench: Bench, change) -> None:
    bench.prepare("INSTALLED")
    link = Altering(bench.link, 0x46, change)
    session = PurseKeySession(link, bench.channel(), ENV)
    with pytest.raises(errors.UnprovenAnswerError):
        session.generate_keys()
    with pytest.raises(errors.SessionOverError):
        session.generate_keys()


def test_the_relay_carries_bytes_only(bench: Bench) -> None:
    """Every call to the key service is an APDU's bytes in and out."""
    channel = bench.channel()
    first = channel.initialize_update()
    assert CommandApdu.parse(first).ins == 0x50
    answer = bench.link.transmit(first)
    second = channel.external_authenticate(answer)
    assert CommandApdu.parse(second).p1 == 0x33
    channel.finish(bench.link.transmit(second))
    wrapped = channel.wrap(bytes(CommandApdu(0x80, 0xCA, 0x00, 0xE0, b"", 256)))
    assert channel.unwrap(bench.link.transmit(wrapped))[-2:] == b"\x90\x00"
