"""What is said for each error code: Indonesian first, English second (docs/errors.md)."""

from __future__ import annotations

from typing import Final

from keys.errors import Code

MESSAGES: Final[dict[Code, tuple[str, str]]] = {
    Code.KEYS: ("Kunci tidak dapat dipakai.", "The key cannot be used."),
    Code.DEMO_REFUSED: (
        "Akar ini bertanda DEMO. Jalankan dengan --demo, atau pakai akar yang sebenarnya.",
        "This root is marked DEMO. Start with --demo, or use the genuine root.",
    ),
    Code.NOT_DEMO: (
        "Akar ini bukan DEMO. Jalankan tanpa --demo.",
        "This root is not marked DEMO. Start without --demo.",
    ),
    Code.TRUST: (
        "Objek tidak berdiri di bawah akar ini. Tidak ada yang dipakai darinya.",
        "The object does not stand under this root. Nothing of it was used.",
    ),
    Code.UNKNOWN_KEY: (
        "Kunci penanda tangan tidak dikenal. Perbarui berkas kepercayaan.",
        "The signing key is not known. Renew the trust file.",
    ),
    Code.REVOKED: (
        "Kunci penanda tangan sudah dicabut. Objek ditolak.",
        "The signing key was revoked. The object is refused.",
    ),
    Code.OUTSIDE_WINDOW: (
        "Kunci tidak boleh menandatangani pada waktu itu.",
        "The key may not sign at that time.",
    ),
    Code.STORE: (
        "Penyimpanan kunci tidak dapat dibaca atau sudah berisi kunci itu. Tidak ada yang diubah.",
        "The key store cannot be read, or holds that key already. Nothing was changed.",
    ),
    Code.PASSPHRASE: (
        "Kata sandi salah, atau berkas rusak. Coba lagi.",
        "Wrong passphrase, or the file is damaged. Try again.",
    ),
    Code.TOKEN: (
        "Token PKCS#11 menolak atau tidak ada. Periksa token dan PIN-nya.",
        "The PKCS#11 token refuses or is missing. Check the token and its PIN.",
    ),
    Code.DATE: (
        "Tanggal terlalu jauh ke depan. Periksa jam; tidak ada yang ditandatangani.",
        "The date lies too far ahead. Check the clock; nothing was signed.",
    ),
    Code.POSSESSION: (
        "Pemohon tidak membuktikan bahwa ia memegang kuncinya. Buat permohonan baru.",
        "The asker did not prove possession of the key. Make a new request.",
    ),
    Code.CERTIFICATE: (
        "Sertifikat ini tidak boleh diterbitkan.",
        "This certificate may not be issued.",
    ),
    Code.APPROVAL: (
        "Perlu tanda tangan dua orang yang berbeda untuk tepat hal ini.",
        "Two different people must sign for exactly this.",
    ),
    Code.REQUEST_USED: (
        "Permintaan ini sudah dipakai. Buat permintaan baru.",
        "This request was used already. Make a new one.",
    ),
    Code.QUOTA: (
        "Kuota hari ini habis. Lanjutkan besok, atau naikkan kuota dengan keputusan.",
        "Today's quota is spent. Go on tomorrow, or have the quota raised.",
    ),
    Code.SEQUENCE: (
        "Hak atau perintah ini mundur atau nomornya sudah dipakai. Tidak ada yang ditandatangani.",
        "This entitlement or script steps back, or its number was given. Nothing was signed.",
    ),
    Code.ORDER: (
        "Surat perintah personalisasi tidak berlaku untuk kartu ini.",
        "The personalisation order does not hold for this card.",
    ),
    Code.SESSION: (
        "Sesi kartu tidak pada langkah yang benar. Ulangi dari awal dengan kartu yang sama.",
        "The card session is not at the right step. Start again with the same card.",
    ),
    Code.STOCK: (
        "Cip ini tidak ada dalam stok yang diterima. Sisihkan kartunya.",
        "This chip is not in the received stock. Put the card aside.",
    ),
    Code.ISSUANCE: (
        "Catatan penerbitan tidak menerima. Tidak ada yang dilepas; coba lagi nanti.",
        "The issuance log did not take it. Nothing was released; try again later.",
    ),
    Code.CEREMONY: (
        "Upacara kunci gagal pada satu pemeriksaan. Jangan pakai bagian-bagian ini.",
        "The key ceremony failed a check. Do not use these shares.",
    ),
    Code.HIERARCHY: (
        "Folder kunci tidak berisi yang diminta, atau sudah berisi. Tidak ada yang diubah.",
        "The key folder does not hold what is asked for, or holds it already. Nothing changed.",
    ),
    Code.BUSY: (
        "Terlalu banyak sesi kartu terbuka. Tutup satu, lalu coba lagi.",
        "Too many card sessions are open. Close one and try again.",
    ),
    Code.CHANNEL: (
        "Jawaban kartu tidak sah. Sesi ditutup; masukkan kartu lagi.",
        "The card's answer is not genuine. The session was closed; insert the card again.",
    ),
    Code.OBJECT: (
        "Data yang dikirim bukan objek yang sah. Tidak ada yang ditandatangani.",
        "What was sent is not a valid object. Nothing was signed.",
    ),
    Code.UNREACHABLE: (
        "Layanan kunci tidak menjawab. Periksa apakah betang-keys serve berjalan.",
        "The key service does not answer. Check that betang-keys serve is running.",
    ),
}
