"""Changed objects to every pure parser: refused as such, or one encoding and no other.

`PARSERS` is the list: how to read, how to write again from the fields alone, and whose errors a
refusal may be. The same list feeds the coverage-guided run (`fuzz_guided`).
"""

from __future__ import annotations

import gc
import json
import resource
import time
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from enum import IntEnum
from functools import cache
from pathlib import Path
from random import Random
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import cbor2

from keys import enrol, exchange, issuance
from keys.errors import KeysError
from keys.scp03 import InitializeUpdateAnswer
from keys.securechannel import SecureChannelError
from keys.signer import Ed25519Signer, P256KeyAgreement
from tests.support import fuzz_mutate as mutate
from tests.support import vectors
from tests.support.campaign import FaultError
from wire import apdu, bundle, cbor, chain, cose, cvc, log, objects, purse, tlv
from wire.entitlement import Entitlement, Script
from wire.env import Environment
from wire.errors import WireError
from wire.receipt import Receipt, Statement
from wire.schema import Shape

__all__ = ["PARSERS", "Parser", "judge", "play", "samples"]

SIZE = 500  # objects of one piece
MOST_S = 0.25  # for one small object, whatever it claims
MOST_MIB = 300  # growth of the process in one piece
REFUSALS = (WireError, KeysError, SecureChannelError)


@dataclass(frozen=True)
class Parser:
    """``again`` writes the object from its fields; None where a form has several encodings."""

    read: Callable[[bytes], Any]
    again: Callable[[Any], bytes] | None


def _fields(value: Any, *but: str) -> dict[str, Any]:
    return {f.name: getattr(value, f.name) for f in fields(value) if f.name not in {"raw", *but}}


def _certificate(c: cvc.Certificate) -> bytes:
    return bytes(cvc.assemble(cvc.encode_unsigned(**_fields(c, "signature")), c.signature))


def _signed(kind: Any) -> Callable[[Any], bytes]:
    return lambda x: kind.encode_body(**_fields(x)) + x.raw[-64:]


def _sign1(x: cose.Sign1) -> bytes:
    head = {1: int(x.algorithm), 4: x.key_id, 16: "khbs." + x.kind, -70001: int(x.env)}
    parts = cbor2.dumps(cbor2.dumps(head)), b"\xa0", cbor2.dumps(x.payload)
    return b"\xd2\x84" + b"".join(parts) + cbor2.dumps(x.signature)


def _record(x: log.Record) -> bytes:
    return log.Record.make(x.sequence, x.previous, x.time_s, x.body).raw


def _upload(x: log.Upload) -> bytes:
    if bytes(x.head) != x.signed_head.payload:
        raise FaultError("the head is not what was signed")
    return cbor.encode([_sign1(x.signed_head), [_record(r) for r in x.records]])


def _tlvs(items: list[tuple[int, bytes]]) -> bytes:
    return b"".join(tlv.encode(tag, value) for tag, value in items)


def _unpacked(raw: bytes) -> bytes:
    data = bundle.unpack(raw)
    if len(data) > bundle.MAX_BUNDLE_BYTES:
        raise FaultError("inflated beyond the limit")
    return data


def _shapes() -> list[type[Shape]]:
    """Every array of the wire, and the keys' own."""
    found = {s for m in (objects, log, chain, bundle) for s in vars(m).values()
             if isinstance(s, type) and issubclass(s, Shape) and is_dataclass(s)}  # fmt: skip
    found |= {enrol.StationRequest, enrol.OfficerRequest, enrol.Provision, exchange.Pending,
              issuance.IssuanceItem}  # fmt: skip
    return sorted(found, key=lambda s: s.__name__)


def _array(shape: type[Shape]) -> str:
    """A parser's name; the keys' arrays with their module's."""
    inside = shape.__module__.startswith("wire.")
    return f"array {shape.__name__}" if inside else f"array {shape.__module__}.{shape.__name__}"


@cache
def parsers() -> dict[str, Parser]:
    """Name → parser."""
    made: dict[str, Parser] = {
        "cvc": Parser(cvc.Certificate.parse, _certificate),
        "receipt": Parser(Receipt.parse, _signed(Receipt)),
        "statement": Parser(Statement.parse, _signed(Statement)),
        "entitlement": Parser(Entitlement.parse, _signed(Entitlement)),
        "script": Parser(Script.parse, _signed(Script)),
        "sign1": Parser(cose.Sign1.parse, _sign1),
        "record": Parser(log.Record.parse, _record),
        "upload": Parser(log.Upload.parse, _upload),
        "cbor": Parser(cbor.decode, cbor.encode),
        "sequence": Parser(lambda b: list(cbor.decode_sequence(b)), cbor.encode_sequence),
        "tlv": Parser(tlv.parse_all, _tlvs),
        "command": Parser(apdu.CommandApdu.parse, bytes),
        "response": Parser(apdu.ResponseApdu.parse, bytes),
        "state": Parser(purse.CardState.parse, bytes),
        "fci": Parser(purse.Fci.parse, bytes),
        "install": Parser(purse.InstallParameters.parse, bytes),
        "card keys": Parser(purse.CardKeys.parse, bytes),
        "debit": Parser(purse.Debit.parse, bytes),
        "void": Parser(purse.Void.parse, bytes),
        "initialize update": Parser(InitializeUpdateAnswer.parse, bytes),
        "bundle file": Parser(_unpacked, None),
    }
    return made | {_array(s): Parser(s.parse, bytes) for s in _shapes()}


PARSERS = parsers()


# --- what is changed ----------------------------------------------------------------------------


@cache
def samples() -> dict[str, tuple[bytes, ...]]:
    """Valid bytes for every parser that has some; others start from somebody else's."""
    found: dict[str, list[bytes]] = {}

    def give(name: str, *raws: bytes) -> None:
        found.setdefault(name, []).extend(raws)

    for path in sorted(Path(vectors.FOLDER).glob("*.json")):
        content = json.loads(path.read_text())
        kind = path.stem
        for item in content["accept"]:
            raw = bytes.fromhex(item["bytes"])
            if kind.startswith("object-"):
                sign1 = cose.Sign1.parse(raw)
                give("sign1", raw)
                shape = next(s for s in _shapes() if getattr(s, "KIND", None) == sign1.kind)
                give(_array(shape), sign1.payload)
                give("cbor", sign1.payload)
            else:
                names = {"bundle-file": "bundle file", "ledger": "sequence"}
                give(names.get(kind, kind.split("-")[0]), raw)
    for upload in map(log.Upload.parse, found["upload"]):
        for record in upload.records:
            give("record", record.raw)
            give(_array(type(record.body)), bytes(record.body))
    for raw in found["sequence"]:
        give("array LedgerEntry", *cbor.decode_sequence(raw))
    _others(give)
    for shape in _shapes():
        if _array(shape) not in found:
            give(_array(shape), cbor.encode(_least(shape)))
    return {name: tuple(raws) for name, raws in found.items()}


def _least(hint: Any) -> Any:
    """A small value of a layout's annotation, whether or not it keeps the rules between fields."""
    if get_origin(hint) is Annotated:
        kind, limit = get_args(hint)
        if get_origin(kind) is tuple:
            return [_least(get_args(kind)[0])]
        return {int: limit.low, bytes: bytes(max(0, limit.low)), str: "x" * max(1, limit.low)}[kind]
    if get_origin(hint) is tuple:
        return [_least(get_args(hint)[0])]
    if get_origin(hint) in {UnionType, Union}:
        return next(_least(a) for a in get_args(hint) if a is not type(None))
    if hint is bool:
        return True
    if issubclass(hint, IntEnum):
        return int(next(iter(hint)))
    hints = get_type_hints(hint, include_extras=True)
    return [_least(hints[name]) for name in hint.field_names()]


def _others(give: Callable[..., None]) -> None:
    """What the vectors do not hold."""
    random, env = Random(3).randbytes, Environment.DEMO_LIVE  # noqa: S311
    p256, ed = P256KeyAgreement.generate(random), Ed25519Signer.generate(random)
    give(_array(enrol.StationRequest), bytes(enrol.StationRequest.make(
        env, b"TERM0001", objects.StationKind.TERMINAL, ed, p256)))  # fmt: skip
    give(_array(enrol.OfficerRequest), bytes(enrol.OfficerRequest.make(
        env, b"TERM0001", cvc.Role.SUPERVISOR, 41, p256)))  # fmt: skip
    give(_array(exchange.Pending), bytes(exchange.Pending(env, "decree", (b"one", b"two"))))
    item = issuance.IssuanceItem(chain.IssuanceKind.SCRAPPED, vectors.CARD, note="patah")
    give(_array(issuance.IssuanceItem), bytes(item))
    give("array IssuanceEntry", bytes(item.entry(1, bytes(32), vectors.NOW_S)))
    give("array TrustFile", bytes(chain.TrustFile(env, p256.public_key, (b"x",), ())))
    intent = log.Intent(vectors.CARD, bytes(32), 1, 5, 1, (objects.GoodsLine(
        "beras", objects.Unit.GRAM, 5),), 3, 1, 0, 1, 1, 1, "")  # fmt: skip
    give("array Intent", bytes(intent))
    give("record", log.Record.make(9, bytes(32), vectors.NOW_S, intent).raw)
    give("fci", bytes(purse.Fci(env, 1)))
    give("install", bytes(purse.InstallParameters(env, p256.public_key)))
    give("card keys", 2 * p256.public_key)
    give("debit", bytes(purse.Debit(1, 2, 3, 4, 5, 6, bytes(32))))
    give("void", bytes(purse.Void(1, 2, 3, bytes(32))))
    wallet = (0x0101).to_bytes(2, "big") + (1).to_bytes(4, "big") + bytes(16)
    head = vectors.CARD + vectors.TERMINAL + bytes.fromhex("0400") + bytes(8 + 10)
    give("state", head + bytes.fromhex("030a2026060101") + wallet)
    give("command", bytes.fromhex("80ca7f2100"), bytes.fromhex("802a001002abcd"))
    give("response", bytes.fromhex("01029000"))
    give("tlv", *(c.raw for c in (vectors.card_certificate(), vectors.link())))
    give("initialize update", bytes(10) + b"\x30\x03\x70" + bytes(16) + bytes(3))


_ALIKE = {"cvc": "tlv", "fci": "tlv", "tlv": "tlv", "command": "apdu"}


def changed(r: Random, name: str) -> bytes:
    """Something near a valid object of that kind."""
    known = samples()
    raw = r.choice(known.get(name) or known["cbor"])
    pool = known["sign1"] if name == "sign1" else known["cbor"]
    if _ALIKE.get(name) == "apdu":
        return mutate.apdu(r, raw)
    if _ALIKE.get(name) == "tlv" and r.random() < 0.6:
        return mutate.tlvs(r, raw)
    if name == "bundle file" and r.random() < 0.5:
        return zlib.compress(mutate.blob(r, zlib.decompress(raw), pool), r.randrange(10))
    is_array = name.startswith("array ") or name in {"cbor", "record", "upload"}
    if is_array and r.random() < 0.7:
        value = cbor2.loads(raw)
        for _ in range(r.choice((1, 1, 2))):
            value = mutate.cbor(r, value)
        return cbor2.dumps(value, canonical=r.random() < 0.9)
    if name == "sign1" and r.random() < 0.4:
        return _other_header(r, raw)
    return mutate.blob(r, raw, pool)


def _other_header(r: Random, raw: bytes) -> bytes:
    """COSE with another protected header, in an encoding of its own."""
    protected, unprotected, payload, signature = cbor2.loads(raw).value
    header = cbor2.loads(protected)
    key = r.choice(list(header))
    match r.randrange(5):
        case 0:
            del header[key]
        case 1:
            header[r.choice((0, 2, 3, 33, -70002, "x"))] = r.choice(mutate.NUMBERS)
        case 2:
            header = dict(reversed(header.items()))
        case 3:
            unprotected = {4: b"12345678"}
        case _:
            header[key] = mutate.cbor(r, header[key])
    tag = r.choice((18, 18, 18, 17, 98))
    return cbor2.dumps(cbor2.CBORTag(tag, [cbor2.dumps(header), unprotected, payload, signature]))


# --- the oracle ---------------------------------------------------------------------------------


def judge(name: str, raw: bytes, parser: Parser | None = None) -> bool:
    """Whether ``raw`` was taken; raises `FaultError` for anything but a clean answer."""
    parser = parser or PARSERS[name]
    said, begun = f"{name} {raw[:600].hex()}", time.thread_time()
    try:
        value = parser.read(raw)
    except REFUSALS:
        value = None
        taken = False
    except Exception as error:
        raise FaultError(f"{said}: {type(error).__name__}: {error}") from error
    else:
        taken = True
    spent = time.thread_time() - begun
    if spent > MOST_S:
        raise FaultError(f"{said}: {spent:.2f} s for {len(raw)} bytes")
    if taken and parser.again is not None:
        try:
            again = parser.again(value)
        except FaultError:
            raise
        except Exception as error:
            raise FaultError(f"{said}: taken, but cannot be written: {error!r}") from error
        if again != raw:
            raise FaultError(f"{said}: taken, but is written {again[:600].hex()}")
    return taken


def play(seed: int, number: int, size: int = SIZE) -> Counter[str]:
    """One piece: that many objects; raises `FaultError`."""
    r, counts = Random(f"{seed}/{number}/objects"), Counter[str]()  # noqa: S311
    names, before = list(PARSERS), _peak_mib()
    # Certificates and entitlements are what the protocol names: every third object is one.
    for i in range(size):
        name = r.choice(("cvc", "entitlement")) if i % 3 == 0 else r.choice(names)
        taken = judge(name, changed(r, name))
        counts[f"{name}: {'taken' if taken else 'refused'}"] += 1
        counts["certificates and entitlements"] += name in {"cvc", "entitlement"}
    counts["objects"] += size
    gc.collect()
    if _peak_mib() - before > MOST_MIB:
        raise FaultError(f"piece {number} took {_peak_mib() - before} MiB")
    return counts


def _peak_mib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
