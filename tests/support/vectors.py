"""Makes tests/vectors/*.json: objects to accept and to refuse, for a reader in any language.

Every key is the hash of a name and every signature is deterministic, so a run gives the same
bytes. ``python -m tests.support.vectors`` writes the files again; a test compares them.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from datetime import date
from enum import IntEnum
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from nacl.signing import SigningKey

from wire import bundle, cbor, chain, cose, cvc, ecdsa, log, objects, receipt
from wire.entitlement import NEVER_S, Entitlement, Lot, Script, ScriptAction
from wire.env import Environment
from wire.objects import Unit
from wire.receipt import Counters, Receipt, Statement

FOLDER = Path(__file__).parents[1] / "vectors"
ENV = Environment.DEMO_LIVE
CARD, TERMINAL = b"DEMO\x00\x00\x00\x2a", b"TERM0001"
DAY, NOW_S = date(2026, 11, 24), 1_795_500_000
Refusal = tuple[str, bytes]


def h(name: str) -> bytes:
    return sha256(name.encode()).digest()


@dataclasses.dataclass(frozen=True)
class P256:
    name: str

    @property
    def _key(self) -> ec.EllipticCurvePrivateKey:
        return ec.derive_private_key(
            int.from_bytes(h(self.name)) % ecdsa.P256_ORDER, ec.SECP256R1()
        )

    @property
    def public(self) -> bytes:
        return self._key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)

    def sign(self, message: bytes) -> bytes:
        der = self._key.sign(message, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
        r, s = decode_dss_signature(der)
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")


@dataclasses.dataclass(frozen=True)
class Ed25519:
    name: str

    @property
    def public(self) -> bytes:
        return bytes(SigningKey(h(self.name)).verify_key)

    def sign(self, message: bytes) -> bytes:
        return SigningKey(h(self.name)).sign(message).signature


ROOT, CARD_CA, TERMINAL_CA, ISSUER = (P256(n) for n in ("root", "card-ca", "terminal-ca", "issuer"))
CHANNEL, RECEIPT_KEY, STATION_CHANNEL = P256("channel"), P256("receipt"), P256("station")
OFF_CARD = {
    objects.KeyRole.ROOT: ROOT,
    objects.KeyRole.REGISTRY: Ed25519("registry"),
    objects.KeyRole.POLICY: Ed25519("policy"),
    objects.KeyRole.ACK: Ed25519("ack"),
    objects.KeyRole.APPROVAL: Ed25519("approval"),
    objects.KeyRole.LOG: Ed25519("log"),
}


def plain(value: Any) -> Any:
    """A field as JSON: bytes in hex, codes as numbers, dates as text."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, IntEnum):
        return int(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, tuple | list):
        return [plain(v) for v in value]
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if dataclasses.is_dataclass(value):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)
                if f.name not in {"raw", "signature"}}  # fmt: skip
    return value


def damaged(raw: bytes) -> Iterator[Refusal]:
    """What is refused of every object."""
    yield "empty", b""
    yield "last byte missing", raw[:-1]
    yield "a byte behind it", raw + b"\x00"
    yield "a bit of the signature", raw[:-1] + bytes([raw[-1] ^ 1])
    yield "r is zero", raw[:-64] + bytes(32) + raw[-32:]
    yield "r and s are the group order", raw[:-64] + 2 * ecdsa.P256_ORDER.to_bytes(32, "big")


def at(raw: bytes, offset: int, value: bytes, key: P256) -> bytes:
    """The raw object with ``value`` at ``offset``, signed again by its author."""
    body = raw[:offset] + value + raw[offset + len(value) : -64]
    return body + key.sign(body)


def signed(body: bytes, key: P256) -> bytes:
    return body + key.sign(body)


# --- certificates --------------------------------------------------------------------------


def certificate(kind: cvc.CaKind, subject: bytes, extension: Any, key: bytes, by: P256, **other: Any
                ) -> cvc.Certificate:  # fmt: skip
    fields = {"serial": 7, "issuer": cvc.CaId(ENV.mark, kind, 1), "subject": subject,
              "effective": DAY, "expires": date(2026, 12, 28), "extension": extension,
              "public_key": key, **other}  # fmt: skip
    unsigned = cvc.encode_unsigned(**fields)
    return cvc.assemble(unsigned, by.sign(unsigned))


def terminal_certificate() -> cvc.Certificate:
    extension = cvc.TerminalExtension(ENV, cvc.Role.TERMINAL, 0)
    return certificate(cvc.CaKind.TERMINAL_CA, TERMINAL, extension, STATION_CHANNEL.public,
                       TERMINAL_CA)  # fmt: skip


def card_certificate() -> cvc.Certificate:
    extension = cvc.CardExtension(ENV, ecdsa.compress(RECEIPT_KEY.public))
    return certificate(cvc.CaKind.CARD_CA, CARD, extension, CHANNEL.public, CARD_CA,
                       expires=date(2036, 11, 24))  # fmt: skip


def link() -> cvc.Certificate:
    subject = bytes(cvc.CaId(ENV.mark, cvc.CaKind.ISSUER, 2))
    extension = cvc.LinkExtension(ENV, 1, may_step_back=False)
    return certificate(cvc.CaKind.ROOT, subject, extension, P256("issuer-2").public, ROOT,
                       expires=date(2099, 12, 31))  # fmt: skip


def certificates(good: cvc.Certificate, key: P256) -> dict[str, Any]:
    raw = good.raw
    swapped = raw.replace(bytes.fromhex("5f2504"), b"\x5f\x24\x04", 1)
    refuse = [*damaged(raw), ("5F24 where 5F25 must stand", swapped),
              ("another mark in tag 42", raw.replace(b"\x42\x08DEMO", b"\x42\x08KHBS", 1)),
              ("length not minimal", raw[:2] + b"\x82\x00" + raw[3:])]  # fmt: skip
    return entry([("plain", raw, good)], refuse, key.public)


# --- raw objects ---------------------------------------------------------------------------


def receipt_body() -> bytes:
    return Receipt.encode_body(
        env=ENV, kind=receipt.ReceiptKind.DEBIT, card_id=CARD, sequence=3, wallet=0x1A02,
        basket_version=1, amount=50_000, counters=Counters(500_000, 150_000, 0, 25_000),
        terminal_id=TERMINAL, terminal_serial=7, officer=0, terminal_sequence=812,
        terminal_time_s=NOW_S, intent_hash=h("intent"), verification=receipt.Verification.PIN,
        interface=receipt.Interface.CONTACT, entitlement_sequence=2, script_count=1,
        pin_set_count=0, bypass_count=0, card_date=DAY, link=h("receipt 2"),
    )  # fmt: skip


def receipts() -> dict[str, Any]:
    raw = signed(receipt_body(), RECEIPT_KEY)
    refuse = [
        *damaged(raw),
        ("another environment", at(raw, 4, b"\x01", RECEIPT_KEY)),
        ("unknown kind", at(raw, 5, b"\x03", RECEIPT_KEY)),
        ("sequence 0", at(raw, 14, bytes(4), RECEIPT_KEY)),
        ("amount 0", at(raw, 22, bytes(4), RECEIPT_KEY)),
        ("R above D", at(raw, 38, (150_001).to_bytes(4, "big"), RECEIPT_KEY)),
        ("more consumed than loaded", at(raw, 34, (375_001).to_bytes(4, "big"), RECEIPT_KEY)),
        ("date that is no day", at(raw, 110, b"\x20\x26\x02\x30", RECEIPT_KEY)),
        ("signed by the channel key", signed(receipt_body(), CHANNEL)),
    ]
    return entry([("debit", raw, Receipt.parse(raw))], refuse, RECEIPT_KEY.public)


def statements() -> dict[str, Any]:
    body = Statement.encode_body(
        env=ENV, kind=receipt.StatementKind.LOAD, card_id=CARD, sequence=3, wallet=0x1A02,
        counters=Counters(500_000, 150_000, 0, 25_000), entitlement_sequence=2, script_count=1,
        pin_set_count=0, bypass_count=0, terminal_id=TERMINAL, terminal_serial=7, officer=0,
        detail=0, number=0, card_date=DAY, link=h("receipt 3"),
    )  # fmt: skip
    raw = signed(body, RECEIPT_KEY)
    refuse = [*damaged(raw), ("a receipt's domain", at(raw, 2, b"R", RECEIPT_KEY)),
              ("unknown kind", at(raw, 5, b"\x05", RECEIPT_KEY))]  # fmt: skip
    return entry([("load", raw, Statement.parse(raw))], refuse, RECEIPT_KEY.public)


def entitlement() -> bytes:
    body = Entitlement.encode_body(
        env=ENV, card_id=CARD, certificate_hash=card_certificate().digest[:16], wallet=0x1A02,
        programme=0x0102, sequence=2, loaded=500_000,
        lots=(Lot(NOW_S + 86_400, 250_000), Lot(NEVER_S, 500_000)), forfeited_through=0,
        cap=250_000, issued=DAY, acknowledged=2, settled_debited=100_000, settled_reversed=25_000,
        bypass_total=2, key_version=1,
    )  # fmt: skip
    return signed(body, ISSUER)


def entitlements() -> dict[str, Any]:
    raw = entitlement()
    four = (4).to_bytes(4, "big")
    refuse = [
        *damaged(raw),
        ("no lot", at(raw, 41, b"\x00", ISSUER)),
        ("five lots", at(raw, 41, b"\x05", ISSUER)),
        ("an unused lot is not zero", at(raw, 70, four, ISSUER)),
        ("last lot does not end at L", at(raw, 54, (499_999).to_bytes(4, "big"), ISSUER)),
        ("expiries fall", at(raw, 50, four, ISSUER)),
        ("C above L", at(raw, 74, (500_001).to_bytes(4, "big"), ISSUER)),
        ("L above 2^31 - 1", at(raw, 37, b"\x80\x00\x00\x00", ISSUER)),
        ("settled R above settled D", at(raw, 94, (100_001).to_bytes(4, "big"), ISSUER)),
        ("sequence 0", at(raw, 33, bytes(4), ISSUER)),
        ("wallet 0", at(raw, 29, bytes(2), ISSUER)),
    ]
    return entry([("two lots", raw, Entitlement.parse(raw))], refuse, ISSUER.public)


def scripts() -> dict[str, Any]:
    accept = []
    for action, officer in ((ScriptAction.BLOCK, 0), (ScriptAction.PIN_RESET, 11)):
        body = Script.encode_body(env=ENV, card_id=CARD, number=1, action=action, officer=officer,
                                  issued=DAY, key_version=1)  # fmt: skip
        raw = signed(body, ISSUER)
        accept.append((action.name, raw, Script.parse(raw)))
    block, reset = accept[0][1], accept[1][1]
    refuse = [*damaged(block), ("an officer for BLOCK", at(block, 16, b"\0\0\0\x0b", ISSUER)),
              ("no officer for PIN_RESET", at(reset, 16, bytes(4), ISSUER)),
              ("unknown action", at(block, 15, b"\x05", ISSUER)),
              ("number 0", at(block, 13, bytes(2), ISSUER))]  # fmt: skip
    return entry(accept, refuse, ISSUER.public)


# --- signed objects, log, chains -----------------------------------------------------------


def sample_objects() -> list[objects.SignedShape]:
    """One of each type that stands alone in an export or a trust file."""
    rice = objects.GoodsLine("beras", Unit.GRAM, 5_000)
    family = h("family")[:16]
    return [
        objects.KeyStatement(objects.KeyRole.ACK, 1, OFF_CARD[objects.KeyRole.ACK].public, NOW_S,
                             NOW_S + 31_536_000),
        objects.Revocation(h("key")[:8], NOW_S, 9, h("ledger"), 12, h("issuance")),
        objects.Request(1, "decree", h("payload"), NOW_S, NOW_S + 3_600),
        objects.Approval(2, h("request"), NOW_S + 60),
        objects.FieldVerification(family, 31, NOW_S, objects.VerificationDecision.VERIFIED,
                                  "", h("evidence"), 32),
        objects.DecreeAnnex("188.44/123/2026", 20261120, "Gubernur",
                            (objects.DecreeRow(11, family, 0x0101, 1, h("verification")),)),
        objects.Programme(0x0101, 1, "Dinas Ketahanan Pangan", "Paket pangan", "Food basket",
                          0x1A01, Unit.BASKET, "Perum Bulog", 2, 2, 1, True,
                          (objects.Window(NOW_S, NOW_S + 86_400),),
                          (objects.Tariff(1, 150_000, (rice,)),)),
        objects.FundRelease("00001/SP2D", 0x0101, 10_050_000, NOW_S),
        objects.StockDelivery("BULOG-1", "Perum Bulog", TERMINAL, (rice,), NOW_S),
        objects.Enrolment(TERMINAL, objects.StationKind.TERMINAL,
                          OFF_CARD[objects.KeyRole.LOG].public, "62.10", "Balai Desa", NOW_S),
        objects.Order(h("order")[:16], family, h("decree"), 11, None, (0x1A01,), b"DESK0001",
                      NOW_S + 86_400),
        objects.TerminalLost(TERMINAL, 812, "hilang", NOW_S),
        objects.Decision("PTS-1", objects.DecisionKind.MOVE, CARD, 0x1A01, 0, 0, 1,
                         b"DEMO\x00\x00\x00\x2b", "kartu hilang", NOW_S),
        objects.Hotlist(3, NOW_S, bytes.fromhex("3a30000000000000")),
        objects.Parameters(1, 1_209_600, 86_400, 1_209_600, 900, 604_800, 2_592_000, 10),
        objects.Acknowledgement(TERMINAL, 812, h("head"), NOW_S),
        sample_bundle(),
        objects.LedgerHead(9, h("ledger"), NOW_S),
        objects.IssuanceHead(12, h("issuance"), NOW_S),
    ]  # fmt: skip


def sample_bundle() -> bundle.Bundle:
    """A small full bundle; what it carries are objects of these vectors."""
    card = bundle.CardEntry(
        CARD, card_certificate().digest, 3, 1, 0, (entitlement(),), (), (),
        (bundle.Note(0x0103, bundle.Why.FUNDS_NOT_RELEASED, "Dana belum cair.", "Not released."),),
    )  # fmt: skip
    hotlist = sign_object(objects.Hotlist(3, NOW_S, bytes.fromhex("3a30000000000000")))
    return bundle.Bundle(
        "62.10", TERMINAL, 1, 4, 0, NOW_S, (), (), hotlist,
        sign_object(objects.Parameters(1, 1, 1, 1, 1, 1, 2, 10)), (),
        (bundle.Ceiling(0x1A02, 500_000),), (card,), (terminal_certificate().raw,), (link().raw,),
        (), (),
    )  # fmt: skip


def sign_object(shape: objects.SignedShape, env: Environment = ENV, kind: str = "") -> bytes:
    key, payload = OFF_CARD[shape.SIGNER], bytes(shape)
    name = kind or shape.KIND
    message = cose.to_be_signed(key.public, name, env, payload)
    return cose.assemble(key.public, name, env, payload, key.sign(message)).raw


def signed_object(shape: objects.SignedShape) -> dict[str, Any]:
    raw = sign_object(shape)
    refuse = [
        ("empty", b""),
        ("last byte missing", raw[:-1]),
        ("a byte behind it", raw + b"\x00"),
        ("a bit of the signature", raw[:-1] + bytes([raw[-1] ^ 1])),
        ("untagged", raw[1:]),
        ("another environment", sign_object(shape, Environment.LIVE)),
        ("another type", sign_object(shape, kind="other")),
        ("key id in the unprotected header",
         raw.replace(b"\xa0", b"\xa1\x04\x48" + bytes(8), 1)),
    ]  # fmt: skip
    return entry([("plain", raw, shape)], refuse, OFF_CARD[shape.SIGNER].public)


def upload() -> dict[str, Any]:
    enrolment = next(o for o in sample_objects() if isinstance(o, objects.Enrolment))
    name = cose.Sign1.parse(sign_object(enrolment)).hash
    first = log.Record.make(1, name, NOW_S, log.Boot("betang 0.1.0"))
    second = log.Record.make(2, first.hash, NOW_S, log.Shift(True, 11))
    third = log.Record.make(3, second.hash, NOW_S + 5,
                            log.Rejected(log.Reason.FOREIGN_CARD, None, "6A82"))  # fmt: skip
    named, blank = (
        log.Record.make(4, third.hash, NOW_S + 6, log.CardRead(said, 11, card))
        for said, card in ((log.CardSaid.PURSE, CARD), (log.CardSaid.BLANK, None))
    )
    records = [first, second, third]

    def pack(rows: list[log.Record], last: log.Record) -> bytes:
        head = objects.UploadHead(TERMINAL, 1, len(rows), last.hash)
        return cbor.encode([sign_object(head), [r.raw for r in rows]])

    late = log.Record.make(3, second.hash, NOW_S - 5, third.body)
    body = [len(log.CardSaid) + 1, 11, None]
    no_code = dataclasses.replace(
        blank, raw=cbor.encode([4, third.hash, NOW_S + 6, int(blank.kind), body])
    )
    accept = [(name, pack(rows, rows[-1]), {"records": [
        {"sequence": r.sequence, "time_s": r.time_s, "type": r.kind, "body": r.body}
        for r in rows]}) for name, rows in (
            ("three records", records), ("a card read at a desk", [*records, named]),
            ("a card read that has no name", [*records, blank]))]  # fmt: skip
    refuse = [
        ("a record missing", pack([first, third], third)),
        ("two records swapped", pack([second, first, third], third)),
        ("head of another record", pack(records, second)),
        ("time runs back", pack([first, second, late], late)),
        ("a reading of an unknown code", pack([*records, no_code], no_code)),
        ("no record", cbor.encode([sign_object(objects.UploadHead(TERMINAL, 1, 1, h(""))), []])),
    ]
    return entry(accept, refuse, OFF_CARD[objects.KeyRole.LOG].public)


def ledger_chain() -> dict[str, Any]:
    def entries(amount: int) -> Iterator[chain.LedgerEntry]:
        previous = chain.GENESIS
        for n in (1, 2):
            moved = (chain.Posting("treasury", "rupiah", -amount),
                     chain.Posting("funds/257", "rupiah", amount))  # fmt: skip
            made = chain.LedgerEntry(n, previous, NOW_S, "fund-release", h("release"), moved)
            previous = made.hash
            yield made

    one, two = entries(1_000)
    alone = cbor.encode_sequence([bytes(one), bytes(two)])
    other = next(entries(2_000))
    refuse = [("does not link", cbor.encode_sequence([bytes(other), bytes(two)])),
              ("gap", cbor.encode_sequence([bytes(two)])),
              ("head not minimal", b"\x59\x00\x01\x00"),
              ("unbalanced", cbor.encode_sequence([bytes(one)[:-1] + b"\x01"]))]  # fmt: skip
    return entry([("two entries", alone, {"head": two.hash.hex()})], refuse, b"")


def bundle_file() -> dict[str, Any]:
    inner = sign_object(sample_bundle())
    outer = bundle.pack(inner)
    refuse = [("cut", outer[:-1]), ("a byte behind it", outer + b"\x00"), ("no stream", inner)]
    return entry([("stream", outer, {"inflated": inner.hex()})], refuse, b"")


def entry(accept: list[tuple[str, bytes, Any]], refuse: list[Refusal], key: bytes
          ) -> dict[str, Any]:  # fmt: skip
    return {
        "environment": int(ENV),
        "public_key": key.hex(),
        "accept": [{"name": n, "bytes": b.hex(), "fields": plain(f)} for n, b, f in accept],
        "refuse": [{"why": w, "bytes": b.hex()} for w, b in refuse],
    }


def make() -> dict[str, dict[str, Any]]:
    """File name without ending → its content."""
    raw: dict[str, Callable[[], dict[str, Any]]] = {
        "receipt": receipts, "statement": statements, "entitlement": entitlements,
        "script": scripts, "upload": upload, "ledger": ledger_chain, "bundle-file": bundle_file,
    }  # fmt: skip
    made = {name: build() for name, build in raw.items()}
    made["cvc-terminal"] = certificates(terminal_certificate(), TERMINAL_CA)
    made["cvc-card"] = certificates(card_certificate(), CARD_CA)
    made["cvc-link"] = certificates(link(), ROOT)
    made |= {f"object-{s.KIND}": signed_object(s) for s in sample_objects()}
    return made


def text(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for file, content in make().items():
        (FOLDER / f"{file}.json").write_text(text(content), encoding="utf-8")
