"""What a person reads of the auditor: Indonesian first, English second."""

from __future__ import annotations

from backend.audit.errors import Code

MESSAGES: dict[Code, tuple[str, str]] = {
    Code.EXPORT: (
        "Folder itu bukan ekspor Betang. Tidak ada yang diperiksa. Periksa namanya.",
        "That folder is no Betang export. Nothing was checked. Check its name.",
    ),
    Code.TRUST: (
        "Berkas kepercayaan tidak sah. Tidak ada yang diperiksa. Minta lagi dari upacara kunci.",
        "The trust file is not valid. Nothing was checked. Ask for it again from the ceremony.",
    ),
    Code.DEMO: (
        "Kunci akar bertanda DEMO; hanya --demo memakainya. Tidak ada yang diperiksa.",
        "The root is marked DEMO; only --demo uses it. Nothing was checked.",
    ),
    Code.HEAD: (
        "Kepala buku besar yang dicatat dahulu tidak sah. Tidak ada yang diperiksa.",
        "The ledger head noted earlier is not valid. Nothing was checked.",
    ),
    Code.OUTPUT: (
        "Laporan tidak dapat ditulis. Pemeriksaan selesai, berkasnya tidak ada.",
        "The report could not be written. The check was done, its file is not there.",
    ),
}

WORDS: dict[str, tuple[str, str]] = {
    "title": ("LAPORAN PEMERIKSAAN", "AUDIT REPORT"),
    "demo": ("DEMO: bukan uang, bukan barang", "DEMO: no money, no goods"),
    "as_of": ("Keadaan sampai", "As of"),
    "root": ("Sidik kunci akar", "Root key fingerprint"),
    "head": ("Kepala buku besar", "Ledger head"),
    "programmes": ("PROGRAM", "PROGRAMMES"),
    "providers": ("PENYALUR", "PROVIDERS"),
    "places": ("TITIK BAGI", "DISTRIBUTION POINTS"),
    "goods": ("BARANG", "GOODS"),
    "released": ("dana cair", "released"),
    "issued": ("hak diterbitkan", "issued"),
    "loaded": ("dimuat ke kartu", "loaded on cards"),
    "redeemed": ("disalurkan", "redeemed"),
    "forfeited": ("hangus", "forfeited"),
    "residual": ("sisa di kartu", "left on cards"),
    "moved": ("dipindahkan", "moved"),
    "returned": ("dikembalikan", "returned"),
    "losses": ("kerugian tercatat", "recorded losses"),
    "payable": ("terutang", "payable"),
    "settled": ("dibayar", "settled"),
    "delivered": ("diterima", "delivered"),
    "handed": ("diserahkan", "handed over"),
    "left": ("sisa", "left"),
    "loss": ("hilang", "lost"),
    "unexplained": ("tidak terjelaskan", "unexplained"),
    "difference": ("SELISIH", "DIFFERENCE"),
    "goods_difference": ("SELISIH BARANG", "GOODS DIFFERENCE"),
    "findings": ("TEMUAN", "FINDINGS"),
    "no_findings": ("Tidak ada temuan.", "No finding."),
    "alerts": ("PERLU DILIHAT (bukan bukti)", "TO LOOK AT (no proof)"),
    "explained": ("TERJELASKAN OLEH TERMINAL HILANG", "EXPLAINED BY A LOST TERMINAL"),
    "none": ("tidak ada", "none"),
    "cannot": ("YANG TIDAK DAPAT DIBUKTIKAN EKSPOR INI", "WHAT THIS EXPORT CANNOT PROVE"),
    "counts": (
        "{cards} kartu, {stations} stasiun, {receipts} struk",
        "{cards} cards, {stations} stations, {receipts} receipts",
    ),
    "owner": ("menjawab", "to answer"),
    "details": (
        "Rincian ada di laporan JSON (--json).",
        "Details are in the JSON report (--json).",
    ),
}

ALERTS: dict[str, tuple[str, str]] = {
    "gap": ("struk belum datang", "a receipt has not come yet"),
    "not-returned": ("barang belum kembali setelah batal", "goods not back after a void"),
    "statement": ("bukti skrip atau PIN belum datang", "a script or PIN statement has not come"),
    "awaiting-log": ("catatan terminal belum datang", "the terminal's log has not come"),
    "open-intent": ("hasil belum pasti", "outcome unknown"),
    "unpaid": ("terutang, belum dibayar", "payable, not settled yet"),
    "on-the-way": ("barang dalam perjalanan", "goods on the way"),
    "first-debit": (
        "penarikan pertama pada petugas yang menyerahkan kartu",
        "first debit with the officer who handed the card over",
    ),
    "bypass": ("tanpa PIN, dengan pengawas", "PIN bypassed by a supervisor"),
    "burst": ("banyak kartu dalam waktu singkat", "many cards within a short time"),
    "dispute": ("disanggah pemegang kartu", "disputed by the holder"),
}

CANNOT: tuple[tuple[str, str], ...] = (
    (
        "Siapa yang memegang kartu dan PIN, dan apakah barang sungguh sampai di rumah.",
        "Who holds card and PIN, and whether goods truly reached the home.",
    ),
    (
        "Bahwa keluarga sungguh ada: bukti lapangan hanya dirujuk dengan hash.",
        "That a family exists: field evidence is named only by its hash.",
    ),
    (
        "Di desa mana keluarga tinggal: hanya tempat penyaluran yang tercatat.",
        "In which village a family lives: only the place of redemption is recorded.",
    ),
    (
        "Catatan yang belum diunggah dan kartu yang belum kembali ke terminal mana pun.",
        "Records not uploaded yet, and cards that came back to no terminal.",
    ),
    (
        "Bahwa ini ekspor terbaru: bandingkan kepala buku besar yang dicatat dahulu (--head).",
        "That this export is the newest: compare a ledger head noted earlier (--head).",
    ),
    (
        "Bahwa pembayaran sungguh sampai di rekening penyalur: lihat rekening koran.",
        "That payments reached the provider's account: see the bank statement.",
    ),
    (
        "Isi rak: hitungan terminal sendiri; hitung ulang oleh orang lain.",
        "What is on the shelf: the terminal's own count; have someone else count again.",
    ),
)


def pick(pair: tuple[str, str], language: str) -> str:
    """The Indonesian or the English of a pair."""
    return pair[language == "en"]


def word(key: str, language: str) -> str:
    """One of :data:`WORDS`."""
    return pick(WORDS[key], language)
