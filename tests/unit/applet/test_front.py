"""The reference security domain before the applet process: files, power cuts, refusals, sockets."""

import os
from pathlib import Path

import pytest

from card_os.host.links import CardRemoved, InProcessLink, NoCard
from card_os.host.opening import select_purse
from card_os.host.socketlink import SocketLink
from card_os.reference.applets import CardServices
from card_os.reference.card import ReferenceCard
from card_os.reference.errors import CardError
from card_os.reference.external import AppletHost, AppletHostError, AppletInstance
from card_os.reference.memory import Nvm, Persistent
from card_os.reference.profiles import TransportKeys
from card_os.reference.serve import CardPlace, Tear
from tests.conformance.world import ENV, PIN, TRANSPORT, Authorities, Bench, debit_of
from wire.apdu import CommandApdu
from wire.env import purse_aid
from wire.purse import InstallParameters, Life

ROOT = Authorities().root.public


def parameters() -> bytes:
    return bytes(InstallParameters(ENV, ROOT))


def made(host: AppletHost, path: Path | None = None) -> ReferenceCard:
    return ReferenceCard.create(
        path, transport_keys=TransportKeys(0x30, TRANSPORT), serial=bytes(4),
        registry=host.packages, random=os.urandom,
    )  # fmt: skip


def test_a_card_in_a_file_is_the_same_card_in_another_program(
    applet_host: AppletHost, tmp_path: Path
) -> None:
    path = tmp_path / "card"
    card = made(applet_host, path)
    bench = Bench(InProcessLink(card), Authorities())
    bench.loaded()
    with bench.paying() as session:
        receipt = session.debit(debit_of(session))
    card.nvm.close()
    with AppletHost() as other:
        again = ReferenceCard.load(path, registry=other.packages, random=os.urandom)
        bench.link = InProcessLink(again)
        with bench.session() as session:
            assert session.state.sequence == 1
            assert session.read_receipt(1) == receipt
            assert session.verify_pin(PIN) == 3


def test_power_cut_by_the_card_place_reaches_the_applet(applet_host: AppletHost) -> None:
    card = made(applet_host)
    bench = Bench(InProcessLink(card), Authorities())
    bench.loaded()
    place = CardPlace()
    place.hold(card, card.power_on())
    place.put_in()
    place.power_on()
    bench.link = InProcessLink(place)
    with bench.paying() as session:
        place.arm(Tear(6, 0x38))
        with pytest.raises(CardRemoved):
            session.debit(debit_of(session))
    assert (place.inside, place.cuts) == (False, 1)
    place.put_in()
    place.power_on()
    bench.link = InProcessLink(place)
    with bench.session() as session:
        assert (session.state.sequence, session.state.life) == (0, Life.ACTIVE)


def test_the_applet_alone_behind_a_socket(applet_host: AppletHost) -> None:
    with AppletHost(parameters()) as host:
        link = SocketLink(f"127.0.0.1:{host.port}")
        select_purse(link, ENV)
        assert link.transmit(bytes.fromhex("80CA7F2100")) == b"\x69\x85"
        link.reset()
        assert link.transmit(bytes.fromhex("80CA7F2100")) != b"\x69\x85"  # nothing is selected
        link.close()


def test_without_an_instance_the_socket_holds_no_card(applet_host: AppletHost) -> None:
    with pytest.raises(NoCard):
        SocketLink(f"127.0.0.1:{applet_host.port}")


@pytest.mark.parametrize("bad", [b"", b"\x81", b"\x03" + ROOT, b"\x82" + ROOT, bytes(130)])
def test_install_refuses(applet_host: AppletHost, bad: bytes) -> None:
    store = Persistent(Nvm(), "x/")
    with pytest.raises(CardError, match="6A80"):
        applet_host.make(store, bad, CardServices(purse_aid(ENV), os.urandom))


def test_a_host_that_went_away_is_said_so() -> None:
    store = Persistent(Nvm(), "x/")
    with AppletHost() as host:
        instance = host.make(store, parameters(), CardServices(purse_aid(ENV), os.urandom))
    with pytest.raises(AppletHostError, match="gone"):
        instance.select()


def test_another_applets_memory_is_refused(applet_host: AppletHost) -> None:
    nvm = Nvm()
    nvm.put("x/state", bytes(100))
    with pytest.raises(AppletHostError):
        AppletInstance(
            applet_host.port, Persistent(nvm, "x/"), parameters(),
            CardServices(purse_aid(ENV), os.urandom),
        )  # fmt: skip


def test_a_mirror_is_no_write_and_never_torn() -> None:
    nvm = Nvm()
    nvm.tear_before = 0
    nvm.mirror("a", b"1")
    assert (nvm.get("a"), nvm.writes, nvm.bytes_written) == (b"1", 0, 0)
    nvm.tear_before = 5
    nvm.spend(3, torn=False)
    assert (nvm.tear_before, nvm.writes) == (2, 3)
    command = CommandApdu(0x80, 0xCA, 0x7F, 0x21)
    assert bytes(command) == bytes.fromhex("80CA7F21")
