"""What a person reads before signing, made from the very bytes that will be signed.

Two people are two signatures over known bytes (PROTOCOL.md §3; docs/ledger.md#two-people).
The summary never comes from whoever asks for the signature. Bytes that are not what their action
says are refused: nobody can sign what cannot be read.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any

from keys.enrol import OfficerRequest
from keys.errors import ApprovalError
from keys.service import (
    ACTION_ENTITLEMENTS,
    ACTION_OFFICER,
    ACTION_SCRIPTS,
    EntitlementWish,
    bitmap,
)
from keys.trust import ENROL_APPROVER
from wire import ecdsa, objects
from wire.entitlement import Entitlement, Script
from wire.errors import WireError
from wire.schema import Shape

MAX_LINES = 40
"""Single lines shown; the totals above them cover all."""
_BLANK = bytes(ecdsa.SIGNATURE_BYTES)
SIGNED = (
    objects.Decision, objects.DecreeAnnex, objects.Enrolment, objects.FieldVerification,
    objects.FundRelease, objects.Hotlist, objects.Order, objects.Parameters, objects.Programme,
    objects.StockDelivery, objects.TerminalLost,
)  # fmt: skip
"""What the registry and policy keys sign for two people; each kind is an action of its name."""
_SHAPES: dict[str, Callable[[bytes], Shape]] = {s.KIND: s.parse for s in SIGNED} | {
    ACTION_OFFICER: OfficerRequest.parse,
    ENROL_APPROVER: objects.KeyStatement.parse,
}
ACTIONS = frozenset({*_SHAPES, ACTION_ENTITLEMENTS, ACTION_SCRIPTS})
"""Every action that two people can be asked for."""
_UNREAD = {"channel_pop", "serials"}
"""Fields that tell a person nothing as they are; a hotlist's cards are shown as numbers."""


def describe(action: str, payloads: Sequence[bytes]) -> list[str]:
    """Totals, then a line for each payload (at most :data:`MAX_LINES`).

    :class:`ApprovalError` for an action nobody knows or bytes that are not its kind.
    """
    if action not in ACTIONS or not payloads:
        raise ApprovalError(f"no such action: {action}")
    try:
        if action == ACTION_ENTITLEMENTS:
            totals, lines = _entitlements([EntitlementWish.parse(p) for p in payloads])
        elif action == ACTION_SCRIPTS:
            totals, lines = [], [_script(Script.parse(p + _BLANK)) for p in payloads]
        else:
            shapes = [_SHAPES[action](p) for p in payloads]
            totals, lines = _totals(shapes), [_line(s) for s in shapes]
    except WireError as e:
        raise ApprovalError(f"{action}: bytes that are something else ({e})") from e
    more = [f"… +{len(lines) - MAX_LINES}"] if len(lines) > MAX_LINES else []
    return [f"{action}: {len(payloads)}", *totals, *lines[:MAX_LINES], *more]


def _entitlements(wishes: Sequence[EntitlementWish]) -> tuple[list[str], list[str]]:
    bodies = [Entitlement.parse(w.body + _BLANK) for w in wishes]
    raised = Counter(e.programme for e, w in zip(bodies, wishes, strict=True) if w.cause)
    again = len(wishes) - raised.total()
    totals = [f"program {p}: {n} naik / raised" for p, n in sorted(raised.items())]
    totals.append(f"tanpa kenaikan / without a step: {again}")
    lines = []
    for e, w in zip(bodies, wishes, strict=True):
        cause = f"{w.cause.source.hex()[:16]}/{w.cause.row}" if w.cause else "-"
        lines.append(f"{_text(e.card_id)} wallet={e.wallet} L={e.loaded} seq={e.sequence} "
                     f"cause={cause}")  # fmt: skip
    return totals, lines


def _script(s: Script) -> str:
    return f"{_text(s.card_id)} {s.action.name} n={s.number} officer={s.officer}"


def _totals(shapes: Sequence[Shape]) -> list[str]:
    sums: Counter[str] = Counter()
    for s in shapes:
        match s:
            case objects.FundRelease():
                sums[f"program {s.programme} Rp"] += s.amount_minor
            case objects.DecreeAnnex():
                for row in s.rows:
                    sums[f"program {row.programme} baris / rows"] += 1
                    sums[f"program {row.programme} satuan / units"] += row.amount
            case objects.FieldVerification():
                sums[s.decision.name.lower()] += 1
            case objects.Decision():
                sums[f"{s.kind.name.lower()} wallet {s.wallet}"] += s.amount
    return [f"{name}: {total}" for name, total in sorted(sums.items())]


def _line(shape: Shape) -> str:
    fields: Any = shape  # a Shape is a dataclass, which its base cannot say
    names = [f.name for f in dataclasses.fields(fields) if f.name not in _UNREAD]
    parts = [f"{name}={_text(getattr(shape, name))}" for name in names]
    if isinstance(shape, objects.Hotlist):
        serials = list(bitmap(shape.serials))
        shown = ",".join(str(n) for n in serials[-MAX_LINES:])
        parts.append(f"{len(serials)} kartu / cards, …{shown}")
    return " ".join(parts)


def _text(value: object) -> str:
    """A value in one line; ids that are text as text, other bytes as hex, lists counted."""
    match value:
        case bytes() if len(value) == 8 and value.isalnum():
            return value.decode("ascii")
        case bytes() if len(value) == 8 and value[:4].isalnum():
            return f"{value[:4].decode('ascii')}-{value[4:].hex()}"
        case bytes():
            return value.hex()[:32]
        case Enum():
            return value.name.lower()
        case tuple():
            return f"[{len(value)}]"
        case str():
            return repr(value)
    return str(value)
