"""A verifier by a stranger: nothing but docs/wire.md and card_os/SPEC.md stands behind it.

    python tests/stranger/verifier.py EXPORT TRUST [FINGERPRINT]

What fails is raised as RefusedError; what a TERMINAL_LOST explains is counted, not hidden.
"""

from __future__ import annotations

import json
import sys
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any

from formats import (
    SCHEMA,
    Certificate,
    Raw,
    RefusedError,
    Signed,
    day_of,
    decode,
    key_id,
    need,
    open_cose,
    parse,
    parse_certificate,
    parse_raw,
    parse_record,
    sequence,
    verify_cose,
)

ZERO = bytes(32)
LIMIT = 64 << 20


# ---- chains, uploads and bundles ----


def read_chain(kind: str, entries: list[bytes]) -> list[dict[str, Any]]:
    """Entries of a backend's chain, each with its own hash."""
    found, previous = [], ZERO
    for at, raw in enumerate(entries, 1):
        entry = parse(kind, decode(raw))
        need(entry["sequence"] == at and entry["previous"] == previous, f"{kind} {at}: chain")
        previous = sha256(raw).digest()
        found.append(entry | {"hash": previous})
    return found


def read_ledger(entries: list[bytes]) -> list[dict[str, Any]]:
    chain = read_chain("LedgerEntry", entries)
    for entry in chain:
        sums: Counter[str] = Counter()
        for posting in entry["postings"]:
            sums[posting["good"]] += posting["amount"]
        need(not any(sums.values()), "an entry does not balance")
    return chain


def read_upload(data: bytes, environment: int) -> tuple[Signed, list[dict[str, Any]]]:
    """The signed head and its records; the signature is still to be verified."""
    value = decode(data)
    need(isinstance(value, list) and len(value) == 2, "upload")
    head = open_cose(parse("bytes 1..1048576", value[0]), environment, "khbs.upload")
    records = [parse_record(raw) for raw in parse("[bytes 1..1048576 …]", value[1])]
    need(len(records) > 0, "no record")
    follow(records)
    first, last = records[0], records[-1]
    need(first["sequence"] == head.body["first"], "first")
    need(last["sequence"] == head.body["last"] and last["hash"] == head.body["head"], "last")
    return head, records


def follow(records: list[dict[str, Any]]) -> None:
    for before, after in pairwise(records):
        need(after["sequence"] == before["sequence"] + 1, "gap between records")
        need(after["previous"] == before["hash"], "records do not link")
        need(after["time_s"] >= before["time_s"], "time runs back")


def inflate(data: bytes) -> bytes:
    stream = zlib.decompressobj()
    try:
        plain = stream.decompress(data, LIMIT + 1)
    except zlib.error as error:
        raise RefusedError("zlib") from error
    need(stream.eof and not stream.unused_data and len(plain) <= LIMIT, "stream")
    return plain


# ---- vectors ----


def show(value: Any) -> Any:
    """Fields as the vectors write them."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, dict):
        return {name: show(one) for name, one in value.items()}
    return [show(one) for one in value] if isinstance(value, list) else value


def check_certificate(kind: str, data: bytes, key: bytes, environment: int) -> dict[str, Any]:
    certificate = parse_certificate(data, environment)
    letter = {"card": "C", "terminal": "T", "link": "R"}[kind]
    need(chr(certificate.fields["issuer"]["kind"]) == letter, "another kind")
    certificate.verify(key)
    return certificate.fields


def check_raw(letter: str, data: bytes, key: bytes, environment: int) -> dict[str, Any]:
    raw = parse_raw(letter, data, environment)
    raw.verify(key)
    return raw.fields


def check_object(kind: str, data: bytes, key: bytes, environment: int) -> dict[str, Any]:
    signed = open_cose(data, environment, f"khbs.{kind}")
    verify_cose(signed, key)
    return signed.body


def check_upload(data: bytes, key: bytes, environment: int) -> dict[str, Any]:
    head, records = read_upload(data, environment)
    verify_cose(head, key)
    shown = ("sequence", "time_s", "type", "body")
    return {"records": [{name: record[name] for name in shown} for record in records]}


def check_vector(name: str, data: bytes, key: bytes, environment: int) -> dict[str, Any]:
    """The fields of one vector, or RefusedError. `name` is the vector file's stem."""
    sort, _, kind = name.partition("-")
    letters = {"receipt": "R", "statement": "S", "entitlement": "E", "script": "C"}
    if sort in letters:
        return check_raw(letters[sort], data, key, environment)
    if sort == "cvc":
        return check_certificate(kind, data, key, environment)
    if sort == "object":
        return check_object(kind, data, key, environment)
    if sort == "upload":
        return check_upload(data, key, environment)
    if sort == "ledger":
        return {"head": read_ledger(sequence(data))[-1]["hash"]}
    if sort == "bundle":
        return {"inflated": inflate(data)}
    raise AssertionError(name)


# ---- export ----


@dataclass
class Trust:
    """Keys under the root, by role and version and by key id."""

    environment: int
    root: bytes
    keys: list[dict[str, Any]]
    revoked: dict[bytes, dict[str, Any]]

    def key(self, role: str, version: int) -> bytes:
        found = [one for one in self.keys if (one["label"], one["version"]) == (role, version)]
        need(len(found) == 1, f"{role} {version}")
        need(key_id(found[0]["public_key"]) not in self.revoked, f"{role} {version} revoked")
        return found[0]["public_key"]

    def verify(self, signed: Signed, at_s: int) -> None:
        """By a key of the type's role, inside that key's time."""
        role = signed.role.upper()
        found = [one for one in self.keys if key_id(one["public_key"]) == signed.key_id]
        need(len(found) == 1 and found[0]["label"] == role, f"{signed.kind}: no {role} key")
        need(found[0]["from_s"] <= at_s <= found[0]["to_s"], f"{signed.kind}: key out of its time")
        need(signed.key_id not in self.revoked, f"{signed.kind}: key revoked")
        verify_cose(signed, found[0]["public_key"])


def read_trust(data: bytes, fingerprint: str | None = None) -> Trust:
    file = parse("TrustFile", decode(data))
    root, environment = file["root_key"], file["environment"]
    need(fingerprint in {None, sha256(root).hexdigest()}, "another root")
    keys = []
    for raw in file["statements"]:
        signed = open_cose(raw, environment, "khbs.key")
        verify_cose(signed, root)
        keys.append(signed.body | {"label": SCHEMA.codes["KeyRole"][signed.body["role"]]})
    revoked = {}
    for raw in file["revocations"]:
        signed = open_cose(raw, environment, "khbs.revocation")
        verify_cose(signed, root)
        revoked[signed.body["key_id"]] = signed.body
    return Trust(environment, root, keys, revoked)


@dataclass
class Card:
    certificate: Certificate
    receipts: dict[int, Raw] = field(default_factory=dict)
    loads: list[Raw] = field(default_factory=list)


@dataclass
class Export:
    """All that one export holds, verified step by step."""

    folder: Path
    trust: Trust
    issuance: list[dict[str, Any]] = field(default_factory=list)
    ledger: list[dict[str, Any]] = field(default_factory=list)
    objects: dict[str, list[Signed]] = field(default_factory=dict)
    logs: dict[bytes, dict[int, dict[str, Any]]] = field(default_factory=dict)
    cards: dict[bytes, Card] = field(default_factory=dict)
    terminals: dict[tuple[bytes, int], Certificate] = field(default_factory=dict)
    entitlements: list[Raw] = field(default_factory=list)
    counted: Counter[str] = field(default_factory=Counter)
    programmes: dict[int, dict[str, int]] = field(default_factory=dict)

    @property
    def environment(self) -> int:
        return self.trust.environment

    def items(self, name: str) -> list[bytes]:
        return sequence((self.folder / name).read_bytes())

    def lost(self) -> dict[bytes, int]:
        signed = self.objects.get("terminal-lost", [])
        return {one.body["terminal"]: one.body["last"] for one in signed}


def check_chains(export: Export) -> None:
    export.issuance = read_chain("IssuanceEntry", export.items("issuance.cbor"))
    export.ledger = read_ledger(export.items("ledger.cbor"))
    chains = {"khbs.issuance-head": export.issuance, "khbs.ledger-head": export.ledger}
    covered = dict.fromkeys(chains, 0)
    for raw in export.items("heads.cbor"):
        head = open_cose(raw, export.environment)
        need(head.kind in chains, "no head")
        export.trust.verify(head, head.body["time_s"])
        at, chain = head.body["sequence"], chains[head.kind]
        need(1 <= at <= len(chain) and chain[at - 1]["hash"] == head.body["head"], "head")
        covered[head.kind] = max(covered[head.kind], at)
        export.counted["heads"] += 1
    need(all(covered[kind] == len(chain) for kind, chain in chains.items()), "head behind")


def named_objects(export: Export) -> dict[tuple[str, bytes], int]:
    """What must stand in objects/, and when it was entered."""
    found = {}
    for entry in export.issuance:
        if entry["kind"] == 8 and entry["note"] != "bundle":
            found[entry["note"], entry["item"]] = entry["time_s"]
        elif entry["kind"] == 6:
            signed = open_cose(entry["item"], export.environment, "khbs.enrolment")
            export.trust.verify(signed, entry["time_s"])
            found["enrolment", signed.name] = entry["time_s"]
    return found


def check_objects(export: Export) -> None:
    named = named_objects(export)
    for path in sorted((export.folder / "objects").iterdir()):
        for raw in sequence(path.read_bytes()):
            signed = open_cose(raw, export.environment, f"khbs.{path.stem}")
            at = named.pop((path.stem, signed.name), None)
            need(at is not None, f"{path.stem} not in the issuance log")
            export.trust.verify(signed, at or 0)
            export.objects.setdefault(path.stem, []).append(signed)
            export.counted["objects"] += 1
    need(not named, f"objects missing: {len(named)}")


def check_issuance(export: Export) -> None:
    """Certificates, links, entitlements and scripts under their keys."""
    steps = {1: check_card, 2: check_terminal, 3: check_entitlement, 4: check_script, 5: check_link}
    for entry in export.issuance:
        if entry["kind"] in steps:
            steps[entry["kind"]](export, entry)


def signed_certificate(export: Export, raw: bytes, letter: str, role: str) -> Certificate:
    certificate = parse_certificate(raw, export.environment)
    issuer = certificate.fields["issuer"]
    need(chr(issuer["kind"]) == letter, "another certificate")
    key = export.trust.root if role == "ROOT" else export.trust.key(role, issuer["version"])
    certificate.verify(key)
    return certificate


def check_card(export: Export, entry: dict[str, Any]) -> None:
    certificate = signed_certificate(export, entry["item"], "C", "CARD_CA")
    subject = certificate.fields["subject"]
    need(subject not in export.cards, "two certificates of a card")
    need(entry["order"] in {one.name for one in export.objects["order"]}, "order of a card")
    export.cards[subject] = Card(certificate)


def check_terminal(export: Export, entry: dict[str, Any]) -> None:
    certificate = signed_certificate(export, entry["item"], "T", "TERMINAL_CA")
    name = certificate.fields["subject"], certificate.fields["serial"]
    need(name not in export.terminals, "a serial twice")
    export.terminals[name] = certificate


def check_entitlement(export: Export, entry: dict[str, Any]) -> None:
    raw = parse_raw("E", entry["item"], export.environment)
    fields = raw.fields
    raw.verify(export.trust.key("ISSUER", fields["key_version"]))
    need(fields["card_id"] in export.cards, "entitlement of no card")
    name = export.cards[fields["card_id"]].certificate.name
    need(fields["certificate_hash"] == name[:16], "entitlement of another certificate")
    export.entitlements.append(raw)


def check_script(export: Export, entry: dict[str, Any]) -> None:
    raw = parse_raw("C", entry["item"], export.environment)
    raw.verify(export.trust.key("ISSUER", raw.fields["key_version"]))
    export.counted["scripts"] += 1


def check_link(export: Export, entry: dict[str, Any]) -> None:
    link = signed_certificate(export, entry["item"], "R", "ROOT")
    subject = link.fields["subject"]
    role = {"T": "TERMINAL_CA", "I": "ISSUER"}.get(chr(subject[4]))
    need(role is not None, "kind of a link")
    key = export.trust.key(str(role), int.from_bytes(subject[6:]))
    need(key == link.fields["public_key"], "key of a link")
    export.counted["links"] += 1


def check_uploads(export: Export) -> None:
    stations = {one.body["station"]: one for one in export.objects["enrolment"]}
    for path in sorted((export.folder / "uploads").iterdir()):
        head, records = read_upload(path.read_bytes(), export.environment)
        body = head.body
        need(body["station"] in stations, "station not enrolled")
        wanted = f"{body['station'].hex()}-{body['first']:010d}-{body['last']:010d}.cbor"
        need(path.name == wanted, "name of an upload")
        station = stations[body["station"]]
        verify_cose(head, station.body["log_key"])
        append(export.logs.setdefault(body["station"], {}), records, station)
        export.counted["uploads"] += 1
    check_acknowledgements(export)


def append(log: dict[int, dict[str, Any]], records: list[dict[str, Any]], station: Signed) -> None:
    before = log[max(log)] if log else {"sequence": 0, "hash": station.name, "time_s": 0}
    follow([before, *records])
    log.update({record["sequence"]: record for record in records})


def check_acknowledgements(export: Export) -> None:
    for signed in export.objects["ack"]:
        log, last = export.logs.get(signed.body["station"], {}), signed.body["last"]
        need(last in log and log[last]["hash"] == signed.body["head"], "acknowledgement")
    for terminal, last in export.lost().items():
        need(last == max(export.logs.get(terminal, {0: {}})), "last record of a lost terminal")


def raw_items(record: dict[str, Any]) -> Iterator[bytes]:
    """Receipts and statements that a record carries."""
    for name in ("receipt", "statement", "item", "other"):
        value = record["body"].get(name)
        if isinstance(value, bytes) and value[:2] == b"BT":
            yield value


def check_raws(export: Export) -> None:
    for log in export.logs.values():
        for record in log.values():
            for data in raw_items(record):
                take(export, data)


def take(export: Export, data: bytes) -> None:
    letter = data[2:3].decode("ascii", "replace")
    need(letter in {"R", "S"}, "neither receipt nor statement")
    raw = parse_raw(letter, data, export.environment)
    card = export.cards.get(raw.fields["card_id"])
    need(card is not None, "a card without a certificate")
    if card is None:
        return
    raw.verify(card.certificate.fields["extension"]["receipt_key"])
    if letter == "R":
        known = card.receipts.setdefault(raw.fields["sequence"], raw)
        need(known.body == raw.body, "two bodies with one sequence")
        return
    export.counted["statements"] += 1
    if raw.fields["kind"] == 1:
        card.loads.append(raw)


def check_cards(export: Export) -> None:
    for card in export.cards.values():
        numbers = sorted(card.receipts)
        need(numbers == list(range(1, len(numbers) + 1)), "a receipt is missing")
        link = card.certificate.name
        for at in numbers:
            need(card.receipts[at].fields["link"] == link, "receipts do not link")
            link = card.receipts[at].name
        check_counters(card)
        export.counted["receipts"] += len(numbers)


def check_counters(card: Card) -> None:
    """D and R step by the amount; L and F only by entitlements, never down."""
    last: dict[int, dict[str, int]] = {}
    for at in sorted(card.receipts):
        fields = card.receipts[at].fields
        now, wallet = fields["counters"], fields["wallet"]
        before = last.get(wallet, dict.fromkeys(now, 0))
        stepped = "debited" if fields["kind"] == 1 else "reversed"
        for name in ("debited", "reversed"):
            step = fields["amount"] if name == stepped else 0
            need(now[name] == before[name] + step, f"{name} does not step by the amount")
        need(all(now[name] >= before[name] for name in ("loaded", "forfeited")), "L or F falls")
        if fields["kind"] == 2:
            check_reversal(card, fields)
        last[wallet] = now


def check_reversal(card: Card, fields: dict[str, Any]) -> None:
    debit = card.receipts[fields["sequence"] - 1].fields
    names = ("wallet", "amount", "terminal_id", "basket_version")
    need(debit["kind"] == 1, "a reversal of no debit")
    need(all(debit[name] == fields[name] for name in names), "a reversal of another debit")


def check_intents(export: Export) -> None:
    """Every receipt names its INTENT or VOID; a lost terminal explains one that is missing."""
    lost = export.lost()
    for card in export.cards.values():
        for receipt in card.receipts.values():
            fields = receipt.fields
            check_session(export, fields)
            terminal, at = fields["terminal_id"], fields["terminal_sequence"]
            record = export.logs.get(terminal, {}).get(at)
            if record is None:
                need(at > lost.get(terminal, at), "no intent")
                export.counted["receipts without intent, terminal lost"] += 1
                continue
            need(record["hash"] == fields["intent_hash"], "H(intent)")
            check_intent(record, fields)
            export.counted["receipts with intent"] += 1


def check_session(export: Export, fields: dict[str, Any]) -> None:
    certificate = export.terminals.get((fields["terminal_id"], fields["terminal_serial"]))
    need(certificate is not None, "no terminal certificate")
    if certificate is None:
        return
    extension = certificate.fields["extension"]
    need(extension["officer"] == fields["officer"], "officer")
    need(extension["role"] == (1 if fields["verification"] == 1 else 2), "role of the session")
    day = day_of(fields["terminal_time_s"])
    need(certificate.fields["effective"] <= day <= certificate.fields["expires"], "expired")


def check_intent(record: dict[str, Any], fields: dict[str, Any]) -> None:
    body = record["body"]
    need(record["label"] == ("INTENT" if fields["kind"] == 1 else "VOID"), "type of the intent")
    wanted: dict[str, Any] = {
        "card_id": fields["card_id"], "terminal_serial": fields["terminal_serial"],
        "officer": fields["officer"],
    }  # fmt: skip
    if fields["kind"] == 1:
        wanted |= {name: fields[name] for name in ("wallet", "amount", "basket_version")}
        wanted["expected_sequence"] = fields["sequence"] - 1
    else:
        wanted["sequence"] = fields["sequence"] - 1
    for name, value in wanted.items():
        need(body[name] == value, f"{name} of the intent")


# ---- sums: issued = debited - reversed + forfeited + left, each from its own source ----


def check_loaded(export: Export) -> None:
    """L is what the entitlement that stands on the card says, and that one was issued."""
    known = {}
    for raw in export.entitlements:
        name = tuple(raw.fields[one] for one in ("card_id", "wallet", "sequence"))
        need(known.setdefault(name, raw).body == raw.body, "two entitlements with one sequence")
    for card_id, card in export.cards.items():
        for raw in (*card.receipts.values(), *card.loads):
            name = card_id, raw.fields["wallet"], raw.fields["entitlement_sequence"]
            need(name in known, "loaded and not issued")
            need(known[name].fields["loaded"] == raw.fields["counters"]["loaded"], "L")


def check_sums(export: Export) -> None:
    issued: dict[tuple[bytes, int], int] = Counter()
    programme: dict[int, int] = {}
    for raw in export.entitlements:
        fields = raw.fields
        name = fields["card_id"], fields["wallet"]
        issued[name] = max(issued[name], fields["loaded"])
        code = programme.setdefault(fields["wallet"], fields["programme"])
        need(code == fields["programme"], "a wallet of two programmes")
    sums: dict[int, dict[str, int]] = defaultdict(Counter)
    for (card_id, wallet), loaded in issued.items():
        add_wallet(sums[programme[wallet]], export.cards[card_id], wallet, loaded)
    for card_id, card in export.cards.items():
        for receipt in card.receipts.values():
            need((card_id, receipt.fields["wallet"]) in issued, "nothing was issued")
            name = "debited" if receipt.fields["kind"] == 1 else "reversed"
            sums[programme[receipt.fields["wallet"]]][name] += receipt.fields["amount"]
    for code, one in sums.items():
        used = one["debited"] - one["reversed"] + one["forfeited"] + one["left"]
        need(one["issued"] == used, f"programme {code}: {one}")
    export.programmes = {code: dict(sums[code]) for code in sorted(sums)}


def add_wallet(sums: dict[str, int], card: Card, wallet: int, loaded: int) -> None:
    """`left` is the residual of the newest counters and what was issued and not loaded."""
    newest = newest_counters(card, wallet)
    need(newest["loaded"] <= loaded, "more loaded than issued")
    sums["issued"] += loaded
    sums["forfeited"] += newest["forfeited"]
    spent = newest["debited"] - newest["reversed"] + newest["forfeited"]
    sums["left"] += newest["loaded"] - spent + (loaded - newest["loaded"])


def newest_counters(card: Card, wallet: int) -> dict[str, int]:
    """By receipt sequence, then entitlement sequence; a card never loaded has zeros."""
    of_wallet = [
        (raw.fields["sequence"], raw.fields["entitlement_sequence"], raw.fields["counters"])
        for raw in (*card.receipts.values(), *card.loads)
        if raw.fields["wallet"] == wallet
    ]
    zeros = dict.fromkeys(("loaded", "debited", "forfeited", "reversed"), 0)
    return max(of_wallet, key=lambda one: one[:2])[2] if of_wallet else zeros


STEPS: list[Callable[[Export], None]] = [
    check_chains, check_objects, check_issuance, check_uploads, check_raws, check_cards,
    check_intents, check_loaded, check_sums,
]  # fmt: skip


def verify_export(folder: Path, trust: bytes, fingerprint: str | None = None) -> Export:
    export = Export(folder, read_trust(trust, fingerprint))
    for step in STEPS:
        step(export)
    return export


def summary(export: Export) -> dict[str, Any]:
    return {
        "root": sha256(export.trust.root).hexdigest(),
        "keys": len(export.trust.keys),
        "issuance entries": len(export.issuance),
        "ledger entries": len(export.ledger),
        "stations": len(export.logs),
        "records": sum(map(len, export.logs.values())),
        "cards": len(export.cards),
        "terminal certificates": len(export.terminals),
        "entitlements": len(export.entitlements),
        **export.counted,
        "programmes": export.programmes,
    }


def main(folder: str, trust: str, fingerprint: str | None = None) -> None:
    export = verify_export(Path(folder), Path(trust).read_bytes(), fingerprint)
    sys.stdout.write(json.dumps(summary(export), indent=1) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
