"""The import gate against files whose faults are known."""

import json
from collections import Counter
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lokal.nik import parse_nik

from backend import regions
from backend.eligibility import ExclusionCode, ProgrammeRules, RuleError, eligible
from backend.importgate import (
    COLUMNS,
    FLAGS,
    GateSettings,
    Household,
    ImportResult,
    import_households,
)
from backend.importreasons import RejectReason, WarningCode
from demo import dataset
from demo.dataset_families import FAULTS, csv_line

TODAY = date(2026, 3, 16)
DATA = Path(__file__).parents[3] / "data" / "demo"
HEADER = ",".join(COLUMNS).encode()
GOOD = dict(
    zip(
        COLUMNS,
        (
            *("6271010101200001", "6271014203800001", "Kameluh Rekaan", "P", "1980-03-02"),
            *("62.71.01.1001", "Jl. Rekaan No. 1, RT 001", "4", "1"),
            *("0",) * len(FLAGS),
        ),
        strict=True,
    )
)
OTHER = {**GOOD, "no_kk": "6271010101200002", "nik_kepala": "6271014203800002"}


def gate(*lines: bytes | dict[str, str], **kwargs) -> ImportResult:
    rows = [line if isinstance(line, bytes) else csv_line(line) for line in lines]
    return import_households(b"\n".join([HEADER, *rows, b""]), today=TODAY, **kwargs)


def only_reason(result: ImportResult) -> RejectReason:
    assert len(result.rejects) == 1
    return result.rejects[0].reason


@pytest.mark.parametrize("seed", [dataset.DEFAULT_SEED, 0, 1, 7, 2**31])
def test_rejects_and_warnings_equal_the_ground_truth(seed):
    files = dataset.make(seed, TODAY)
    truth = json.loads(files["faults.json"])
    result = import_households(files["dtsen.csv"], today=TODAY)
    assert [(r.line_no, r.reason.name) for r in result.rejects] == [
        (t["line"], t["reason"]) for t in truth["rejects"]
    ]
    assert sorted((w.line_no, w.code.name) for w in result.warnings) == sorted(
        (w["line"], w["code"]) for w in truth["warnings"]
    )
    assert {r.name: n for r, n in result.reject_counts.items()} == Counter(
        t["reason"] for t in truth["rejects"]
    )
    assert result.rows_read == truth["rows"] == 200
    assert len(result.rejects) == 24
    assert len(result.reject_counts) >= 10
    warned = {w.line_no for w in result.warnings}
    assert warned <= {household.line_no for household in result.accepted}
    assert {w.code for w in result.warnings} == set(WarningCode)


def test_committed_data_is_what_the_default_seed_makes():
    made = dataset.make(dataset.DEFAULT_SEED)
    assert {path.name: path.read_bytes() for path in DATA.iterdir()} == made


@pytest.mark.parametrize(("what", "reason", "fault"), FAULTS, ids=[fault[0] for fault in FAULTS])
def test_each_kind_of_fault_hits_its_own_reason(what, reason, fault):
    result = gate(GOOD, fault(OTHER, GOOD, TODAY))
    assert [r.reason.name for r in result.rejects] == [reason], what
    assert [household.line_no for household in result.accepted] == [2]


@pytest.mark.parametrize(
    ("change", "reason", "column"),
    [
        ({"no_kk": "627101010120000"}, "KK_FORMAT", "no_kk"),
        ({"no_kk": "627101010120000٣"}, "KK_FORMAT", "no_kk"),
        ({"nik_kepala": ""}, "NIK_LENGTH", "nik_kepala"),
        ({"nik_kepala": "0071014203800001"}, "NIK_REGION", "nik_kepala"),
        ({"nik_kepala": "6271004203800001"}, "NIK_REGION", "nik_kepala"),
        ({"nik_kepala": "6271010003800001"}, "NIK_DATE", "nik_kepala"),
        ({"nik_kepala": "6271014003800001"}, "NIK_DATE", "nik_kepala"),
        ({"nik_kepala": "6271017203800001"}, "NIK_DATE", "nik_kepala"),
        ({"nik_kepala": "6271012902790001"}, "NIK_DATE", "nik_kepala"),
        ({"nama_kepala": "=SUM A"}, "NAME_CHARACTERS", "nama_kepala"),
        ({"nama_kepala": "A" * 101}, "FIELD_TOO_LONG", "nama_kepala"),
        ({"nama_kepala": ""}, "NAME_MISSING", "nama_kepala"),
        ({"nama_kepala": "Rek\u202eaan"}, "CONTROL_CHARACTER", ""),
        ({"nama_kepala": "Andr\ufffd"}, "ENCODING", ""),
        ({"jenis_kelamin": "l"}, "SEX_INVALID", "jenis_kelamin"),
        ({"tanggal_lahir": "02/03/1980"}, "BIRTH_DATE_FORMAT", "tanggal_lahir"),
        ({"tanggal_lahir": "1899-12-31"}, "BIRTH_DATE_FORMAT", "tanggal_lahir"),
        ({"tanggal_lahir": "2026-03-17"}, "BIRTH_DATE_FUTURE", "tanggal_lahir"),
        ({"kode_desa": "6271011001"}, "VILLAGE_UNKNOWN", "kode_desa"),
        ({"kode_desa": "62.71.01"}, "VILLAGE_UNKNOWN", "kode_desa"),
        ({"alamat": "x" * 201}, "FIELD_TOO_LONG", "alamat"),
        ({"jumlah_anggota": "41"}, "MEMBERS_RANGE", "jumlah_anggota"),
        ({"jumlah_anggota": "9" * 2000}, "MEMBERS_RANGE", "jumlah_anggota"),
        ({"desil": "0"}, "DECILE_RANGE", "desil"),
        ({"desil": "1.5"}, "DECILE_RANGE", "desil"),
        ({"anak_sekolah": "ya"}, "FLAG_INVALID", "anak_sekolah"),
    ],
)
def test_edges_of_each_rule(change, reason, column):
    result = gate({**GOOD, **change})
    assert [(r.line_no, r.reason.name, r.field) for r in result.rejects] == [(2, reason, column)]
    assert result.accepted == ()


def test_every_reason_is_reached_by_some_test_file():
    reached = {fault[1] for fault in FAULTS} | {
        mark.args[1][n][1]
        for mark in test_edges_of_each_rule.pytestmark
        for n in range(len(mark.args[1]))
    }
    by_file = {"FILE_TOO_LARGE", "HEADER", "TOO_MANY_ROWS", "LINE_TOO_LONG"}
    assert reached | by_file == {reason.name for reason in RejectReason}


def test_a_good_row_is_read_whole():
    result = gate({**GOOD, "penerima_pkh": "1"})
    (household,) = result.accepted
    assert not result.rejects
    assert not result.warnings
    assert (household.no_kk, household.nik) == (GOOD["no_kk"], GOOD["nik_kepala"])
    assert (household.sex, household.birth_date) == ("P", date(1980, 3, 2))
    assert (household.members, household.decile) == (4, 1)
    assert household.flags == {"penerima_pkh"}
    assert household.address == "Jl. Rekaan No. 1, RT 001"
    assert household.village.label == "Pahandut, Pahandut, Kota Palangkaraya"


def test_the_first_faultless_row_of_a_duplicate_is_kept():
    faulty = {**GOOD, "desil": "0"}
    result = gate(faulty, GOOD, {**OTHER, "no_kk": GOOD["no_kk"]}, OTHER)
    assert [household.line_no for household in result.accepted] == [3, 5]
    late = result.rejects[1]
    assert (late.line_no, late.reason, late.kept_line_no) == (4, RejectReason.KK_DUPLICATE, 3)
    assert late.text("id").endswith("Baris yang dipakai: 3.")
    assert late.text("en").endswith("Line kept: 3.")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"nik_kepala": "6371034203800001"}, WarningCode.NIK_REGION_DIFFERS),
        ({"nik_kepala": "6271994203800001"}, WarningCode.NIK_DISTRICT_UNKNOWN),
        ({"tanggal_lahir": "1980-03-03"}, WarningCode.BIRTH_DATE_DIFFERS),
        ({"tanggal_lahir": "1981-03-02"}, WarningCode.BIRTH_DATE_DIFFERS),
        ({"jenis_kelamin": "L"}, WarningCode.SEX_DIFFERS),
    ],
)
def test_warnings_never_reject(change, code):
    result = gate({**GOOD, **change})
    assert [w.code for w in result.warnings] == [code]
    assert len(result.accepted) == 1
    assert result.warning_counts == {code: 1}


def test_a_retired_regency_is_a_setting():
    row = {**GOOD, "nik_kepala": "6473014203800001"}
    codes = [w.code for w in gate(row).warnings]
    assert codes == [WarningCode.NIK_REGION_RETIRED, WarningCode.NIK_REGION_DIFFERS]
    strict = gate(row, settings=GateSettings(retired_regencies=frozenset()))
    assert only_reason(strict) is RejectReason.NIK_REGION


@pytest.mark.parametrize(
    ("data", "kwargs", "reason"),
    [
        (b"", {}, RejectReason.HEADER),
        (b"\n", {}, RejectReason.HEADER),
        (HEADER.replace(b"desil", b"decile"), {}, RejectReason.HEADER),
        (HEADER + b"\nx\ny\n", {"max_rows": 1}, RejectReason.TOO_MANY_ROWS),
        (HEADER + b"\nx", {"max_file_bytes": len(HEADER)}, RejectReason.FILE_TOO_LARGE),
    ],
)
def test_a_fault_of_the_file_imports_nothing(data, kwargs, reason):
    result = import_households(data, today=TODAY, settings=GateSettings(**kwargs))
    assert result.file_refused
    assert only_reason(result) is reason
    assert result.accepted == ()


def test_a_long_line_is_rejected_and_its_neighbours_kept():
    result = gate(GOOD, b"x" * 4097, OTHER)
    assert only_reason(result) is RejectReason.LINE_TOO_LONG
    assert len(result.accepted) == 2


def test_byte_order_mark_and_windows_line_ends_are_read():
    data = b"\xef\xbb\xbf" + b"\r\n".join([HEADER, csv_line(GOOD), b""])
    assert len(import_households(data, today=TODAY).accepted) == 1


@pytest.mark.parametrize("reason", [*RejectReason, *WarningCode], ids=lambda reason: reason.name)
def test_every_reason_has_words_in_both_languages(reason):
    texts = [reason.message("id"), reason.message("en")]
    assert len(set(texts)) == 2
    assert all(text.endswith(".") and len(text) > 30 for text in texts)


def test_no_two_reasons_share_their_words():
    # Enum members with equal values would silently become one.
    assert len(RejectReason.__members__) == len(RejectReason)
    assert len(WarningCode.__members__) == len(WarningCode)


def test_personal_data_stays_out_of_repr():
    result = gate(GOOD, {**GOOD, "nik_kepala": "x"})
    for secret in (GOOD["no_kk"], GOOD["nik_kepala"], "Kameluh", "Jl. Rekaan", "1980"):
        assert secret not in repr(result)


@given(st.one_of(st.binary(), st.text(st.characters(exclude_categories=[]))))
def test_the_gate_never_crashes_on_a_file(data):
    result = import_households(data, today=TODAY)
    assert result.file_refused


ROW = st.one_of(
    st.text(),
    st.lists(st.one_of(st.text(), st.sampled_from(list(GOOD.values()))), min_size=14, max_size=14)
    .map(",".join),
    st.tuples(st.sampled_from(COLUMNS), st.text(max_size=30)).map(
        lambda change: csv_line({**GOOD, change[0]: change[1]}).decode()
    ),
)  # fmt: skip


@given(st.lists(ROW, max_size=6))
@settings(deadline=None)
def test_rows_are_always_accounted_for(rows):
    data = "\n".join([HEADER.decode(), *rows])
    result = import_households(data, today=TODAY)
    assert not result.file_refused
    assert result.rows_read == len(result.accepted) + len(result.rejects)
    lines = [*(h.line_no for h in result.accepted), *(r.line_no for r in result.rejects)]
    assert sorted(lines) == list(range(2, result.rows_read + 2))


@given(st.from_regex(r"62(71|01|99)(01|00)[0-7][0-9][01][0-9]{3}(0000|9901)", fullmatch=True))
def test_structure_agrees_with_lokal_but_for_the_region(nik):
    if regions.regency_exists(f"62.{nik[2:4]}"):
        ours = not gate({**GOOD, "nik_kepala": nik}).rejects
        # lokal infers one century; only 29 February could tell them apart, and 00 is the case.
        assert ours == parse_nik(nik, reference_date=TODAY).valid
    else:
        assert only_reason(gate({**GOOD, "nik_kepala": nik})) is RejectReason.NIK_REGION


def household(decile: int = 1, *flags: str) -> Household:
    (found,) = gate({**GOOD, "desil": str(decile), **dict.fromkeys(flags, "1")}).accepted
    return found


RULES = ProgrammeRules.from_json(
    {
        "max_decile": 2,
        "waive_decile_if": ["usulan_desa"],
        "exclude_if": ["penerima_pkh"],
        "require": ["anak_sekolah"],
    }
)


@pytest.mark.parametrize(
    ("decile", "flags", "expected"),
    [
        (2, ["anak_sekolah"], None),
        (3, ["anak_sekolah", "usulan_desa"], None),
        (3, ["anak_sekolah"], (ExclusionCode.DECILE_TOO_HIGH, "desil")),
        (1, [], (ExclusionCode.REQUIREMENT_MISSING, "anak_sekolah")),
        (1, ["anak_sekolah", "penerima_pkh"], (ExclusionCode.RECEIVES_OTHER, "penerima_pkh")),
    ],
)
def test_rules_are_data(decile, flags, expected):
    reason = eligible(household(decile, *flags), RULES)
    assert (reason and (reason.code, reason.field)) == expected
    if reason:
        assert reason.text("id") != reason.text("en")
    assert eligible(household(decile, *flags), ProgrammeRules()) is None


@pytest.mark.parametrize(
    "rules",
    [
        [],
        {"exclude": ["penerima_pkh"]},
        {"exclude_if": ["penerima_bpnt"]},
        {"exclude_if": "penerima_pkh"},
        {"exclude_if": ""},
        {"require": {}},
        {"max_decile": 11},
        {"max_decile": True},
        {"max_decile": "2"},
    ],
)
def test_a_rule_not_understood_is_refused(rules):
    with pytest.raises(RuleError):
        ProgrammeRules.from_json(rules)


def test_regions_of_the_province():
    assert len(regions.regencies()) == 14
    assert len(regions.districts()) == 136
    assert len(regions.villages()) == 1571
    assert regions.regency_exists("62.71")
    assert not regions.regency_exists("62.99")
    assert not regions.regency_exists("6271")
    assert not regions.district_exists("62.71")
    assert regions.village("62.71.01") is None
    assert len(regions.villages("62.71.01")) == 6


def test_demo_story_has_what_it_must():
    files = {path.name: path.read_bytes() for path in DATA.iterdir()}
    accepted = {h.no_kk: h for h in import_households(files["dtsen.csv"], today=TODAY).accepted}
    decided = Counter(_decision(line) for line in files["verifikasi.csv"].decode().splitlines()[1:])
    assert set(decided) == {"verified", "not_found", "moved", "refused"}
    assert sum(decided.values()) < len(accepted)
    decree = json.loads(files["sk.json"])
    programmes = json.loads(files["programmes.json"])["programmes"]
    rules = {item["id"]: ProgrammeRules.from_json(item["rules"]) for item in programmes}
    assert len({item["agency"] for item in programmes}) == 4
    assert {item["wallet"]["unit"] for item in programmes} == {"baskets", "rupiah", "visits"}
    for row in decree["rows"]:
        assert all(
            eligible(accepted[row["no_kk"]], rules[name]) is None for name in row["programmes"]
        )
    released = Counter()
    for release in json.loads(files["funds.json"])["releases"]:
        released[release["programme"]] += release["amount_minor"]
    needed = Counter()
    for item in programmes:
        rows = sum(item["id"] in row["programmes"] for row in decree["rows"])
        price = item["versions"][0]["price_minor"]
        needed[item["id"]] = rows * item["amount_per_round"] * price
    assert all(0 < released[name] <= needed[name] for name in needed)
    assert released["sekolah"] < needed["sekolah"]
    assert released["kunjungan"] < needed["kunjungan"]


def _decision(line: str) -> str:
    return line.split(",")[3]
