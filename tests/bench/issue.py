"""Issuing a round: three entitlements for every family, over the bare sign rate."""

from __future__ import annotations

import tempfile
from hashlib import sha256
from pathlib import Path

from sqlmodel import func, select

from backend.models import Card, EntitlementRow, Row
from backend.objects import programmes
from keys import ca
from keys.servicecore import Quotas
from keys.signer import P256KeyAgreement, P256Signer
from keys.state import Chip
from tests.bench import frame
from tests.bench.frame import Section, Size, at_least, cpu
from tests.support.backend_world import CASH, ENV, FOOD, SCHOOL, BackendWorld, make
from wire.objects import KeyRole

TITLE = "Issue"
WALLETS = (FOOD, CASH, SCHOOL)
DECREE = sha256(b"decree").digest()
MANY = 10_000_000


def measure(size: Size) -> Section:
    """Wishes, two people, the key service's checks and state, log, ledger, heads."""
    made = Section(text=[
        f"{size.families:,} families with a card and three funded decree rows each; one",
        "`Office.entitle` with the key service in the same process: wishes, request and approval,",
        "its checks and state, issuance log, ledger, heads. CPU time. The bare rate signs as many",
        "bodies with the same key by the same library.",
    ])  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        world = make(Path(folder))
        prepare(world, size.families)
        used = cpu(world.office.entitle)
        count = len(WALLETS) * size.families
        with world.office.db.read() as session:
            done = session.exec(select(func.count()).select_from(EntitlementRow)).one()
            bodies = session.exec(select(EntitlementRow.raw).limit(1_000)).all()
        if done != count:
            raise RuntimeError(f"{done} of {count} entitlements were issued")
    signer = world.keys.signers[KeyRole.ISSUER, 1]
    bare = cpu(lambda: [signer.sign(raw[:-64]) for raw in bodies]) / len(bodies)
    made.add(
        frame.Row("entitlements issued per CPU second", count / used, "/s"),
        frame.Row("bare signatures per second", 1 / bare, "/s"),
        at_least("issue over the bare sign rate", bare * count / used, 0.7),
    )
    return made


def prepare(world: BackendWorld, families: int) -> None:
    """Certified cards of so many families, and their funded rows."""
    world.import_all(rows=10)
    world.service._quotas = Quotas(entitlements=MANY, loaded_default=1 << 60)
    channel = P256KeyAgreement.generate(world.random).public_key
    receipt_key = P256Signer.generate(world.random).public_key
    issuer = world.keys.issuer(KeyRole.CARD_CA)
    kdds = [n.to_bytes(10, "big") for n in range(1, families + 1)]
    world.state.receive_chips("bench", kdds)
    with world.office.db.read() as session:
        by_wallet = {p.wallet: p for p in programmes(session).values()}
    cards: list[Card] = []
    rows: list[Row] = []
    with world.state.transaction():
        for n, kdd in enumerate(kdds, 1):
            card_id, family = ENV.mark + n.to_bytes(4, "big"), sha256(kdd).digest()[:16]
            certificate = ca.issue_card_certificate(
                issuer, serial=n, card_id=card_id, channel_key=channel, receipt_key=receipt_key,
                now_s=world.clock(),
            )  # fmt: skip
            order = sha256(card_id).digest()
            world.state.certify(Chip(kdd, "bench", order, card_id, bytes(certificate), channel,
                                     scrapped=False))  # fmt: skip
            cards.append(Card(card_id=card_id, environment=int(ENV), certificate=bytes(certificate),
                              digest=certificate.digest, receipt_key=receipt_key, family=family,
                              order_hash=order, issued_s=world.clock()))  # fmt: skip
            rows += [
                Row(decree=DECREE, row=3 * n + k, family=family,
                    programme=by_wallet[wallet].code, amount=1, value_minor=1, funded=True)
                for k, wallet in enumerate(WALLETS)
            ]  # fmt: skip
    with world.office.db.write() as session:
        session.add_all([*cards, *rows])
