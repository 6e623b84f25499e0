"""``betang-backend``: the registry's and finance's work at the command line (docs/runbooks.md).

Every command works on one data folder (``--data``). ``serve`` runs the HTTP API: one door
for stations, and one for the office, which the key service needs before it signs. The other
commands may run beside it.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, cast

from backend import messages
from backend.clock import system_clock
from backend.config import (
    Config,
    Settings,
    initialise,
    load_config,
    open_office,
    read_passphrase,
)
from backend.db import trouble
from backend.errors import BackendError, ConfigError
from backend.office import Office
from backend.page import page
from backend.signing import KeyVerbs
from keys.enrol import OfficerRequest, StationRequest
from keys.errors import KeysError
from keys.program import quiet
from keys.store import SealedStore
from wire import cbor
from wire.cvc import Certificate
from wire.entitlement import Script, ScriptAction
from wire.errors import WireError
from wire.objects import DecisionKind

Handler = Callable[[Office, argparse.Namespace], Any]


def _eight(text: str) -> bytes:
    """A station or card id: 16 hex digits, or 8 characters as they are."""
    try:
        raw = text.encode() if len(text) == 8 else bytes.fromhex(text)
    except ValueError:
        raw = b""
    if len(raw) != 8:
        raise argparse.ArgumentTypeError("an id is 16 hex digits or 8 characters")
    return raw


def _links(paths: list[Path]) -> list[bytes]:
    """Link certificates: each file one certificate, or a CBOR sequence of them."""
    found = []
    for path in paths:
        raw = path.read_bytes()
        found += [raw] if raw[:2] == b"\x7f\x21" else list(cbor.decode_sequence(raw))
    for raw in found:
        Certificate.parse(raw)
    return found


# --- commands ------------------------------------------------------------


def _setup(office: Office, a: argparse.Namespace) -> Any:
    office.found(_links(a.link))
    return {"links": len(a.link)}


def _import(office: Office, a: argparse.Namespace) -> Any:
    done: dict[str, Any] = {}
    if a.households:
        result = office.import_households(a.households.read_bytes())
        done["households"] = {
            "rows": result.rows_read, "accepted": len(result.accepted),
            "rejected": len(result.rejects), "warnings": len(result.warnings),
            "reasons": {r.name: n for r, n in result.reject_counts.items()},
        }  # fmt: skip
    if a.programmes:
        done["programmes"] = office.import_programmes(a.programmes.read_bytes())
    if a.verifications:
        visits = office.import_verifications(a.verifications.read_bytes())
        done["verifications"] = dict(visits.taken)
        done["unknown_families"] = visits.unknown_families
    if a.decree:
        done["decree_rows"] = office.import_decree(a.decree.read_bytes())
    if a.funds:
        done["releases"] = office.import_funds(a.funds.read_bytes())
    if a.deliveries:
        done["deliveries"] = office.import_deliveries(a.deliveries.read_bytes())
    return done


def _decree(office: Office, a: argparse.Namespace) -> Any:
    return {"decree_rows": office.import_decree(a.file.read_bytes())}


def _orders(office: Office, a: argparse.Namespace) -> Any:
    made = office.order_cards(a.desk)
    items = office.orders(a.desk)
    if a.out:
        a.out.write_bytes(cbor.encode_sequence(items))
    return {"new": made, "open": len(items)}


def _entitle(office: Office, a: argparse.Namespace) -> Any:
    made, refused = office.entitle(a.card)
    return {"entitlements": made, "refused": refused}


def _bundle(office: Office, a: argparse.Namespace) -> Any:
    raw = office.bundle(a.station, (a.epoch, a.counter) if a.counter else None)
    if raw is not None:
        a.out.write_bytes(raw)
    return {"bytes": len(raw or b"")}


def _enrol(office: Office, a: argparse.Namespace) -> Any:
    raw = office.enrol(StationRequest.parse(a.request.read_bytes()), a.area, a.place)
    a.out.write_bytes(raw)
    return {"bytes": len(raw)}


def _officer(office: Office, a: argparse.Namespace) -> Any:
    raw = office.certify_officer(OfficerRequest.parse(a.request.read_bytes()))
    a.out.write_bytes(raw)
    return {"certificate": Certificate.parse(raw).serial}


def _ingest(office: Office, a: argparse.Namespace) -> Any:
    done = {}
    for path in a.files:
        answer = office.take_upload(path.read_bytes())
        path.with_suffix(path.suffix + ".ack").write_bytes(answer.ack)
        done[path.name] = answer.outcome.value
    return {"uploads": done}


def _settle(office: Office, a: argparse.Namespace) -> Any:
    paid = [{**dataclasses.asdict(p), "evidence": p.evidence.hex()} for p in office.settle()]
    if a.out:
        a.out.write_text(json.dumps(paid, indent=1) + "\n", "utf-8")
    return {"payments": paid, "settled_minor": sum(p["amount_minor"] for p in paid)}


def _report(office: Office, a: argparse.Namespace) -> Any:
    report = office.report()
    return report if a.json else page(report, a.lang)


def _lost_terminal(office: Office, a: argparse.Namespace) -> Any:
    return {"last": office.lost_terminal(a.station, a.reason).last}


def _lost_card(office: Office, a: argparse.Namespace) -> Any:
    return {"orders": office.lost_card(a.card, a.desk), **office.reserve(a.card)}


def _move(office: Office, a: argparse.Namespace) -> Any:
    wallets = [a.wallet] if a.wallet else [
        w for w, n in office.reserve(a.card)["exposure"].items() if n > 0
    ]  # fmt: skip
    moved = {
        w: office.move(a.card, a.new_card, w, number=f"{a.number}/{w}", reason=a.reason,
                       amount=a.amount).amount
        for w in wallets
    }  # fmt: skip
    return {"moved": moved}


def _reserve(office: Office, a: argparse.Namespace) -> Any:
    return office.reserve(a.card)


def _decide(office: Office, a: argparse.Namespace) -> Any:
    decision = office.decide(
        DecisionKind[a.kind.upper().replace("-", "_")], a.card, a.wallet, first=a.first,
        last=a.last or a.first, amount=a.amount, number=a.number, reason=a.reason,
    )  # fmt: skip
    return {"amount": decision.amount}


def _hotlist(office: Office, a: argparse.Namespace) -> Any:
    return {"version": office.block(set(a.cards), hotlist_only=a.no_script).version}


def _script(office: Office, a: argparse.Namespace) -> Any:
    action = ScriptAction[a.action.upper().replace("-", "_")]
    return {"number": Script.parse(office.script(a.card, action, a.officer)).number}


def _export(office: Office, a: argparse.Namespace) -> Any:
    return office.export(a.out)


def _readmit(office: Office, a: argparse.Namespace) -> Any:
    from backend.readmit import readmit  # noqa: PLC0415 - no other command reads an export

    return readmit(office, a.folder)


def _serve(office: Office, a: argparse.Namespace) -> Any:
    from backend.serve import serve  # noqa: PLC0415 - no other command needs a server

    config = load_config(a.data)
    serve(office, a.data, config.listen, config.port if a.port is None else a.port)
    return {}


# --- what needs no office ------------------------------------------------------------


def _init(a: argparse.Namespace) -> Any:
    config = Config(epoch=a.epoch, key_service=str(a.key_service.resolve()), port=a.port,
                    approvals=str(a.approvals.resolve()) if a.approvals else "",
                    approval_wait_s=a.approval_wait_s)  # fmt: skip
    if a.approvals:
        a.approvals.mkdir(parents=True, exist_ok=True)
    ack = SealedStore(a.ack_store).load(a.ack_name, read_passphrase(a.ack_passphrase_file))
    initialise(a.data, a.trust.read_bytes(), ack, config, Settings().passphrase())
    return {"data": str(a.data)}


def _backup(a: argparse.Namespace) -> Any:
    from backend.backup import backup  # noqa: PLC0415 - no other command copies

    load_config(a.data)
    return dataclasses.asdict(backup(a.data, Settings(), a.file))


def _trust(a: argparse.Namespace) -> Any:
    from backend.backup import install_trust  # noqa: PLC0415

    ack = None
    if a.ack_store:
        ack = SealedStore(a.ack_store).load(a.ack_name, read_passphrase(a.ack_passphrase_file))
    held = install_trust(a.data, a.file.read_bytes(), Settings(), demo=a.demo, ack=ack)
    file = held.trust_file()
    return {"statements": len(file.statements), "revocations": len(file.revocations)}


# --- arguments ------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="betang-backend", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="data folder")
    parser.add_argument("--demo", action="store_true", help="work under a root marked DEMO")
    parser.add_argument("--lang", choices=("id", "en"), default="id")
    commands = parser.add_subparsers(dest="command", required=True)
    add = _adder(commands)
    copy = commands.add_parser("backup", help="copy the live SQLite database, checked")
    copy.set_defaults(run=None, bare=_backup)
    copy.add_argument("file", type=Path)
    trust = commands.add_parser("trust", help="take the root's newest trust file, and an Ack key")
    trust.set_defaults(run=None, bare=_trust)
    trust.add_argument("file", type=Path)
    for name in ("--ack-store", "--ack-passphrase-file"):
        trust.add_argument(name, type=Path)
    trust.add_argument("--ack-name", default="ack")
    init = commands.add_parser("init", help="make the data folder")
    init.set_defaults(run=None, bare=_init)
    for name in ("--trust", "--ack-store", "--ack-passphrase-file", "--key-service"):
        init.add_argument(name, type=Path, required=True)
    init.add_argument("--ack-name", required=True)
    init.add_argument("--epoch", type=int, default=1)
    init.add_argument("--port", type=int, default=8620)
    init.add_argument("--approvals", type=Path, help="folder in which two people are asked")
    init.add_argument("--approval-wait-s", type=int, default=60)
    add("setup", _setup, "links, parameters, first hotlist").add_argument(
        "--link", type=Path, action="append", default=[]
    )
    serve = add("serve", _serve, "the stations' door on TCP, the office's own at DATA/office.sock")
    serve.add_argument("--port", type=int)
    _registry_arguments(add)
    _station_arguments(add)
    _loss_arguments(add)
    return parser


Adder = Callable[[str, Handler, str], argparse.ArgumentParser]


def _adder(commands: Any) -> Adder:
    def add(name: str, run: Handler, text: str) -> argparse.ArgumentParser:
        made: argparse.ArgumentParser = commands.add_parser(name, help=text)
        made.set_defaults(run=run)
        return made

    return add


def _registry_arguments(add: Adder) -> None:
    imports = add("import", _import, "files of docs/import.md")
    for name in ("households", "programmes", "verifications", "decree", "funds", "deliveries"):
        imports.add_argument(f"--{name}", type=Path)
    add("decree", _decree, "one decree").add_argument("file", type=Path)
    orders = add("orders", _orders, "order cards for families who have none")
    orders.add_argument("--desk", type=_eight, required=True)
    orders.add_argument("--out", type=Path)
    add("entitle", _entitle, "issue what is funded").add_argument("--card", type=_eight)
    settle = add("settle", _settle, "pay what is payable")
    settle.add_argument("--out", type=Path)
    add("report", _report, "reconciliation").add_argument("--json", action="store_true")
    readmit = add("readmit", _readmit, "after a restore: what an export has beyond the backup")
    readmit.add_argument("folder", type=Path)
    add("export", _export, "files for auditors").add_argument("--out", type=Path, required=True)


def _station_arguments(add: Adder) -> None:
    enrol = add("enrol", _enrol, "enrol a terminal or desk")
    enrol.add_argument("request", type=Path)
    enrol.add_argument("--area", required=True)
    enrol.add_argument("--place", required=True)
    enrol.add_argument("--out", type=Path, required=True)
    officer = add("certify-officer", _officer, "an officer's certificate at a terminal")
    officer.add_argument("request", type=Path)
    officer.add_argument("--out", type=Path, required=True)
    bundle = add("bundle", _bundle, "a station's next bundle as a file")
    bundle.add_argument("--station", type=_eight, required=True)
    bundle.add_argument("--epoch", type=int, default=1)
    bundle.add_argument("--counter", type=int, default=0)
    bundle.add_argument("--out", type=Path, required=True)
    ingest = add("ingest", _ingest, "uploads that came as files; each answered beside it (.ack)")
    ingest.add_argument("files", type=Path, nargs="+")
    lost = add("lost-terminal", _lost_terminal, "close a terminal's chain")
    lost.add_argument("station", type=_eight)
    lost.add_argument("--reason", required=True)


def _loss_arguments(add: Adder) -> None:
    lost = add("lost-card", _lost_card, "block a card and order its replacement")
    lost.add_argument("card", type=_eight)
    lost.add_argument("--desk", type=_eight, required=True)
    add("reserve", _reserve, "a card's residual and who holds it").add_argument("card", type=_eight)
    move = add("move", _move, "move a lost card's residual")
    move.add_argument("card", type=_eight)
    move.add_argument("--new-card", type=_eight, required=True)
    move.add_argument("--wallet", type=int)
    move.add_argument("--amount", type=int)
    decide = add("decide", _decide, "decide over receipts of a card")
    decide.add_argument("kind", choices=("pay", "return", "write-off", "close-gap"))
    decide.add_argument("card", type=_eight)
    decide.add_argument("--wallet", type=int, required=True)
    decide.add_argument("--first", type=int, required=True)
    decide.add_argument("--last", type=int)
    decide.add_argument("--amount", type=int, default=0)
    for command in (move, decide):
        command.add_argument("--number", required=True)
        command.add_argument("--reason", required=True)
    script = add("script", _script, "one script for one card")
    script.add_argument("card", type=_eight)
    script.add_argument("action", choices=("block", "unblock", "pin-unblock", "pin-reset"))
    script.add_argument("--officer", type=int, default=0)
    hotlist = add("hotlist", _hotlist, "block these cards")
    hotlist.add_argument("cards", type=_eight, nargs="+")
    hotlist.add_argument("--no-script", action="store_true")


READERS = {_report, _reserve}
"""Commands that sign nothing, and so unseal nothing."""


class LaterKeys:
    """The key service's client, made when it is first asked: its libraries are slow to load."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._client: Any = None

    def __getattr__(self, verb: str) -> Any:
        """A verb of :class:`backend.signing.KeyVerbs`."""
        if self._client is None:
            from keys.http import KeyClient  # noqa: PLC0415

            self._client = KeyClient(self._path)
        return getattr(self._client, verb)

    def close(self) -> None:
        """Close what was opened."""
        if self._client is not None:
            self._client.close()


def _run(a: argparse.Namespace) -> Any:
    if a.run is None:
        return a.bare(a)
    config = load_config(a.data)
    if not config.key_service:
        raise ConfigError("config.json names no key service")
    run: Handler = a.run
    with closing(LaterKeys(Path(config.key_service))) as keys:
        office = open_office(a.data, Settings(), cast("KeyVerbs", keys), system_clock, demo=a.demo,
                             unseal=run not in READERS)  # fmt: skip
        try:
            return run(office, a)
        finally:
            office.db.engine.dispose()


@quiet
def main(argv: list[str] | None = None) -> int:
    """Run one command; 0, or 1 with a line that says what happened."""
    a = _parser().parse_args(argv)
    try:
        answer = _run(a)
    except BrokenPipeError:  # quiet() judges whose
        raise
    except BackendError as e:
        print(f"{messages.text(e.code, a.lang)} ({e})", file=sys.stderr)
        return 1
    except (KeysError, WireError, OSError) as e:
        told = trouble(e) or e
        code = told.code if isinstance(told, BackendError) else ConfigError.code
        print(f"{messages.text(code, a.lang)} ({e})", file=sys.stderr)
        return 1
    print(answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False, indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
