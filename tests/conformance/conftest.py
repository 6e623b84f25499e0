"""Where the card of the suite is: each setting gives a link to a card as its maker delivers it.

`reference`: the reference card in this process. `applet`: the same security domain before the Java
Card applet, which runs in a Java process of its own. `pcscd`: the reference card behind a private
pcscd, with T=0. `applet-pcscd`: a card that is Java alone, the applet with its real Gate behind a
security domain of the tests, in a reader of that pcscd (TestCard.java); what the suite asks of the
security domain beyond installing, or of the host alone, is not run there. `socket`: any program
that speaks length-framed APDUs (card_os/host/socketlink.py), when
BETANG_CONFORMANCE_SOCKET=host:port (or a path) names it. A further setting is one more line.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from card_os.host.links import InProcessLink
from card_os.host.pcsc import PcscReader
from card_os.host.socketlink import SocketLink
from card_os.icc import T0Face
from card_os.reference.card import ReferenceCard
from card_os.reference.packages import PACKAGES
from card_os.reference.profiles import TransportKeys
from card_os.reference.vpcd import VpcdSlot
from tests.conformance.world import TRANSPORT, Authorities, Bench
from tests.conftest import CONFORMANCE_READER
from tests.support.applet_card import in_reader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from card_os.host.links import Link
    from card_os.reference.applets import Registry
    from card_os.reference.external import AppletHost
    from demo.pcscd import PcscdWorld

BEYOND_INSTALLING = {
    "test_status_before_and_after_install", "test_data_objects",
    "test_wrong_keys_are_noticed_before_the_card_is_asked", "test_the_relay_carries_bytes_only",
    "test_put_key_is_made_by_the_key_service", "test_a_load_file_that_lies_is_refused",
}  # fmt: skip
SOCKET = os.environ.get("BETANG_CONFORMANCE_SOCKET", "")
SETTINGS = ["reference", "applet", "pcscd", "applet-pcscd", *(["socket"] if SOCKET else [])]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out of `applet-pcscd` what says nothing about its card."""
    out = [item for item in items if _is_elsewhere(item)]
    if out:
        config.hook.pytest_deselected(items=out)
        items[:] = [item for item in items if not _is_elsewhere(item)]


def _is_elsewhere(item: pytest.Item) -> bool:
    named = item.callspec.params.get("card_link") if hasattr(item, "callspec") else None
    module = item.module.__name__.rpartition(".")[2] if isinstance(item, pytest.Function) else ""
    name = getattr(item, "originalname", "")
    return named == "applet-pcscd" and (module == "test_host_session" or name in BEYOND_INSTALLING)


def _card(protocol: str, registry: Registry = PACKAGES) -> ReferenceCard:
    keys = TransportKeys(0x30, TRANSPORT)
    return ReferenceCard.create(
        transport_keys=keys, serial=b"\x00\x00\x00\x01", registry=registry, random=os.urandom,
        protocol=protocol,
    )  # fmt: skip


def _reference() -> Iterator[Callable[[], Link]]:
    yield lambda: InProcessLink(_card("t1"))


def _applet(host: AppletHost) -> Iterator[Callable[[], Link]]:
    yield lambda: InProcessLink(_card("t1", host.packages))


def _pcscd(world: PcscdWorld) -> Iterator[Callable[[], Link]]:
    slot = VpcdSlot(world.doors[CONFORMANCE_READER], known_empty=True)
    slot.insert(T0Face(_card("t0")))
    reader = PcscReader(world.readers[CONFORMANCE_READER])
    try:
        assert reader.wait_for_card(10)
        yield reader.connect
    finally:
        reader.close()
        slot.remove()


def _applet_pcscd(world: PcscdWorld) -> Iterator[Callable[[], Link]]:
    reader = PcscReader(world.readers[CONFORMANCE_READER])
    try:
        assert reader.wait_for_removal(10)  # of the setting before this one
        with in_reader(world.doors[CONFORMANCE_READER], TRANSPORT):
            assert reader.wait_for_card(30)
            yield reader.connect
    finally:
        reader.close()


def _socket() -> Iterator[Callable[[], Link]]:
    yield lambda: SocketLink(SOCKET)


@pytest.fixture(scope="session", params=SETTINGS)
def card_link(request: pytest.FixtureRequest) -> Iterator[Callable[[], Link]]:
    """A factory of links; a card may be the same one each time, so the bench installs anew."""
    if request.param == "pcscd":
        yield from _pcscd(request.getfixturevalue("pcscd_world"))
    elif request.param == "applet-pcscd":
        request.getfixturevalue("applet_host")  # built, or skipped
        yield from _applet_pcscd(request.getfixturevalue("pcscd_world"))
    elif request.param == "applet":
        yield from _applet(request.getfixturevalue("applet_host"))
    else:
        yield from {"reference": _reference, "socket": _socket}[request.param]()


@pytest.fixture(scope="session")
def authorities() -> Authorities:
    """The keys above the card, the same for the whole run."""
    return Authorities()


@pytest.fixture
def bench(card_link: Callable[[], Link], authorities: Authorities) -> Iterator[Bench]:
    """A card with nothing installed for sure; use `bench.prepare(...)` or `bench.loaded(...)`."""
    link = card_link()
    yield Bench(link, authorities)
    link.close()
