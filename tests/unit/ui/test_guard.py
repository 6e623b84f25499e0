"""Sessions, and who owns the other end of a loopback connection."""

from __future__ import annotations

import os
import socket

from ui.guard import IDLE_S, SESSIONS_MAX, Sessions, cookie_name, peer_uid
from ui.show import amount, masked, number, rupiah, when
from wire.objects import Unit


def test_a_session_ends_after_idleness_and_its_cookie_is_renewed_at_sign_in() -> None:
    now = 0.0
    sessions = Sessions(lambda: now)
    cookie, session = sessions.new()
    token = session.token
    renewed = sessions.renew(session)
    assert sessions.find(cookie) is None
    assert sessions.find(renewed) is session
    assert session.token != token
    now = IDLE_S + 1.0
    assert sessions.find(renewed) is None


def test_the_oldest_session_goes_when_there_are_too_many() -> None:
    now = 0.0
    sessions = Sessions(lambda: now)
    first, _ = sessions.new()
    for _ in range(SESSIONS_MAX):
        now += 1
        sessions.new()
    assert sessions.find(first) is None


def test_a_token_is_never_shown() -> None:
    _, session = Sessions().new()
    assert session.token not in repr(session)


def test_neighbours_on_other_ports_have_cookies_of_their_own() -> None:
    """A browser sends a host's cookies to all its ports; each face must find its own."""
    assert cookie_name("127.0.0.1:8001") != cookie_name("127.0.0.1:8002")


def test_the_kernel_says_who_connects() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as client,
    ):
        assert peer_uid(client.getsockname(), server.getsockname()) == os.getuid()
        other = (client.getsockname()[0], server.getsockname()[1])
        assert peer_uid(other, ("127.0.0.1", 1)) is None


def test_figures_as_people_read_them() -> None:
    assert (rupiah(150_000), rupiah(-5), number(1_234_567)) == ("Rp150.000", "-Rp5", "1.234.567")
    assert amount(5_000, Unit.GRAM) == ("5 kg", "5 kg")
    assert amount(1_500, Unit.GRAM) == ("1.500 g", "1.500 g")
    assert amount(1, Unit.BASKET) == ("1 paket", "1 basket")
    assert amount(1_000, Unit.MILLILITRE) == ("1 liter", "1 litre")
    assert amount(-2_000, Unit.MILLILITRE) == ("-2 liter", "-2 litres")
    assert amount(2, Unit.VISIT) == ("2 kunjungan", "2 visits")
    assert when(1_795_500_000) == ("24 Nov 2026, 13.00 WIB", "24 Nov 2026, 13:00 WIB")
    assert masked("6271011234560001") == "62••••••••••••01"
