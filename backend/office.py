"""The jobs: each owns its transactions and calls the key service with none open.

A job that was interrupted can simply be run again: drafts stand, the issuance log takes an object
once, an upload is entered once (docs/ledger.md#one-job-at-a-time). Every job that has something
signed may raise :class:`backend.errors.SignerError` and ``AuthorityError``, and ``BusyError`` while
another job has its turn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlmodel import Session, col, select

from backend import (
    ageing,
    bundles,
    cards,
    entitle,
    export,
    findings,
    heads,
    importing,
    ingest,
    issuance,
    lost,
    objects,
    replace,
    report,
    reserves,
    settle,
)
from backend.drafts import BATCH, Drafts, ask
from backend.errors import (
    ConflictError,
    ForkError,
    ProofError,
    UnknownError,
    WalletFullError,
)
from backend.importgate import ImportResult
from backend.ingest import Answer
from backend.models import Certificate, Station
from keys.enrol import OfficerRequest, Provision, StationRequest
from keys.errors import PossessionError
from keys.issuance import IssuanceItem
from keys.service import EntitlementWish
from wire.bundle import Bundle, pack
from wire.chain import IssuanceKind
from wire.entitlement import ScriptAction
from wire.errors import FormatError
from wire.objects import (
    Decision,
    DecisionKind,
    DecreeAnnex,
    Enrolment,
    FieldVerification,
    FundRelease,
    Hotlist,
    KeyRole,
    Order,
    Parameters,
    Programme,
    StationKind,
    StockDelivery,
    TerminalLost,
)

DEFAULT_PARAMETERS = Parameters(
    version=1, gap_age_s=30 * 86_400, returned_age_s=7 * 86_400, statement_age_s=30 * 86_400,
    card_skew_s=86_400, data_stale_warn_s=14 * 86_400, data_stale_stop_s=35 * 86_400,
    hotlist_step_permille=10,
)  # fmt: skip


@dataclass(slots=True)
class Office(Drafts):
    """The backend at work. ``pepper`` gives what makes pseudonyms; it never leaves here."""

    pepper: Callable[[], bytes] = field(repr=False)

    # --- issuance log ------------------------------------------------------------

    def append_issuance(self, items: Sequence[IssuanceItem]) -> None:
        """What a signer appends before it releases anything; durable when this returns."""
        with self.db.write() as session:
            issuance.append(session, self.trust, items, self.clock())

    append_many = append_issuance
    """An Office is an :class:`keys.issuance.IssuanceAppender` for a signer in this process."""

    # --- import ------------------------------------------------------------

    def found(self, links: Sequence[bytes] = ()) -> None:
        """First objects: links for the cards, parameters, an empty hotlist."""
        self.append_issuance([IssuanceItem(IssuanceKind.LINK, raw) for raw in links])

        def parameters(session: Session) -> None:
            if not objects.payloads_of(session, Parameters):
                objects.draft(session, DEFAULT_PARAMETERS, "1")

        def hotlist(session: Session) -> None:
            if replace.newest_hotlist(session) is None:
                replace.draft_hotlist(session, set(), self.clock())

        self._draft_and_sign(Parameters, parameters)
        self._draft_and_sign(Hotlist, hotlist)

    def import_households(self, data: bytes) -> ImportResult:
        """dtsen.csv through the gate."""
        pepper = self.pepper()
        with self.db.write() as session:
            return importing.households(session, data, pepper, self.clock())

    def import_verifications(self, data: bytes) -> importing.Visits:
        """verifikasi.csv, signed at once."""
        pepper = self.pepper()
        return self._draft_and_sign(
            FieldVerification, lambda s: importing.verifications(s, data, pepper)
        )[0]

    def import_programmes(self, data: bytes) -> int:
        """programmes.json, signed at once."""
        return self._draft_and_sign(Programme, lambda s: importing.programmes(s, data))[0]

    def import_funds(self, data: bytes) -> int:
        """funds.json, signed at once."""
        return self._draft_and_sign(FundRelease, lambda s: importing.funds(s, data))[0]

    def import_decree(self, data: bytes) -> int:
        """sk.json, signed at once; rows in the annex."""
        pepper = self.pepper()
        return self._draft_and_sign(DecreeAnnex, lambda s: importing.decree(s, data, pepper))[0]

    def import_deliveries(self, data: bytes) -> int:
        """deliveries.json, signed at once."""
        return self._draft_and_sign(StockDelivery, lambda s: importing.deliveries(s, data))[0]

    # --- cards ------------------------------------------------------------

    def order_cards(self, desk: bytes) -> int:
        """Orders for every family of a decree that has no card; how many new ones."""
        return self._draft_and_sign(Order, lambda s: cards.plan_orders(s, desk, self.clock()))[0]

    def entitle(self, only: bytes | None = None) -> tuple[int, list[str]]:
        """Fund rows, then sign what may be issued (to one card, if given).

        How many entitlements, and what could not be issued and why.
        """
        made = 0
        with self.db.turn("entitlements"):
            with self.db.write() as session:
                entitle.allocate(session)
            wishes, refused = self._wishes(only)
            for at in range(0, len(wishes), BATCH):
                part = wishes[at : at + BATCH]
                payloads = [bytes(w) for w in part]
                signed = self._with_two(
                    "entitlements", payloads,
                    lambda r, a, p=part: self.keys.sign_entitlements(p, r, a),  # type: ignore[misc]
                )  # fmt: skip
                made += len(signed)
        self.publish()
        return made, refused

    def _wishes(self, only: bytes | None) -> tuple[list[EntitlementWish], list[str]]:
        wishes: list[EntitlementWish] = []
        refused: list[str] = []
        with self.db.read() as session:
            version = self.trust.newest(KeyRole.ISSUER).version
            builder = entitle.Builder(session, self.trust.env, version, self.clock(), only)
            for step in entitle.steps(session, self.clock(), only, key_version=version):
                try:
                    wishes.append(builder.wish(step))
                except (WalletFullError, FormatError) as e:
                    refused.append(f"{step.card.card_id.hex()}/{step.programme.wallet}: {e}")
        return wishes, refused

    def entitlements_of(self, card_id: bytes) -> list[bytes]:
        """The newest entitlement of each wallet of a card."""
        with self.db.read() as session:
            cards.card(session, card_id)
            return [row.raw for row in cards.newest_entitlements(session, card_id)]

    def script(self, card_id: bytes, action: ScriptAction, officer: int = 0) -> bytes:
        """Sign the next script of a card."""
        with self.db.turn("scripts"):
            return self._script(card_id, action, officer)

    def _script(self, card_id: bytes, action: ScriptAction, officer: int = 0) -> bytes:
        with self.db.read() as session:
            cards.card(session, card_id)
            body = replace.script_body(
                session, self.trust.env, card_id, action, officer=officer,
                key_version=self.trust.newest(KeyRole.ISSUER).version, now_s=self.clock(),
            )  # fmt: skip
        return self._with_two("scripts", [body], lambda r, a: self.keys.sign_scripts([body], r, a))[
            0
        ]

    # --- stations ------------------------------------------------------------

    def enrol(self, request: StationRequest, area: str, place: str) -> bytes:
        """Enrol a station and give it all it needs to begin: the bytes of a Provision.

        :class:`backend.errors.ProofError` for a request that proves no possession,
        :class:`ConflictError` for an id with another log key. Again gives the same enrolment.
        """
        _proven(request)
        with self.db.turn(Enrolment.KIND):
            with self.db.write() as session:
                held = session.get(Station, request.station)
                if held is None:
                    objects.draft(
                        session,
                        Enrolment(request.station, request.kind, request.log_key, area, place,
                                  self.clock()),
                        request.station.hex(),
                    )  # fmt: skip
                elif held.log_key != request.log_key:
                    raise ConflictError("this station id was enrolled with another log key")
            self._finish_enrolment(request.station)
        certificates: tuple[bytes, ...] = ()
        if request.kind == StationKind.TERMINAL:
            certificates = (ask(lambda: self.keys.certify_terminal(request)),)
        bundle = b"" if request.kind == StationKind.DESK else self.bundle(request.station, None)
        with self.db.read() as session:
            station = session.get(Station, request.station)
            links = tuple(issuance.items_of(session, IssuanceKind.LINK))
        if station is None:
            raise UnknownError("the enrolment was not entered")
        trust = bytes(self.trust.trust_file())
        return bytes(Provision(station.enrolment, trust, certificates, links, bundle or b""))

    def _finish_enrolment(self, station: bytes) -> None:
        """Sign the draft, unless an interrupted run did and only its answer was lost."""
        with self.db.write() as session:
            held = session.get(Station, station)
            for d in objects.unsigned(session, Enrolment.KIND):
                if held is not None and Enrolment.parse(d.payload).station == station:
                    objects.complete(session, self.trust, d.id or 0, held.enrolment, self.clock())
        if held is None:
            self._sign_drafts(Enrolment)

    def renew(self, request: StationRequest) -> bytes:
        """A terminal's next certificate (CVC); it also travels in the next bundle.

        :class:`backend.errors.ProofError`, :class:`UnknownError`, :class:`ConflictError` for
        another log key.
        """
        _proven(request)
        with self.db.read() as session:
            held = session.get(Station, request.station)
        if held is None:
            raise UnknownError("no such station")
        if held.log_key != request.log_key:
            raise ConflictError("this station id was enrolled with another log key")
        return ask(lambda: self.keys.certify_terminal(request))

    def certify_officer(self, wish: OfficerRequest) -> bytes:
        """An officer's certificate at one terminal."""
        _proven(wish)
        with self.db.turn("certify-officer"):
            return self._with_two(
                "certify-officer", [bytes(wish)],
                lambda r, a: self.keys.certify_officer(wish, r, a),
            )  # fmt: skip

    def certificates_of(self, station: bytes) -> list[bytes]:
        """Every certificate of a station, oldest first."""
        with self.db.read() as session:
            rows = session.exec(
                select(Certificate.raw).where(Certificate.station == station)
                .order_by(col(Certificate.serial))
            )  # fmt: skip
            return list(rows)

    def bundle(self, station: bytes, base: tuple[int, int] | None) -> bytes | None:
        """The file of the station's next bundle; None when it has everything."""
        with self.db.turn("bundle"):
            with self.db.write() as session:
                draft = bundles.compose(session, self.trust, station, base, self.clock())
            if draft is None:
                return None
            signed = ask(lambda: self.keys.sign_policy(draft.bundle))
            with self.db.write() as session:
                self.trust.verify(Bundle, signed)
                bundles.keep(session, draft, signed)
            return pack(signed)

    def ingest(self, raw: bytes) -> bytes:
        """Enter an upload, exactly once; the acknowledgement (COSE)."""
        return self.take_upload(raw).ack

    def take_upload(self, raw: bytes) -> Answer:
        """Enter an upload, exactly once; its acknowledgement, and whether it is a duplicate."""
        with self.db.read() as session:
            checked = ingest.check(session, self.trust, raw)
        try:
            with self.db.write() as session:
                answer = ingest.apply(session, self.trust, self.ack, checked, self.clock())
                heads.publish(session, self.ack, self.trust.env, self.clock())
                return answer
        except ForkError as e:
            with self.db.write() as session:
                findings.record(session, ingest.fork_fault(checked, str(e)), self.clock())
            raise

    # --- money, losses ------------------------------------------------------------

    def settle(self) -> list[settle.Payment]:
        """Pay every provider what is payable."""
        with self.db.write() as session:
            paid = settle.settle(session, self.clock())
            ageing.age(session, self.clock())
            heads.publish(session, self.ack, self.trust.env, self.clock())
            return paid

    def block(self, block: set[bytes], *, hotlist_only: bool = False) -> Hotlist:
        """Hotlist these cards and give each a BLOCK script."""
        self.sign(Hotlist)  # what an interrupted run left unsigned comes first
        hotlist, _ = self._draft_and_sign(
            Hotlist, lambda s: replace.draft_hotlist(s, block, self.clock())
        )
        for card_id in sorted(block) if not hotlist_only else ():
            with self.db.turn("scripts"):
                with self.db.read() as session:
                    action = replace.newest_action(session, card_id)
                if action != ScriptAction.BLOCK:
                    self._script(card_id, ScriptAction.BLOCK)
        return hotlist

    def lost_card(self, card_id: bytes, desk: bytes) -> int:
        """Block a lost card and order its replacement at this desk; new orders made."""
        self.block({card_id})
        return self.order_cards(desk)

    def move(
        self, card_id: bytes, new_card: bytes, wallet: int, *, number: str, reason: str,
        amount: int | None = None,
    ) -> Decision:  # fmt: skip
        """Move a lost card's residual; the entitlement follows with the next ``entitle``."""
        return self._draft_and_sign(
            Decision,
            lambda s: replace.draft_move(s, card_id, new_card, wallet, number=number,
                                         reason=reason, now_s=self.clock(), amount=amount),
        )[0]  # fmt: skip

    def reserve(self, card_id: bytes) -> dict[str, Any]:
        """What of a card is reserved, per wallet, and which stations keep it so."""
        with self.db.read() as session:
            card = cards.card(session, card_id)
            wallets = [e.wallet for e in cards.newest_entitlements(session, card_id)]
            return {
                "exposure": {w: replace.exposure(session, card_id, w) for w in wallets},
                "waiting_for": [s.hex() for s in reserves.open_stations(session, card)],
            }

    def lost_terminal(self, station: bytes, reason: str) -> TerminalLost:
        """Close a terminal's chain."""
        return self._draft_and_sign(
            TerminalLost,
            lambda s: lost.draft_terminal_lost(s, station, reason, self.clock()),
        )[0]

    def decide(
        self, kind: DecisionKind, card_id: bytes, wallet: int, *, first: int, last: int,
        amount: int, number: str, reason: str,
    ) -> Decision:  # fmt: skip
        """Decide over held or missing receipts of a card."""
        return self._draft_and_sign(
            Decision,
            lambda s: lost.draft_decision(s, kind, card_id, wallet, first=first, last=last,
                                          amount=amount, number=number, reason=reason,
                                          now_s=self.clock()),
        )[0]  # fmt: skip

    # --- reading ------------------------------------------------------------

    def publish(self) -> list[bytes]:
        """Sign heads of both chains where they have grown."""
        with self.db.write() as session:
            return heads.publish(session, self.ack, self.trust.env, self.clock())

    def report(self) -> dict[str, Any]:
        """The reconciliation."""
        with self.db.read() as session:
            return report.reconcile(session)

    def orders(self, desk: bytes) -> list[bytes]:
        """Signed orders still open at a desk."""
        with self.db.read() as session:
            return cards.open_order_objects(session, desk, self.clock())

    def evidence(self, desk: bytes) -> list[bytes]:
        """Signed decrees, visits and programmes behind the orders open at a desk."""
        with self.db.read() as session:
            return cards.evidence_objects(session, desk, self.clock())

    def export(self, folder: Path) -> dict[str, int]:
        """Write the auditors' export, with heads over all of it."""
        self.publish()
        with self.db.read() as session:
            return export.write(session, folder)


def _proven(request: StationRequest | OfficerRequest) -> None:
    """Refuse what does not prove its keys, before anything is drafted for it."""
    try:
        request.verify()
    except PossessionError as e:
        raise ProofError(str(e)) from e
