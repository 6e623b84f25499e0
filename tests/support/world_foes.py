"""Named adversaries of the simulated village; each adds the invariants its traces may break.

What must have no effect at all is checked on the spot against a hash of everything stored. What
PROTOCOL.md §9 says is not prevented (a broken chip) is bounded here and found by the auditor.
"""

from __future__ import annotations

from contextlib import suppress

import httpx
from sqlmodel import select

from backend.errors import BackendError, ForkError
from backend.models import ReceiptRow
from card_os.host.errors import CardError
from card_os.host.links import LinkError
from keys.signer import Ed25519Signer, P256Signer, sign_object
from terminal.carry import apply_acknowledgement, build_upload, install_bundle
from terminal.errors import AcknowledgementRefusedError, BundleRefusedError
from terminal.outcomes import CardRefused, Outcome, Redeemed
from terminal.session import open_session
from terminal.visit import Visit
from tests.support import world_steps as steps
from tests.support.terminal_world import PIN, Card, Issuer
from tests.support.world_sim import ENV, Mail, Point, SimCard, World, require
from wire import log
from wire.cvc import Role
from wire.dates import day_of
from wire.entitlement import NEVER_S, Entitlement, Lot
from wire.env import Environment
from wire.errors import WireError
from wire.log import Reason, Record, Upload
from wire.objects import Acknowledgement, UploadHead
from wire.purse import Life


def _unchanged(w: World, before: bytes, why: str) -> None:
    require(w.digest() == before, f"{why} changed the backend")


def _post(w: World, raw: bytes) -> httpx.Response:
    trouble, w.wire.trouble = w.wire.trouble, 0.0
    try:
        return w.client.post("/v1/uploads", content=raw)
    finally:
        w.wire.trouble = trouble


def _remember(w: World) -> tuple[Point, bytes] | None:
    """An upload that the backend has; sends one first if there is none."""
    point = steps.pick_point(w)
    upload = build_upload(point.journal, point.log_key)
    if upload is not None:
        raw = bytes(upload)
        if _post(w, raw).status_code == 200:
            point.sent.append(raw)
            return point, raw
    return (point, point.sent[-1]) if point.sent else None


def replay_upload(w: World) -> None:
    """The same upload again: the same acknowledgement, nothing new."""
    found = _remember(w)
    if found is None:
        return
    first = _post(w, found[1])
    before = w.office.report()
    again = _post(w, found[1])
    require((first.status_code, first.content) == (again.status_code, again.content), "replay")
    after = w.office.report()
    for report in (before, after):  # counting repeats is all that may change
        report.pop("uploads", None)
        report["counts"].pop("duplicates", None)
    require(before == after, "a replayed upload changed the books")


def alter_upload(w: World) -> None:
    """One byte of an upload is another."""
    found = _remember(w)
    if found is None:
        return
    before, raw = w.digest(), bytearray(found[1])
    raw[w.random.randrange(len(raw))] ^= 1 << w.random.randrange(8)
    require(_post(w, bytes(raw)).status_code in {404, 409, 422}, "an altered upload was taken")
    _unchanged(w, before, "an altered upload")


def fork_log(w: World) -> None:
    """A terminal's operator signs another record at a sequence the backend holds."""
    point = steps.pick_point(w)
    upload = build_upload(point.journal, point.log_key)
    if upload is None or point.journal.head().acknowledged == 0 or _post(w, bytes(upload)).is_error:
        return
    last = upload.records[-1]
    fake = Record.make(last.sequence, last.previous, last.time_s, log.Boot("another story"))
    head = UploadHead(point.name, last.sequence, last.sequence, fake.hash)
    raw = bytes(Upload(head, sign_object(point.log_key, head, ENV), (fake,)))
    try:
        w.office.ingest(raw)
    except ForkError:
        w.expected.add(2)  # the backend's own finding; the export holds no second chain
    else:
        require(False, "a forked chain was taken")


def restore_image(w: World) -> None:
    """An old copy of a terminal's disk is put to work."""
    if w.images or len(w.live) < 3:
        return
    w.images.append(steps.pick_point(w).image())


def use_image(w: World) -> None:
    """The copy serves a card, and sends what it wrote."""
    ready = [i for i in w.images if any(p.name == i.name and p.works for p in w.points)]
    if not ready:
        return
    image = ready[0]
    w.expected.add(2)  # whichever chain comes second is the fork
    image.restart()
    card = steps.pick_card(w)
    if card.store.card.life is Life.ACTIVE and image.works:

        def spend(visit: Visit) -> None:
            visit.verify_pin(PIN)
            for view in [v for v in visit.wallets() if v.most][:1]:
                paid = visit.redeem(view.wallet, 1)
                steps.note(w, card, image)
                if isinstance(paid, Redeemed):
                    w.hand(image, paid.intent)
                    visit.delivered(paid.intent)

        steps.visiting(w, image, card, Role.TERMINAL, spend, calm=True)
    upload = build_upload(image.journal, image.log_key)
    if upload is not None:
        with suppress(BackendError):
            w.office.ingest(bytes(upload))


def clone_card(w: World) -> None:
    """A broken chip: the same memory in a second body, once in a run."""
    if any(c.is_clone for c in w.cards):
        return
    ready = [c for c in w.held if not c.is_lost and c.store.card.life is Life.ACTIVE]
    if ready:
        w.cards.append(w.random.choice(ready).clone())


def tap_clone(w: World) -> None:
    """The clone is spent somewhere; bounded by balance times terminals (PROTOCOL.md §9)."""
    for clone in [c for c in w.cards if c.is_clone]:
        point = steps.pick_point(w)
        w.expected |= {3}
        if point.journal.open_intents(clone.card_id):
            w.expected |= {8}  # the other body may have signed what this one lets be ruled out

        def spend(visit: Visit, clone: SimCard = clone, point: Point = point) -> None:
            visit.verify_pin(PIN)
            for view in [v for v in visit.wallets() if v.most]:
                paid = visit.redeem(view.wallet, view.most)
                steps.note(w, clone, point)
                if isinstance(paid, Redeemed):
                    w.counts["clone debit"] += 1
                    w.hand(point, paid.intent)
                    visit.delivered(paid.intent)

        steps.visiting(w, point, clone, Role.TERMINAL, spend, calm=True)


def _load_raw(w: World, card: SimCard, entitlement: Entitlement, why: str) -> None:
    """LOAD over a genuine session by a crooked operator; the card must stay as it is."""
    point = steps.pick_point(w)
    link = card.put_in()
    before = card.store.logical_state()
    try:
        session, _ = open_session(point.engine, link, point.engine.credentials(Role.TERMINAL, None))
        session.load(entitlement)
    except (CardError, LinkError):
        pass
    else:
        require(False, f"a card took a {why} entitlement")
    card.take_out()
    after = card.store.logical_state()
    require(before[1:] == after[1:], f"a {why} entitlement changed the card")


def forged_entitlement(w: World) -> None:
    """More value under a signature that is not the issuer's."""
    card = steps.pick_card(w)
    wallets = card.store.wallets(card.store.card)
    if not wallets:
        return
    c, store = wallets[0], card.store
    held = Entitlement.parse(store.entitlement(c))
    loaded = held.loaded + 1000
    body = Entitlement.encode_body(
        env=ENV, card_id=card.card_id, certificate_hash=held.certificate_hash, wallet=c.code,
        programme=held.programme, sequence=held.sequence + 1, loaded=loaded,
        lots=(Lot(NEVER_S, loaded),), forfeited_through=0, cap=held.cap, acknowledged=0,
        issued=day_of(w.clock()), settled_debited=0, settled_reversed=0, bypass_total=9,
        key_version=1,
    )  # fmt: skip
    signature = P256Signer.generate(w.random.randbytes).sign(body)
    _load_raw(w, card, Entitlement.parse(body + signature), "forged")


def stale_entitlement(w: World) -> None:
    """A genuine entitlement that the card has passed."""
    from backend.models import EntitlementRow

    card = steps.pick_card(w)
    held = {x.code: x.entitlement_sequence for x in card.store.wallets(card.store.card)}
    with w.office.db.read() as session:
        rows = list(session.exec(
            select(EntitlementRow).where(EntitlementRow.card_id == card.card_id)
        ))  # fmt: skip
    old = [r for r in rows if r.sequence < held.get(r.wallet, 0)]
    if old:
        _load_raw(w, card, Entitlement.parse(w.random.choice(old).raw), "stale")


def withhold_sync(w: World) -> None:
    """A terminal's operator does not sync for a long while."""
    steps.pick_point(w).withheld_until = w.counts["step"] + 60


def replay_bundle(w: World) -> None:
    """An old bundle is installed again, or one with a byte altered."""
    point = steps.pick_point(w)
    raw = w.office.bundle(point.name, None)
    if raw is None:
        return
    with suppress(BundleRefusedError, AcknowledgementRefusedError):
        install_bundle(point.engine, raw)
    before = point.digest()
    with suppress(BundleRefusedError):
        require(install_bundle(point.engine, raw).version is None, "an old bundle was installed")
    bad = bytearray(raw)
    bad[w.random.randrange(len(bad))] ^= 1
    with suppress(BundleRefusedError, WireError):
        require(install_bundle(point.engine, bytes(bad)).version is None, "an altered bundle")
    require(point.digest() == before, "a replayed or altered bundle changed the terminal")


def present_specimen(w: World) -> None:
    """A card of the specimen world at a live terminal: refused kindly, nothing written to it."""
    world = _specimens()
    point = steps.pick_point(w)
    before = world.nvm.digest()
    begun = point.engine.begin(world.link())
    require(isinstance(begun, Outcome), "a specimen was served")
    allowed = {Reason.SPECIMEN_CARD, Reason.FOREIGN_CARD}
    require(isinstance(begun, CardRefused) and begun.reason in allowed, f"specimen: {begun}")
    require(world.nvm.digest() == before, "something was written to a specimen")


_made: list[Card] = []


def _specimens() -> Card:
    if not _made:
        _made.append(Issuer(Environment.DEMO_SPECIMEN).card(1))
    return _made[0]


def claim_twice(w: World) -> None:
    """A receipt that is held already is carried home again by other terminals' COLLECTED."""
    with w.office.db.read() as session:
        raws = list(session.exec(select(ReceiptRow.raw)))
    if raws:
        raw = w.random.choice(raws)
        for point in w.live[:2]:
            point.engine.write(log.Collected(raw))


def wrong_clock(w: World) -> None:
    """A terminal's clock is set days back or hours ahead, and later right again."""
    point = steps.pick_point(w)
    point.skew_s = w.random.choice((-5 * 86_400, 2 * 3600, 0))
    if point.skew_s > 0:
        w.expected.add(11)


def forge_acknowledgement(w: World) -> None:
    """An acknowledgement of a key that the root never stated: nothing is pruned."""
    point = steps.pick_point(w)
    head, before = point.journal.head(), point.digest()
    ack = Acknowledgement(point.name, head.sequence, head.hash, w.clock())
    forged = sign_object(Ed25519Signer.generate(w.random.randbytes), ack, ENV)
    with suppress(AcknowledgementRefusedError):
        apply_acknowledgement(point.engine, bytes(forged))
        require(False, "a forged acknowledgement was taken")
    require(point.digest() == before, "a forged acknowledgement changed the journal")


def foreign_upload(w: World) -> None:
    """A station that was never enrolled uploads."""
    key, before = Ed25519Signer.generate(w.random.randbytes), w.digest()
    record = Record.make(1, bytes(32), w.clock(), log.Boot("x"))
    head = UploadHead(b"NOBODY01", 1, 1, record.hash)
    raw = bytes(Upload(head, sign_object(key, head, ENV), (record,)))
    require(_post(w, raw).status_code == 422, "an upload of nobody was taken")
    _unchanged(w, before, "an upload of nobody")


def misroute(w: World) -> None:
    """A bundle or acknowledgement of one terminal is given to another."""
    items = [m for m in w.mail if m.kind != "upload"]
    if not items:
        return
    item = w.random.choice(items)
    other = steps.pick_point(w)
    if other.name != item.point.name:
        w.mail.append(Mail(item.kind, other, item.raw))


HARMLESS: dict[steps.Step, float] = {
    replay_upload: 0.6, alter_upload: 0.6, forged_entitlement: 0.5, stale_entitlement: 0.5,
    withhold_sync: 0.3, replay_bundle: 0.5, present_specimen: 0.3, claim_twice: 0.8,
    forge_acknowledgement: 0.4, foreign_upload: 0.3, misroute: 0.6,
}  # fmt: skip
"""These must leave no trace in the books: with them a run still has no finding."""

GRAVE: dict[steps.Step, float] = {
    fork_log: 0.3, restore_image: 0.4, use_image: 1.5, clone_card: 0.5, tap_clone: 1.5,
    wrong_clock: 0.5,
}  # fmt: skip
"""These the auditor or the backend must find, and nothing else."""
