"""The words of probe and load-applet: Indonesian first, English second.

A text says what happened, what was kept and what to do next (docs/ui.md#words).
"""

# ruff: noqa: ISC004 - a pair of texts, each over lines
from __future__ import annotations

from typing import Final

from issuer.cap_load import LoadStep
from issuer.probe import Lack, Untold

OUTCOMES: Final[dict[str, tuple[str, str]]] = {
    "AppletLoaded": (
        "Dompet termuat dan terpasang; ditemukan lagi setelah daya diputus. Kartu siap "
        "dipersonalisasi.",
        "The purse is loaded and installed, and was found again after a power cut. The card can "
        "be personalised.",
    ),
    "NotLoaded.other-card": (
        "Kartu ini bukan produk dari profil itu. Tidak ada kunci yang dicoba, tidak ada yang "
        "ditulis. Lihat betang-issuer probe.",
        "This card is not the profile's product. No key was tried, nothing was written. See "
        "betang-issuer probe.",
    ),
    "NotLoaded.lacks": (
        "Ada yang kurang pada kartu ini. Tidak ada yang ditulis. Lihat betang-issuer probe.",
        "This card lacks something. Nothing was written. See betang-issuer probe.",
    ),
    "NotLoaded.channel": (
        "Saluran aman kartu tidak seperti di profil. Kartu tidak menghitung percobaan; tidak ada "
        "yang ditulis. Periksa profil dan berkas kunci.",
        "The card's secure channel is not what the profile says. The card counted no try; nothing "
        "was written. Check the profile and the file of keys.",
    ),
    "NotLoaded.content": (
        "Sudah ada dompet lain pada kartu ini. Tidak ada yang diubah. Pakai --replace bila yang "
        "lama harus dihapus.",
        "Another purse is on this card already. Nothing was changed. Use --replace if the old one "
        "is to be deleted.",
    ),
    "NotLoaded.no-keys": (
        "Berkas kunci tidak memuat kunci cip ini. Tidak ada kunci yang dicoba. Periksa kiriman.",
        "The file of keys holds none for this chip. No key was tried. Check the delivery.",
    ),
    "WrongTransportKeys.seen": (
        "Kunci kiriman salah: terlihat dari jawaban kartu, sebelum kartu menghitungnya. Berhenti. "
        "JANGAN mencoba kunci lain: kartu yang kehabisan percobaan mati selamanya. Tanyakan "
        "kuncinya kepada penjual.",
        "The transport keys are wrong: the card's answer showed it before the card counted a try. "
        "Stopped. DO NOT try others: a card whose tries are spent is dead for ever. Ask the "
        "seller for its keys.",
    ),
    "WrongTransportKeys.counted": (
        "Kartu menolak kunci kiriman dan menghitung satu percobaan. Berhenti. JANGAN mencoba "
        "lagi: percobaan berikutnya dapat mematikan kartu selamanya. Sisihkan; tanyakan penjual.",
        "The card refused the transport keys and counted one try. Stopped. DO NOT try again: "
        "another try may brick the card. Put it aside and ask the seller.",
    ),
    "LoadInterrupted": (
        "Kartu terlepas sebelum selesai. Masukkan lagi kartu yang sama dan ulangi perintah ini; "
        "yang sudah selesai dipakai.",
        "The card left before it was done. Put the same card in again and repeat the command; "
        "what was done is used.",
    ),
    "LoadFailed": (
        "Kartu menolak atau menjawab tidak semestinya. Kuncinya benar. Ulangi sekali; kalau "
        "terulang, sisihkan dan laporkan alasannya.",
        "The card refused, or answered what it must not. Its keys were right. Repeat once; if it "
        "happens again, put the card aside and report the reason.",
    ),
}

STEPS: Final[dict[LoadStep, tuple[str, str]]] = {
    LoadStep.PROBED: ("Kartu dikenali", "Card recognised"),
    LoadStep.OPENED: ("Saluran aman terbuka", "Secure channel open"),
    LoadStep.DELETED: ("Yang lama dihapus", "What was there deleted"),
    LoadStep.LOADING: ("Memuat", "Loading"),
    LoadStep.LOADED: ("Program termuat", "Program loaded"),
    LoadStep.INSTALLED: ("Dompet terpasang", "Purse installed"),
    LoadStep.VERIFIED: ("Diperiksa setelah daya diputus", "Checked after a power cut"),
}

LACKS: Final[dict[Lack, tuple[str, str]]] = {
    Lack.NO_DOMAIN: (
        "Tidak ada ranah keamanan penerbit seperti di profil.",
        "No issuer security domain answers as the profile has it.",
    ),
    Lack.LOCKED: ("Kartu terkunci.", "The card is locked."),
    Lack.CHIP: (
        "Produk ini sendiri kurang untuk dompet.",
        "The product itself lacks what the purse needs.",
    ),
    Lack.OWN_KEYS: (
        "Kartu sudah memakai kunci kita: ini kartu yang sedang atau sudah dibuat.",
        "The card has our own keys: it is being made, or is made.",
    ),
    Lack.OTHER_KEYS: (
        "Versi kunci kiriman dari profil tidak ada pada kartu.",
        "The card has no keys of the profile's version.",
    ),
    Lack.NO_SCP03: (
        "Kartu tidak memakai SCP03 dengan kunci AES. Minta penjual mengaturnya.",
        "The card is not set up for SCP03 with AES keys. Ask the seller to do it.",
    ),
    Lack.OPTIONS: (
        "Pilihan SCP03 kartu tidak cukup untuk profil.",
        "The card's SCP03 options are not enough for the profile.",
    ),
    Lack.KEY_LENGTH: (
        "Panjang kunci kiriman bukan seperti di profil.",
        "The transport keys' length is not the profile's.",
    ),
    Lack.MEMORY: ("Memori bebas kurang.", "Not enough free memory."),
    Lack.PERSONALISE: (
        "Dapat dimuati, tetapi SCP03-nya tanpa R-MAC dan R-ENCRYPTION: personalisasi tidak bisa.",
        "It can be loaded, but its SCP03 has no R-MAC and R-ENCRYPTION: it cannot be personalised.",
    ),
}

UNTOLD: Final[dict[Untold, tuple[str, str]]] = {
    Untold.CPLC: ("data produksi cip", "the chip's production data"),
    Untold.KEYS: ("versi dan jenis kunci", "its keys' versions and types"),
    Untold.CHANNEL: ("jenis saluran aman", "its secure channels"),
    Untold.MEMORY: ("memori bebas", "its free memory"),
}
"""What a card keeps to itself; then the profile's word counts."""

NO_PROFILE: Final = (
    "Tidak ada profil yang cocok dengan kartu ini.",
    "No profile fits this card.",
)
FITS: Final = (
    "Profil {0} cocok dan tidak ada yang kurang.",
    "Profile {0} fits; nothing is missing.",
)
FITS_BUT: Final = ("Profil {0} cocok, tetapi ada yang kurang:", "Profile {0} fits, but it lacks:")
NOT_TRIED: Final = (
    "Profil ini dari laporan umum; belum pernah dicoba pada kartu sungguhan.",
    "This profile comes from public reports; it was never tried on a real card.",
)
KEEPS: Final = ("Kartu tidak mengatakan: {0}.", "The card does not tell: {0}.")
