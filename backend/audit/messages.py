"""What a person reads of the auditor: Indonesian first, English second (docs/errors.md#auditor)."""

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
    "root_note": (
        "Cocokkan dengan sidik yang diumumkan pada upacara kunci.",
        "Compare it with the fingerprint published at the key ceremony.",
    ),
    "head_note": (
        "Catat di luar kantor ini; pemeriksaan berikut harus memuatnya (--head).",
        "Note it outside this office; the next audit must contain it (--head).",
    ),
    "counts": (
        (
            "{cards} kartu, {stations} terminal dan meja, {receipts} struk, "
            "{ledger_entries} isian buku besar, {issuance_entries} isian catatan penerbitan, "
            "{cards_read} kartu dibaca di meja"
        ),
        (
            "{cards} cards, {stations} terminals and desks, {receipts} receipts, "
            "{ledger_entries} ledger entries, {issuance_entries} issuance log entries, "
            "{cards_read} cards read at desks"
        ),
    ),
    "result": ("HASIL", "RESULT"),
    "n_findings": ("temuan", "findings"),
    "difference": ("selisih rupiah", "difference in rupiah"),
    "goods_difference": ("selisih barang", "difference in goods"),
    "difference_note": (
        (
            'Selisih adalah jumlah nilai mutlak semua baris "tidak terjelaskan"; '
            "yang lebih tidak menutup yang kurang."
        ),
        'A difference adds the absolute value of every line "unexplained"; nothing cancels.',
    ),
    "programmes": ("PROGRAM", "PROGRAMMES"),
    "all_programmes": ("Semua program", "All programmes"),
    "providers": ("PENYALUR", "PROVIDERS"),
    "places": ("TEMPAT", "PLACES"),
    "places_note": (
        (
            "Tempat adalah letak terminal menurut pendaftarannya, bukan desa tempat keluarga "
            "tinggal: ekspor tidak memuat nama dan alamat. Hak dan sisa dihitung di tempat kartu "
            "diserahkan; "
            "dimuat, disalurkan dan hangus di tempat terjadinya. Dana cair per program, "
            "tidak per tempat."
        ),
        (
            "A place is where a terminal stands by its enrolment, not the village where a family "
            "lives: the export holds no names or addresses. Entitled and left are counted where "
            "the card was handed over; loaded, redeemed and forfeited where it happened. Funds are "
            "released per programme, not per place."
        ),
    ),
    "col_issued": ("hak", "entitled"),
    "col_loaded": ("dimuat", "loaded"),
    "col_redeemed": ("disalurkan", "redeemed"),
    "col_forfeited": ("hangus", "forfeited"),
    "col_residual": ("sisa", "left"),
    "col_moved": ("pindah", "moved"),
    "nowhere": ("Kartu belum diserahkan", "Cards not handed over yet"),
    "all_places": ("Semua tempat", "All places"),
    "goods": ("barang", "goods"),
    "all_goods": ("BARANG, SEMUA TEMPAT", "GOODS, ALL PLACES"),
    "released": ("dana cair", "released"),
    "issued": ("hak diterbitkan", "issued"),
    "loaded": ("dimuat ke kartu", "loaded on cards"),
    "redeemed": ("disalurkan", "redeemed"),
    "forfeited": ("hangus", "forfeited"),
    "residual": ("sisa", "left"),
    "moved": ("pindah ke kartu pengganti", "moved to a new card"),
    "unexplained": ("tidak terjelaskan", "unexplained"),
    "sum": ("jumlah", "sum"),
    "of_which": ("di antaranya", "of which"),
    "returned": ("dikembalikan dengan keputusan", "returned by decision"),
    "losses": ("kerugian tercatat, di luar program", "recorded losses, outside the programme"),
    "reserved": (
        "kerugian yang dicadangkan: pindah sebelum semua terminal mengenal blokir",
        "reserved losses: moved before every terminal knew of the block",
    ),
    "handed_over": ("diserahkan menurut terminal", "handed over, by the terminals"),
    "unrecorded": ("tanpa catatan penyerahan", "no record of the hand-over"),
    "not_loaded": ("belum dimuat ke kartu", "not loaded on a card yet"),
    "withheld": ("ditahan, belum boleh dibayar", "held, not payable yet"),
    "other": ("tarif lama, kerugian yang dibayar", "older tariffs, losses paid"),
    "payable": ("harus dibayar", "payable"),
    "settled": ("sudah dibayar", "settled"),
    "delivered": ("diterima", "delivered"),
    "handed": ("diserahkan", "handed over"),
    "left": ("tersisa", "left"),
    "loss": ("hilang", "lost"),
    "units": ("satuan", "units"),
    "rupiah": ("rupiah", "rupiah"),
    "programme": ("program", "programme"),
    "provider": ("penyalur", "provider"),
    "tariff": ("tarif", "tariff"),
    "held_list": ("STRUK DITAHAN", "RECEIPTS HELD"),
    "findings": ("TEMUAN", "FINDINGS"),
    "no_findings": ("Tidak ada temuan.", "No finding."),
    "alerts": ("PERLU DILIHAT (bukan bukti)", "TO LOOK AT (no proof)"),
    "explained": ("TERJELASKAN OLEH TERMINAL HILANG", "EXPLAINED BY A LOST TERMINAL"),
    "none": ("tidak ada", "none"),
    "bounds": (
        "YANG MASIH DAPAT DIAMBIL ORANG JAHAT (bukan temuan)",
        "WHAT A THIEF COULD STILL TAKE (no findings)",
    ),
    "bound_card": (
        (
            "Sisa terbesar pada satu kartu: {largest}. Sebanyak itu dapat diambil terminal "
            "yang tahu PIN-nya selama kartu menempel."
        ),
        (
            "Most left on one card: {largest}. So much can a terminal take that knows its PIN, "
            "while the card lies there."
        ),
    ),
    "bound_clone": (
        (
            "Kartu itu digandakan, sekali di tiap terminal yang belum mendengarnya: {largest} × "
            "{terminals} terminal = {clone}."
        ),
        (
            "That card copied, once at each terminal that has not heard of it: {largest} × "
            "{terminals} terminals = {clone}."
        ),
    ),
    "bound_data": (
        (
            "Kartu yang sudah diblokir masih dapat dipakai di terminal yang belum mengambil data: "
            "yang tertua {oldest}, sejak {since}; terminal berhenti melayani setelah {days} hari."
        ),
        (
            "A blocked card can still be used at a terminal that has not fetched data: the oldest "
            "is {oldest}, since {since}; a terminal stops serving after {days} days."
        ),
    ),
    "bound_stolen": (
        (
            "Terminal yang dicuri hidup sampai sertifikatnya berakhir, paling lama {end}, menurut "
            "tanggal pada tiap kartu."
        ),
        (
            "A stolen terminal lives until its certificate ends, {end} at the latest, by each "
            "card's own date."
        ),
    ),
    "cannot": ("YANG TIDAK DAPAT DIBUKTIKAN EKSPOR INI", "WHAT THIS EXPORT CANNOT PROVE"),
    "owner": ("yang menjawab", "to answer"),
    "card": ("kartu", "card"),
    "details": (
        "Rincian ada di laporan JSON (--json).",
        "Details are in the JSON report (--json).",
    ),
}

KINDS: dict[str, tuple[str, str]] = {
    # objects
    "order": ("perintah kartu", "order"),
    "programme": ("program", "programme"),
    "verification": ("hasil kunjungan", "field verification"),
    "decree": ("lampiran SK", "decree annex"),
    "funds": ("pencairan dana", "fund release"),
    "delivery": ("surat jalan", "delivery"),
    "enrolment": ("pendaftaran terminal", "enrolment"),
    "hotlist": ("daftar blokir", "hotlist"),
    "parameters": ("aturan", "parameters"),
    "ack": ("tanda terima unggahan", "acknowledgement"),
    "terminal-lost": ("pernyataan terminal hilang", "TERMINAL_LOST"),
    "decision": ("keputusan", "decision"),
    # ledger entries
    "fund-release": ("pencairan dana", "fund release"),
    "issue": ("penerbitan hak", "issue"),
    "debit": ("penarikan", "debit"),
    "reversal": ("pembalikan", "reversal"),
    "forfeit": ("hangus", "forfeit"),
    "payable": ("utang", "payable"),
    "unpayable": ("penghapusan utang", "unpayable"),
    "settlement": ("pembayaran", "settlement"),
    "move": ("pemindahan sisa", "move"),
    "return": ("pengembalian", "return"),
    "loss": ("kerugian tercatat", "recorded loss"),
    "stock-in": ("barang masuk", "stock in"),
    "stock-back": ("barang dikirim kembali", "stock sent back"),
    "handed": ("penyerahan barang", "goods handed over"),
    "returned-goods": ("barang kembali ke rak", "goods back on the shelf"),
    "stock-loss": ("kehilangan barang", "stock loss"),
    "rupiah": ("uang tunai", "cash"),
    # roles of a session
    "terminal": ("terminal", "terminal"),
    "supervisor": ("pengawas", "supervisor"),
    "handover": ("penyerahan kartu", "handover"),
    "personaliser": ("pembuatan kartu", "personaliser"),
}

HOLDS: dict[str, tuple[str, str]] = {
    "unknown-terminal": ("terminal tidak dikenal", "unknown terminal"),
    "awaiting-log": ("catatan terminal belum datang", "the terminal's log has not come"),
    "no-intent": ("tidak ada niatnya", "no intent"),
    "terminal-lost": ("terminal hilang, menunggu keputusan", "lost terminal, needs a decision"),
    "not-delivered": ("tidak tercatat diserahkan", "not recorded as handed over"),
    "suspense": ("pembatalan belum selesai", "a void is open"),
    "blocked": ("kartu sudah diblokir di sana", "the card was blocked there"),
    "loss": ("kerugian tercatat", "recorded loss"),
    "disputed": ("disanggah pemegang kartu", "disputed by the holder"),
    "unseen-reversal": ("pembalikannya belum terlihat", "its reversal is not seen yet"),
    "clone": ("kartu digandakan", "a cloned card"),
    "reversed": ("sudah dibatalkan", "reversed"),
    "returned": ("dikembalikan dengan keputusan", "returned by decision"),
    "written-off": ("dihapus dengan keputusan", "written off by decision"),
}
"""Why a receipt is not payable (docs/ledger.md#payable)."""

SUBJECTS: dict[str, tuple[str, str]] = {
    "ledger": ("buku besar, isian {0}", "ledger entry {0}"),
    "ledger-missing": ("buku besar", "ledger"),
    "issuance": ("catatan penerbitan, isian {0}", "issuance log entry {0}"),
    "heads": ("kepala ke-{0}", "head {0}"),
    "hotlist": ("daftar blokir {0}", "hotlist {0}"),
    "ledger-head": ("kepala buku besar", "ledger head"),
    "issuance-head": ("kepala catatan penerbitan", "issuance log head"),
    "upload": ("unggahan {0}, catatan {1} sampai {2}", "upload of {0}, records {1} to {2}"),
    "object": ("{0} ke-{1}", "{0} {1}"),
    "entitlement": ("{0}, {1}, hak {2}", "{0}, {1}, entitlement {2}"),
    "receipt": ("{0}, struk {1}", "{0}, receipt {1}"),
    "record": ("{0}, catatan {1}", "{0}, record {1}"),
    "file": ("berkas {0}", "file {0}"),
}
"""What a finding is about, by the form of its subject."""

OWNERS: dict[str, tuple[str, str]] = {
    "backend": ("kantor pusat", "backend"),
    "card": ("kartu", "card"),
    "key service": ("layanan kunci", "key service"),
    "registry": ("registri", "registry"),
    "policy": ("penetap kebijakan", "policy"),
    "ack": ("kantor pusat (kunci tanda terima)", "backend (Ack key)"),
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
    "unjudged": (
        "cadangan yang menunggu terminal ini belum dinilai: satu unggahannya disisihkan",
        "reserves that wait for this terminal are not judged: an upload of it is set aside",
    ),
}

CANNOT: tuple[tuple[str, str], ...] = (
    (
        "Siapa yang memegang kartu dan PIN, dan apakah barang sungguh sampai di rumah.",
        "Who holds card and PIN, and whether goods truly reached the home.",
    ),
    (
        "Bahwa keluarga sungguh ada: bukti lapangan hanya dirujuk dengan sidiknya.",
        "That a family exists: field evidence is named only by its hash.",
    ),
    (
        "Di desa mana keluarga tinggal: hanya tempat terminal yang tercatat.",
        "In which village a family lives: only the terminal's place is recorded.",
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
