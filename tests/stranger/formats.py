"""Formats of docs/wire.md, written from that text alone: CBOR, arrays, COSE, TLV, raw objects."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from nacl.exceptions import CryptoError
from nacl.signing import VerifyKey

ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
ENVIRONMENTS = {1, 2, 0x81, 0x82}
WIRE = Path(__file__).parents[2] / "docs" / "wire.md"


class RefusedError(Exception):
    """These bytes are not what the documents allow."""


def need(condition: bool, why: str) -> None:
    if not condition:
        raise RefusedError(why)


# ---- signatures (wire.md#algorithms) ----


def verify_ecdsa(key: bytes, message: bytes, signature: bytes) -> None:
    r, s = int.from_bytes(signature[:32]), int.from_bytes(signature[32:])
    need(len(signature) == 64 and 0 < r < ORDER and 0 < s < ORDER, "signature out of range")
    try:
        point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), key)
        point.verify(encode_dss_signature(r, s), message, ec.ECDSA(SHA256()))
    except (InvalidSignature, ValueError) as error:
        raise RefusedError("ECDSA") from error


def verify_ed25519(key: bytes, message: bytes, signature: bytes) -> None:
    try:
        VerifyKey(key).verify(message, signature)
    except (CryptoError, ValueError) as error:
        raise RefusedError("Ed25519") from error


def check_point(key: bytes) -> None:
    try:
        ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), key)
    except ValueError as error:
        raise RefusedError("no point on P-256") from error


def key_id(key: bytes) -> bytes:
    return sha256(key).digest()[:8]


# ---- CBOR (wire.md#cbor) ----

SIMPLE: dict[int, bool | None] = {20: False, 21: True, 22: None}


class Reader:
    """Reads deterministic CBOR items; a map is read only where the caller allows one."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, count: int) -> bytes:
        need(self.at + count <= len(self.data), "cut")
        self.at += count
        return self.data[self.at - count : self.at]

    def head(self) -> tuple[int, int]:
        first = self.take(1)[0]
        major, low = first >> 5, first & 31
        if low < 24:
            return major, low
        need(low <= 27 and major != 7, "indefinite, reserved or float")
        value = int.from_bytes(self.take(1 << (low - 24)))
        need(value >= (24, 1 << 8, 1 << 16, 1 << 32)[low - 24], "not the shortest length")
        return major, value

    def item(self, maps: bool = False) -> Any:
        major, value = self.head()
        if major in {0, 1}:
            return -1 - value if major else value
        if major == 2:
            return self.take(value)
        if major == 3:
            return utf8(self.take(value))
        if major == 4:
            return [self.item(maps) for _ in range(value)]
        if major == 7 and value in SIMPLE:
            return SIMPLE[value]
        need(maps and major == 5, "a type that is not allowed")
        return self.pairs(value)

    def pairs(self, count: int) -> dict[Any, Any]:
        found, last = {}, b""
        for _ in range(count):
            start = self.at
            name = self.item()
            need(isinstance(name, int | str), "map key")
            raw = self.data[start : self.at]
            need(raw > last, "map keys out of order")
            found[name], last = self.item(), raw
        return found

    def done(self) -> bool:
        return self.at == len(self.data)


def utf8(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise RefusedError("text") from error


def decode(data: bytes, maps: bool = False) -> Any:
    reader = Reader(data)
    value = reader.item(maps)
    need(reader.done(), "bytes behind it")
    return value


def sequence(data: bytes) -> list[bytes]:
    reader, items = Reader(data), []
    while not reader.done():
        items.append(reader.item())
        need(isinstance(items[-1], bytes), "not a byte string")
    return items


def bstr(data: bytes) -> bytes:
    size = len(data)
    if size < 24:
        return bytes([0x40 | size]) + data
    width = 0 if size < 1 << 8 else 1 if size < 1 << 16 else 2
    return bytes([0x58 + width]) + size.to_bytes(1 << width) + data


# ---- arrays (wire.md#arrays): the tables are read out of the document itself ----

TABLE = re.compile(r"^- \*\*(\w+)\*\*(?: \(`([\w.-]+)`, ([\w-]+)\))?: (.+)$", re.MULTILINE)
CODES = re.compile(r"(\d+) (\w+)")
FIELD = re.compile(r"`(\w+)` (.+)")
BOUNDED = re.compile(r"(bytes|text|int) (\d+)(?:\.\.(\d+))?$")
BITS = {"u8": 8, "u16": 16, "u32": 32, "u53": 53}


@dataclass
class Schema:
    """Every array, every code table, and for each COSE type its array and the signer's role."""

    arrays: dict[str, list[tuple[str, str]]]
    codes: dict[str, dict[int, str]]
    types: dict[str, tuple[str, str]]


def read_schema(text: str) -> Schema:
    schema = Schema({}, {}, {})
    for name, kind, role, body in TABLE.findall(text):
        if body[0].isdigit():
            schema.codes[name] = {int(code): label for code, label in CODES.findall(body)}
            continue
        found = [FIELD.fullmatch(part) for part in body.split(" · ")]
        schema.arrays[name] = [(field[1], field[2]) for field in found if field]
        if kind:
            schema.types[kind] = (name, role)
    return schema


SCHEMA = read_schema(WIRE.read_text(encoding="utf-8"))
BODIES = {
    "INTENT": "Intent", "RECEIPT": "Receipted", "SCRIPT": "ScriptDone", "VOID": "VoidIntent",
    "GIVEN_BACK": "GivenBack", "CARD_READ": "CardRead",
}  # fmt: skip


def parse(kind: str, value: Any) -> Any:
    if kind.endswith(" or null"):
        return None if value is None else parse(kind.removesuffix(" or null"), value)
    if kind.startswith("["):
        need(isinstance(value, list), "no array")
        return [parse(kind[1:].removesuffix(" …]"), one) for one in value]
    if kind in SCHEMA.arrays:
        return parse_array(kind, value)
    if kind in SCHEMA.codes or kind == "Environment":
        need(whole(value) and value in SCHEMA.codes.get(kind, ENVIRONMENTS), "unknown code")
        return value
    return parse_plain(kind, value)


def parse_array(kind: str, value: Any) -> dict[str, Any]:
    fields = SCHEMA.arrays[kind]
    need(isinstance(value, list) and len(value) == len(fields), f"no array {kind}")
    return {name: parse(sort, one) for (name, sort), one in zip(fields, value, strict=True)}


def whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def parse_plain(kind: str, value: Any) -> Any:
    if kind == "bool":
        need(isinstance(value, bool), "no bool")
    elif kind == "i53":
        need(whole(value) and abs(value) < 1 << 53, "no i53")
    elif kind in BITS:
        need(whole(value) and 0 <= value < 1 << BITS[kind], f"no {kind}")
    else:
        bounded(kind, value)
    return value


def bounded(kind: str, value: Any) -> None:
    match = BOUNDED.match(kind)
    if match is None:
        raise AssertionError(kind)
    low, high = int(match[2]), int(match[3] or match[2])
    if match[1] == "int":
        need(whole(value) and low <= value <= high, "out of range")
        return
    need(isinstance(value, bytes if match[1] == "bytes" else str), f"no {match[1]}")
    need(low <= len(value) <= high, "length")


def parse_record(raw: bytes) -> dict[str, Any]:
    value = decode(raw)
    need(isinstance(value, list) and len(value) == 5, "no record")
    sort = parse("RecordType", value[3])
    label = SCHEMA.codes["RecordType"][sort]
    head = {
        "sequence": parse("u32", value[0]), "previous": parse("bytes 32", value[1]),
        "time_s": parse("u32", value[2]), "type": sort, "label": label,
    }  # fmt: skip
    need(head["sequence"] > 0, "sequence 0")
    name = BODIES.get(label, label.capitalize())
    return head | {"body": parse(name, value[4]), "hash": sha256(raw).digest()}


# ---- COSE (wire.md#cose) ----


@dataclass
class Signed:
    kind: str
    role: str
    key_id: bytes
    name: bytes
    body: dict[str, Any]
    message: bytes
    signature: bytes


def open_cose(data: bytes, environment: int, kind: str | None = None) -> Signed:
    need(data[:2] == b"\xd2\x84", "tag")
    reader = Reader(data[2:])
    protected = reader.item()
    need(reader.take(1) == b"\xa0", "unprotected header")
    payload = reader.item()
    need(isinstance(protected, bytes) and isinstance(payload, bytes), "frame")
    need(reader.take(2) == b"\x58\x40", "signature length")
    signature = reader.take(64)
    need(reader.done(), "bytes behind it")
    name, identifier, algorithm = open_header(protected, environment)
    need(kind in {None, name}, "another type")
    need(name in SCHEMA.types, "unknown type")
    array, role = SCHEMA.types[name]
    need(algorithm == (-7 if role == "root" else -8), "algorithm")
    message = b"\x84\x6aSignature1" + bstr(protected) + b"\x40" + bstr(payload)
    body = parse(array, decode(payload))
    check_rules(array, body)
    return Signed(name, role, identifier, sha256(message).digest(), body, message, signature)


def open_header(protected: bytes, environment: int) -> tuple[str, bytes, int]:
    header = decode(protected, maps=True)
    need(isinstance(header, dict) and set(header) == {1, 4, 16, -70001}, "header")
    need(header[-70001] == environment, "another environment")
    need(isinstance(header[4], bytes) and len(header[4]) == 8, "key id")
    need(isinstance(header[16], str), "type")
    return header[16], header[4], header[1]


def verify_cose(signed: Signed, key: bytes) -> None:
    need(signed.key_id == key_id(key), "another key")
    verify = verify_ecdsa if signed.role == "root" else verify_ed25519
    verify(key, signed.message, signed.signature)


def ascends(values: list[int]) -> bool:
    return all(a < b for a, b in pairwise(values))


def check_rules(array: str, body: dict[str, Any]) -> None:
    """Rules between fields."""
    if array == "DecreeAnnex":
        need(ascends([row["row"] for row in body["rows"]]), "rows")
    elif array == "FieldVerification":
        need(body["verifier"] != body["approver"], "verifier approves")
    elif array == "Decision":
        need((body["kind"] == 3) == (body["new_card"] is not None), "MOVE")
    elif array == "Programme":
        check_tariffs(body)


def check_tariffs(body: dict[str, Any]) -> None:
    need(ascends([tariff["version"] for tariff in body["tariffs"]]), "versions")
    for tariff in body["tariffs"]:
        need(body["unit"] != 1 or tariff["price_minor"] == 1, "rupiah costs 1")
        need((body["unit"] == 6) == bool(tariff["lines"]), "goods in baskets only")


# ---- raw objects (wire.md#raw) ----

RECEIPT = (
    "kind 1 card_id b8 sequence 4 wallet 2 basket_version 2 amount 4 counters c16 terminal_id b8 "
    "terminal_serial 4 officer 4 terminal_sequence 4 terminal_time_s 4 intent_hash b32 "
    "verification 1 interface 1 entitlement_sequence 4 script_count 2 pin_set_count 2 "
    "bypass_count 2 card_date d4 link b32"
)
STATEMENT = (
    "kind 1 card_id b8 sequence 4 wallet 2 counters c16 entitlement_sequence 4 script_count 2 "
    "pin_set_count 2 bypass_count 2 terminal_id b8 terminal_serial 4 officer 4 detail 1 "
    "number 2 card_date d4 link b32"
)
ENTITLEMENT = (
    "card_id b8 certificate_hash b16 wallet 2 programme 2 sequence 4 loaded 4 count 1 lots l32 "
    "forfeited_through 4 cap 4 issued d4 acknowledged 4 settled_debited 4 settled_reversed 4 "
    "bypass_total 2 key_version 2"
)
SCRIPT = "card_id b8 number 2 action 1 officer 4 issued d4 key_version 2"
LAYOUTS = {"R": RECEIPT, "S": STATEMENT, "E": ENTITLEMENT, "C": SCRIPT}


@dataclass
class Raw:
    """A raw object: the hash of its body names it."""

    fields: dict[str, Any]
    body: bytes
    signature: bytes

    @property
    def name(self) -> bytes:
        return sha256(self.body).digest()

    def verify(self, key: bytes) -> None:
        verify_ecdsa(key, self.body, self.signature)


def bcd_date(raw: bytes) -> date:
    digits = raw.hex()
    need(digits.isdecimal() and digits.isascii(), "BCD")
    try:
        day = date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
    except ValueError as error:
        raise RefusedError("no day") from error
    need(2000 <= day.year <= 2099, "century")
    return day


def read_field(sort: str, raw: bytes) -> Any:
    if sort.startswith("b"):
        return raw
    if sort.startswith("d"):
        return bcd_date(raw)
    numbers = [int.from_bytes(raw[at : at + 4]) for at in range(0, len(raw), 4)]
    if sort.startswith("c"):
        names = ("loaded", "debited", "forfeited", "reversed")
        return dict(zip(names, numbers, strict=True))
    if sort.startswith("l"):
        return list(zip(numbers[::2], numbers[1::2], strict=True))
    return int.from_bytes(raw)


def parse_raw(letter: str, data: bytes, environment: int) -> Raw:
    words = LAYOUTS[letter].split()
    need(data[:4] == b"BT" + letter.encode() + b"\x01", "domain")
    need(len(data) > 4 and data[4] == environment, "environment")
    fields: dict[str, Any] = {"env": data[4]}
    at = 5
    for name, sort in zip(words[::2], words[1::2], strict=True):
        size = int(sort.lstrip("bcdl"))
        need(at + size <= len(data), "cut")
        fields[name] = read_field(sort, data[at : at + size])
        at += size
    need(len(data) == at + 64, "length")
    CHECKS[letter](fields)
    return Raw(fields, data[:at], data[at:])


def check_counters(counters: dict[str, int]) -> None:
    spent = counters["debited"] - counters["reversed"]
    need(spent >= 0 and spent + counters["forfeited"] <= counters["loaded"], "counters")


def check_receipt(fields: dict[str, Any]) -> None:
    need(fields["kind"] in {1, 2} and fields["sequence"] > 0 and fields["amount"] > 0, "receipt")
    need(fields["verification"] in ({1, 2} if fields["kind"] == 1 else {0}), "verification")
    need(fields["interface"] in {1, 2}, "interface")
    check_counters(fields["counters"])


def check_statement(fields: dict[str, Any]) -> None:
    kind, detail = fields["kind"], fields["detail"]
    need(kind in {1, 2, 3, 4}, "kind")
    need(detail in {1: {0}, 2: {0}, 3: {1, 2}, 4: {1, 2, 3, 4}}[kind], "detail")
    need((kind == 4) == (fields["number"] > 0), "number")
    loaded = fields["wallet"] or fields["entitlement_sequence"] or any(fields["counters"].values())
    need(kind == 1 or not loaded, "zero unless load")
    check_counters(fields["counters"])


def check_entitlement(fields: dict[str, Any]) -> None:
    count = fields.pop("count")
    lots, rest = fields["lots"][:count], fields["lots"][count:]
    need(1 <= count <= 4 and not any(map(any, rest)), "lots")
    ends, expiries = [end for _, end in lots], [expires for expires, _ in lots]
    need(ascends(ends) and expiries == sorted(expiries), "order of lots")
    need(ends[-1] == fields["loaded"] < 1 << 31, "L")
    need(fields["forfeited_through"] <= fields["loaded"], "C")
    need(fields["wallet"] > 0 and fields["sequence"] > 0, "zero")
    settled = fields["settled_debited"] - fields["settled_reversed"]
    need(0 <= settled <= fields["loaded"], "settled")
    fields["lots"] = [{"expires_s": expires, "end": end} for expires, end in lots]


def check_script(fields: dict[str, Any]) -> None:
    need(fields["action"] in {1, 2, 3, 4} and fields["number"] > 0, "script")
    need((fields["action"] == 4) == (fields["officer"] > 0), "officer")


CHECKS = {"R": check_receipt, "S": check_statement, "E": check_entitlement, "C": check_script}


# ---- CV certificates (wire.md#cvc) ----


def tlv(data: bytes, at: int, tag: bytes) -> tuple[bytes, int]:
    """The value of exactly this tag at this place, and where it ends."""
    need(data[at : at + len(tag)] == tag, f"tag {tag.hex()}")
    at += len(tag)
    need(at < len(data), "cut")
    size = data[at]
    at += 1
    if size == 0x81:
        need(at < len(data) and data[at] >= 0x80, "length not minimal")
        size, at = data[at], at + 1
    else:
        need(size < 0x80, "length")
    need(at + size <= len(data), "cut")
    return data[at : at + size], at + size


def tlvs(data: bytes, wanted: list[tuple[str, int | None]]) -> list[bytes]:
    at, values = 0, []
    for tag, size in wanted:
        value, at = tlv(data, at, bytes.fromhex(tag))
        need(size in {None, len(value)}, f"length of {tag}")
        values.append(value)
    need(at == len(data), "more inside")
    return values


INNER = [
    ("93", 4), ("42", 8), ("5F20", 8), ("95", 1), ("5F25", 4), ("5F24", 4), ("73", None),
    ("7F49", None), ("5F37", 64),
]  # fmt: skip
EXTENSIONS: dict[str, list[tuple[str, int | None]]] = {
    "T": [("C0", 1), ("C1", 1), ("C2", 4)],
    "C": [("C0", 1), ("C3", 33)],
    "R": [("C0", 1), ("C4", 2), ("C5", 1)],
}


@dataclass
class Certificate:
    fields: dict[str, Any]
    message: bytes
    signature: bytes
    name: bytes

    def verify(self, key: bytes) -> None:
        verify_ecdsa(key, self.message, self.signature)


def mark(environment: int) -> bytes:
    return b"DEMO" if environment & 0x80 else b"KHBS"


def parse_certificate(data: bytes, environment: int) -> Certificate:
    need(len(data) <= 250, "too long")
    inside, end = tlv(data, 0, b"\x7f\x21")
    need(end == len(data), "bytes behind it")
    serial, issuer, subject, usage, start, stop, extra, key, signature = tlvs(inside, INNER)
    kind = chr(issuer[4])
    need(issuer[:4] == mark(environment) and kind in EXTENSIONS and issuer[5] == 0, "issuer")
    need(usage == (b"\x82" if kind == "R" else b"\x80"), "usage")
    need(bcd_date(start) <= bcd_date(stop), "dates")
    public, zero = tlvs(key, [("B0", 65), ("F0", 1)])
    need(zero == b"\0" and public[0] == 4, "key")
    check_point(public)
    fields = {
        "serial": int.from_bytes(serial),
        "issuer": {"env_mark": issuer[:4], "kind": issuer[4], "version": number(issuer[6:])},
        "subject": subject, "effective": bcd_date(start), "expires": bcd_date(stop),
        "extension": extension(kind, extra, environment, subject), "public_key": public,
    }  # fmt: skip
    message = inside[: len(inside) - 67]
    return Certificate(fields, message, signature, sha256(data).digest())


def number(raw: bytes) -> int:
    return int.from_bytes(raw)


def extension(kind: str, extra: bytes, environment: int, subject: bytes) -> dict[str, Any]:
    env, *rest = tlvs(extra, EXTENSIONS[kind])
    need(number(env) == environment, "environment")
    if kind == "T":
        need(1 <= number(rest[0]) <= 4, "role")
        return {"env": number(env), "role": number(rest[0]), "officer": number(rest[1])}
    need(subject[:4] == mark(environment), "mark of the subject")
    if kind == "C":
        check_point(rest[0])
        return {"env": number(env), "receipt_key": rest[0]}
    need(rest[1] in {b"\0", b"\1"}, "C5")
    return {
        "env": number(env), "lowest_kept": number(rest[0]), "may_step_back": rest[1] == b"\1",
    }  # fmt: skip


def day_of(seconds: int) -> date:
    return datetime.fromtimestamp(seconds, UTC).date()
