"""What each finding says: Indonesian first, English second.

Arguments are written by the end of their name: `_s` a moment, `_minor` rupiah, `_kind` a word
of :data:`backend.audit.messages.KINDS`, a tuple reasons of `HOLDS`; other whole numbers with
thousands apart. `detail` is for a machine and stands in the English text alone.
"""

from __future__ import annotations

from backend.audit.facts import Fact
from backend.audit.messages_books import BOOKS

CHAINS: dict[Fact, tuple[str, str]] = {
    # files, chains, heads (17)
    Fact.FILE_MISSING: (
        "berkas tidak ada atau tidak terbaca",
        "the file is missing or cannot be read",
    ),
    Fact.FILE_DAMAGED: (
        "berkas rusak setelah {items} isian",
        "the file is damaged after {items} items: {detail}",
    ),
    Fact.FOLDER_MISSING: ("folder tidak ada", "the folder is missing"),
    Fact.FILE_STRANGE: (
        "berkas ini bukan bagian dari ekspor",
        "a file that is no part of an export",
    ),
    Fact.ENTRY_UNREADABLE: ("isian tidak terbaca", "the entry cannot be read: {detail}"),
    Fact.ENTRY_NOT_FOLLOWING: (
        "isian tidak bersambung dengan yang sebelumnya",
        "the entry does not follow the one before",
    ),
    Fact.ENTRY_OLDER: (
        "isian lebih tua daripada yang sebelumnya",
        "the entry is older than the one before",
    ),
    Fact.OBJECT_ABSENT: (
        "{object_kind} yang disebut di sini tidak ada dalam ekspor",
        "the {object_kind} it names is not in the export",
    ),
    Fact.TWO_HOTLISTS: (
        "dua daftar blokir dengan nomor versi yang sama",
        "two hotlists of one version",
    ),
    Fact.HEAD_MISSING: (
        "isian terakhir tidak tercakup kepala yang diumumkan",
        "no published head covers the last entries",
    ),
    Fact.HEAD_OTHER: (
        "kepala isian {number} bukan kepala rantai ini",
        "the head of entry {number} is not that of the chain",
    ),
    Fact.UPLOAD_NAME: (
        "nama berkas tidak cocok dengan isi unggahannya",
        "the file's name is not that of its upload",
    ),
    Fact.UPLOAD_ABSENT: (
        "unggahan sampai catatan {number} sudah diakui, tetapi tidak ada dalam ekspor",
        "the upload acknowledged up to {number} is not in the export",
    ),
    # what does not verify (1, 16)
    Fact.FOREIGN: ("berasal dari lingkungan lain", "of another environment: {detail}"),
    Fact.BAD_SIGNATURE: ("tanda tangan tidak cocok", "the signature does not verify: {detail}"),
    Fact.BAD_FORM: ("bentuknya tidak sah", "not in the form it claims: {detail}"),
    Fact.UNKNOWN_KEY: (
        "ditandatangani kunci yang tidak dikenal",
        "signed by a key that nothing vouches for: {detail}",
    ),
    Fact.KEY_TIME: (
        "ditandatangani di luar masa berlaku kuncinya",
        "signed outside the time of its key: {detail}",
    ),
    Fact.KEY_REVOKED: ("kuncinya sudah dicabut", "its key was revoked: {detail}"),
    Fact.NOT_TRUSTED: (
        "ditolak oleh aturan kepercayaan",
        "refused by the rules of trust: {detail}",
    ),
    Fact.WRONG_ROLE: (
        "memakai sertifikat dengan peran yang salah ({role_kind})",
        "taken under a certificate of role {role_kind}",
    ),
    # absent from the issuance log, cards of a family (19)
    Fact.CERTIFICATE_TWICE: (
        "sertifikat kedua untuk satu kartu",
        "a second certificate of one card",
    ),
    Fact.ENTITLEMENT_NO_CARD: (
        "hak untuk kartu yang tidak pernah disertifikasi",
        "an entitlement of a card that was never certified",
    ),
    Fact.STATION_TWICE: (
        "satu nomor terminal didaftarkan dua kali",
        "a station id was enrolled twice",
    ),
    Fact.OBJECT_NOT_LOGGED: (
        "{object_kind} ini tidak ada di catatan penerbitan",
        "a {object_kind} that the issuance log does not hold",
    ),
    Fact.UPLOAD_NO_STATION: (
        "unggahan dari terminal yang tidak pernah didaftarkan",
        "the upload of a station that was never enrolled",
    ),
    Fact.ENTITLEMENT_NOT_LOGGED: (
        "hak ini tidak ada di catatan penerbitan",
        "an entitlement that the issuance log does not hold",
    ),
    Fact.SCRIPT_NOT_LOGGED: (
        "perintah kartu ini tidak ada di catatan penerbitan",
        "a script that the issuance log does not hold",
    ),
    Fact.BUNDLE_NOT_LOGGED: (
        "paket data ini tidak ada di catatan penerbitan",
        "a bundle that the issuance log does not hold",
    ),
    Fact.CARD_NOT_LOGGED: (
        "sertifikat kartu ini tidak ada di catatan penerbitan",
        "no certificate of this card stands in the issuance log",
    ),
    Fact.CERTIFICATE_NOT_LOGGED: (
        "memakai sertifikat {number} terminal {station}, yang tidak ada di catatan penerbitan",
        (
            "taken under certificate {number} of terminal {station}, which the issuance log does "
            "not hold"
        ),
    ),
    Fact.TWO_CARDS: (
        (
            "kartu {card} milik keluarga ini belum dimusnahkan atau diblokir ketika kartu ini "
            "disertifikasi"
        ),
        (
            "the family's card {card} was neither scrapped nor on a hotlist when this one was "
            "certified"
        ),
    ),
    Fact.NO_ORDER: (
        "disertifikasi tanpa perintah bertanda tangan",
        "certified without a signed order",
    ),
    Fact.ORDER_OTHER: (
        "perintahnya untuk keluarga atau kartu pendahulu lain",
        "the order is for another family or predecessor",
    ),
    Fact.ORDER_TWICE: ("kartu kedua dari satu perintah", "a second card of one order"),
    # chains of stations (2)
    Fact.UPLOAD_RECORDS: (
        "catatan dalam {file} tidak sesuai dengan hitungan kepalanya",
        "{file}: records are not those the head counts",
    ),
    Fact.RECORD_FORKED: (
        "nomor catatan yang sama ditandatangani dengan isi lain",
        "the same sequence was signed with other bytes",
    ),
    Fact.ACKNOWLEDGED_OTHER: (
        "sudah diakui, tetapi catatannya tidak ada atau isinya lain",
        "acknowledged, but the record is missing or another",
    ),
    Fact.RECORDS_MISSING: ("ada catatan yang hilang", "records are missing"),
    Fact.RECORD_UNLINKED: (
        "catatan tidak bersambung dengan yang sebelumnya",
        "the record does not link to the one before",
    ),
    Fact.INTENT_MISSING: (
        ("niat untuk struk ini tidak ada dalam catatan terminalnya: terminal atau kartu berbohong"),
        "its terminal's chain holds no such intent: terminal or card lies",
    ),
    # one card's receipts (3 to 7)
    Fact.CLONE: (
        "dua struk berbeda dengan kartu dan urutan yang sama: kartu digandakan",
        "two bodies with one card and sequence: a clone",
    ),
    Fact.RECEIPT_MISSING: (
        "struk ini hilang sejak {since_s}",
        "the receipt is missing since {since_s}",
    ),
    Fact.LINK_OTHER: (
        "tidak menunjuk ke struk sebelumnya",
        "does not link to the receipt before it",
    ),
    Fact.COUNTER_FELL: ("hitungan kartu turun", "a counter fell"),
    Fact.COUNTERS_WRONG: (
        "hitungan kartu {shown}, seharusnya {wanted}",
        "counters are {shown}, must be {wanted}",
    ),
    Fact.ENTITLEMENT_OLDER_NAMED: (
        "menyebut hak yang lebih tua daripada struk sebelumnya",
        "names an older entitlement than the receipt before it",
    ),
    Fact.ENTITLEMENT_ORDER: (
        "hak tidak berurutan, atau jumlahnya turun",
        "entitlement out of sequence, or L below the one before",
    ),
    Fact.ENTITLEMENT_CERTIFICATE: (
        "hak menyebut sertifikat lain",
        "the entitlement names another certificate",
    ),
    Fact.WALLET_PROGRAMME: ("dompet ini milik program lain", "the wallet is another programme's"),
    Fact.ENTITLEMENT_UNKNOWN: (
        "menyebut hak yang tidak pernah diterbitkan",
        "names an entitlement that was never issued",
    ),
    Fact.ENTITLEMENT_AFTER_USE: (
        "hak dipakai sebelum diterbitkan",
        "used an entitlement before it was issued",
    ),
    # intents and receipts (8)
    Fact.ABORTED_NO_INTENT: (
        "dicatat batal, tetapi niatnya tidak ada",
        "aborted, but there is no such intent",
    ),
    Fact.DELIVERED_NO_INTENT: (
        "dicatat diserahkan, tetapi niatnya tidak ada",
        "delivered, but there is no such intent",
    ),
    Fact.RECEIPT_NO_INTENT: (
        "struk tanpa niat di terminal ini",
        "a receipt of no intent of this terminal",
    ),
    Fact.DISPUTE_UNKNOWN: (
        "sanggahan atas struk yang tidak ada pada siapa pun",
        "a dispute over a receipt that nobody holds",
    ),
    Fact.RECEIPTS_MANY: ("satu niat, lebih dari satu struk", "one intent, more than one receipt"),
    Fact.RECEIPT_OTHER_INTENT: (
        "struk yang dicatat untuknya menyebut niat lain",
        "the receipt recorded for it names another intent",
    ),
    Fact.RECEIPT_SECOND: (
        "struk kedua dicatat untuk satu niat",
        "a second receipt recorded for one intent",
    ),
    Fact.RECEIPT_NOT_ASKED: ("struknya bukan yang diminta", "the receipt is not what was asked"),
    Fact.ABORTED_WITH_RECEIPT: (
        "dicatat batal, tetapi struknya ada",
        "aborted, but there is a receipt",
    ),
    Fact.ABORTED_NO_EVIDENCE: (
        "dicatat batal tanpa bukti: kartu berada pada urutan lain",
        "aborted without evidence: the card stood at another sequence",
    ),
    Fact.ABORTED_NO_RECEIPT: (
        "dicatat batal karena sesuatu yang bukan struk",
        "aborted on something that is no receipt",
    ),
    Fact.ABORTED_NOT_EXCLUDED: (
        "dicatat batal karena struk yang tidak membatalkannya",
        "aborted on a receipt that does not exclude it",
    ),
    Fact.DELIVERED_TWICE: ("diserahkan dua kali", "delivered twice"),
    Fact.DELIVERED_VOID: ("pembatalan dicatat diserahkan", "a void was delivered"),
    Fact.DELIVERED_NO_RECEIPT: ("diserahkan tanpa struk", "delivered without a receipt"),
    Fact.DELIVERED_EARLY: (
        "diserahkan sebelum struknya dicatat",
        "delivered before its receipt was recorded",
    ),
    Fact.GOODS_OTHER: (
        "barang yang ditampilkan bukan barang tarif yang ditandatangani",
        "the goods shown are not those of the signed tariff",
    ),
    # voids (9)
    Fact.VOID_NO_DEBIT: (
        "pembatalan tidak menyebut penarikan kartu ini di sini",
        "the void names no debit of this card here",
    ),
    Fact.RETURNED_NO_INTENT: (
        "dicatat kembali ke rak, tetapi niatnya tidak ada",
        "returned, but there is no such intent",
    ),
    Fact.GIVEN_BACK_NO_INTENT: (
        "dicatat diberikan lagi, tetapi niatnya tidak ada",
        "given back, but there is no such intent",
    ),
    Fact.GOODS_NOT_BACK: (
        "dibatalkan setelah penyerahan, tetapi barang tidak kembali",
        "void after hand-over, and the goods did not come back",
    ),
    Fact.REVERSAL_OTHER: (
        "pembalikan bukan atas struk kartu sebelumnya di sini",
        "the reversal is not of the card's receipt before it, here",
    ),
    Fact.REVERSAL_UNASKED: (
        "pembalikan tanpa permintaan pembatalan",
        "a reversal that no VOID asked for",
    ),
    Fact.VOID_OTHER: (
        "pembatalan menyebut struk lain daripada penarikannya",
        "the void names another receipt than its debit's",
    ),
    Fact.VOID_NOT_ASKED: (
        "struknya bukan yang diminta pembatalan",
        "the receipt is not what the void asked",
    ),
    Fact.RETURNED_UNPROVEN: (
        "barang kembali tanpa pembatalan yang terbukti atas penarikan yang sudah diserahkan",
        "goods came back without a proven void of a delivered debit",
    ),
    Fact.RETURNED_TWICE: (
        "barang satu pembatalan kembali dua kali",
        "goods of one void came back twice",
    ),
    Fact.GIVEN_BACK_NO_ABORT: (
        "barang diberikan lagi, tetapi pembatalannya tidak gagal",
        "goods given back, but the void was not aborted",
    ),
    Fact.VOID_NO_GOODS: (
        "dibatalkan setelah penyerahan tanpa barang di meja",
        "voided after hand-over without the goods on the counter",
    ),
    Fact.VOIDED_TWICE: ("satu penarikan dibatalkan dua kali", "one debit was voided twice"),
    Fact.HANDED_AFTER_VOID: ("diserahkan setelah dibatalkan", "handed over after its void"),
    # caps, counts (10)
    Fact.WALLET_UNKNOWN: (
        "dompet ini bukan milik program mana pun",
        "the wallet is no programme's",
    ),
    Fact.TARIFF_UNSIGNED: (
        "menyebut tarif yang tidak pernah ditandatangani",
        "names a tariff that was never signed",
    ),
    Fact.ABOVE_PROGRAMME_CAP: ("melebihi batas program", "above the programme's cap"),
    Fact.OUTSIDE_WINDOW: ("di luar masa penyaluran", "outside every window"),
    Fact.ABOVE_CAP: ("melebihi batas hak", "above the entitlement's cap"),
    Fact.EXPIRED: ("mengambil yang sudah hangus", "took what had expired"),
    Fact.BYPASSES_MANY: (
        "tanpa PIN lebih sering daripada yang diizinkan haknya",
        "more bypasses than the entitlement allows",
    ),
    Fact.NO_PIN: ("tanpa PIN dan tanpa pengawas", "neither PIN nor bypass"),
    Fact.BYPASS_REASON: (
        "alasan tanpa PIN tidak cocok dengan catatannya",
        "bypass and its recorded reason do not agree",
    ),
    Fact.BYPASS_STEP: (
        "hitungan tanpa PIN tidak naik sebagaimana mestinya",
        "the count of bypasses does not step",
    ),
    Fact.PIN_UNEXPLAINED: (
        "penggantian PIN ke-{number} terhitung, tetapi tidak ada buktinya",
        "PIN set {number} is counted, but no statement explains it",
    ),
    Fact.SCRIPT_UNEXPLAINED: (
        "perintah kartu ke-{number} terhitung, tetapi tidak ada buktinya",
        "script {number} is counted, but no statement explains it",
    ),
    # time (11), hotlist (12)
    Fact.RECORD_OLDER: (
        "catatan lebih tua daripada yang sebelumnya",
        "the record is older than the one before",
    ),
    Fact.RECORD_FUTURE: (
        "catatan lebih muda daripada waktu diterimanya",
        "the record is younger than its arrival",
    ),
    Fact.TIME_NOT_INTENT: ("waktunya bukan waktu niatnya", "its time is not that of its intent"),
    Fact.TIME_OLDER: (
        "lebih tua daripada struk kartu sebelumnya",
        "it is older than the card's receipt before it",
    ),
    Fact.OUTSIDE_TERMINAL_CERTIFICATE: (
        "di luar masa sertifikat terminal",
        "outside the terminal certificate's time",
    ),
    Fact.OUTSIDE_CARD_CERTIFICATE: (
        "di luar masa sertifikat kartu",
        "outside the card certificate's time",
    ),
    Fact.BEFORE_ENTITLEMENT: (
        "sebelum tanggal terbit haknya",
        "before the issue date of its entitlement",
    ),
    Fact.AFTER_ARRIVAL: ("lebih muda daripada waktu diterimanya", "younger than its arrival"),
    Fact.AFTER_HOTLIST: (
        "ditarik setelah daftar blokir {number} yang memuat kartu ini terpasang di sana",
        "debited after hotlist {number} naming the card was installed there",
    ),
    Fact.CERTIFICATE_AFTER_HOTLIST: (
        "ditarik dengan sertifikat yang terbit setelah daftar blokir yang memuat kartu ini",
        "debited under a certificate issued after the hotlist naming the card",
    ),
}

FACTS = CHAINS | BOOKS
