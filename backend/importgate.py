"""The import gate: a DTSEN-shaped file in, households and explained rejects out.

Pure: bytes and settings in, values out; the clock is an argument. A row is accepted whole or
rejected whole under exactly one reason, the first that fails in the order of `RejectReason`,
so that accepted rows and counted rejects always add up to the rows read. Fault of the file
itself (header, size) rejects everything. Format and rules: docs/import.md.
"""

import csv
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from types import MappingProxyType
from typing import Final, NoReturn

from backend import regions
from backend.importreasons import RejectReason, WarningCode

FLAGS: Final = (
    "penerima_pkh",
    "penerima_sembako",
    "penerima_blt_desa",
    "usulan_desa",
    "anak_sekolah",
)
"""Yes/no columns (`1`/`0`), in file order; programme rules name them."""

COLUMNS: Final = (
    "no_kk",
    "nik_kepala",
    "nama_kepala",
    "jenis_kelamin",
    "tanggal_lahir",
    "kode_desa",
    "alamat",
    "jumlah_anggota",
    "desil",
    *FLAGS,
)
"""The header, exactly."""

MAX_NAME_CHARS: Final = 100
MAX_ADDRESS_CHARS: Final = 200
MAX_MEMBERS: Final = 40
MAX_DECILE: Final = 10
EARLIEST_BIRTH: Final = date(1900, 1, 1)

RETIRED_REGENCIES: Final = frozenset(
    f"{province}.{regency}"
    for province, codes in {
        "64": "04 05 06 10 73",  # now Kalimantan Utara (65)
        "91": "01 02 04 07 08 09 12 13 14 16 17 18 21 22 23 24 25 26 27 28",  # now 93 to 95
        "92": "01 04 05 09 10 71",  # now Papua Barat Daya (96)
    }.items()
    for regency in codes.split()
)
"""Codes no region bears today but living people's NIKs still do. A default, not a rule: these
are the gaps left in the packaged data by provinces split off since 2012. Extend by setting."""


@dataclass(frozen=True, slots=True)
class GateSettings:
    """Limits and local facts of the gate; every loop in it is bounded by one of them."""

    max_rows: int = 400_000
    max_line_bytes: int = 4_096
    max_file_bytes: int = 256 * 1024 * 1024
    retired_regencies: frozenset[str] = RETIRED_REGENCIES


DEFAULT_SETTINGS: Final = GateSettings()


@dataclass(frozen=True, slots=True)
class Household:
    """One accepted row. Personal data stays out of `repr` and so out of logs (UU PDP)."""

    line_no: int
    no_kk: str = field(repr=False)
    nik: str = field(repr=False)
    name: str = field(repr=False)
    sex: str = field(repr=False)
    """`L` (male) or `P` (female)."""
    birth_date: date = field(repr=False)
    village_code: str
    address: str = field(repr=False)
    members: int
    decile: int
    flags: frozenset[str]
    """The names of the yes/no columns that say yes."""

    @property
    def village(self) -> regions.Village:
        """The village of `village_code`, which the gate has checked to exist."""
        found = regions.village(self.village_code)
        if found is None:
            raise LookupError(f"village {self.village_code} is not in the region data")
        return found


@dataclass(frozen=True, slots=True)
class Reject:
    """One rejected row, or line 1 for a fault of the file. Holds no personal data."""

    line_no: int
    reason: RejectReason
    field: str
    """Column at fault, or an empty text where no single column is."""
    kept_line_no: int | None = None
    """For duplicates: the earlier line that was kept."""

    def text(self, language: str = "id") -> str:
        """What happened and what to do, for a person, in `id` or `en`."""
        text = self.reason.message(language)
        if self.kept_line_no is None:
            return text
        kept = "Baris yang dipakai" if language == "id" else "Line kept"
        return f"{text} {kept}: {self.kept_line_no}."


@dataclass(frozen=True, slots=True)
class Warned:
    """Something to look at on an accepted row; it never rejects."""

    line_no: int
    code: WarningCode
    field: str

    def text(self, language: str = "id") -> str:
        """What was seen and what to do, for a person, in `id` or `en`."""
        return self.code.message(language)


@dataclass(frozen=True, slots=True)
class ImportResult:
    """What the gate found. `rows_read == len(accepted) + len(rejects)` unless `file_refused`."""

    accepted: tuple[Household, ...]
    rejects: tuple[Reject, ...]
    warnings: tuple[Warned, ...]
    rows_read: int
    file_refused: bool = False
    """True when the file itself is at fault: nothing is accepted, one reject stands at line 1."""

    @property
    def reject_counts(self) -> Mapping[RejectReason, int]:
        """How many rejects under each reason that occurred."""
        return MappingProxyType(Counter(reject.reason for reject in self.rejects))

    @property
    def warning_counts(self) -> Mapping[WarningCode, int]:
        """How many warnings under each code that occurred."""
        return MappingProxyType(Counter(warning.code for warning in self.warnings))


class _RowFaultError(Exception):
    """Inside the gate only: this row fails, with the reason and column."""

    def __init__(self, reason: RejectReason, column: str, kept_line_no: int | None = None) -> None:
        super().__init__(reason.name)
        self.reason = reason
        self.column = column
        self.kept_line_no = kept_line_no


def _fail(reason: RejectReason, column: str = "") -> NoReturn:
    raise _RowFaultError(reason, column)


def import_households(
    data: bytes | str, *, today: date, settings: GateSettings = DEFAULT_SETTINGS
) -> ImportResult:
    """Read a DTSEN-shaped CSV file (UTF-8, one row a line, header `COLUMNS`).

    `today` is the date in WIB against which births in the future are judged. Of rows that share
    a No. KK or a NIK the first otherwise faultless one is kept and every later one rejected with
    the kept line's number. Raises nothing for any content; faults are values.
    """
    raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    if len(raw) > settings.max_file_bytes:
        return _refuse(RejectReason.FILE_TOO_LARGE)
    lines = raw.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    if not lines or lines[0].removesuffix(b"\r") != ",".join(COLUMNS).encode():
        return _refuse(RejectReason.HEADER)
    if len(lines) - 1 > settings.max_rows:
        return _refuse(RejectReason.TOO_MANY_ROWS)
    accepted: list[Household] = []
    rejects: list[Reject] = []
    warnings: list[Warned] = []
    kk_lines: dict[str, int] = {}
    nik_lines: dict[str, int] = {}
    for line_no, line in enumerate(lines[1:], start=2):
        try:
            household = _household(line_no, _cells(line, settings), today, settings)
            _check_unique(household, kk_lines, nik_lines)
        except _RowFaultError as fault:
            rejects.append(Reject(line_no, fault.reason, fault.column, fault.kept_line_no))
            continue
        accepted.append(household)
        warnings.extend(_warnings(household, settings))
    return ImportResult(tuple(accepted), tuple(rejects), tuple(warnings), len(lines) - 1)


def _refuse(reason: RejectReason) -> ImportResult:
    return ImportResult((), (Reject(1, reason, ""),), (), 0, file_refused=True)


def _cells(line: bytes, settings: GateSettings) -> dict[str, str]:
    """Split one line into its columns, or fail on bytes, text, quoting or count."""
    line = line.removesuffix(b"\r")
    if len(line) > settings.max_line_bytes:
        _fail(RejectReason.LINE_TOO_LONG)
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError:
        _fail(RejectReason.ENCODING)
    if "\ufffd" in text:  # what another program leaves where it could not decode
        _fail(RejectReason.ENCODING)
    # Cf too: direction overrides and zero-width characters make a name read as another.
    if any(unicodedata.category(char) in _UNSAFE_CATEGORIES for char in text):
        _fail(RejectReason.CONTROL_CHARACTER)
    try:
        rows = list(csv.reader([text], strict=True))
    except csv.Error:
        _fail(RejectReason.CSV_SYNTAX)
    if len(rows) != 1 or len(rows[0]) != len(COLUMNS):
        _fail(RejectReason.COLUMN_COUNT)
    return dict(zip(COLUMNS, (cell.strip() for cell in rows[0]), strict=True))


_UNSAFE_CATEGORIES: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_KK: Final = re.compile(r"[0-9]{16}")
_DIGITS: Final = re.compile(r"[0-9]+")
_ISO_DATE: Final = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
_VILLAGE: Final = re.compile(r"([0-9]{2})\.[0-9]{2}\.[0-9]{2}\.[0-9]{4}")
_NAME_MARKS: Final = frozenset(" .,'’`-/()")


def _household(
    line_no: int, cells: dict[str, str], today: date, settings: GateSettings
) -> Household:
    """Check every column in the order of `RejectReason`; the first fault wins."""
    if not _KK.fullmatch(cells["no_kk"]):
        _fail(RejectReason.KK_FORMAT, "no_kk")
    _check_nik(cells["nik_kepala"], settings)
    name = _name(cells["nama_kepala"])
    if cells["jenis_kelamin"] not in ("L", "P"):
        _fail(RejectReason.SEX_INVALID, "jenis_kelamin")
    birth_date = _birth_date(cells["tanggal_lahir"], today)
    _check_village(cells["kode_desa"])
    if len(cells["alamat"]) > MAX_ADDRESS_CHARS:
        _fail(RejectReason.FIELD_TOO_LONG, "alamat")
    return Household(
        line_no=line_no,
        no_kk=cells["no_kk"],
        nik=cells["nik_kepala"],
        name=name,
        sex=cells["jenis_kelamin"],
        birth_date=birth_date,
        village_code=cells["kode_desa"],
        address=unicodedata.normalize("NFC", cells["alamat"]),
        members=_number(cells, "jumlah_anggota", MAX_MEMBERS, RejectReason.MEMBERS_RANGE),
        decile=_number(cells, "desil", MAX_DECILE, RejectReason.DECILE_RANGE),
        flags=frozenset(_flags(cells)),
    )


def _check_nik(nik: str, settings: GateSettings) -> None:
    """Structure of a NIK: region 2+2+2, DDMMYY (women: day + 40), serial 4.

    docs/import.md#nik
    """
    column = "nik_kepala"
    if nik and not _DIGITS.fullmatch(nik):
        _fail(RejectReason.NIK_NOT_DIGITS, column)
    if len(nik) != 16:
        _fail(RejectReason.NIK_LENGTH, column)
    regency = f"{nik[:2]}.{nik[2:4]}"
    # lokal's own parse_nik lets a regency pass that never existed; we do not.
    if not (regions.regency_exists(regency) or regency in settings.retired_regencies):
        _fail(RejectReason.NIK_REGION, column)
    if nik[4:6] == "00":
        _fail(RejectReason.NIK_REGION, column)
    if not _is_nik_date(int(nik[6:8]), int(nik[8:10]), int(nik[10:12])):
        _fail(RejectReason.NIK_DATE, column)
    if nik[12:] == "0000":
        _fail(RejectReason.NIK_SERIAL, column)


def _is_nik_date(day: int, month: int, year2: int) -> bool:
    """Whether the six digits are a date in either century (29 February 00 was one in 2000)."""
    if day > 40:
        day -= 40
    return any(_date_or_none(century + year2, month, day) for century in (1900, 2000))


def _date_or_none(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None


def _name(cell: str) -> str:
    column = "nama_kepala"
    name = unicodedata.normalize("NFC", cell)
    if not any(char.isalpha() for char in name):
        _fail(RejectReason.NAME_MISSING, column)
    if len(name) > MAX_NAME_CHARS:
        _fail(RejectReason.FIELD_TOO_LONG, column)
    # No "=" or "+" at the start either: an exported list must not become a formula.
    if not name[0].isalpha() or not all(
        char in _NAME_MARKS or unicodedata.category(char)[0] in "LM" for char in name
    ):
        _fail(RejectReason.NAME_CHARACTERS, column)
    return name


def _birth_date(cell: str, today: date) -> date:
    column = "tanggal_lahir"
    match = _ISO_DATE.fullmatch(cell)
    born = _date_or_none(*map(int, match.groups())) if match else None
    if born is None or born < EARLIEST_BIRTH:
        _fail(RejectReason.BIRTH_DATE_FORMAT, column)
    if born > today:
        _fail(RejectReason.BIRTH_DATE_FUTURE, column)
    return born


def _check_village(code: str) -> None:
    match = _VILLAGE.fullmatch(code)
    if match and match.group(1) != regions.PROVINCE_CODE:
        _fail(RejectReason.VILLAGE_OTHER_PROVINCE, "kode_desa")
    if regions.village(code) is None:
        _fail(RejectReason.VILLAGE_UNKNOWN, "kode_desa")


def _number(cells: dict[str, str], column: str, highest: int, reason: RejectReason) -> int:
    """A whole number from 1 to `highest`."""
    cell = cells[column]
    # The length first: int() of thousands of digits raises, and costs before it does.
    if not _DIGITS.fullmatch(cell) or len(cell) > 4 or not 1 <= int(cell) <= highest:
        _fail(reason, column)
    return int(cell)


def _flags(cells: dict[str, str]) -> Iterator[str]:
    for flag in FLAGS:
        if cells[flag] not in ("0", "1"):
            _fail(RejectReason.FLAG_INVALID, flag)
        if cells[flag] == "1":
            yield flag


def _check_unique(
    household: Household, kk_lines: dict[str, int], nik_lines: dict[str, int]
) -> None:
    """Fail a row whose No. KK or NIK an accepted row bears; otherwise remember both."""
    if household.no_kk in kk_lines:
        raise _RowFaultError(RejectReason.KK_DUPLICATE, "no_kk", kk_lines[household.no_kk])
    if household.nik in nik_lines:
        raise _RowFaultError(RejectReason.NIK_DUPLICATE, "nik_kepala", nik_lines[household.nik])
    kk_lines[household.no_kk] = household.line_no
    nik_lines[household.nik] = household.line_no


def _warnings(household: Household, settings: GateSettings) -> Iterator[Warned]:
    """What differs between NIK and row. The NIK's region is that of first registration."""
    nik, column = household.nik, "nik_kepala"
    regency = f"{nik[:2]}.{nik[2:4]}"
    if regency in settings.retired_regencies and not regions.regency_exists(regency):
        yield Warned(household.line_no, WarningCode.NIK_REGION_RETIRED, column)
    elif not regions.district_exists(f"{regency}.{nik[4:6]}"):
        yield Warned(household.line_no, WarningCode.NIK_DISTRICT_UNKNOWN, column)
    if regency != household.village_code[:5]:
        yield Warned(household.line_no, WarningCode.NIK_REGION_DIFFERS, column)
    day, is_woman = int(nik[6:8]), int(nik[6:8]) > 40
    if is_woman:
        day -= 40
    if f"{day:02}{nik[8:12]}" != household.birth_date.strftime("%d%m%y"):
        yield Warned(household.line_no, WarningCode.BIRTH_DATE_DIFFERS, "tanggal_lahir")
    if is_woman != (household.sex == "P"):
        yield Warned(household.line_no, WarningCode.SEX_DIFFERS, "jenis_kelamin")
