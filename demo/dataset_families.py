"""The demo's families and their faults: dtsen.csv and the truth about it, faults.json.

No person is meant: every name ends in a word for "made up" and every serial of a NIK or No. KK
starts with 99. Formats: docs/import.md#demo-data.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Final

from backend import regions
from backend.importgate import COLUMNS, FLAGS

ROWS: Final = 200
FAULTY_ROWS: Final = 24  # 12 %
VILLAGE_COUNT: Final = 5

_MADE_UP: Final = ("Rekaan", "Khayal", "Fiktif", "Dongeng")
_GIVEN: Final = {
    # Dayak, Banjar and Javanese ways of naming, as the province's families have them.
    "L": (
        "Sangkai Tarung", "Bungai Lambung", "Rangka Dohong", "Tingang Nyahu", "Uhing Bahen",
        "Jata Salundik", "Dehen Saling", "Karing Usop", "Ahmad Syarwani", "Muhammad Zaini",
        "Syahrani Anang", "Utuh Rahmadi", "Hairul Ilmi", "Slamet Widodo", "Sugeng Raharjo",
        "Bambang Purnomo", "Joko Pitoyo", "Yulius Sawung", "Markus Nuhan", "Yosef Kameloh",
    ),
    "P": (
        "Bawi Kuwu", "Nyai Undang", "Kameluh Intan", "Tambun Riak", "Lilis Nahan", "Dewi Suling",
        "Rusnah Galuh", "Siti Noorhayati", "Aluh Mariani", "Hj. Rabiatul", "Norhidayah Jumiah",
        "Sri Wahyuni", "Tumini Lestari", "Endang Suparti", "Ngatinah Murni", "Yuliana Rasih",
        "Maria Tewu", "Ester Mihing",
    ),
}  # fmt: skip
_ELSEWHERE: Final = ("63.71.03", "63.03.05", "35.78.01", "33.74.01", "35.07.10")


@dataclass(frozen=True, slots=True)
class Family:
    """One row before any fault; every value is the text of its column."""

    no_kk: str
    nik: str
    name: str
    sex: str
    birth_date: date
    village_code: str
    address: str
    members: int
    decile: int
    flags: frozenset[str]

    def cells(self) -> dict[str, str]:
        """The row as column texts."""
        fixed = (
            self.no_kk, self.nik, self.name, self.sex, self.birth_date.isoformat(),
            self.village_code, self.address, str(self.members), str(self.decile),
        )  # fmt: skip
        flags = ("1" if flag in self.flags else "0" for flag in FLAGS)
        return dict(zip(COLUMNS, (*fixed, *flags), strict=True))


@dataclass(slots=True)
class _Numbers:
    """Draws NIK and No. KK that are well formed, in nobody's use, and never twice the same."""

    rng: random.Random
    used: set[str] = field(default_factory=set)

    def draw(self, district_code: str, born: date, sex: str) -> str:
        """16 digits: region, DDMMYY (women: day + 40), serial 99nn."""
        day = born.day + (40 if sex == "P" else 0)
        head = f"{district_code.replace('.', '')}{day:02}{born:%m%y}"
        for _ in range(1000):
            number = f"{head}99{self.rng.randrange(1, 100):02}"
            if number not in self.used:
                self.used.add(number)
                return number
        raise RuntimeError("no free serial left for one birth date and district")


def _flags(rng: random.Random, decile: int) -> frozenset[str]:
    chances = {
        "penerima_pkh": 0.15,
        "penerima_sembako": 0.15,
        "penerima_blt_desa": 0.08,
        "usulan_desa": 0.7 if decile > 2 else 0.1,
        "anak_sekolah": 0.55,
    }
    return frozenset(flag for flag in FLAGS if rng.random() < chances[flag])


def _families(rng: random.Random, numbers: _Numbers) -> list[Family]:
    """`ROWS` families in `VILLAGE_COUNT` villages of as many regencies, 40 in each."""
    villages = []
    for regency in rng.sample(regions.regencies(), VILLAGE_COUNT):
        rural = [place for place in regions.villages(regency.code) if place.kind == "desa"]
        villages.append(rng.choice(rural or regions.villages(regency.code)))
    families = []
    for row in range(ROWS):
        place = villages[row * VILLAGE_COUNT // ROWS]
        sex = "L" if rng.random() < 0.8 else "P"
        born = date(1945, 1, 1) + timedelta(days=rng.randrange(20_000))
        card_date = date(2012, 1, 1) + timedelta(days=rng.randrange(4_500))
        decile = rng.choices((1, 2, 3, 4), weights=(45, 35, 13, 7))[0]
        families.append(
            Family(
                no_kk=numbers.draw(place.district_code, card_date, "L"),
                nik=numbers.draw(place.district_code, born, sex),
                name=f"{rng.choice(_GIVEN[sex])} {rng.choice(_MADE_UP)}",
                sex=sex,
                birth_date=born,
                village_code=place.code,
                address=f"Jl. Rekaan No. {rng.randrange(1, 90)}, RT {rng.randrange(1, 9):03}",
                members=rng.randrange(1, 9),
                decile=decile,
                flags=_flags(rng, decile),
            )
        )
    return families


# --- Rows that are odd but right: each gives the warnings named, and is accepted. ---


def _oddities(
    rng: random.Random, numbers: _Numbers, families: list[Family], rows: list[int]
) -> list[tuple[int, str]]:
    """Alter twelve of `rows` in place; the (row, warning code) pairs they must give."""
    odd = iter(rng.sample(rows, 12))
    expected: list[tuple[int, str]] = []

    def alter(codes: tuple[str, ...], change: Callable[[Family], Family]) -> None:
        row = next(odd)
        families[row] = change(families[row])
        expected.extend((row, code) for code in codes)

    for district in (*_ELSEWHERE, "64.73.01"):
        retired = ("NIK_REGION_RETIRED",) if district.startswith("64.73") else ()
        alter(
            (*retired, "NIK_REGION_DIFFERS"),
            lambda family, district=district: replace(  # type: ignore[misc]
                family, nik=numbers.draw(district, family.birth_date, family.sex)
            ),
        )
    for _ in range(3):
        alter(
            ("BIRTH_DATE_DIFFERS",),
            lambda family: replace(family, birth_date=family.birth_date + timedelta(days=30)),
        )
    for _ in range(2):
        alter(
            ("SEX_DIFFERS",),
            lambda family: replace(family, sex="P" if family.sex == "L" else "L"),
        )
    alter(
        ("NIK_DISTRICT_UNKNOWN",),
        lambda family: replace(family, nik=f"{family.nik[:4]}99{family.nik[6:]}"),
    )
    return sorted(expected)


# --- Faults: each takes a good row's cells and gives the bytes of a row with that one fault. ---


def csv_line(cells: dict[str, str]) -> bytes:
    """One row as the CSV file carries it, without its line end."""
    quoted = ('"' + cell.replace('"', '""') + '"' if "," in cell else cell
              for cell in cells.values())  # fmt: skip
    return ",".join(quoted).encode()


Fault = Callable[[dict[str, str], dict[str, str], date], bytes]


def _set(column: str, change: Callable[[str], str]) -> Fault:
    def fault(cells: dict[str, str], _earlier: dict[str, str], _today: date) -> bytes:
        return csv_line({**cells, column: change(cells[column])})

    return fault


def _copy(column: str) -> Fault:
    def fault(cells: dict[str, str], earlier: dict[str, str], _today: date) -> bytes:
        return csv_line({**cells, column: earlier[column]})

    return fault


def _future(cells: dict[str, str], _earlier: dict[str, str], today: date) -> bytes:
    return csv_line({**cells, "tanggal_lahir": (today + timedelta(days=400)).isoformat()})


def _latin1(cells: dict[str, str], _earlier: dict[str, str], _today: date) -> bytes:
    return csv_line({**cells, "nama_kepala": "@"}).replace(b"@", b"Andr\xe9 Rekaan")


def _unquoted_comma(cells: dict[str, str], _earlier: dict[str, str], _today: date) -> bytes:
    return csv_line(cells).replace(b'"', b"")


def _lone_quote(cells: dict[str, str], _earlier: dict[str, str], _today: date) -> bytes:
    return csv_line({**cells, "alamat": "@"}).replace(b"@", b'"Jl. Rekaan No. 1')


FAULTS: Final[tuple[tuple[str, str, Fault], ...]] = (
    # What went wrong, the reason it must count under, and how it is made.
    ("NIK one digit short", "NIK_LENGTH", _set("nik_kepala", lambda nik: nik[:15])),
    ("letter O in NIK", "NIK_NOT_DIGITS",
     _set("nik_kepala", lambda nik: nik[:12] + "O" + nik[13:])),
    ("month 13 in NIK", "NIK_DATE", _set("nik_kepala", lambda nik: nik[:8] + "13" + nik[10:])),
    ("no such regency in NIK", "NIK_REGION", _set("nik_kepala", lambda nik: "6299" + nik[4:])),
    ("NIK serial 0000", "NIK_SERIAL", _set("nik_kepala", lambda nik: nik[:12] + "0000")),
    ("No. KK rounded by a spreadsheet", "KK_FORMAT",
     _set("no_kk", lambda kk: f"{kk[0]}.{kk[1:6]}E+15")),
    ("No. KK one digit too long", "KK_FORMAT", _set("no_kk", lambda kk: kk + "1")),
    ("No. KK of an earlier row", "KK_DUPLICATE", _copy("no_kk")),
    ("NIK of another family's head", "NIK_DUPLICATE", _copy("nik_kepala")),
    ("no name", "NAME_MISSING", _set("nama_kepala", lambda _: "-")),
    ("digits in the name", "NAME_CHARACTERS", _set("nama_kepala", lambda name: name + " 2")),
    ("sex by number", "SEX_INVALID", _set("jenis_kelamin", lambda _: "1")),
    ("31 February", "BIRTH_DATE_FORMAT", _set("tanggal_lahir", lambda _: "1980-02-31")),
    ("born in the future", "BIRTH_DATE_FUTURE", _future),
    ("village of no district", "VILLAGE_UNKNOWN", _set("kode_desa", lambda _: "62.01.99.2001")),
    ("village of another province", "VILLAGE_OTHER_PROVINCE",
     _set("kode_desa", lambda _: "63.71.03.1001")),
    ("nobody in the household", "MEMBERS_RANGE", _set("jumlah_anggota", lambda _: "0")),
    ("decile 11", "DECILE_RANGE", _set("desil", lambda _: "11")),
    ("empty yes/no", "FLAG_INVALID", _set("penerima_pkh", lambda _: "")),
    ("Latin-1 letter", "ENCODING", _latin1),
    ("hidden tab", "CONTROL_CHARACTER", _set("alamat", lambda text: text.replace(" ", "\t", 1))),
    ("comma without quotes", "COLUMN_COUNT", _unquoted_comma),
    ("quote never closed", "CSV_SYNTAX", _lone_quote),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Dtsen:
    """dtsen.csv, what is wrong in it, and the families whose rows are right."""

    csv: bytes
    faults: dict[str, object]
    good: list[Family]


def make_dtsen(rng: random.Random, today: date) -> Dtsen:
    """The families' file with every fault of `FAULTS` at least once."""
    numbers = _Numbers(rng)
    families = _families(rng, numbers)
    faulty = sorted(rng.sample(range(20, ROWS), FAULTY_ROWS))  # some good rows stand before
    good_rows = [row for row in range(ROWS) if row not in faulty]
    warned = _oddities(rng, numbers, families, good_rows)
    kinds = [*FAULTS, *rng.choices(FAULTS, k=FAULTY_ROWS - len(FAULTS))]
    rng.shuffle(kinds)
    lines = [csv_line(family.cells()) for family in families]
    truth = []
    for row, (what, reason, fault) in zip(faulty, kinds, strict=True):
        earlier = families[rng.choice([good for good in good_rows if good < row])]
        lines[row] = fault(families[row].cells(), earlier.cells(), today)
        truth.append({"line": row + 2, "reason": reason, "what": what})
    faults: dict[str, object] = {
        "rows": ROWS,
        "rejects": truth,
        "warnings": [{"line": row + 2, "code": code} for row, code in warned],
    }
    csv = b"\n".join([",".join(COLUMNS).encode(), *lines, b""])
    return Dtsen(csv, faults, [families[row] for row in good_rows])
