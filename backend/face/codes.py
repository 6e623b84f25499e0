"""What each code of the wire (docs/wire.md) is called: Indonesian first, English second."""

from __future__ import annotations

from enum import IntEnum

from wire.chain import IssuanceKind
from wire.cvc import CaKind, Role
from wire.entitlement import ScriptAction
from wire.env import Environment
from wire.log import CardSaid, DeskStep, Reason, RecordType, StockMove
from wire.objects import DecisionKind, KeyRole, StationKind, Unit, VerificationDecision
from wire.receipt import Interface, ReceiptKind, StatementKind, Verification

CODES: dict[type[IntEnum], dict[int, tuple[str, str]]] = {
    ReceiptKind: {1: ("penarikan", "debit"), 2: ("pembatalan", "reversal")},
    StatementKind: {
        1: ("pemuatan", "load"), 2: ("pengaktifan", "activation"),
        3: ("PIN dipasang", "PIN set"), 4: ("skrip", "script"),
    },
    Verification: {
        0: ("tidak ada", "none"), 1: ("PIN", "PIN"),
        2: ("tanpa PIN, dengan pengawas", "bypass by a supervisor"),
    },
    Interface: {1: ("kontak", "contact"), 2: ("nirkontak", "contactless")},
    ScriptAction: {
        1: ("blokir", "block"), 2: ("buka blokir", "unblock"),
        3: ("buka PIN", "unblock the PIN"), 4: ("atur ulang PIN", "reset the PIN"),
    },
    Role: {
        1: ("terminal", "terminal"), 2: ("pengawas", "supervisor"),
        3: ("penyerahan kartu", "handover"), 4: ("pembuatan kartu", "personaliser"),
    },
    CaKind: {
        ord("R"): ("kunci akar", "root key"), ord("T"): ("pembuat terminal", "terminal CA"),
        ord("C"): ("pembuat kartu", "card CA"), ord("I"): ("penerbit hak", "issuer"),
    },
    KeyRole: {
        0: ("akar", "root"), 1: ("pembuat kartu", "card CA"),
        2: ("pembuat terminal", "terminal CA"),
        3: ("penerbit hak", "issuer"), 4: ("registri", "registry"), 5: ("kebijakan", "policy"),
        6: ("tanda terima", "acknowledgement"), 7: ("persetujuan", "approval"),
        8: ("catatan terminal", "station log"),
    },
    Unit: {
        1: ("rupiah", "rupiah"), 2: ("gram", "gram"), 3: ("mililiter", "millilitre"),
        4: ("buah", "piece"), 5: ("kunjungan", "visit"), 6: ("paket", "basket"),
    },
    StationKind: {1: ("terminal", "terminal"), 2: ("meja", "desk")},
    VerificationDecision: {
        1: ("ditemukan", "verified"), 2: ("tidak ditemukan", "not found"),
        3: ("pindah", "moved"), 4: ("menolak", "refused"),
    },
    DecisionKind: {
        1: ("bayar", "pay"), 2: ("kembalikan", "return"), 3: ("pindahkan", "move"),
        4: ("hapus", "write off"), 5: ("tutup celah", "close a gap"),
    },
    IssuanceKind: {
        1: ("sertifikat kartu", "card certificate"),
        2: ("sertifikat terminal", "terminal certificate"), 3: ("hak", "entitlement"),
        4: ("skrip", "script"), 5: ("sambungan kunci", "link"),
        6: ("pendaftaran terminal", "enrolment"), 7: ("kartu dibuang", "scrapped card"),
        8: ("objek", "object"),
    },
    RecordType: {
        1: ("mulai", "BOOT"), 2: ("jam", "CLOCK"), 3: ("ambil data", "SYNC"), 4: ("jaga", "SHIFT"),
        5: ("barang", "STOCK"), 6: ("niat", "INTENT"), 7: ("struk", "RECEIPT"),
        8: ("batal", "ABORTED"), 9: ("belum pasti", "PENDING"), 10: ("diserahkan", "DELIVERED"),
        11: ("muat", "LOAD"), 12: ("skrip", "SCRIPT"), 13: ("PIN", "PIN"),
        14: ("niat batal", "VOID"), 15: ("barang kembali", "RETURNED"),
        16: ("barang diberikan lagi", "GIVEN BACK"), 17: ("penyerahan kartu", "HANDOVER"),
        18: ("dibawa pulang", "COLLECTED"), 19: ("sanggahan", "DISPUTE"),
        20: ("kartu ditolak", "REJECTED"), 21: ("hitungan", "CHECKPOINT"), 22: ("meja", "DESK"),
        23: ("kartu dibaca", "CARD READ"),
    },
    StockMove: {
        1: ("diterima", "received"), 2: ("dihitung", "counted"), 3: ("hilang", "lost"),
        4: ("dikirim kembali", "sent back"),
    },
    Reason: {
        1: ("kartu contoh", "specimen card"), 2: ("kartu lain", "foreign card"),
        3: ("kartu mati", "dead card"), 4: ("diblokir", "hotlisted"),
        5: ("sertifikat kartu", "card certificate"), 6: ("mundur", "rolled back"),
        7: ("hak palsu", "forged entitlement"), 8: ("di atas batas", "above the ceiling"),
        9: ("jati diri berubah", "identity changed"), 10: ("isi lama", "restored image"),
        11: ("kartu terkunci", "blocked"), 12: ("belum aktif", "not active"),
        13: ("data terlalu lama", "data too old"), 14: ("kartu latihan", "training card"),
        15: ("tanda terima mendahului", "acknowledged ahead"),
    },
    DeskStep: {
        1: ("mulai", "started"), 2: ("kunci pengelola", "management keys"),
        3: ("dipasang", "installed"), 4: ("kunci dibuat", "keys made"),
        5: ("bersertifikat", "certified"), 6: ("dipersonalisasi", "personalised"),
        7: ("dimuat", "loaded"), 8: ("diperiksa", "verified"), 9: ("dibuang", "scrapped"),
        10: ("gagal", "failed"),
    },
    CardSaid: {
        1: ("kartu lain", "foreign card"), 2: ("kartu kosong", "blank card"),
        3: ("setengah jadi", "half-made"), 4: ("kartu program, isinya dibaca", "purse, opened"),
        5: ("kartu program, tidak terbuka", "purse, closed"), 6: ("kartu contoh", "specimen card"),
        7: ("lingkungan lain", "other environment"), 8: ("versi tidak dikenal", "unknown version"),
        9: ("tidak menjawab", "mute"), 10: ("terlepas", "pulled"),
    },
    Environment: {
        0x01: ("sungguhan", "live"), 0x02: ("contoh", "specimen"),
        0x81: ("DEMO", "DEMO"), 0x82: ("DEMO, contoh", "DEMO, specimen"),
    },
}  # fmt: skip


def code(member: IntEnum) -> tuple[str, str]:
    """The word for one code."""
    return CODES[type(member)][int(member)]
