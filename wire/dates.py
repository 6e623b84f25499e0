"""Dates and times as they stand in bytes (docs/wire.md#dates)."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from wire.errors import FormatError

DATE_BYTES = 4
FIRST_YEAR, LAST_YEAR = 2000, 2099


def date_to_bcd(day: date) -> bytes:
    """Eight decimal digits YYYYMMDD in four bytes, as in tags 5F24 and 5F25."""
    return bytes.fromhex(day.strftime("%Y%m%d"))


def date_from_bcd(raw: bytes) -> date:
    """The calendar day of four BCD bytes, 2000 to 2099; :class:`FormatError` for another."""
    text = raw.hex()
    if len(raw) != DATE_BYTES or not text.isdecimal():
        raise FormatError("date is not eight decimal digits")
    try:
        day = date(int(text[:4]), int(text[4:6]), int(text[6:]))
    except ValueError as e:
        raise FormatError("date is not a calendar day") from e
    if not FIRST_YEAR <= day.year <= LAST_YEAR:
        raise FormatError("date outside 2000 to 2099")
    return day


def start_of_day_s(day: date) -> int:
    """Unix seconds of 00:00 UTC."""
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())


def end_of_day_s(day: date) -> int:
    """Unix seconds of the last second of the day, UTC."""
    return start_of_day_s(day) + 86_399


def day_of(time_s: int) -> date:
    """The UTC calendar day of a Unix time."""
    return datetime.fromtimestamp(time_s, tz=UTC).date()


def add_days(day: date, days: int) -> date:
    """``day`` moved by ``days``, held within 2000 to 2099."""
    return min(max(day + timedelta(days=days), date(FIRST_YEAR, 1, 1)), date(LAST_YEAR, 12, 31))
