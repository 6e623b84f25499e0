"""What a person reads for each error code: Indonesian first, English second (docs/errors.md)."""

from __future__ import annotations

from backend.errors import Code

MESSAGES: dict[Code, tuple[str, str]] = {
    Code.BACKEND: (
        "Terjadi kesalahan. Tidak ada yang disimpan. Ulangi, lalu hubungi pengelola.",
        "Something went wrong. Nothing was kept. Try again, then call the administrator.",
    ),
    Code.CONFIG: (
        "Pengaturan atau folder data tidak dapat dipakai. Tidak ada yang diubah.",
        "The settings or the data folder cannot be used. Nothing was changed.",
    ),
    Code.IMPORT: (
        "Berkas tidak dapat diimpor. Tidak ada isinya yang disimpan. Perbaiki dan ulangi.",
        "The file cannot be imported. Nothing of it was kept. Correct it and try again.",
    ),
    Code.FUNDS: (
        "Dana yang cair tidak mencukupi. Tidak ada hak yang diterbitkan.",
        "The released funds do not suffice. No entitlement was issued.",
    ),
    Code.WALLET: (
        "Dompet sudah memuat empat hak yang masih berlaku. Tunggu salah satu berakhir.",
        "The wallet holds four live lots already. Wait until one has ended.",
    ),
    Code.UNKNOWN: (
        "Data yang diminta tidak ditemukan. Periksa nomornya.",
        "What was asked for was not found. Check the number.",
    ),
    Code.UPLOAD: (
        "Unggahan tidak sah atau rusak. Tidak ada yang disimpan. Unggah lagi dari terminal.",
        "The upload is invalid or damaged. Nothing was kept. Upload again from the terminal.",
    ),
    Code.FORK: (
        "Catatan bertentangan dengan yang sudah diterima. Hentikan terminal, hubungi pemeriksa.",
        "The records contradict those already received. Stop the terminal and call the auditor.",
    ),
    Code.GAP: (
        "Catatan sebelumnya belum diterima. Tidak ada yang disimpan. Unggah dari awal yang kurang.",
        "Earlier records are missing. Nothing was kept. Upload from the first missing one.",
    ),
    Code.AUTHORITY: (
        "Tindakan ini perlu permintaan dan persetujuan dua orang.",
        "This action needs a request and an approval by two people.",
    ),
    Code.REFUSED: (
        "Permintaan ditolak oleh salah satu dari dua orang. Tidak ada yang ditandatangani.",
        "One of the two people refused. Nothing was signed.",
    ),
    Code.SIGNER: (
        "Layanan kunci menolak atau tidak terjangkau. Pekerjaan dapat diulang dengan aman.",
        "The key service refused or cannot be reached. The job can be repeated safely.",
    ),
    Code.RESERVE: (
        "Sisa kartu hilang belum boleh dipindahkan: masih ada terminal yang belum sinkron.",
        "The lost card's residual may not move yet: some terminal has not synced the block.",
    ),
    Code.LEDGER: (
        "Buku besar tidak seimbang. Tidak ada yang disimpan. Hubungi pemeriksa.",
        "The ledger does not balance. Nothing was kept. Call the auditor.",
    ),
    Code.CONFLICT: (
        "Nomor yang sama sudah ada dengan isi lain. Tidak ada yang diubah.",
        "The same number exists with other content. Nothing was changed.",
    ),
    Code.PROOF: (
        "Permintaan tidak membuktikan kepemilikan kuncinya. Buat lagi di perangkatnya.",
        "The request does not prove that it holds its keys. Make it anew on the device.",
    ),
    Code.FULL: (
        "Penyimpanan penuh atau tidak dapat ditulisi. Tidak ada yang diubah. Sediakan ruang.",
        "The storage is full or cannot be written. Nothing was changed. Make room, try again.",
    ),
    Code.BUSY: (
        "Basis data sedang sibuk atau tidak menjawab. Tidak ada yang diubah. Ulangi sebentar lagi.",
        "The database is busy or does not answer. Nothing was changed. Try again in a moment.",
    ),
}


def text(code: Code, language: str = "id") -> str:
    """The message of ``code`` in ``id`` or ``en``."""
    return MESSAGES[code][0 if language == "id" else 1]
