"""The key service: the only holder of the keys below the root (PROTOCOL.md §3).

Every verb checks dates, quotas and, where two people are needed, their signatures, here where
the key is. What it makes is stored, appended to the issuance log, and only then returned. Verbs
are serialised by one lock; :mod:`keys.http` puts them on a socket.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from pyroaring import BitMap

from keys import ca
from keys.cardservice import CardVerbs
from keys.enrol import OfficerRequest, StationRequest
from keys.errors import ApprovalError, CertificateRefusedError, SequenceError
from keys.issuance import IssuanceItem, object_item
from keys.servicecore import Keys, Made, Quotas
from keys.signer import Signer, sign_object
from wire import ecdsa
from wire.bundle import Bundle
from wire.chain import Citation, IssuanceKind
from wire.cose import Sign1
from wire.entitlement import CERTIFICATE_HASH_BYTES, Entitlement, Script
from wire.errors import FormatError
from wire.objects import (
    Enrolment,
    Hotlist,
    KeyRole,
    Parameters,
    SignedShape,
    TerminalLost,
)
from wire.schema import Shape, Signed

__all__ = ["EntitlementWish", "KeyService", "Keys", "Quotas"]

MAX_BATCH = 20_000
ACTION_ENTITLEMENTS = "entitlements"
ACTION_SCRIPTS = "scripts"
ACTION_OFFICER = "certify-officer"
_BLANK = bytes(ecdsa.SIGNATURE_BYTES)


@dataclass(frozen=True, slots=True)
class EntitlementWish(Shape):
    """An unsigned entitlement body, and the decree row or decision it stands on if L rises."""

    body: Signed
    cause: Citation | None


class KeyService(CardVerbs):
    """See the module; construction as :class:`keys.servicecore.ServiceCore`."""

    # --- registry, policy -----------------------------------------------------------------

    def sign_registry(
        self, shapes: Sequence[SignedShape], request: bytes, approval: bytes
    ) -> list[bytes]:
        """COSE objects by the registry key over ``shapes``, all of one kind.

        ``request`` names the action ``KIND`` of the shapes and the batch hash of their bytes.
        Raises :class:`ApprovalError`, :class:`keys.errors.DateRefusedError`,
        :class:`keys.errors.QuotaError`, :class:`CertificateRefusedError` for an id enrolled twice.
        """
        kinds = {s.KIND for s in shapes}
        if len(kinds) != 1 or len(shapes) > MAX_BATCH:
            raise ApprovalError("a batch is objects of one kind")
        if any(s.SIGNER != KeyRole.REGISTRY for s in shapes):
            raise ApprovalError("not an object of the registry key")

        def work() -> Made:
            _, signer = self._signer(KeyRole.REGISTRY)
            self._take("registry", len(shapes), self._quotas.registry)
            items, signed = [], []
            for shape in shapes:
                self._check_time(shape)
                self._enter_station(shape)
                made = sign_object(signer, shape, self.env)
                signed.append(bytes(made))
                items.append(_registry_item(shape, made))
            return items, signed

        return self._with_two(kinds.pop(), [bytes(s) for s in shapes], request, approval, work)

    def _enter_station(self, shape: SignedShape) -> None:
        if isinstance(shape, Enrolment):
            if self._state.station_known(shape.station):
                raise CertificateRefusedError("this station id was enrolled before")
            self._state.enrol(shape.station, shape.log_key)
        if isinstance(shape, TerminalLost):
            self._state.close_station(shape.terminal)

    def sign_policy(
        self, shape: SignedShape, request: bytes | None = None, approval: bytes | None = None
    ) -> bytes:
        """A COSE object by the policy key: bundle, hotlist or parameters.

        Two people are needed for parameters, and for a hotlist that differs from the last by
        more cards than the parameters' share. A bundle must carry the newest hotlist and
        parameters. Versions rise; the newest again, byte for byte, is the same object again (its
        answer was lost). Raises :class:`ApprovalError`, :class:`SequenceError`.
        """
        if shape.SIGNER != KeyRole.POLICY:
            raise ApprovalError("not an object of the policy key")

        def work() -> Made:
            self._check_policy(shape)
            _, signer = self._signer(KeyRole.POLICY)
            made = sign_object(signer, shape, self.env)
            if isinstance(shape, (Hotlist, Parameters)):
                self._state.set_newest(shape.KIND, shape.version, bytes(made))
            return [object_item(made)], [bytes(made)]

        with self._lock:
            held = self._state.newest(shape.KIND)
            if held is not None and _payload(held[1]) == bytes(shape):
                self._state.flush(self._log)  # the log first, as at the first time
                return held[1]
            if self._needs_two(shape) or request is not None:
                if request is None or approval is None:
                    raise ApprovalError(f"{shape.KIND}: this step needs two people")
                return self._with_two(shape.KIND, [bytes(shape)], request, approval, work)[0]
            return self._release(work, None)[0]

    def _check_policy(self, shape: SignedShape) -> None:
        self._check_time(shape)
        if isinstance(shape, (Hotlist, Parameters)):
            last = self._state.newest(shape.KIND)
            if last is not None and shape.version <= last[0]:
                raise SequenceError(f"{shape.KIND}: version {shape.version} is not newer")
            if isinstance(shape, Hotlist):
                bitmap(shape.serials)
        if isinstance(shape, Bundle):
            for kind, raw in ((Hotlist.KIND, shape.hotlist), (Parameters.KIND, shape.parameters)):
                last = self._state.newest(kind)
                if last is None or last[1] != raw:
                    raise SequenceError(f"the bundle does not carry the newest {kind}")

    def _needs_two(self, shape: SignedShape) -> bool:
        if not isinstance(shape, Hotlist):
            return isinstance(shape, Parameters)
        last, rules = self._state.newest(Hotlist.KIND), self._state.newest(Parameters.KIND)
        # Both are this service's own work: their keys may since have ended or been revoked.
        before = bitmap(Hotlist.parse(_payload(last[1])).serials) if last else BitMap()
        share = Parameters.parse(_payload(rules[1])).hotlist_step_permille if rules else 0
        step = len(before ^ bitmap(shape.serials))
        return step * 1000 > share * self._state.card_count()

    # --- issuer ---------------------------------------------------------------------------

    def sign_entitlements(
        self, wishes: Sequence[EntitlementWish], request: bytes, approval: bytes
    ) -> list[bytes]:
        """The wishes signed, in order. Action ``entitlements``; payloads: the wishes' bytes.

        Refused: an unknown or scrapped card, another certificate, a sequence, L or C below the
        last, a rise of L without cause (or a cause without a rise), a date beyond tomorrow, quotas
        (count, and ΔL per programme). The same sequence with the same body gives the same bytes
        again. Raises :class:`ApprovalError` (also for an empty batch or one of more than 20,000),
        :class:`SequenceError`, :class:`keys.errors.DateRefusedError` and
        :class:`keys.errors.QuotaError`: all or none.
        """
        if not 1 <= len(wishes) <= MAX_BATCH:
            raise ApprovalError("a batch has 1 to 20000 entitlements")

        def work() -> Made:
            self._take("entitlements", len(wishes), self._quotas.entitlements)
            made = [self._sign_entitlement(w) for w in wishes]
            return [item for item, _ in made if item is not None], [raw for _, raw in made]

        payloads = [bytes(w) for w in wishes]
        return self._with_two(ACTION_ENTITLEMENTS, payloads, request, approval, work)

    def _sign_entitlement(self, wish: EntitlementWish) -> tuple[IssuanceItem | None, bytes]:
        new = Entitlement.parse(wish.body + _BLANK)
        self._check_env(new.env)
        self._check_card(new.card_id, new.certificate_hash)
        raw = self._state.given("E", new.card_id, new.wallet)
        loaded = forfeited = 0
        if raw is not None:
            last = Entitlement.parse(raw)
            if last.sequence == new.sequence and last.hash == new.hash:
                return None, raw
            _check_follows(last, new)
            loaded, forfeited = last.loaded, last.forfeited_through
        if new.loaded < loaded or new.forfeited_through < forfeited:
            raise SequenceError("L or C would step back")
        if (new.loaded > loaded) != (wish.cause is not None):
            raise SequenceError("L rises exactly when a decree row or decision is cited")
        ca.check_date(new.issued, self._clock())
        limit = self._quotas.loaded.get(new.programme, self._quotas.loaded_default)
        self._take(f"loaded-{new.programme}", new.loaded - loaded, limit)
        signed = wish.body + self._issuer(new.key_version).sign(wish.body)
        self._state.give("E", new.card_id, new.wallet, new.sequence, signed)
        return IssuanceItem(IssuanceKind.ENTITLEMENT, signed, cause=wish.cause), signed

    def sign_scripts(self, bodies: Sequence[bytes], request: bytes, approval: bytes) -> list[bytes]:
        """Scripts signed, in order. Action ``scripts``; payloads: the unsigned bodies.

        Refused: an unknown card, a number not above the last, a date beyond tomorrow, the quota.
        The same number with the same body gives the same bytes again. Raises as
        :meth:`sign_entitlements` (``ApprovalError`` and the others).
        """
        if not 1 <= len(bodies) <= MAX_BATCH:
            raise ApprovalError("a batch has 1 to 20000 scripts")

        def work() -> Made:
            self._take("scripts", len(bodies), self._quotas.scripts)
            made = [self._sign_script(b) for b in bodies]
            return [item for item, _ in made if item is not None], [raw for _, raw in made]

        return self._with_two(ACTION_SCRIPTS, list(bodies), request, approval, work)

    def _sign_script(self, body: bytes) -> tuple[IssuanceItem | None, bytes]:
        new = Script.parse(body + _BLANK)
        self._check_env(new.env)
        self._check_card(new.card_id, None)
        raw = self._state.given("C", new.card_id)
        if raw is not None:
            last = Script.parse(raw)
            if last.hash == new.hash:
                return None, raw
            if new.number <= last.number:
                raise SequenceError("the script's number was given before")
        ca.check_date(new.issued, self._clock())
        signed = body + self._issuer(new.key_version).sign(body)
        self._state.give("C", new.card_id, 0, new.number, signed)
        return IssuanceItem(IssuanceKind.SCRIPT, signed), signed

    def _check_card(self, card_id: bytes, certificate_hash: bytes | None) -> None:
        card = self._state.card(card_id)
        if card is None or card.certificate is None or card.scrapped:
            raise SequenceError("no such card, or it was scrapped")
        digest = sha256(card.certificate).digest()[:CERTIFICATE_HASH_BYTES]
        if certificate_hash not in {None, digest}:
            raise SequenceError("the entitlement names another certificate of this card")

    def _issuer(self, version: int) -> Signer:
        return self._signer(KeyRole.ISSUER, version)[1]

    # --- terminals and officers -----------------------------------------------------------

    def certify_terminal(self, request: StationRequest) -> bytes:
        """A terminal's certificate, first or renewed.

        Its log key, enrolled by two people, signs the request that names the channel key, so no
        further approval is asked for. Raises :class:`CertificateRefusedError` for a station that
        is not enrolled with this log key (or was closed) and as
        :func:`keys.ca.issue_terminal_certificate`, :class:`keys.errors.QuotaError`.
        """
        with self._lock:
            if self._state.station_key(request.station) != request.log_key:
                raise CertificateRefusedError("no station is enrolled with this log key")
            return self._certify(request)

    def certify_officer(
        self, wish: OfficerRequest, request: bytes | None = None, approval: bytes | None = None
    ) -> bytes:
        """An officer's certificate for one role at one terminal.

        The first for a key needs two people (action ``certify-officer``, payload: the request's
        bytes); its renewals need only the proof of possession. Raises :class:`ApprovalError`,
        :class:`CertificateRefusedError` and the rest as :meth:`certify_terminal`.
        """
        who = (wish.terminal, int(wish.role), wish.officer, wish.channel_key)
        with self._lock:
            if self._state.station_key(wish.terminal) is None:
                raise CertificateRefusedError("no such terminal is enrolled")
            if self._state.officer_known(*who):
                return self._certify(wish)
            if request is None or approval is None:
                raise ApprovalError("a new officer key needs two people")

            def work() -> Made:
                self._state.add_officer(*who)
                return self._certificate(wish)

            return self._with_two(ACTION_OFFICER, [bytes(wish)], request, approval, work)[0]

    def _certify(self, request: StationRequest | OfficerRequest) -> bytes:
        return self._release(lambda: self._certificate(request), None)[0]

    def _certificate(self, request: StationRequest | OfficerRequest) -> Made:
        self._take("certificates", 1, self._quotas.certificates)
        issuer = self._ca(KeyRole.TERMINAL_CA)
        serial = self._state.next_number("terminal-certificate")
        made = ca.issue_terminal_certificate(issuer, request, serial=serial, now_s=self._clock())
        return [IssuanceItem(IssuanceKind.TERMINAL_CERTIFICATE, bytes(made))], [bytes(made)]


def _check_follows(last: Entitlement, new: Entitlement) -> None:
    if new.sequence <= last.sequence:
        raise SequenceError("the entitlement's sequence was given before")
    if new.programme != last.programme:
        raise SequenceError("a wallet never changes its programme")


def _payload(raw: bytes) -> bytes:
    return Sign1.parse(raw).payload


def _registry_item(shape: SignedShape, signed: Sign1) -> IssuanceItem:
    if isinstance(shape, Enrolment):
        return IssuanceItem(IssuanceKind.ENROLMENT, bytes(signed))
    return object_item(signed)


def bitmap(raw: bytes) -> BitMap:
    """The card serials of a hotlist; :class:`wire.errors.FormatError` for anything else."""
    try:
        return BitMap.deserialize(raw)
    except (ValueError, RuntimeError) as e:
        raise FormatError("the hotlist is no Roaring bitmap") from e
