"""What the backend sends behind its orders is what the desk shows of each family."""

from __future__ import annotations

import asyncio

import httpx

from backend.api import make_app
from issuer.evidence import EvidenceBook
from issuer.office import _sequence
from issuer.store import connect
from keys.trust import TrustStore
from tests.support import backend_world
from wire.cose import Sign1
from wire.objects import Order


def test_every_order_comes_with_its_decree_row_and_visit(tmp_path):
    world = backend_world.make(tmp_path)
    world.import_all(rows=8)
    world.desk()
    world.office.order_cards(backend_world.DESK)

    async def ask() -> bytes:
        transport = httpx.ASGITransport(app=make_app(world.office))
        async with httpx.AsyncClient(transport=transport, base_url="http://b") as client:
            return (await client.get(f"/v1/orders/{backend_world.DESK.hex()}/evidence")).content

    orders = [Order.parse(Sign1.parse(r).payload) for r in world.office.orders(backend_world.DESK)]
    book = EvidenceBook(connect(":memory:"), TrustStore(world.keys.trust, allow_demo=True))
    assert book.take(_sequence(asyncio.run(ask())), orders) > len(orders)
    assert orders
    for order in orders:
        shown = book.of(order)
        assert shown.fits
        assert shown.visit is not None
        assert shown.visit.said.family == order.family
        wallets = {r.programme.wallet for r in shown.rights if r.programme is not None}
        assert wallets == set(order.wallets)
