"""What is imported becomes drafts of signed objects (formats: docs/import.md).

Each function reads one file's bytes and works in the caller's transaction: all of it or nothing.
:class:`ImportRefusedError` names the first line or item at fault, :class:`ConflictError` a name
that stands with other content. Nothing is signed here: :mod:`backend.office` has that done.
"""

from __future__ import annotations

import csv
import hashlib
import hmac
import io
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

from sqlmodel import Session, col, select

from backend import objects
from backend.eligibility import ProgrammeRules
from backend.errors import ConflictError, ImportRefusedError
from backend.importgate import Household, ImportResult, import_households
from backend.models import Family, Object, Plan, Reject
from wire.errors import FormatError
from wire.objects import (
    DecreeAnnex,
    DecreeRow,
    FieldVerification,
    FundRelease,
    GoodsLine,
    Programme,
    StockDelivery,
    Tariff,
    Unit,
    VerificationDecision,
    Window,
)

WIB = timezone(timedelta(hours=7))
FAMILY_BYTES = 16
ROWS_PER_FAMILY = 10  # annex row = SK row × 10 + place of the programme in it
DEFAULT_BYPASS_TOTAL = 3

# What a value of another kind than the format's, or bytes that are no text, raise on the way.
MALFORMED = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError,
             StopIteration, csv.Error, FormatError)  # fmt: skip

UNITS = {
    "rupiah": Unit.RUPIAH, "g": Unit.GRAM, "ml": Unit.MILLILITRE, "pieces": Unit.PIECE,
    "visits": Unit.VISIT, "baskets": Unit.BASKET,
}  # fmt: skip
DECISIONS = {
    "verified": VerificationDecision.VERIFIED,
    "not_found": VerificationDecision.NOT_FOUND,
    "moved": VerificationDecision.MOVED,
    "refused": VerificationDecision.REFUSED,
}


def pseudonym(pepper: bytes, no_kk: str) -> bytes:
    """The family as signed objects name it: HMAC-SHA256 of its No. KK, 16 bytes."""
    return hmac.digest(pepper, no_kk.encode(), hashlib.sha256)[:FAMILY_BYTES]


def person_number(name: str) -> int:
    """A stable number for a verifier or approver named in a file; never 0."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") or 1


def midnight_s(day: str) -> int:
    """Unix seconds at which this day (ISO) begins in WIB."""
    d = date.fromisoformat(day)
    return int(datetime(d.year, d.month, d.day, tzinfo=WIB).timestamp())


def _utc_s(text: str) -> int:
    return int(datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp())


# --- families ------------------------------------------------------------


def households(session: Session, data: bytes, pepper: bytes, now_s: int) -> ImportResult:
    """Run the gate; keep what it accepts and count what it rejects. The same file is harmless."""
    today = datetime.fromtimestamp(now_s, tz=WIB).date()
    result = import_households(data, today=today)
    digest = hashlib.sha256(data).digest()
    if session.exec(select(Reject.id).where(Reject.file_hash == digest)).first() is None:
        session.add_all(
            Reject(file_hash=digest, line_no=r.line_no, reason=r.reason.name, column=r.field)
            for r in result.rejects
        )
    for h in result.accepted:
        family = pseudonym(pepper, h.no_kk)
        session.merge(_family(family, h, session.get(Family, family)))
    session.flush()
    return result


def _family(family: bytes, h: Household, held: Family | None) -> Family:
    return Family(
        family=family, no_kk=h.no_kk, nik=h.nik, name=h.name, sex=h.sex,
        birth_date=h.birth_date.isoformat(), village_code=h.village_code, address=h.address,
        members=h.members, decile=h.decile, flags=",".join(sorted(h.flags)),
        visited=held.visited if held else "",
    )  # fmt: skip


def household_of(family: Family) -> Household:
    """A kept family as the gate's value, for the programmes' rules."""
    return Household(
        0, family.no_kk, family.nik, family.name, family.sex,
        date.fromisoformat(family.birth_date), family.village_code, family.address,
        family.members, family.decile, frozenset(filter(None, family.flags.split(","))),
    )  # fmt: skip


# --- field verifications ------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Visits:
    """How many visits of each decision were taken, and lines of families not in the registry."""

    taken: Mapping[str, int]
    unknown_families: int


def verifications(session: Session, data: bytes, pepper: bytes) -> Visits:
    """verifikasi.csv: one FieldVerification draft a line, named by the line's SHA-256."""
    taken: Counter[str] = Counter()
    unknown = 0
    lines = data.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").rstrip(b"\n").split(b"\n")
    try:
        header = next(csv.reader([lines[0].decode("utf-8")]))
    except MALFORMED as e:
        raise ImportRefusedError(f"verifications, line 1: {type(e).__name__}") from e
    for number, line in enumerate(lines[1:], start=2):
        try:
            cells = next(csv.reader(io.StringIO(line.decode("utf-8")), strict=True))
            row = dict(zip(header, cells, strict=True))
            visit = _visit(row, pepper)
        except MALFORMED as e:
            raise ImportRefusedError(f"verifications, line {number}: {type(e).__name__}") from e
        family = session.get(Family, visit.family)
        if family is None:
            unknown += 1
            continue
        family.visited = row["keputusan"]
        session.add(family)
        objects.draft(session, visit, f"line/{hashlib.sha256(line).hexdigest()}")
        taken[row["keputusan"]] += 1
    return Visits(taken, unknown)


def _visit(row: dict[str, str], pepper: bytes) -> FieldVerification:
    if row["verifikator"] == row["penyetuju"]:
        raise ValueError("verifier approved their own visit")
    visit = FieldVerification(
        pseudonym(pepper, row["no_kk"]), person_number(row["verifikator"]),
        _utc_s(row["waktu"]), DECISIONS[row["keputusan"]], row["alasan"],
        bytes.fromhex(row["bukti_sha256"]), person_number(row["penyetuju"]),
    )  # fmt: skip
    visit.check()
    bytes(visit)
    return visit


# --- programmes, funds, decree, deliveries -------------------------------------------------------


def _json(data: bytes, key: str) -> list[dict[str, Any]]:
    try:
        items = json.loads(data)[key]
    except MALFORMED as e:
        raise ImportRefusedError(f"no list {key!r} in the file") from e
    if not isinstance(items, list) or not all(isinstance(i, dict) for i in items):
        raise ImportRefusedError(f"{key!r} is not a list of objects")
    return items


def programmes(session: Session, data: bytes) -> int:
    """programmes.json: a Programme draft each, and its plan (rules, rounds, lots) beside it.

    How many. :class:`ConflictError` also for a wallet of another programme.
    """
    items = _json(data, "programmes")
    for item in items:
        try:
            ProgrammeRules.from_json(item.get("rules", {}))
            programme, ident = _programme(item), _ident(item["id"])
            bytes(programme)
        except MALFORMED as e:
            raise ImportRefusedError(f"programme {item.get('id')!r}: {e}") from e
        other = session.exec(select(Plan).where(Plan.wallet == programme.wallet)).first()
        if other is not None and other.code != programme.code:
            raise ConflictError("a wallet belongs to one programme only")
        objects.draft(session, programme, f"{programme.code}/{programme.version}")
        session.merge(Plan(code=programme.code, ident=ident, wallet=programme.wallet,
                           plan=json.dumps(item, sort_keys=True)))  # fmt: skip
    session.flush()
    return len(items)


def _programme(item: dict[str, Any]) -> Programme:
    wallet = item["wallet"]
    windows = tuple(
        Window(midnight_s(w["from"]), midnight_s(w["to"]) + 86_400) for w in item["windows"]
    )
    tariffs = tuple(
        Tariff(
            v["version"], v["price_minor"],
            tuple(GoodsLine(g["code"], UNITS[g["unit"]], g["amount"]) for g in v["goods"]),
        )
        for v in item["versions"]
    )  # fmt: skip
    return Programme(
        code=item["code"], version=item.get("version", 1), agency=item["agency"],
        title_id=item["name"]["id"], title_en=item["name"]["en"], wallet=wallet["code"],
        unit=UNITS[wallet["unit"]], provider=wallet["provider"]["name"],
        cap=item["caps"]["per_debit"],
        bypass_total=item.get("bypass_total", DEFAULT_BYPASS_TOTAL),
        provisional=item.get("provisional", 0), stocked=wallet["stock"] != "none",
        windows=windows, tariffs=tariffs,
    )  # fmt: skip


def _ident(value: object) -> str:
    """A programme's identifier as the files have it; ``ValueError`` for anything but text."""
    if not isinstance(value, str) or not value.isprintable():
        raise ValueError("a programme is named by text")
    return value


def _code(session: Session, ident: str) -> int:
    plan = session.exec(select(Plan).where(Plan.ident == _ident(ident))).first()
    if plan is None:
        raise ImportRefusedError(f"no programme {ident!r}; import the programmes first")
    return plan.code


def funds(session: Session, data: bytes) -> int:
    """funds.json: a FundRelease draft for each SP2D, in rupiah; how many."""
    items = _json(data, "releases")
    for item in items:
        try:
            release = FundRelease(item["sp2d"], _code(session, item["programme"]),
                                  item["amount_minor"], midnight_s(item["date"]))  # fmt: skip
            objects.draft(session, release, item["sp2d"])
        except MALFORMED as e:
            raise ImportRefusedError(f"release {item.get('sp2d')!r}: {e}") from e
    return len(items)


def decree(session: Session, data: bytes, pepper: bytes) -> int:
    """sk.json: the frozen annex, one row for each family and programme; all of it or nothing.

    Every row must cite a signed verification, VERIFIED, of the same family (invariant 18). How many
    rows the annex has.
    """
    rows = _json(data, "rows")
    whole = json.loads(data)
    canonical = json.dumps(rows, separators=(",", ":"), sort_keys=True).encode()
    if hashlib.sha256(canonical).hexdigest() != whole.get("annex_sha256"):
        raise ImportRefusedError("the annex is not the one its hash names")
    visits = _signed_visits(session)
    annex: list[DecreeRow] = []
    try:
        for r in rows:
            annex += _annex_rows(session, r, visits, pepper)
        shape = DecreeAnnex(whole["number"], int(whole["date"].replace("-", "")),
                            whole["signatory"], tuple(annex))  # fmt: skip
        objects.draft(session, shape, whole["number"])
    except MALFORMED as e:
        raise ImportRefusedError(f"decree: {e}") from e
    return len(annex)


def _signed_visits(session: Session) -> dict[str, tuple[bytes, FieldVerification]]:
    rows = session.exec(
        select(Object).where(Object.kind == FieldVerification.KIND, col(Object.raw).is_not(None))
    )
    return {
        r.name.removeprefix("line/"): (r.hash or b"", FieldVerification.parse(r.payload))
        for r in rows
    }


def _annex_rows(
    session: Session,
    row: dict[str, Any],
    visits: dict[str, tuple[bytes, FieldVerification]],
    pepper: bytes,
) -> list[DecreeRow]:
    number, family = row["row"], pseudonym(pepper, row["no_kk"])
    found = visits.get(row["verification_sha256"])
    if session.get(Family, family) is None or found is None:
        raise ImportRefusedError(f"decree row {number}: family or verification is not held")
    digest, visit = found
    if visit.family != family or visit.decision != VerificationDecision.VERIFIED:
        raise ImportRefusedError(f"decree row {number}: the visit cited does not bear it")
    if not 1 <= len(row["programmes"]) < ROWS_PER_FAMILY:
        raise ImportRefusedError(f"decree row {number}: one to nine programmes a family")
    made = []
    for place, ident in enumerate(row["programmes"], start=1):
        code = _code(session, ident)
        plan = session.get(Plan, code)
        amount = json.loads(plan.plan)["amount_per_round"] if plan else 0
        made.append(DecreeRow(number * ROWS_PER_FAMILY + place, family, code, amount, digest))
    return made


def deliveries(session: Session, data: bytes) -> int:
    """deliveries.json: a StockDelivery draft each; how many.

    ``deliveries`` [{number, provider, terminal (hex), time_s, lines [{good, unit, quantity}]}].
    """
    items = _json(data, "deliveries")
    for item in items:
        try:
            lines = tuple(GoodsLine(x["good"], UNITS[x["unit"]], x["quantity"])
                          for x in item["lines"])  # fmt: skip
            terminal = bytes.fromhex(item["terminal"])
            shape = StockDelivery(item["number"], item["provider"], terminal, lines, item["time_s"])
            objects.draft(session, shape, item["number"])
        except MALFORMED as e:
            raise ImportRefusedError(f"delivery {item.get('number')!r}: {e}") from e
    return len(items)
