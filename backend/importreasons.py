"""Why the import gate rejects a row or warns of one, each with its words in both languages.

The order of `RejectReason` is the order in which the gate checks; a row counts under its first
fault only. A message says what is wrong, what was kept and what to do. docs/import.md#reasons
"""

from enum import Enum


class _Coded(Enum):
    """An enum of texts: the member's name is the stable code, its value (id, en)."""

    def message(self, language: str = "id") -> str:
        """The words in `id` (default) or `en`."""
        texts: tuple[str, str] = self.value
        return texts[0 if language == "id" else 1]


class RejectReason(_Coded):
    """Reasons to reject, in the order checked."""

    # The file: nothing of it is imported.
    FILE_TOO_LARGE = (
        "Berkas terlalu besar; tidak ada yang diimpor. Bagi berkas menurut kabupaten.",
        "The file is too large; nothing was imported. Split it by regency.",
    )
    HEADER = (
        "Baris judul kolom tidak sesuai; tidak ada yang diimpor. Pakai judul dari templat.",
        "The header line is not the expected one; nothing was imported. Use the template's.",
    )
    TOO_MANY_ROWS = (
        "Baris terlalu banyak; tidak ada yang diimpor. Bagi berkas menurut kabupaten.",
        "Too many rows; nothing was imported. Split the file by regency.",
    )
    # The line.
    LINE_TOO_LONG = (
        "Baris terlalu panjang. Periksa tanda kutip atau baris yang tersambung, lalu kirim ulang.",
        "The line is too long. Look for joined lines or a stray quote, then send it again.",
    )
    ENCODING = (
        "Huruf rusak: baris ini bukan UTF-8. Simpan ulang sebagai CSV UTF-8 dari data asal.",
        "Damaged letters: this line is not UTF-8. Save it again as CSV UTF-8 from the source.",
    )
    CONTROL_CHARACTER = (
        "Ada karakter tersembunyi. Ketik ulang kolomnya; jangan salin dari dokumen lain.",
        "There is a hidden character. Type the field again; do not paste it.",
    )
    CSV_SYNTAX = (
        "Tanda kutip tidak berpasangan. Perbaiki kutip pada baris ini.",
        "A quotation mark is not closed. Correct the quotes in this line.",
    )
    COLUMN_COUNT = (
        "Jumlah kolom tidak sesuai. Beri kutip pada isian yang memuat koma; jangan buang kolom.",
        "Wrong number of columns. Quote fields that hold a comma; leave no column out.",
    )
    # The columns, from left to right.
    KK_FORMAT = (
        "No. KK harus tepat 16 angka. Salin dari Kartu Keluarga; format kolom sebagai teks.",
        "No. KK must be exactly 16 digits. Copy it from the family card; format as text.",
    )
    NIK_NOT_DIGITS = (
        "NIK memuat selain angka. Periksa huruf O/angka 0 dan huruf l/angka 1 pada KTP-el.",
        "The NIK holds something other than digits. Check O against 0 and l against 1.",
    )
    NIK_LENGTH = (
        "NIK harus tepat 16 angka. Salin lengkap dari KTP-el; nol di depan jangan hilang.",
        "The NIK must be exactly 16 digits. Copy it whole from the identity card.",
    )
    NIK_REGION = (
        "Kode wilayah pada NIK tidak dikenal. Cocokkan enam angka pertama dengan KTP-el.",
        "The region in the NIK is unknown. Check its first six digits on the card.",
    )
    NIK_DATE = (
        "Tanggal lahir di dalam NIK mustahil. Cocokkan angka ke-7 sampai ke-12 dengan KTP-el.",
        "The birth date inside the NIK is impossible. Check digits 7 to 12 on the card.",
    )
    NIK_SERIAL = (
        "Nomor urut NIK tidak boleh 0000. Ini bukan NIK jadi; minta NIK ke Dukcapil.",
        "A NIK's serial is never 0000. This is no issued NIK; ask the civil registry.",
    )
    NAME_MISSING = (
        "Nama kepala keluarga kosong. Isi sesuai Kartu Keluarga.",
        "The name of the head of family is missing. Fill it in from the family card.",
    )
    NAME_CHARACTERS = (
        "Nama memuat tanda yang bukan bagian nama. Ketik ulang sesuai Kartu Keluarga.",
        "The name holds signs that belong to no name. Type it again from the family card.",
    )
    SEX_INVALID = (
        "Jenis kelamin harus L (laki-laki) atau P (perempuan). Isi sesuai Kartu Keluarga.",
        "Sex must be L (male) or P (female). Fill it in from the family card.",
    )
    BIRTH_DATE_FORMAT = (
        "Tanggal lahir tidak ada di kalender. Tulis TTTT-BB-HH, misalnya 1980-02-28.",
        "The birth date is no date of the calendar. Write YYYY-MM-DD, such as 1980-02-28.",
    )
    BIRTH_DATE_FUTURE = (
        "Tanggal lahir di masa depan. Periksa tahunnya pada Kartu Keluarga.",
        "The birth date lies in the future. Check the year on the family card.",
    )
    VILLAGE_OTHER_PROVINCE = (
        "Kode desa di luar Kalimantan Tengah. Keluarga ini didaftarkan di provinsinya.",
        "The village is outside Kalimantan Tengah. The family registers in its own province.",
    )
    VILLAGE_UNKNOWN = (
        "Kode desa tidak dikenal. Pakai kode Kemendagri bertitik, misalnya 62.71.01.1001.",
        "Unknown village code. Use the dotted Kemendagri code, such as 62.71.01.1001.",
    )
    FIELD_TOO_LONG = (
        "Isian terlalu panjang. Singkat tanpa membuang bagian yang penting.",
        "The field is too long. Shorten it without losing what matters.",
    )
    MEMBERS_RANGE = (
        "Jumlah anggota keluarga harus 1 sampai 40. Hitung dari Kartu Keluarga.",
        "The number of family members must be 1 to 40. Count them on the family card.",
    )
    DECILE_RANGE = (
        "Desil harus 1 sampai 10. Ambil dari DTSEN triwulan terakhir.",
        "The decile must be 1 to 10. Take it from the latest quarter of DTSEN.",
    )
    FLAG_INVALID = (
        "Kolom ya/tidak harus 1 atau 0. Jangan dikosongkan.",
        "A yes/no column must be 1 or 0. Do not leave it empty.",
    )
    # Against the rows before it; the first faultless row is kept.
    KK_DUPLICATE = (
        "No. KK ini sudah ada. Satu keluarga satu baris: pastikan mana yang benar.",
        "This No. KK stands in an earlier row. One family, one row: find which is right.",
    )
    NIK_DUPLICATE = (
        "NIK ini sudah menjadi kepala keluarga lain. Periksa kedua Kartu Keluarga.",
        "This NIK already heads another family. Check both family cards.",
    )


class WarningCode(_Coded):
    """What to look at although the row was accepted."""

    NIK_REGION_DIFFERS = (
        "Wilayah NIK berbeda dari tempat tinggal; wajar bila pindah. Tanyakan saat kunjungan.",
        "The NIK's region is not where they live; normal after a move. Ask at the visit.",
    )
    NIK_REGION_RETIRED = (
        "NIK memakai kode kabupaten lama dari sebelum pemekaran. Cocokkan dengan KTP-el.",
        "The NIK bears a regency code from before a split. Compare it with the card.",
    )
    NIK_DISTRICT_UNKNOWN = (
        "Kecamatan pada NIK tidak dikenal; mungkin kode lama. Cocokkan dengan KTP-el.",
        "The NIK's district is unknown; it may be an old code. Compare it with the card.",
    )
    BIRTH_DATE_DIFFERS = (
        "Tanggal lahir berbeda dari NIK. Cocokkan dengan KTP-el saat kunjungan.",
        "The birth date is not the NIK's. Compare with the identity card at the visit.",
    )
    SEX_DIFFERS = (
        "Jenis kelamin berbeda dari NIK. Cocokkan dengan KTP-el saat kunjungan.",
        "The sex is not the NIK's. Compare with the identity card at the visit.",
    )
