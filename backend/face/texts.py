"""What the face says of counts, checks and fields: Indonesian first, English second."""

from __future__ import annotations

from enum import StrEnum

from backend.face.lines import Count, RefKind
from backend.face.proof import Outcome, Step

COUNTS: dict[Count, tuple[str, str]] = {
    Count.RELEASED: ("dana cair", "released"),
    Count.ISSUED: ("hak diterbitkan", "entitled"),
    Count.LOADED: ("dimuat ke kartu", "loaded"),
    Count.REDEEMED: ("disalurkan", "redeemed"),
    Count.LOSSES: ("kerugian tercatat", "recorded losses"),
    Count.FORFEITED: ("hangus", "forfeited"),
    Count.RESIDUAL: ("sisa di kartu", "left on cards"),
    Count.MOVED: ("pindah kartu", "moved to a new card"),
    Count.RETURNED: ("dikembalikan", "returned"),
    Count.HELD: ("ditahan", "held"),
    Count.PAYABLE: ("harus dibayar", "payable"),
    Count.SETTLED: ("sudah dibayar", "settled"),
    Count.HANDED: ("barang diserahkan", "goods handed over"),
}

PAPERS: dict[Count, tuple[str, str]] = {
    Count.RELEASED: ("surat pencairan", "fund releases"),
    Count.ISSUED: ("hak", "entitlements"),
    Count.LOADED: ("pemuatan", "loads"),
    Count.FORFEITED: ("pemuatan", "loads"),
    Count.RESIDUAL: ("dompet", "wallets"),
    Count.MOVED: ("keputusan", "decisions"),
    Count.RETURNED: ("keputusan", "decisions"),
    Count.SETTLED: ("pembayaran", "payments"),
}
"""What stands behind a figure beside receipts."""

EXPLAINED: dict[Count, tuple[str, str]] = {
    Count.RELEASED: (
        "Jumlah surat pencairan dana yang ditandatangani registri.",
        "The sum of fund releases signed by the registry.",
    ),
    Count.ISSUED: (
        "Jumlah kenaikan L pada hak yang ditandatangani penerbit.",
        "The sum of steps of L in entitlements signed by the issuer.",
    ),
    Count.LOADED: (
        "Jumlah kenaikan L yang ditunjukkan kartu sendiri, dengan tanda tangannya.",
        "The sum of steps of L that cards themselves show, signed by them.",
    ),
    Count.REDEEMED: (
        "Jumlah penarikan dikurangi pembatalan, tanpa kerugian tercatat.",
        "Debits less reversals, without recorded losses.",
    ),
    Count.LOSSES: (
        "Bagian penarikan di atas hak kartu itu; tidak dibebankan ke program.",
        "What debits took above the card's right; charged to no programme.",
    ),
    Count.FORFEITED: (
        "Jumlah kenaikan F yang ditunjukkan kartu: jatah lewat masa.",
        "The sum of steps of F that cards show: lots that expired.",
    ),
    Count.RESIDUAL: (
        "Hak tiap kartu dikurangi yang ditarik, hangus dan dipindahkan.",
        "Each card's right less what was drawn, forfeited and moved.",
    ),
    Count.MOVED: (
        "Jumlah keputusan pemindahan sisa ke kartu pengganti.",
        "The sum of decisions that move what is left to a new card.",
    ),
    Count.RETURNED: (
        "Jumlah keputusan pengembalian.",
        "The sum of decisions that give back.",
    ),
    Count.HELD: (
        "Penarikan yang belum boleh dibayar; alasannya ada pada tiap struk.",
        "Debits that may not be paid yet; each receipt says why.",
    ),
    Count.PAYABLE: (
        "Penarikan dengan bukti penyerahan dan tanpa alasan ditahan.",
        "Debits with proof of hand-over and no reason to be held.",
    ),
    Count.SETTLED: (
        "Jumlah pembayaran dalam buku besar; tiap pembayaran membuka struknya.",
        "The sum of settlements in the ledger; each opens its receipts.",
    ),
    Count.HANDED: (
        "Barang yang dicatat terminal sebagai diserahkan, dikurangi yang kembali.",
        "Goods that terminals recorded as handed over, less what came back.",
    ),
}


class Stage(StrEnum):
    """One step of the trail of money."""

    FUND = "fund"
    PROGRAMME = "programme"
    PROVIDER = "provider"
    PLACE = "place"
    CARD = "card"
    RECEIPT = "receipt"


STAGES: dict[Stage, tuple[str, str]] = {
    Stage.FUND: ("Dana", "Fund"),
    Stage.PROGRAMME: ("Program", "Programme"),
    Stage.PROVIDER: ("Penyalur", "Provider"),
    Stage.PLACE: ("Tempat", "Place"),
    Stage.CARD: ("Kartu", "Card"),
    Stage.RECEIPT: ("Struk", "Receipt"),
}


class State(StrEnum):
    """What became of a receipt; the value stands in addresses."""

    PAID = "dibayar"
    OWED = "terutang"
    HELD = "ditahan"
    REVERSED = "dibatalkan"
    REVERSAL = "pembatalan"
    UNJUDGED = "lain"


STATES: dict[State, tuple[str, str]] = {
    State.PAID: ("sudah dibayar", "settled"),
    State.OWED: ("harus dibayar", "payable"),
    State.HELD: ("ditahan", "held"),
    State.REVERSED: ("dibatalkan", "reversed"),
    State.REVERSAL: ("pembatalan", "a reversal"),
    State.UNJUDGED: ("tidak dinilai", "not judged"),
}

REFS: dict[RefKind, tuple[str, str]] = {
    RefKind.RECEIPT: ("struk", "receipt"),
    RefKind.NAMED: ("objek bertanda tangan", "signed object"),
    RefKind.CARD: ("kartu", "card"),
    RefKind.RECORD: ("catatan terminal", "record"),
    RefKind.LEDGER: ("isian buku besar", "ledger entry"),
    RefKind.ISSUANCE: ("isian catatan penerbitan", "issuance log entry"),
    RefKind.STATION: ("terminal", "station"),
}

OUTCOMES: dict[Outcome, tuple[str, str]] = {
    Outcome.HOLDS: ("cocok", "holds"),
    Outcome.FAILS: ("tidak cocok", "fails"),
    Outcome.ABSENT: ("tidak dapat diperiksa", "cannot be checked"),
}

STEPS: dict[Step, tuple[str, str]] = {
    Step.FORM: (
        "Bentuknya struk: panjang, kata pembuka dan aturan tiap bidang",
        "It has the form of a receipt: length, domain string, rules of each field",
    ),
    Step.ENVIRONMENT: (
        "Dari lingkungan yang diperiksa, bukan kartu contoh",
        "Of the environment under audit, no specimen",
    ),
    Step.ROOT: (
        "Kunci akar menandatangani kunci pembuat kartu",
        "The root key signed the card maker's key",
    ),
    Step.CERTIFICATE: (
        "Kunci pembuat kartu menandatangani sertifikat kartu ini",
        "The card maker's key signed this card's certificate",
    ),
    Step.LOGGED: (
        "Sertifikat itu tercatat, dan isian berikutnya mengunci catatannya",
        "That certificate is in the issuance log, and the next entry locks it in",
    ),
    Step.SIGNATURE: ("Kartu ini menandatangani struk ini", "This card signed this receipt"),
    Step.LINK: (
        "Struk ini menunjuk struk sebelumnya, atau sertifikat",
        "It links to the receipt before, or to the certificate",
    ),
    Step.FOLLOWED: ("Struk berikutnya menunjuk struk ini", "The next receipt links to this one"),
    Step.ENTITLEMENT: (
        "Haknya ditandatangani penerbit untuk kartu ini",
        "Its entitlement is signed by the issuer for this card",
    ),
    Step.COUNTERS: (
        "Hitungan dompet bergerak tepat sebesar jumlahnya",
        "The wallet's counters moved by exactly the amount",
    ),
    Step.TERMINAL: (
        "Terminal bersertifikat sah pada hari itu, dengan peran yang benar",
        "The terminal's certificate was valid that day, in the right role",
    ),
    Step.INTENT: (
        "Terminal mencatat niatnya lebih dahulu, sama persis",
        "The terminal had recorded the same intent before",
    ),
    Step.RECORD: ("Catatan terminal memuat bita ini", "The terminal's record holds these bytes"),
    Step.UPLOAD: (
        "Terminal menandatangani rantai catatannya",
        "The terminal signed its chain of records",
    ),
    Step.ACKNOWLEDGED: (
        "Kantor menandatangani tanda terima rantai itu",
        "The office signed for that chain",
    ),
}

FIELDS: dict[str, tuple[str, str]] = {
    "acknowledged": ("struk yang sudah diterima", "acknowledged receipt"),
    "action": ("tindakan", "action"),
    "agency": ("dinas", "agency"),
    "amount": ("jumlah", "amount"),
    "amount_minor": ("rupiah", "rupiah"),
    "approver": ("penyetuju", "approver"),
    "area": ("wilayah", "area"),
    "arrived_s": ("tiba", "arrived"),
    "basket_version": ("versi tarif", "tariff version"),
    "bast": ("berita acara", "hand-over note"),
    "before_s": ("sebelumnya", "before"),
    "after_s": ("sesudahnya", "after"),
    "bundle": ("paket data", "bundle"),
    "bypass_count": ("hitungan tanpa PIN", "bypass count"),
    "bypass_reason": ("alasan tanpa PIN", "bypass reason"),
    "bypass_total": ("batas tanpa PIN", "bypasses allowed"),
    "cap": ("batas sekali tarik", "cap of one debit"),
    "card_date": ("tanggal menurut kartu", "card's own date"),
    "card_id": ("kartu", "card"),
    "card_sequence": ("urutan kartu", "card sequence"),
    "card_skew_s": ("selisih jam kartu (detik)", "card clock skew (s)"),
    "cause": ("dasar", "stands on"),
    "certificate": ("sertifikat", "certificate"),
    "certificate_hash": ("sertifikat (16 bita pertama)", "certificate (first 16 bytes)"),
    "code": ("kode", "code"),
    "counter": ("nomor paket data", "bundle counter"),
    "counters": ("hitungan L D F R", "counters L D F R"),
    "data_stale_stop_s": ("berhenti bila data setua ini (detik)", "stop at data this old (s)"),
    "data_stale_warn_s": ("ingatkan bila data setua ini (detik)", "warn at data this old (s)"),
    "day": ("tanggal", "day"),
    "decision": ("keputusan", "decision"),
    "decree": ("SK", "decree"),
    "delivery": ("surat jalan", "delivery"),
    "desk": ("meja", "desk"),
    "detail": ("keterangan", "detail"),
    "effective": ("berlaku dari", "valid from"),
    "entitlement": ("hak", "entitlement"),
    "entitlement_sequence": ("hak nomor", "entitlement number"),
    "env": ("lingkungan", "environment"),
    "epoch": ("masa data", "data epoch"),
    "evidence": ("bukti", "evidence"),
    "evidence_hash": ("sidik bukti lapangan", "hash of field evidence"),
    "expected_sequence": ("urutan sebelum ini", "sequence before"),
    "expires": ("berlaku sampai", "valid to"),
    "extension": ("peran", "role"),
    "family": ("keluarga (samaran)", "family (pseudonym)"),
    "first": ("dari nomor", "from number"),
    "forfeited_through": ("hangus sampai", "forfeited through"),
    "from_s": ("dari", "from"),
    "gap_age_s": ("umur celah (detik)", "age of a gap (s)"),
    "good": ("barang", "good"),
    "head": ("kepala rantai", "head"),
    "hotlist_step_permille": ("langkah daftar blokir (per seribu)", "hotlist step (per thousand)"),
    "hotlist_version": ("versi daftar blokir", "hotlist version"),
    "intent": ("niat", "intent"),
    "intent_hash": ("sidik niat", "hash of the intent"),
    "interface": ("antarmuka", "interface"),
    "issued": ("tanggal terbit", "issued"),
    "issuer": ("penerbit sertifikat", "issued by"),
    "item": ("isi", "item"),
    "key_version": ("versi kunci penerbit", "issuer key version"),
    "kind": ("jenis", "kind"),
    "last": ("sampai nomor", "to number"),
    "line": ("barang", "goods"),
    "lines": ("barang", "goods"),
    "link": ("sidik struk sebelumnya", "hash of the receipt before"),
    "loaded": ("L, hak kumulatif", "L, entitled in all"),
    "log_key": ("kunci catatan", "log key"),
    "lots": ("jatah (berakhir, sampai)", "lots (expiry, end)"),
    "move": ("gerakan", "move"),
    "new_card": ("kartu baru", "new card"),
    "note": ("catatan", "note"),
    "number": ("nomor", "number"),
    "officer": ("petugas", "officer"),
    "on_counter": ("barang di meja", "goods on the counter"),
    "open_intents": ("niat terbuka", "open intents"),
    "opened": ("dibuka", "opened"),
    "order": ("perintah kartu", "order"),
    "other": ("struk lain di tempat itu", "other receipt at that place"),
    "pending": ("menunggu", "pending"),
    "pin_set_count": ("hitungan ganti PIN", "PIN-set count"),
    "place": ("tempat", "place"),
    "postings": ("pembukuan", "postings"),
    "predecessor": ("kartu sebelumnya", "card before"),
    "previous": ("sidik sebelumnya", "hash before"),
    "programme": ("program", "programme"),
    "provider": ("penyalur", "provider"),
    "provisional": ("sementara", "provisional"),
    "proxy": ("diwakili", "proxy"),
    "public_key": ("kunci umum", "public key"),
    "quantity": ("banyaknya", "quantity"),
    "reason": ("alasan", "reason"),
    "receipt": ("struk", "receipt"),
    "returned_age_s": ("umur barang belum kembali (detik)", "age of goods not back (s)"),
    "row": ("baris", "row"),
    "rows": ("baris", "rows"),
    "said": ("hasil baca", "what it proved to be"),
    "script": ("skrip", "script"),
    "script_count": ("hitungan skrip", "script count"),
    "sequence": ("urutan", "sequence"),
    "serial": ("nomor seri", "serial"),
    "serials": ("kartu diblokir", "blocked cards"),
    "settled_debited": ("D yang sudah dibukukan", "D booked"),
    "settled_reversed": ("R yang sudah dibukukan", "R booked"),
    "signatory": ("penanda tangan", "signatory"),
    "signature": ("tanda tangan", "signature"),
    "software": ("perangkat lunak", "software"),
    "statement": ("pernyataan kartu", "statement"),
    "statement_age_s": ("umur bukti skrip atau PIN (detik)", "age of a script or PIN proof (s)"),
    "station": ("terminal", "station"),
    "step": ("langkah", "step"),
    "stock": ("isi rak", "stock"),
    "stocked": ("menghitung barang", "counts stock"),
    "subject": ("atas nama", "subject"),
    "suspect": ("jam dicurigai", "clock suspected"),
    "tariffs": ("tarif", "tariffs"),
    "terminal": ("terminal", "terminal"),
    "terminal_id": ("terminal", "terminal"),
    "terminal_sequence": ("urutan catatan niat", "sequence of the intent"),
    "terminal_serial": ("sertifikat terminal nomor", "terminal certificate serial"),
    "terminal_time_s": ("jam terminal", "terminal's time"),
    "time_s": ("waktu", "time"),
    "title_en": ("nama dalam bahasa Inggris", "title in English"),
    "title_id": ("nama", "title"),
    "unit": ("satuan", "unit"),
    "valid_until_s": ("berlaku sampai", "valid until"),
    "verification": ("pemeriksaan pemegang", "holder verified by"),
    "verifier": ("petugas lapangan", "verifier"),
    "version": ("versi", "version"),
    "void": ("pembatalan", "void"),
    "wallet": ("dompet", "wallet"),
    "wallets": ("dompet", "wallets"),
    "windows": ("masa ambil", "windows"),
    # parts of bytes that are no field of a class
    "domain": ("kata pembuka", "domain string"),
    "L": ("L, dimuat", "L, loaded"),
    "D": ("D, ditarik", "D, debited"),
    "F": ("F, hangus", "F, forfeited"),
    "R": ("R, dibatalkan", "R, reversed"),
    "lot_count": ("banyaknya jatah", "number of lots"),
    "lot_slots": ("empat jatah", "four lots"),
    "protected": ("kepala terlindung", "protected header"),
    "payload": ("isi", "payload"),
    "frame": ("rangka", "frame"),
    "body": ("isi", "body"),
    "usage": ("kegunaan kunci", "key usage"),
}
