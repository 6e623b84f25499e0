"""What a person reads: every outcome, warning and error, Indonesian first, English second.

A text says what happened, what was kept and what to do next (docs/ui.md#words). Placeholders are
filled by :func:`text`. All of them stand in docs/errors.md.
"""

# ruff: noqa: ISC004 - a pair of texts, each over lines
from __future__ import annotations

import dataclasses
from typing import Any

from terminal.errors import Code
from terminal.outcomes import Nothing, Outcome, Redeemed, Voided, Warn
from ui import show
from wire.objects import Unit

_BECOME = (
    "Untuk menjadi penerima, keluarga didata dan diverifikasi petugas lapangan; tanyakan di "
    "kantor desa.",
    "To become a recipient a family is registered and visited by a field officer; ask at the "
    "village office.",
)

OUTCOMES: dict[str, tuple[str, str]] = {
    # this terminal
    "TerminalRefused.restored-image": (
        "Data mesin ini pernah disalin atau dipulihkan dari salinan lama, dan mesin berhenti "
        "bekerja. Tidak ada yang diubah. "
        "Hubungi kantor: mesin perlu didaftarkan ulang.",
        "This terminal's data was copied, or restored from an old copy, and it has stopped. "
        "Nothing was changed. "
        "Call the office: it must be enrolled anew.",
    ),
    "TerminalRefused.no-certificate": (
        "Mesin atau petugas ini belum punya sertifikat yang berlaku. Pasang data terbaru.",
        "This terminal or officer has no valid certificate. Install the newest data.",
    ),
    "TerminalRefused.certificate-ended": (
        "Sertifikat mesin atau petugas ini sudah berakhir. Pasang data terbaru, lalu ulangi.",
        "The certificate of this terminal or officer has ended. Install the newest data, then "
        "try again.",
    ),
    "TerminalRefused.card-refuses-us": (
        "Kartu menolak mesin ini. Tidak ada saldo yang berubah. Pasang data terbaru, lalu ulangi.",
        "The card refuses this terminal. No balance was changed. Install the newest data, then "
        "try again.",
    ),
    "TerminalRefused.no-data": (
        "Mesin ini belum berisi data penerima. Pasang data terbaru.",
        "This terminal holds no data yet. Install the newest data.",
    ),
    "TerminalRefused.no-shift": (
        "Buka sesi petugas lebih dahulu. Kartu tidak diubah.",
        "Open a shift first. The card was not changed.",
    ),
    "TerminalRefused.store-full": (
        "Penyimpanan mesin penuh; langkah ini tidak tercatat. Jangan serahkan apa pun. Unggah "
        "data atau hubungi kantor.",
        "The terminal's disk is full; this step was not recorded. Hand nothing over. Upload or "
        "call the office.",
    ),
    "TerminalRefused.store": (
        "Catatan mesin tidak dapat ditulis; langkah ini tidak tercatat. Jangan serahkan apa pun. "
        "Hubungi kantor.",
        "The terminal's journal cannot be written; this step was not recorded. Hand nothing "
        "over. Call the office.",
    ),
    # this card
    "CardRefused.SPECIMEN_CARD": (
        "Ini kartu contoh, bukan kartu bantuan. Kartu tidak diubah. " + _BECOME[0],
        "This is a specimen, not an aid card. It was not changed. " + _BECOME[1],
    ),
    "CardRefused.TRAINING_CARD": (
        "Ini kartu asli, sedangkan mesin ini untuk latihan. Kartu tidak diubah. Pakai mesin titik "
        "bagi.",
        "This is a real card, and this terminal is for training. It was not changed. Use the "
        "distribution point's terminal.",
    ),
    "CardRefused.FOREIGN_CARD": (
        "Kartu ini bukan kartu bantuan yang dikenal mesin ini. Kartu tidak diubah. " + _BECOME[0],
        "This is not an aid card that this terminal knows. It was not changed. " + _BECOME[1],
    ),
    "CardRefused.DEAD_CARD": (
        "Kartu tidak menjawab. Bersihkan dan pasang lagi; bila tetap, kantor mengganti kartunya. "
        "Bantuan keluarga tidak hilang. " + _BECOME[0],
        "The card does not answer. Wipe it and insert it again; if it stays so, the office "
        "replaces it. The family's aid is not lost. " + _BECOME[1],
    ),
    "CardRefused.HOTLISTED": (
        "Kartu ini diblokir (dilaporkan hilang atau diganti). Tidak ada saldo yang diambil. "
        "Keluarga menghubungi kantor dengan identitasnya.",
        "This card is blocked (reported lost, or replaced). Nothing was taken. The family "
        "contacts the office with its identity papers.",
    ),
    "CardRefused.CARD_CERTIFICATE": (
        "Tanda pengenal kartu ini tidak sah. Kartu tidak diubah dan kejadian dicatat. Hubungi "
        "kantor.",
        "This card's certificate is not valid. It was not changed and this was logged. Call the "
        "office.",
    ),
    "CardRefused.ROLLED_BACK": (
        "Kartu menunjukkan keadaan lebih lama daripada yang tercatat. Tidak ada yang diambil; "
        "kejadian dicatat. Simpan kartu dan hubungi kantor.",
        "The card shows an older state than recorded. Nothing was taken; this was logged. Keep "
        "the card and call the office.",
    ),
    "CardRefused.ENTITLEMENT_FORGED": (
        "Hak pada kartu ini tidak sah. Tidak ada yang diambil; kejadian dicatat. Hubungi kantor.",
        "The entitlement on this card is not valid. Nothing was taken; this was logged. Call the "
        "office.",
    ),
    "CardRefused.ABOVE_CEILING": (
        "Isi kartu melebihi batas program. Tidak ada yang diambil; kejadian dicatat. Hubungi "
        "kantor.",
        "The card holds more than its programme allows. Nothing was taken; this was logged. Call "
        "the office.",
    ),
    "CardRefused.IDENTITY_CHANGED": (
        "Kartu ini tidak cocok dengan catatannya. Tidak ada yang diserahkan; kejadian dicatat. "
        "Simpan kartu dan hubungi kantor.",
        "This card does not match its records. Hand nothing over; this was logged. Keep the card "
        "and call the office.",
    ),
    "CardRefused.RESTORED_IMAGE": (
        "Kartu memuat bukti dari mesin ini yang tidak ada dalam catatannya. Kartu tidak dilayani; "
        "kejadian dicatat. Hubungi kantor.",
        "The card holds receipts of this terminal that its journal does not know. It is not "
        "served; this was logged. Call the office.",
    ),
    "CardRefused.ACKNOWLEDGED_AHEAD": (
        "Data kantor mendahului kartu ini. Tidak ada yang diambil; kejadian dicatat. Hubungi "
        "kantor.",
        "The office's data runs ahead of this card. Nothing was taken; this was logged. Call the "
        "office.",
    ),
    "CardLost": (
        "Kartu terlepas sebelum apa pun diambil. Pasang lagi.",
        "The card was removed before anything was taken. Insert it again.",
    ),
    "StepRefused": (
        "Langkah ini tidak sesuai dengan keadaan sekarang. Tidak ada yang diubah.",
        "This step does not fit: {detail}. Nothing was changed.",
    ),
    # nothing to take
    "Nothing.funds-not-released": (
        "Dana program ini belum cair. {detail} Tanyakan jadwalnya di kantor desa.",
        "The funds of this programme have not been released yet. {detail_en} Ask the village "
        "office for the date.",
    ),
    "Nothing.not-in-round": (
        "Keluarga tidak termasuk penyaluran sekarang, atau masanya belum dibuka{when}. {detail}",
        "The family is not in this round, or it is not open yet{when}. {detail_en}",
    ),
    "Nothing.excluded-by-rule": (
        "Menurut aturan program, keluarga ini tidak menerima. {detail} Keberatan (sanggah) dapat "
        "diajukan di kantor desa.",
        "By the programme's rules this family does not receive. {detail_en} An objection can be "
        "filed at the village office.",
    ),
    "Nothing.blocked": (
        "Kartu ini diblokir. {detail} Keluarga menghubungi kantor dengan identitasnya.",
        "This card is blocked. {detail_en} The family contacts the office with its identity "
        "papers.",
    ),
    "Nothing.replaced": (
        "Kartu ini sudah diganti. {detail} Pakai kartu pengganti.",
        "This card was replaced. {detail_en} Use the new one.",
    ),
    "Nothing.not-active": (
        "Kartu belum diserahkan secara resmi. Petugas penyerahan mengaktifkannya dengan kode.",
        "The card has not been handed over yet. The hand-over officer activates it with the code.",
    ),
    "Nothing.collected": (
        "Sudah diambil{when}{where}: {amount}. Tunggu penyaluran berikutnya.",
        "Already collected{when}{where}: {amount}. Wait for the next round.",
    ),
    "Nothing.expired": (
        "Masa pengambilan sudah lewat ({amount}). Tanyakan di kantor desa.",
        "The time for collecting has passed ({amount}). Ask the village office.",
    ),
    "Nothing.data-too-old": (
        "Data mesin terlalu lama{when} untuk melayani. Pasang data terbaru.",
        "The terminal's data is too old{when} to serve. Install the newest data.",
    ),
    "Nothing.ring-full": (
        "Memori bukti pada kartu penuh. Unggah data mesin, pasang data baru, lalu masukkan kartu"
        " lagi.",
        "The card's memory of receipts is full. Upload, install new data, then insert the card"
        " again.",
    ),
    "Nothing.outcome-pending": (
        "Hasil transaksi kartu ini sebelumnya belum diketahui. Tunggu data baru dari kantor.",
        "The outcome of an earlier transaction of this card is not known yet. Wait for new data "
        "from the office.",
    ),
    "Nothing.unknown-programme": (
        "Program ini belum ada dalam data mesin. Pasang data terbaru.",
        "This programme is not in the terminal's data. Install the newest data.",
    ),
    "Nothing.this-visit": (
        "Sudah diambil pada kunjungan ini. Masukkan kartu lagi untuk mengambil lagi.",
        "Taken in this visit already. Insert the card again to take more.",
    ),
    "Nothing.no-wallet": (
        "Kartu ini tidak memuat program tersebut.",
        "This card does not carry that programme.",
    ),
    "AmountRefused.not-positive": ("Jumlah harus lebih dari nol.", "The amount must be above 0."),
    "AmountRefused.above-available": (
        "Jumlah melebihi sisa. Paling banyak {most}.",
        "More than what is left. At most {most}.",
    ),
    "AmountRefused.above-cap": (
        "Jumlah melebihi batas sekali ambil. Paling banyak {most}.",
        "More than one collection may take. At most {most}.",
    ),
    # PIN
    "PinAccepted": ("PIN benar.", "The PIN is right."),
    "PinWrong": (
        "PIN atau kode salah. Sisa {tries_left} kali.",
        "Wrong PIN or code. {tries_left} tries left.",
    ),
    "PinSpent": (
        "Kesempatan PIN habis. Kantor membuka blokirnya; saldo tetap aman.",
        "No PIN tries are left. The office unblocks it; the balance is safe.",
    ),
    "PinNeeded": ("Masukkan PIN lebih dahulu.", "Enter the PIN first."),
    "PinMalformed": (
        "PIN enam angka, kode delapan angka. Tidak ada yang dikirim ke kartu.",
        "A PIN is six digits, a code eight. Nothing was sent to the card.",
    ),
    "PinTooSimple": (
        "PIN terlalu mudah ditebak atau seperti tanggal. Pilih yang lain.",
        "The PIN is too easy to guess or reads as a date. Choose another.",
    ),
    "PinSet": ("PIN baru berlaku.", "The new PIN is in force."),
    "PinUnknown": (
        "Kartu terlepas saat PIN diatur. Masukkan lagi: kartu menunjukkan PIN mana yang berlaku.",
        "The card left while its PIN was being set. Insert it again: it shows which PIN holds.",
    ),
    "BypassRefused": (
        "Pengecualian PIN tidak mungkin: jatah habis, alasan kosong, atau bukan pengawas.",
        "No PIN bypass: none is left, no reason was given, or this is no supervisor.",
    ),
    # money and goods
    "Redeemed": (
        "Berhasil. Sisa {after}. Serahkan barang atau uang, lalu catat penyerahan.",
        "Paid. {after} left. Hand over, then note the hand-over.",
    ),
    "Redeemed.recovered": (
        "Kartu SUDAH membayar sebelumnya. Sisa {after}. Tanyakan dahulu: apakah barang sudah "
        "diterima? Jangan serahkan dua kali.",
        "The card HAS paid before. {after} left. Ask first: were the goods received? Never hand "
        "over twice.",
    ),
    "NotRedeemed": (
        "Pasti: kartu TIDAK membayar. Jangan serahkan apa pun. Boleh diulang.",
        "Proven: the card did NOT pay. Hand nothing over. You may try again.",
    ),
    "RedeemUnknown": (
        "Belum diketahui apakah kartu membayar. Jangan serahkan apa pun. Masukkan kartu lagi.",
        "It is not known whether the card paid. Hand nothing over. Insert the card again.",
    ),
    "Delivered": (
        "Penyerahan dicatat. Kartu belum dikunci: pengawas masih dapat membatalkan.",
        "The hand-over is noted. Not final on the card: a supervisor can still void it.",
    ),
    "Delivered.final": ("Penyerahan dicatat dan selesai.", "The hand-over is noted and final."),
    "Voided": ("Dibatalkan. Saldo kembali: {after}.", "Voided. The balance is back: {after}."),
    "Voided.on-counter": (
        "Dibatalkan. Saldo kembali: {after}. Masukkan barang ke stok, lalu catat.",
        "Voided. The balance is back: {after}. Put the goods into stock, then note it.",
    ),
    "NotVoided": ("Pasti: pembatalan TIDAK terjadi.", "Proven: the void did NOT happen."),
    "NotVoided.on-counter": (
        "Pasti: pembatalan TIDAK terjadi. Kembalikan barang kepada keluarga, lalu catat.",
        "Proven: the void did NOT happen. Give the goods back to the family, then note it.",
    ),
    "VoidUnknown": (
        "Belum diketahui apakah pembatalan terjadi. Biarkan barang di meja. Masukkan kartu lagi.",
        "It is not known whether the void happened. Leave the goods where they are. Insert the"
        " card again.",
    ),
    "VoidRefused.no-supervisor": (
        "Hanya pengawas yang membatalkan. Tidak ada yang diubah.",
        "Only a supervisor voids. Nothing was changed.",
    ),
    "VoidRefused.no-debit": (
        "Tidak ada pengambilan kartu ini di mesin ini yang dapat dibatalkan.",
        "There is no debit of this card at this terminal to void.",
    ),
    "VoidRefused.outcome-pending": (
        "Hasil transaksi kartu ini sebelumnya belum diketahui. Tunggu data baru dari kantor.",
        "The outcome of an earlier transaction of this card is not known yet. Wait for new data.",
    ),
    "VoidRefused.voided": (
        "Pengambilan ini sudah pernah dibatalkan. Tidak ada yang diubah.",
        "This debit was voided already. Nothing was changed.",
    ),
    "VoidRefused.on-counter": (
        "Barang dari pembatalan sebelumnya masih di meja. Catat dahulu ke mana kembalinya.",
        "Goods of an earlier void are still on the counter. First note where they went.",
    ),
    "VoidRefused.hand-over-differs": (
        "Keterangan penyerahan tidak cocok dengan catatan mesin. Tidak ada yang diubah.",
        "What is said of the hand-over differs from the records. Nothing was changed.",
    ),
    "VoidRefused.final": (
        "Tidak dapat dibatalkan lagi: sudah selesai, atau bukan pengambilan terakhir kartu ini. "
        "Ajukan keberatan.",
        "It cannot be voided any more: it is final, or not the card's latest debit. File an "
        "objection.",
    ),
    "VoidRefused.no-reason": (
        "Sebutkan alasan pembatalan. Tidak ada yang diubah.",
        "Give the reason for the void. Nothing was changed.",
    ),
    "GoodsReturned": ("Barang kembali ke stok, dicatat.", "Goods back in stock, noted."),
    "GoodsGivenBack": (
        "Barang kembali ke keluarga, dicatat.",
        "Goods back with the family, noted.",
    ),
    # hand-over and objection
    "Activated": (
        "Kartu diserahkan dan aktif. BAST {bast}.",
        "The card is handed over and active. BAST {bast}.",
    ),
    "ActivationRefused": (
        "Kartu tidak sedang menunggu penyerahan oleh petugas ini. Kartu tidak diubah.",
        "The card is not waiting for a hand-over by this officer. It was not changed.",
    ),
    "Disputed": (
        "Keberatan atas bukti no. {sequence} dicatat dan akan diputuskan kantor.",
        "The objection to receipt {sequence} is noted; the office will decide.",
    ),
    # warnings
    "Warn.ring-filling": (
        "Memori bukti kartu terisi {number} dari 32. Unggah data segera.",
        "The card's memory of receipts holds {number} of 32. Upload soon.",
    ),
    "Warn.data-stale": (
        "Data mesin sudah lama{when}. Segera pasang data terbaru.",
        "The terminal's data is old{when}. Install the newest data soon.",
    ),
    "Warn.certificate-ending": (
        "Sertifikat mesin berakhir{when}. Pasang data terbaru.",
        "The terminal's certificate ends{when}. Install the newest data.",
    ),
    "Warn.clock-suspect": (
        "Jam mesin tertinggal dari bukti terakhir. Perbaiki jam.",
        "The terminal's clock runs behind its records. Set the clock.",
    ),
    "Warn.load-refused": (
        "Kartu belum mau menerima hak baru. Hak lama tetap berlaku.",
        "The card did not take a new entitlement. The old one holds.",
    ),
    "Warn.undelivered": (
        "Transaksi {number} belum dicatat penyerahannya. Tanyakan dahulu.",
        "Transaction {number} has no hand-over noted. Ask first.",
    ),
    "Warn.goods-suspended": (
        "Barang pembatalan {number} masih di meja. Catat ke mana kembalinya.",
        "Goods of void {number} are still on the counter. Note where to.",
    ),
}

ERRORS: dict[Code, tuple[str, str]] = {
    Code.TERMINAL: (
        "Terjadi kesalahan. Tidak ada yang diubah. Hubungi kantor.",
        "Something went wrong. Nothing was changed. Call the office.",
    ),
    Code.JOURNAL: (
        "Catatan mesin tidak dapat dibaca atau ditulis. Isi lama tetap ada.",
        "The journal cannot be read or written. What was there still is.",
    ),
    Code.JOURNAL_FULL: (
        "Penyimpanan penuh. Langkah ini tidak tercatat dan tidak berlaku.",
        "The disk is full. This step was not recorded and does not count.",
    ),
    Code.JOURNAL_BUSY: (
        "Catatan sedang dipakai program lain. Tunggu, lalu ulangi.",
        "The journal is in use by another program. Wait, then try again.",
    ),
    Code.JOURNAL_DAMAGED: (
        "Catatan rusak. Mesin berhenti. Jangan hapus apa pun; hubungi kantor.",
        "The journal is damaged. Stop. Delete nothing; call the office.",
    ),
    Code.JOURNAL_OF_ANOTHER: (
        "Catatan ini milik mesin lain. Tidak ada yang diubah.",
        "The journal is another terminal's. Nothing was changed.",
    ),
    Code.BUNDLE_NOT_NEWER: (
        "Data itu tidak lebih baru. Data terpasang tetap berlaku.",
        "That data is not newer. What is installed stays in force.",
    ),
    Code.BUNDLE_REFUSED: (
        "Data itu tidak sah atau untuk mesin lain. Data lama tetap berlaku.",
        "That data is invalid or another terminal's. The old stays in force.",
    ),
    Code.BUNDLE_BASE: (
        "Data sebagian itu tidak cocok. Mintalah data lengkap.",
        "That partial data does not fit. Ask for a full bundle.",
    ),
    Code.ROSTER_EMPTY: (
        "Belum ada data terpasang. Pasang data dari kantor.",
        "No data is installed. Install data from the office.",
    ),
    Code.ACK_REFUSED: (
        "Tanda terima itu bukan untuk catatan ini. Tidak ada yang dihapus.",
        "That acknowledgement is not for this journal. Nothing was pruned.",
    ),
    Code.CONFIG: (
        "Folder mesin tidak dapat dipakai. Tidak ada yang diubah.",
        "The terminal's folder cannot be used. Nothing was changed.",
    ),
    Code.NOT_PROVISIONED: (
        "Mesin belum dipasang. Kirim permintaan dan pasang jawabannya.",
        "Not provisioned yet. Send the request and install the answer.",
    ),
    Code.TRANSFER: (
        "Data tidak terkirim. Semua catatan tetap tersimpan. Ulangi nanti.",
        "The transfer failed. Every record is kept. Try again later.",
    ),
    Code.STEP: (
        "Langkah tidak sesuai keadaan. Tidak ada yang diubah.",
        "The step does not fit. Nothing was changed.",
    ),
    Code.STOPPED: (
        "Kantor telah menerima catatan lain atas nama mesin ini: datanya pernah disalin atau "
        "dipulihkan. Mesin berhenti melayani kartu; semua catatannya tetap tersimpan. Hubungi "
        "kantor: mesin perlu didaftarkan ulang.",
        "The office has received other records under this terminal's name: its data was once "
        "copied or restored. It serves no more cards; all its records are kept. Call the office: "
        "it must be enrolled anew.",
    ),
}


def text(outcome: Outcome, unit: Unit | None = None) -> tuple[str, str]:
    """(Indonesian, English) of an outcome; ``unit`` is its wallet's, for amounts."""
    templates = OUTCOMES[outcome.key]
    return (_fill(templates[0], outcome, unit, 0), _fill(templates[1], outcome, unit, 1))


def _fill(template: str, outcome: Outcome, unit: Unit | None, language: int) -> str:
    values: dict[str, Any] = {f.name: getattr(outcome, f.name) for f in dataclasses.fields(outcome)}
    values |= {"when": "", "where": ""}
    if isinstance(outcome, Redeemed):
        unit = outcome.unit
    if isinstance(outcome, Nothing):
        if outcome.when_s is not None:
            values["when"] = f" ({show.when(outcome.when_s)[language]})"
        if outcome.where is not None:
            place = ("di", "at")[language]
            values["where"] = f" {place} {outcome.where.decode('ascii', 'replace').strip()}"
        amount = outcome.amount
        values["amount"] = "" if amount is None else show.amount(amount, unit)[language]
    if isinstance(outcome, Redeemed | Voided):
        values["after"] = show.amount(outcome.after, unit)[language]
    if isinstance(outcome, Warn):
        values["when"] = f" ({show.when(outcome.number)[language]})"
    if "most" in values:
        values["most"] = show.amount(values["most"], unit)[language]
    return " ".join(template.format_map(values).split())
