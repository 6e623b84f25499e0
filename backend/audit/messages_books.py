"""What each finding about money, goods and decisions says (docs/audit.md); as `messages_facts`."""

from __future__ import annotations

from backend.audit.facts import Fact

BOOKS: dict[Fact, tuple[str, str]] = {
    # settlement (13)
    Fact.PAYABLE_UNPROVEN: (
        "utang tanpa penarikan yang terbukti",
        "a payable without a proven debit",
    ),
    Fact.PAYABLE_OTHER: (
        "utang dengan jumlah atau penyalur lain daripada struknya",
        "a payable of another amount or provider than its receipt gives",
    ),
    Fact.PAYABLE_TWICE: ("satu penarikan diutangkan dua kali", "one debit is payable twice"),
    Fact.UNPAYABLE_NOTHING: (
        "utang dihapus padahal tidak ada",
        "an unpayable of nothing that was payable",
    ),
    Fact.SETTLEMENT_SHAPE: (
        "pembayaran bukan dari satu program kepada satu penyalur",
        "a settlement that is not of one programme to one provider",
    ),
    Fact.SETTLEMENT_SUM: (
        "pembayaran bukan jumlah dari yang dibayarnya",
        "a settlement that is not the sum of what it says it pays",
    ),
    Fact.PAID_BUT_HELD: (
        "dibayar atau diutangkan, padahal ditahan: {holds}",
        "paid or owed, but held: {holds}",
    ),
    Fact.NOT_OWED: ("harus dibayar, tetapi tidak diutangkan", "payable, but not owed"),
    # ledger (14, 15)
    Fact.LEDGER_MISSING: (
        "{entry_kind} ({good}) tidak ada di buku besar",
        "{entry_kind} ({good}) is missing from the ledger",
    ),
    Fact.LEDGER_UNEXPLAINED: (
        "{entry_kind} ({good}) ada di buku besar tanpa dasar",
        "{entry_kind} ({good}) stands in the ledger without an object that gives it",
    ),
    Fact.LEDGER_OTHER: (
        "{entry_kind} ({good}) memakai akun atau jumlah lain daripada dasarnya",
        "{entry_kind} ({good}) has other accounts or amounts than its object gives",
    ),
    Fact.FORFEIT_UNSHOWN: (
        "dicatat hangus, tetapi tidak ada struk atau bukti yang menunjukkannya",
        "a forfeit that no receipt or statement shows",
    ),
    Fact.FORFEIT_OTHER: (
        "{booked} dicatat hangus, kartu menunjukkan {shown}",
        "{booked} booked as forfeited, the card shows {shown}",
    ),
    Fact.LEDGER_KIND: (
        "jenis isian buku besar tidak dikenal",
        "an entry of an unknown kind: {detail}",
    ),
    # goods (15)
    Fact.COUNTED_OTHER: (
        "{good}: dihitung {counted}, menurut catatannya tersisa {left}",
        "{good}: counted {counted}, its records leave {left}",
    ),
    Fact.NO_DELIVERY: (
        "barang datang atau pergi tanpa surat jalan bertanda tangan untuk terminal ini",
        "stock came or went without a signed delivery to this terminal",
    ),
    Fact.RECEIVED_TWICE: ("{good} diterima dua kali", "{good} was received twice"),
    Fact.RECEIVED_OTHER: (
        "{good}: diterima {quantity}, surat jalannya {signed}",
        "{good}: received {quantity}, the delivery says {signed}",
    ),
    Fact.MORE_OUT: (
        "{good}: keluar {quantity} lebih banyak daripada yang masuk",
        "{good}: {quantity} more went out than came in",
    ),
    # what a load stands on (18)
    Fact.ROW_NO_VISIT: (
        "baris SK tanpa kunjungan yang menemukan keluarganya",
        "the row stands on no visit that found its family",
    ),
    Fact.DECISION_NO_CARD: (
        "keputusan tentang kartu yang tidak pernah disertifikasi",
        "a decision about a card that was never certified",
    ),
    Fact.MOVED_FAMILY: ("dipindahkan ke kartu keluarga lain", "moved to a card of another family"),
    Fact.MOVED_MORE: (
        "dipindahkan lebih banyak daripada sisa kartu lama",
        "more was moved than the old card had left",
    ),
    Fact.MOVED_EARLY: (
        "dipindahkan melebihi jumlah sementara, padahal suatu terminal belum mengenal blokir",
        "more than the provisional amount was moved while a terminal did not know of the block",
    ),
    Fact.RETURNED_MORE: (
        "dikembalikan lebih banyak daripada yang diambil struknya",
        "more was returned than these receipts took",
    ),
    Fact.NO_CAUSE: (
        "hak naik tanpa baris SK atau keputusan",
        "L rises without a decree row or decision",
    ),
    Fact.CAUSE_NO_STEP: (
        "menyebut baris SK atau keputusan tanpa menaikkan hak",
        "cites a decree row or decision without raising L",
    ),
    Fact.CAUSE_TWICE: (
        "baris SK atau keputusan ini sudah dipakai",
        "its decree row or decision funded an earlier step",
    ),
    Fact.NO_DECISION: (
        "menyebut keputusan yang tidak ada dalam ekspor",
        "cites no decision of the export",
    ),
    Fact.DECISION_GIVES_NOTHING: (
        "menyebut keputusan yang tidak memberi apa-apa kepada kartu",
        "cites a decision that gives nothing to a card",
    ),
    Fact.DECISION_OTHER: (
        "keputusan yang disebut tentang kartu atau dompet lain",
        "the decision cited is about another card or wallet",
    ),
    Fact.DECISION_LESS: (
        "lebih banyak daripada yang diberikan keputusan",
        "more than the decision gives",
    ),
    Fact.NO_ROW: (
        "menyebut baris SK yang tidak ada dalam ekspor",
        "cites no decree row of the export",
    ),
    Fact.ROW_OTHER: (
        "baris SK yang disebut milik keluarga atau program lain",
        "the decree row cited is another family's or programme's",
    ),
    Fact.ROW_LESS: (
        "lebih banyak daripada yang diberikan baris SK",
        "more than the decree row gives",
    ),
    Fact.FUNDS_LESS: (
        "lebih banyak daripada dana yang cair sebelumnya",
        "more than the funds released before it",
    ),
    # what a closed terminal explains
    Fact.CLOSED: (
        "ditutup setelah catatan {number}; petugas {officers}",
        "closed after record {number}; officers {officers}",
    ),
    Fact.WRITTEN_OFF: (
        "masuk akun kehilangan: {good} {quantity}",
        "to the loss account: {good} {quantity}",
    ),
    Fact.BROUGHT_HOME: (
        "struk {receipt} dibawa pulang kartunya: {amount_minor}, menunggu keputusan",
        "receipt {receipt} brought home by its card: {amount_minor}, waiting for a decision",
    ),
    Fact.BROUGHT_HOME_DECIDED: (
        "struk {receipt} dibawa pulang kartunya: {amount_minor}, sudah diputuskan",
        "receipt {receipt} brought home by its card: {amount_minor}, decided",
    ),
    Fact.OUTCOME_UNKNOWN: (
        "niat {intent}: hasilnya tidak tercatat",
        "intent {intent}: outcome not recorded",
    ),
    Fact.CARD_COUNT: ("kartu {card}: {fact}", "card {card}: {fact}"),
}
