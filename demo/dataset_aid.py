"""What follows from the demo's families: verifications, decree, programmes and funds.

Formats: docs/import.md#demo-data.
"""

import hashlib
import itertools
import json
import random
from datetime import UTC, date, datetime, timedelta
from typing import Final

from backend.eligibility import ProgrammeRules, eligible
from backend.importgate import Household
from demo.dataset_families import Family, csv_line

_TEAM: Final = ("Verifikator A. Rekaan", "Verifikator B. Khayal", "Verifikator C. Fiktif")
_APPROVERS: Final = ("Penyetuju D. Dongeng", "Penyetuju E. Rekaan")
_NOT_VERIFIED: Final = {
    "not_found": ("Rumah kosong, tetangga tidak mengenal", "Alamat tidak ditemukan"),
    "moved": ("Pindah ke kabupaten lain", "Pindah ke luar provinsi"),
    "refused": ("Keluarga menolak didata", "Keluarga menyatakan sudah mampu"),
}
_VERIFIED_REASONS: Final = ("Tinggal di alamat, kondisi sesuai", "Sesuai, foto rumah diambil")


VERIFICATION_COLUMNS: Final = (
    "no_kk", "verifikator", "waktu", "keputusan", "alasan", "bukti_sha256", "lat", "lon",
    "penyetuju", "waktu_setuju",
)  # fmt: skip


def make_verifications(rng: random.Random, good: list[Family], today: date) -> dict[str, bytes]:
    """No. KK → its line of verifikasi.csv, in order of visit; families not visited lack one."""
    villages = sorted({family.village_code for family in good})
    # Somewhere in the province, not where the village is.
    places = {code: (rng.uniform(-2.9, -1.0), rng.uniform(111.5, 114.9)) for code in villages}
    # At least one family of every kind, whatever the seed.
    others = rng.choices(
        ("verified", "not_found", "moved", "refused", ""),
        weights=(82, 4, 4, 3, 7),
        k=len(good) - 4,
    )
    kinds = ["not_found", "moved", "refused", "", *others]
    rng.shuffle(kinds)
    start = datetime(today.year, today.month, today.day, 1, tzinfo=UTC) - timedelta(days=40)
    rows = {}
    for visit, (family, kind) in enumerate(zip(good, kinds, strict=True)):
        if not kind:
            continue
        seen = start + timedelta(days=visit // 9, minutes=35 * (visit % 9) + rng.randrange(30))
        reasons = _VERIFIED_REASONS if kind == "verified" else _NOT_VERIFIED[kind]
        evidence = hashlib.sha256(f"foto rekaan {family.no_kk} {seen}".encode()).hexdigest()
        lat, lon = places[family.village_code]
        cells = (
            family.no_kk, rng.choice(_TEAM), f"{seen:%Y-%m-%dT%H:%M:%SZ}", kind,
            rng.choice(reasons), evidence, f"{lat + rng.uniform(-0.01, 0.01):.5f}",
            f"{lon + rng.uniform(-0.01, 0.01):.5f}", rng.choice(_APPROVERS),
            f"{seen + timedelta(days=2):%Y-%m-%dT%H:%M:%SZ}",
        )  # fmt: skip
        rows[family.no_kk] = csv_line(dict(zip(VERIFICATION_COLUMNS, cells, strict=True)))
    return rows


def _windows(today: date, per_year: int, grace_days: int) -> list[dict[str, object]]:
    """Two years of rounds without a gap, from January of the story's year."""
    months = 12 // per_year
    starts = [date(today.year + month // 12, month % 12 + 1, 1) for month in range(0, 25, months)]
    return [
        {
            "round": f"{first.year}-{index % per_year + 1}",
            "from": first.isoformat(),
            "to": (after - timedelta(days=1)).isoformat(),
            "lot_expires_on": (after + timedelta(days=grace_days)).isoformat(),
        }
        for index, (first, after) in enumerate(itertools.pairwise(starts))
    ]


def _good(code: str, name_id: str, name_en: str, unit: str, amount: int) -> dict[str, object]:
    name = {"id": name_id, "en": name_en}
    return {"code": code, "name": name, "unit": unit, "amount": amount}


def _wallet(
    code: int, unit: str, provider: tuple[str, str], stock: str = "none"
) -> dict[str, object]:
    provider_id, name = provider
    return {
        "code": code,
        "unit": unit,
        "stock": stock,
        "provider": {"id": provider_id, "name": name},
    }


def _version(today: date, price_minor: int, *goods: dict[str, object]) -> dict[str, object]:
    return {
        "version": 1,
        "from": f"{today.year}-01-01",
        "price_minor": price_minor,
        "goods": list(goods),
    }


def make_programmes(today: date) -> list[dict[str, object]]:
    """Four programmes of four agencies. Nothing here is known to any code: it is all data."""
    poor = {"max_decile": 2, "waive_decile_if": ["usulan_desa"]}
    return [
        {
            "id": "pangan",
            "code": 0x0101,
            "name": {"id": "Paket Pangan", "en": "Food basket"},
            "agency": "Dinas Ketahanan Pangan",
            "wallet": _wallet(0x1A01, "baskets", ("bulog", "Perum Bulog"), "goods"),
            "rounds_per_year": 4,
            "windows": _windows(today, 4, 30),
            "amount_per_round": 1,
            "caps": {"per_debit": 2, "per_window": 2},
            "versions": [
                _version(
                    today,
                    150_000,
                    _good("beras", "Beras premium", "Premium rice", "g", 5_000),
                    _good("minyak", "Minyak goreng", "Cooking oil", "ml", 1_000),
                    _good("gula", "Gula pasir", "Sugar", "g", 1_000),
                )
            ],
            "rules": {**poor, "exclude_if": ["penerima_sembako"]},
        },
        {
            "id": "tunai",
            "code": 0x0102,
            "name": {"id": "Bantuan Tunai", "en": "Cash"},
            "agency": "Dinas Sosial",
            "wallet": _wallet(0x1A02, "rupiah", ("bank-kalteng", "Bank Kalteng"), "cash"),
            "rounds_per_year": 4,
            "windows": _windows(today, 4, 30),
            "amount_per_round": 250_000,
            "caps": {"per_debit": 250_000, "per_window": 500_000},
            "versions": [_version(today, 1)],
            "rules": {**poor, "exclude_if": ["penerima_pkh", "penerima_blt_desa"]},
        },
        {
            "id": "sekolah",
            "code": 0x0103,
            "name": {"id": "Bantuan Sekolah", "en": "School grant"},
            "agency": "Dinas Pendidikan",
            "wallet": _wallet(0x1A03, "rupiah", ("toko-sekolah", "Toko Mitra Sekolah (rekaan)")),
            "rounds_per_year": 2,
            "windows": _windows(today, 2, 30),
            "amount_per_round": 400_000,
            "caps": {"per_debit": 200_000, "per_window": 400_000},
            "versions": [_version(today, 1)],
            "rules": {**poor, "max_decile": 3, "require": ["anak_sekolah"]},
        },
        {
            "id": "kunjungan",
            "code": 0x0104,
            "name": {"id": "Kunjungan Puskesmas", "en": "Clinic visit"},
            "agency": "Dinas Kesehatan",
            "wallet": _wallet(0x1A04, "visits", ("puskesmas", "Puskesmas dan RSUD")),
            "rounds_per_year": 2,
            "windows": _windows(today, 2, 30),
            "amount_per_round": 3,
            "caps": {"per_debit": 1, "per_window": 3},
            "versions": [_version(today, 35_000)],
            "rules": {"max_decile": 4},
        },
    ]


def make_decree(
    good: list[Family],
    verifications: dict[str, bytes],
    programmes: list[dict[str, object]],
    today: date,
) -> dict[str, object]:
    """One SK: a row for each verified family that the rules admit to at least one programme."""
    rules = [(item["id"], ProgrammeRules.from_json(item["rules"])) for item in programmes]
    rows: list[dict[str, object]] = []
    for family in good:
        line = verifications.get(family.no_kk, b"")
        if b",verified," not in line:
            continue
        household = Household(
            0, family.no_kk, family.nik, family.name, family.sex, family.birth_date,
            family.village_code, family.address, family.members, family.decile, family.flags,
        )  # fmt: skip
        admitted = [ident for ident, rule in rules if eligible(household, rule) is None]
        if admitted:
            rows.append(
                {
                    "row": len(rows) + 1,
                    "no_kk": family.no_kk,
                    "programmes": admitted,
                    "verification_sha256": hashlib.sha256(line).hexdigest(),
                }
            )
    annex = json.dumps(rows, separators=(",", ":"), sort_keys=True).encode()
    return {
        "number": f"188.44/123/{today.year}",
        "date": (today - timedelta(days=10)).isoformat(),
        "signatory": "Gubernur Kalimantan Tengah (naskah rekaan)",
        "annex_sha256": hashlib.sha256(annex).hexdigest(),
        "rows": rows,
    }


COVERED_PERCENT: Final = {
    # Programme → the parts of its decree rows that each disbursement pays for, one round.
    "pangan": (60, 40),
    "tunai": (50, 30),
    "sekolah": (60,),
    "kunjungan": (25,),
}


def make_funds(
    decree: dict[str, object], programmes: list[dict[str, object]], today: date
) -> dict[str, object]:
    """SP2D by SP2D what has arrived: all of the food, less of the others."""
    rows = decree["rows"]
    releases: list[dict[str, object]] = []
    for item in programmes:
        ident, amount, versions = item["id"], item["amount_per_round"], item["versions"]
        if not (isinstance(rows, list) and isinstance(ident, str) and isinstance(amount, int)
                and isinstance(versions, list)):  # fmt: skip
            raise TypeError("programmes and decree come from make_programmes and make_decree")
        entitled = sum(ident in row["programmes"] for row in rows)
        row_minor = amount * versions[0]["price_minor"]
        paid_rows, percent = 0, 0
        for part, share in enumerate(COVERED_PERCENT[ident]):
            percent += share
            covered = entitled * percent // 100
            releases.append(
                {
                    "sp2d": f"{len(releases) + 1:05}/SP2D-REKAAN/{today.year}",
                    "date": (today - timedelta(days=7 - 4 * part)).isoformat(),
                    "programme": ident,
                    "amount_minor": (covered - paid_rows) * row_minor,
                }
            )
            paid_rows = covered
    return {"releases": releases}
