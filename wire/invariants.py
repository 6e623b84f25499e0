"""The 19 invariants, named once for backend and auditor (PROTOCOL.md §7, docs/audit.md)."""

from __future__ import annotations

from enum import IntEnum


class Invariant(IntEnum):
    """Number of an invariant; its two titles are in :data:`TITLES`."""

    SIGNATURES = 1
    TERMINAL_CHAIN = 2
    ONE_BODY = 3
    NO_GAP = 4
    LINKS = 5
    COUNTERS = 6
    ENTITLEMENT_ISSUED = 7
    INTENT_RECEIPT = 8
    VOIDS = 9
    CAPS_AND_COUNTS = 10
    TIME = 11
    HOTLIST = 12
    SETTLED_ONCE = 13
    CONSERVATION = 14
    STOCK = 15
    NO_SPECIMEN = 16
    CHAINED_LEDGER = 17
    DECREE_ROW = 18
    ISSUANCE_LOG = 19


TITLES: dict[Invariant, tuple[str, str]] = {
    Invariant.SIGNATURES: (
        "Tanda tangan, rantai, peran dan lingkungan sah",
        "Every signature, chain, role and environment is valid",
    ),
    Invariant.TERMINAL_CHAIN: (
        "Catatan titik bagi utuh dan bersambung",
        "Terminal chains are contiguous, linked and unforked",
    ),
    Invariant.ONE_BODY: ("Satu struk per urutan kartu", "One body per card and sequence"),
    Invariant.NO_GAP: ("Tidak ada urutan yang hilang", "No gap in a card's sequences"),
    Invariant.LINKS: ("Struk saling menunjuk", "Receipts link to the one before"),
    Invariant.COUNTERS: ("Hitungan kartu cocok", "Counters step exactly"),
    Invariant.ENTITLEMENT_ISSUED: (
        "Setiap hak tercatat sebelum dipakai",
        "Every entitlement used was issued before its use",
    ),
    Invariant.INTENT_RECEIPT: ("Niat dan struk berpasangan", "Receipts match intents one to one"),
    Invariant.VOIDS: ("Pembatalan cocok dengan struknya", "A void names the receipt before it"),
    Invariant.CAPS_AND_COUNTS: (
        "Batas, masa dan hitungan dipatuhi",
        "Caps, windows, expiry and counts are respected",
    ),
    Invariant.TIME: ("Waktu tidak mundur", "Times are monotone and possible"),
    Invariant.HOTLIST: (
        "Kartu diblokir tidak dipakai",
        "No debit after the hotlist naming the card was installed",
    ),
    Invariant.SETTLED_ONCE: ("Dibayar tepat sekali", "Settled exactly once"),
    Invariant.CONSERVATION: (
        "Yang dimuat sama dengan yang dipakai dan sisa",
        "What was issued equals what was used and what is left",
    ),
    Invariant.STOCK: ("Barang cocok dengan penyerahan", "Stock matches hand-overs"),
    Invariant.NO_SPECIMEN: ("Tidak ada kartu contoh", "No specimen row"),
    Invariant.CHAINED_LEDGER: (
        "Buku besar dan catatan penerbitan bersambung",
        "Ledger and issuance log are chained under published heads",
    ),
    Invariant.DECREE_ROW: ("Setiap muatan punya baris SK", "Every load has its decree row"),
    Invariant.ISSUANCE_LOG: (
        "Setiap sertifikat dan skrip tercatat",
        "Every certificate, enrolment and script stands in the issuance log",
    ),
}
