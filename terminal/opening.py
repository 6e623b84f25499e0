"""How a visit begins (PROTOCOL.md §4, steps 1 to 6, in the terminal's order).

verify certificate → READ → own memory → recover → LOAD → scripts → entitlements → COLLECT.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from card_os.host import errors
from card_os.host.links import Link, LinkError
from keys.errors import KeysError
from terminal import collect, recovery
from terminal.guard import TurnedAwayError
from terminal.outcomes import Caution, Nothing, NothingWhy, Progress, Step, Warn
from terminal.rules import Credit, ring_has_room, ring_used
from terminal.session import open_session
from terminal.views import Seen
from terminal.visit import Visit
from wire import log
from wire.cvc import Role
from wire.dates import end_of_day_s, start_of_day_s
from wire.entitlement import CERTIFICATE_HASH_BYTES, Entitlement
from wire.errors import WireError
from wire.log import Reason
from wire.purse import RING_WARN_FROM, Flag, Life

if TYPE_CHECKING:
    from terminal.engine import Engine, Officer

DAY_S = 86_400
WARN_BEFORE_END_S = 7 * DAY_S


def begin_visit(engine: Engine, link: Link, role: Role, officer: Officer | None) -> Visit:
    """Open, check, recover, load and collect; raises TurnedAwayError, StoppedError, HostError."""
    engine.check_usable()
    credentials = engine.credentials(role, officer)
    session, card_certificate = open_session(engine, link, credentials)
    try:
        entry = engine.roster.card(session.identity.card_id)
        visit = Visit(engine, link, role, credentials, session=session,
                      card_certificate=card_certificate, seen=Seen(entry))  # fmt: skip
        _check_memory(visit)
        engine.emit(Progress(Step.RECOVERING))
        recovery.recover(visit)
        engine.emit(Progress(Step.LOADING))
        is_hotlisted = engine.roster.is_hotlisted(visit.card_id)
        if not is_hotlisted:
            _load(visit)
        _run_scripts(visit)
        _read_entitlements(visit)
        engine.emit(Progress(Step.COLLECTING))
        collect.collect(visit)
        visit.seen.nothing = _card_wide(visit, is_hotlisted=is_hotlisted)
        visit.seen.warnings += _warnings(visit)
    except BaseException:
        session.close()
        raise
    return visit


# --- what this terminal knows of the card --------------------------------------------------------


def _check_memory(visit: Visit) -> None:
    """Certificate and highest (sequence, D, R) as proved here before, and as the backend knows."""
    identity, state, entry = visit.session.identity, visit.state, visit.seen.entry
    memory = visit.engine.journal.card(visit.card_id)
    known = {memory.certificate, entry.certificate if entry else None} - {None}
    if known - {identity.certificate_digest}:
        raise TurnedAwayError(Reason.IDENTITY_CHANGED, visit.card_id, "another certificate")
    if memory.foreign_image:
        raise TurnedAwayError(Reason.RESTORED_IMAGE, visit.card_id, "seen before")
    acknowledged = entry.acknowledged if entry else 0
    if state.sequence < max(memory.sequence, acknowledged):
        raise TurnedAwayError(Reason.ROLLED_BACK, visit.card_id, "sequence ran back")
    shown = {w.wallet: w.counters for w in state.wallets}
    for wallet, (debited, reversed_) in memory.wallets.items():
        c = shown.get(wallet)
        if c is None or c.debited < debited or c.reversed < reversed_:
            raise TurnedAwayError(Reason.ROLLED_BACK, visit.card_id, "counters ran back")


# --- LOAD and scripts ----------------------------------------------------------------------------


def _entitlements_for(visit: Visit) -> list[Entitlement]:
    if visit.seen.entry is None:
        return []
    return [Entitlement.parse(raw) for raw in visit.seen.entry.entitlements]


def _load(visit: Visit) -> None:
    """LOAD what the bundle has newer; each statement is logged."""
    held = {w.wallet: w.entitlement_sequence for w in visit.state.wallets}
    for entitlement in _entitlements_for(visit):
        if entitlement.sequence <= held.get(entitlement.wallet, 0):
            continue
        _check_ceiling(visit, entitlement.wallet, entitlement.loaded)
        try:
            statement = visit.session.load(entitlement)
        except errors.AcknowledgedAheadError as e:
            raise TurnedAwayError(Reason.ACKNOWLEDGED_AHEAD, visit.card_id, str(e)) from e
        except errors.EntitlementDiffersError as e:
            raise TurnedAwayError(Reason.ENTITLEMENT_FORGED, visit.card_id, str(e)) from e
        except (errors.CardRefusedError, LinkError) as e:
            if isinstance(e, LinkError | errors.SecureMessagingRefusedError):
                raise
            visit.seen.warnings.append(Warn(Caution.LOAD_REFUSED, entitlement.wallet))
            continue
        visit.engine.write(log.Load(entitlement.hash, statement.raw))


def _check_ceiling(visit: Visit, wallet: int, loaded: int) -> None:
    """No card may hold more than the bundle says any card may (PROTOCOL.md §5, bundle)."""
    highest = visit.engine.roster.ceiling(wallet)
    if highest is not None and loaded > highest:
        raise TurnedAwayError(Reason.ABOVE_CEILING, visit.card_id, f"wallet {wallet}: {loaded}")


def _run_scripts(visit: Visit) -> None:
    """Execute the scripts the card has not seen, ascending; each statement is logged."""
    entry = visit.seen.entry
    if entry is None:
        return
    trust = visit.engine.roster.trust
    for script in sorted((trust.script(raw) for raw in entry.scripts), key=lambda s: s.number):
        if script.number <= visit.state.script_number:
            continue
        try:
            statement = visit.session.script(script)
        except errors.SecureMessagingRefusedError:
            raise
        except errors.CardRefusedError:
            return  # later scripts wait for this one's turn
        visit.engine.write(log.ScriptDone(script.hash, statement.raw))


# --- entitlements in force -----------------------------------------------------------------------


def _read_entitlements(visit: Visit) -> None:
    """READ and verify what the card stands on; the newest known bounds R and D (§4.1)."""
    engine, card_id = visit.engine, visit.card_id
    newest = {e.wallet: e for e in _entitlements_for(visit)}
    for index, wallet in enumerate(visit.state.wallets):
        try:
            raw = visit.session.read_entitlement(index).raw
            in_force = engine.roster.trust.entitlement(raw)
        except (KeysError, WireError) as e:
            raise TurnedAwayError(Reason.ENTITLEMENT_FORGED, card_id, str(e)) from e
        _check_binding(visit, in_force, newest.get(wallet.wallet))
        engine.saw(start_of_day_s(in_force.issued))
        if wallet.counters.loaded != in_force.loaded:
            raise TurnedAwayError(Reason.ENTITLEMENT_FORGED, card_id, "L is not the entitlement's")
        _check_ceiling(visit, wallet.wallet, wallet.counters.loaded)
        best = max([in_force, newest.get(wallet.wallet, in_force)], key=lambda e: e.sequence)
        own = engine.journal.own_reversals(card_id, wallet.wallet, best.acknowledged)
        credit = Credit(wallet.counters, in_force, best, own)
        if credit.is_rolled_back or visit.state.sequence < best.acknowledged:
            raise TurnedAwayError(Reason.ROLLED_BACK, card_id, "behind what is settled")
        visit.seen.credits[wallet.wallet] = credit


def _check_binding(visit: Visit, in_force: Entitlement, known: Entitlement | None) -> None:
    identity = visit.session.identity
    digest = identity.certificate_digest[:CERTIFICATE_HASH_BYTES]
    if (in_force.card_id, in_force.certificate_hash) != (identity.card_id, digest):
        raise TurnedAwayError(Reason.ENTITLEMENT_FORGED, identity.card_id, "another card's")
    same = known is not None and known.sequence == in_force.sequence
    if same and known is not None and known.hash != in_force.hash:
        raise TurnedAwayError(Reason.ENTITLEMENT_FORGED, identity.card_id, "two of one sequence")


# --- what concerns the whole card ----------------------------------------------------------------


def _card_wide(visit: Visit, *, is_hotlisted: bool) -> Nothing | None:
    """Why nothing at all can be taken; blocked, inert and too old are logged as REJECTED."""
    state, engine = visit.state, visit.engine
    if is_hotlisted and visit.role == Role.TERMINAL:
        raise TurnedAwayError(Reason.HOTLISTED, visit.card_id, "")
    found: tuple[Nothing, Reason] | None = None
    if is_hotlisted or Flag.BLOCKED in state.flags:
        found = Nothing(NothingWhy.BLOCKED), Reason.BLOCKED
    elif state.life != Life.ACTIVE:
        found = Nothing(NothingWhy.NOT_ACTIVE), Reason.NOT_ACTIVE
    elif _age_s(engine) > engine.roster.parameters.data_stale_stop_s:
        when_s = engine.roster.version.time_s
        found = Nothing(NothingWhy.DATA_TOO_OLD, when_s=when_s), Reason.DATA_TOO_OLD
    if found is not None:
        if visit.role == Role.TERMINAL:
            engine.write(log.Rejected(found[1], visit.card_id, ""))
        return found[0]
    if visit.has_open_intent():
        return Nothing(NothingWhy.OUTCOME_PENDING)
    if not ring_has_room(state.sequence, state.acknowledged):
        return Nothing(NothingWhy.RING_FULL)
    return None


def _age_s(engine: Engine) -> int:
    return engine.now_s() - engine.roster.version.time_s


def _warnings(visit: Visit) -> list[Warn]:
    engine, state = visit.engine, visit.state
    found = []
    used = ring_used(state.sequence, state.acknowledged)
    if used >= RING_WARN_FROM:
        found.append(Warn(Caution.RING_FILLING, used))
    if _age_s(engine) > engine.roster.parameters.data_stale_warn_s:
        found.append(Warn(Caution.DATA_STALE, engine.roster.version.time_s))
    end_s = end_of_day_s(visit.credentials.certificate.expires)
    if end_s - engine.now_s() < WARN_BEFORE_END_S:
        found.append(Warn(Caution.CERTIFICATE_ENDING, end_s))
    if engine.is_clock_suspect:
        found.append(Warn(Caution.CLOCK_SUSPECT, engine.proven_s()))
    found += [Warn(Caution.UNDELIVERED, x.sequence) for x in visit.undelivered()]
    found += [
        Warn(Caution.GOODS_SUSPENDED, x.sequence)
        for x in engine.journal.suspended() if x.card_id == visit.card_id
    ]  # fmt: skip
    return found
