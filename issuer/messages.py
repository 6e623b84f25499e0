"""What a person at the desk reads: every outcome and error, Indonesian first, English second.

A text says what happened, what was kept and what to do next (docs/ui.md#words); all of them stand
in docs/errors.md.
"""

# ruff: noqa: ISC004 - a pair of texts, each over lines
from __future__ import annotations

from typing import Final

from issuer import cap_messages
from issuer.errors import Code
from issuer.outcomes import Outcome
from wire.log import CardSaid, DeskStep
from wire.objects import VerificationDecision
from wire.purse import Life

OUTCOMES: Final[dict[str, tuple[str, str]]] = {
    "Issued": (
        "Kartu selesai: dibaca ulang dan benar. Simpan untuk diserahkan; kodenya lewat pos.",
        "Card issued: read back and right. Keep it for hand-over; its code goes by mail.",
    ),
    "TurnedAway.mute": (
        "Kartu tidak menjawab. Tidak ada yang ditulis. Coba sekali lagi, lalu sisihkan.",
        "The card does not answer. Nothing was written. Try once more, then put it aside.",
    ),
    "TurnedAway.foreign": (
        "Ini bukan kartu untuk program ini. Tidak ada yang ditulis. Kembalikan kepada pemiliknya.",
        "This is no card for this programme. Nothing was written. Give it back to its owner.",
    ),
    "TurnedAway.specimen": (
        "Ini kartu contoh. Tidak ada yang ditulis; kartu contoh tidak dibuat di meja ini.",
        "This is a specimen card. Nothing was written; this desk makes none.",
    ),
    "TurnedAway.other-world": (
        "Kartu dari lingkungan lain. Tidak ada yang ditulis. Sisihkan.",
        "A card of another environment. Nothing was written. Put it aside.",
    ),
    "TurnedAway.unknown-version": (
        "Versi kartu tidak dikenal. Tidak ada yang ditulis. Perbarui program meja ini.",
        "The card's version is not known. Nothing was written. Renew this desk's program.",
    ),
    "TurnedAway.scrapped": (
        "Kartu ini sudah dinyatakan rusak. Tidak ada yang ditulis. Masukkan ke kotak rusak.",
        "This card was scrapped before. Nothing was written. Put it with the scrapped ones.",
    ),
    "Refused.no-order": (
        "Tidak ada pesanan yang menunggu. Kartu tidak diubah. Ambil pesanan baru.",
        "No order is waiting. The card was not changed. Fetch new orders.",
    ),
    "Refused.order-ended": (
        "Masa berlaku pesanan sudah lewat. Kartu tidak diubah. Minta pesanan baru.",
        "The order has ended. The card was not changed. Ask for a new one.",
    ),
    "Refused.order-has-card": (
        "Pesanan ini punya kartu yang belum selesai. Masukkan kartu itu, atau nyatakan rusak.",
        "This order has a card that is not finished. Put that one in, or scrap it.",
    ),
    "Refused.card-of-other-order": (
        "Kartu ini milik pesanan lain. Tidak ada yang diubah. Proses dengan pesanannya sendiri.",
        "This card belongs to another order. Nothing was changed. Work on it under its own.",
    ),
    "Refused.order-issued": (
        "Pesanan ini sudah menghasilkan kartu. Tidak ada yang diubah.",
        "This order made its card already. Nothing was changed.",
    ),
    "Refused.card-issued": (
        "Kartu ini sudah selesai. Tidak ada yang diubah. Simpan untuk diserahkan.",
        "This card is issued already. Nothing was changed. Keep it for hand-over.",
    ),
    "Refused.other-row": (
        "Pesanan ini menunjuk baris SK yang bukan milik keluarga itu. Tidak ada kartu yang "
        "dibuat. Lewati keluarga ini, lalu laporkan ke kantor.",
        "This order names a row of the decree that is not that family's. No card was made. "
        "Skip this family, then report it to the office.",
    ),
    "KeyServiceRefused": (
        "Layanan kunci menolak atau tidak menjawab. Yang sudah selesai tersimpan. Lihat alasannya.",
        "The key service refused or does not answer. What was done is kept. See its reason.",
    ),
    "WrongKeys": (
        "Kartu tidak mengenal kunci kiriman pabrik. Dicoba sekali saja. Sisihkan; periksa kiriman.",
        "The card does not know the maker's keys. One try was made. Put it aside; check the batch.",
    ),
    "Interrupted": (
        "Kartu terlepas sebelum selesai. Yang dibuat tersimpan. Masukkan lagi kartu yang sama.",
        "The card left before it was done. What was made is kept. Put the same card in again.",
    ),
    "Faulty": (
        "Kartu menjawab tidak semestinya. Coba sekali lagi; kalau terulang, nyatakan rusak.",
        "The card answered what it must not. Try once more; if it happens again, scrap it.",
    ),
    "Unfinishable.other-keys": (
        "Kunci pada kartu bukan kunci kita. Kartu ini tidak dapat diselesaikan; nyatakan rusak.",
        "The card's keys are not ours. It can never be finished; scrap it.",
    ),
    "Unfinishable.foreign-key-set": (
        "Ada kunci lain yang tertinggal pada kartu. Jangan dipakai; nyatakan rusak dan laporkan.",
        "A further key set was left on the card. Do not use it; scrap it and report it.",
    ),
    "Unfinishable.certificate": (
        "Sertifikat kartu tidak cocok. Kartu ini tidak dapat diselesaikan; nyatakan rusak.",
        "The card's certificate does not fit. It can never be finished; scrap it.",
    ),
    "Unfinishable.code-lost": (
        "Surat kode kartu ini hilang. Kartu tidak dapat diaktifkan dengannya; nyatakan rusak.",
        "This card's code letter is lost, so it could not be activated with it; scrap it.",
    ),
    "Unfinishable.life": (
        "Kartu ini sudah pernah diserahkan. Jangan diserahkan lagi; nyatakan rusak dan laporkan.",
        "This card was handed over before. Do not hand it over again; scrap it and report it.",
    ),
    "Unfinishable.content": (
        "Isi kartu tidak sama dengan yang dimuat. Jangan diserahkan; nyatakan rusak.",
        "The card does not hold what was loaded. Do not hand it over; scrap it.",
    ),
    "Waiting": (
        "Kartu sudah dibuat, haknya belum dapat diambil. Masukkan lagi setelah kantor terhubung.",
        "The card is made; its entitlements could not be had. Put it in again once the office "
        "answers.",
    ),
    "Scrapped": (
        "Kartu dinyatakan rusak dan tidak pernah berlaku. Pesanannya terbuka untuk kartu lain.",
        "The card was scrapped and never counts. Its order is open for another card.",
    ),
}

ERRORS: Final[dict[Code, tuple[str, str]]] = {
    Code.ISSUER: ("Meja ini tidak dapat bekerja.", "The desk cannot work."),
    Code.LOG: (
        "Catatan meja tidak dapat dibaca atau ditulis. Jangan lanjutkan; hubungi kantor.",
        "The desk log could not be read or written. Do not go on; call the office.",
    ),
    Code.LOG_FULL: (
        "Penyimpanan penuh; langkah ini tidak tercatat. Unggah catatan atau kosongkan tempat.",
        "The disk is full; this step was not recorded. Upload the log or make room.",
    ),
    Code.LOG_BUSY: (
        "Catatan meja sedang dipakai program lain. Tidak ada yang ditulis. Ulangi sebentar lagi.",
        "Another program uses the desk log. Nothing was written. Try again shortly.",
    ),
    Code.LOG_DAMAGED: (
        "Catatan meja rusak. Jangan lanjutkan; simpan mapnya dan hubungi kantor.",
        "The desk log is damaged. Do not go on; keep the folder and call the office.",
    ),
    Code.LOG_OF_ANOTHER: (
        "Catatan ini milik meja lain. Tidak ada yang ditulis. Pakai map meja ini sendiri.",
        "This log belongs to another desk. Nothing was written. Use this desk's own folder.",
    ),
    Code.ACK_REFUSED: (
        "Tanda terima bukan untuk catatan ini. Tidak ada yang dihapus.",
        "The acknowledgement is not for this log. Nothing was pruned.",
    ),
    Code.ORDER_REFUSED: (
        "Pesanan tidak sah untuk meja ini. Tidak diambil.",
        "The order does not stand at this desk. It was not taken.",
    ),
    Code.ORDER_DIFFERS: (
        "Pesanan bernomor sama berisi lain. Yang pertama tetap berlaku; laporkan.",
        "An order of the same number says otherwise. The first one stays; report it.",
    ),
    Code.ORDER_UNKNOWN: (
        "Pesanan itu tidak ada di meja ini. Ambil pesanan dahulu.",
        "This desk holds no such order. Fetch the orders first.",
    ),
    Code.CAP: (
        "Berkas CAP tidak dapat dipakai untuk kartu ini. Tidak ada kartu yang disentuh.",
        "The CAP file cannot be used for this card. No card was touched.",
    ),
    Code.PROFILE: (
        "Profil kartu atau berkas kunci kiriman tidak dapat dipakai. Tidak ada kartu yang "
        "disentuh.",
        "The card profile or the file of transport keys cannot be used. No card was touched.",
    ),
    Code.CONFIG: (
        "Map meja tidak dapat dipakai. Tidak ada yang diubah.",
        "The desk's folder cannot be used. Nothing was changed.",
    ),
    Code.NOT_PROVISIONED: (
        "Meja ini belum disiapkan. Pasang berkas dari kantor.",
        "This desk is not provisioned. Install the office's file.",
    ),
    Code.TRANSFER: (
        "Kantor tidak dapat dihubungi, atau menolak. Semua tersimpan untuk nanti.",
        "The office could not be reached, or refused. Everything is kept for next time.",
    ),
    Code.MAIL: (
        "Surat kode tidak dapat disegel, disimpan, atau dibuka.",
        "The code's mailer could not be sealed, kept or opened.",
    ),
    Code.SKIP: (
        "Pesanan ini tidak dilewati: hanya yang baris SK-nya salah yang boleh dilewati.",
        "The order was not skipped: only one that names a wrong decree row may be.",
    ),
    Code.SCRAP: (
        "Tidak ada yang dinyatakan rusak. Lihat alasannya.",
        "Nothing was scrapped. See the reason.",
    ),
}

TITLES: Final[dict[str, tuple[str, str]]] = {
    "Issued": ("Selesai", "Issued"),
    "TurnedAway": ("Bukan untuk meja ini", "Not for this desk"),
    "TurnedAway.mute": ("Kartu tidak menjawab", "Card does not answer"),
    "TurnedAway.foreign": ("Bukan kartu program ini", "No card of this programme"),
    "TurnedAway.specimen": ("Kartu contoh", "Specimen card"),
    "TurnedAway.scrapped": ("Kartu ini sudah rusak", "Scrapped before"),
    "Refused": ("Tidak dikerjakan", "Not begun"),
    "Refused.card-issued": ("Kartu ini sudah selesai", "Issued already"),
    "Refused.other-row": ("Baris SK bukan milik keluarga ini", "Not this family's decree row"),
    "KeyServiceRefused": ("Layanan kunci menolak", "Key service refused"),
    "WrongKeys": ("Kunci pabrik tidak cocok", "Maker's keys do not fit"),
    "Interrupted": ("Kartu terlepas", "The card came out"),
    "Faulty": ("Jawaban kartu salah", "Card answered wrongly"),
    "Unfinishable": ("Tidak dapat diselesaikan", "Cannot be finished"),
    "Waiting": ("Menunggu hak", "Waits for entitlements"),
    "Scrapped": ("Dinyatakan rusak", "Scrapped"),
}
"""A few words for each outcome, by its key or the name of its type."""

STEPS: Final[dict[DeskStep, tuple[str, str]]] = {
    DeskStep.STARTED: ("Pesanan dipasangkan dengan kartu", "Order bound to the card"),
    DeskStep.MANAGEMENT_KEYS: ("Kunci pabrik diganti kunci kita", "Maker's keys replaced by ours"),
    DeskStep.INSTALLED: ("Dompet dipasang", "Purse installed"),
    DeskStep.KEYS_MADE: ("Kartu membuat kuncinya sendiri", "Card made its own keys"),
    DeskStep.CERTIFIED: ("Kunci kartu disahkan", "Card's keys certified"),
    DeskStep.PERSONALISED: ("Sertifikat dan kode ditulis", "Certificate and code written"),
    DeskStep.LOADED: ("Hak dimuat", "Entitlements loaded"),
    DeskStep.VERIFIED: ("Dibaca ulang dan diperiksa", "Read back and checked"),
    DeskStep.SCRAPPED: ("Dinyatakan rusak", "Scrapped"),
    DeskStep.FAILED: ("Gagal", "Failed"),
}

KINDS: Final[dict[CardSaid, tuple[tuple[str, str], tuple[str, str]]]] = {
    CardSaid.FOREIGN: (
        ("Bukan kartu program ini", "No card of this programme"),
        (
            "Misalnya kartu bank. Kembalikan kepada pemiliknya.",
            "Perhaps a bank card. Give it back to its owner.",
        ),
    ),
    CardSaid.BLANK: (
        ("Kartu kosong", "A blank card"),
        (
            "Masih seperti dari pabrik; belum ada apa-apa di dalamnya.",
            "As its maker delivered it; nothing is on it yet.",
        ),
    ),
    CardSaid.OWN_KEYS: (
        ("Kartu setengah jadi", "A half-made card"),
        (
            "Sudah memakai kunci kita, belum punya dompet. Masukkan lagi untuk diteruskan.",
            "It has our keys and no purse yet. Put it in again to go on with it.",
        ),
    ),
    CardSaid.PURSE: (
        ("Kartu program ini", "A card of this programme"),
        (
            "Dibuat untuk lingkungan yang sama dengan meja ini.",
            "Made for the same environment as this desk.",
        ),
    ),
    CardSaid.PURSE_CLOSED: (
        ("Kartu program ini, tidak terbuka", "A card of this programme that does not open"),
        (
            "Belum disahkan layanan kunci meja ini, atau layanannya tidak menjawab.",
            "Not certified by this desk's key service yet, or the service does not answer.",
        ),
    ),
    CardSaid.SPECIMEN: (
        ("Kartu contoh", "A specimen card"),
        (
            "Tidak dapat dipakai mengambil bantuan, dan tidak dibuat di meja ini.",
            "It draws no aid, and this desk makes none.",
        ),
    ),
    CardSaid.OTHER_WORLD: (
        ("Kartu dari lingkungan lain", "A card of another environment"),
        (
            "Meja ini tidak mengerjakannya. Sisihkan.",
            "This desk does not work on it. Put it aside.",
        ),
    ),
    CardSaid.UNKNOWN_VERSION: (
        ("Versi kartu tidak dikenal", "A card of unknown version"),
        ("Perbarui program meja ini.", "Renew this desk's program."),
    ),
    CardSaid.PULLED: (
        ("Kartu terlepas saat dibaca", "The card left while it was read"),
        ("Tidak ada yang berubah. Masukkan lagi.", "Nothing changed. Put it in again."),
    ),
    CardSaid.MUTE: (
        ("Kartu tidak menjawab", "The card does not answer"),
        (
            "Bersihkan kontaknya dan coba lagi, atau sisihkan.",
            "Clean its contacts and try again, or put it aside.",
        ),
    ),
}
"""What a card proved to be when it was read, and what to do."""

DECISIONS: Final[dict[VerificationDecision, tuple[str, str]]] = {
    VerificationDecision.VERIFIED: ("sesuai", "verified"),
    VerificationDecision.NOT_FOUND: ("tidak ditemukan", "not found"),
    VerificationDecision.MOVED: ("pindah", "moved"),
    VerificationDecision.REFUSED: ("ditolak", "refused"),
}

LIVES: Final[dict[Life, tuple[str, str]]] = {
    Life.INSTALLED: ("dompet terpasang, belum punya kunci", "purse installed, no keys yet"),
    Life.KEYED: ("punya kunci, belum selesai", "has keys, not finished"),
    Life.INERT: ("selesai dibuat, belum diserahkan", "made, not handed over yet"),
    Life.ACTIVE: ("aktif di tangan keluarga", "active, with its family"),
}

CONTACTING: Final = (
    "Menghubungi kantor: mengirim catatan, mengambil pesanan.",
    "Asking the office: sending the log, fetching orders.",
)
NO_OFFICE: Final = (
    "Meja ini bekerja dengan berkas. Ambil pesanan dengan betang-issuer orders --file.",
    "This desk works by files. Take orders with betang-issuer orders --file.",
)
READER: Final = (
    "Pembaca atau kartu tidak siap. Tidak ada yang diubah.",
    "Reader or card is not ready. Nothing was changed.",
)
DATA: Final = (
    "Data atau berkas tidak dapat dipakai. Tidak ada yang diubah.",
    "The data or file cannot be used. Nothing was changed.",
)


def text(outcome: Outcome) -> tuple[str, str]:
    """Both texts of an outcome, of a card's making or of an applet's load."""
    return OUTCOMES.get(outcome.key) or cap_messages.OUTCOMES[outcome.key]


def contacted(sent: int, new: int, refused: int) -> tuple[str, str]:
    """What a visit of the office brought."""
    texts = (f"Kantor menjawab: {new} pesanan baru, {sent} catatan terkirim.",
             f"The office answered: {new} new orders, {sent} records sent.")  # fmt: skip
    if not refused:
        return texts
    return (f"{texts[0]} {refused} pesanan tidak sah dan tidak diambil; laporkan.",
            f"{texts[1]} {refused} orders do not stand and were not taken; report it.")  # fmt: skip


def title(key: str) -> tuple[str, str]:
    """A few words for the outcome of this key."""
    return TITLES.get(key) or TITLES[key.partition(".")[0]]
