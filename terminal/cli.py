"""``betang-terminal``: a distribution point without a screen.

The terminal's passphrase comes from BETANG_PASSPHRASE or a prompt, an officer's from
BETANG_OFFICER_PASSPHRASE or a prompt. PINs and codes are read from a file descriptor
(``--secrets-fd``, standard input by default), one a line; never from the command line.
"""

from __future__ import annotations

import argparse
import getpass
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from card_os.host.links import CardMute, HostError, Link, LinkError
from keys.errors import KeysError
from keys.messages import MESSAGES as KEY_MESSAGES
from keys.program import quiet
from keys.store import write_private
from terminal import status as status_page
from terminal.asjson import as_json
from terminal.config import Config, Folder, Opened
from terminal.counter import Counter, Report, Tap, Wish
from terminal.engine import Officer
from terminal.errors import TerminalError, TransferError
from terminal.messages import ERRORS, text
from terminal.outcomes import Outcome, PinAccepted
from terminal.visit import Visit
from wire.cvc import Role
from wire.env import DEMO_BIT, Environment
from wire.errors import WireError
from wire.log import StockMove
from wire.objects import GoodsLine, Unit

WORLDS = {"live": Environment.LIVE, "specimen": Environment.SPECIMEN}
ROLES = {"supervisor": Role.SUPERVISOR, "handover": Role.HANDOVER}
MOVES = {"count": StockMove.COUNTED, "lost": StockMove.LOST}
DEMO_LOG_N = 12  # the demo's passphrase guards nothing; its start must not wait for scrypt
OK, FAILED, USAGE, REFUSED = 0, 1, 2, 3
WAIT_S = 30.0


@quiet
def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 0 done, 1 an error, 2 wrong use, 3 the card or the step was refused."""
    arguments = _parser().parse_args(argv)
    try:
        return int(arguments.run(arguments) or OK)
    except BrokenPipeError:  # quiet() judges whose
        raise
    except TerminalError as e:
        _complain(*ERRORS[e.code], str(e))
    except KeysError as e:
        _complain(*KEY_MESSAGES[e.code], str(e))
    except LinkError as e:
        _complain("Pembaca atau kartu tidak siap. Tidak ada yang diubah.",
                  "Reader or card is not ready. Nothing was changed.", str(e))  # fmt: skip
    except (WireError, HostError, OSError, ValueError) as e:
        _complain("Data atau berkas tidak dapat dipakai. Tidak ada yang diubah.",
                  "The data or file cannot be used. Nothing was changed.", str(e))  # fmt: skip
    return FAILED


def _complain(indonesian: str, english: str, detail: str) -> None:
    print(f"betang-terminal: {indonesian}\n{english}\n({detail})", file=sys.stderr)


# --- folder and secrets --------------------------------------------------------------------------


def _folder(a: argparse.Namespace) -> Folder:
    return Folder(a.data, demo=a.demo, log_n=DEMO_LOG_N if a.demo else None)


def _passphrase(name: str = "BETANG_PASSPHRASE") -> str:
    return os.environ.get(name) or getpass.getpass("Kata sandi / passphrase: ")


def _open(a: argparse.Namespace, *, boot: bool = True) -> Opened:
    return _folder(a).open(
        _passphrase(), clock=lambda: int(time.time()), random=os.urandom, boot=boot
    )


def _officer(a: argparse.Namespace, role: Role) -> Officer:
    return _folder(a).officer(role, a.officer, _passphrase("BETANG_OFFICER_PASSPHRASE"))


def _secrets(a: argparse.Namespace, *names: str) -> list[str]:
    """One secret a line, in the order named; prompted for when a person sits there."""
    if a.secrets_fd == 0 and sys.stdin.isatty():
        return [getpass.getpass(f"{name}: ") for name in names]
    source = sys.stdin if a.secrets_fd == 0 else os.fdopen(a.secrets_fd, "r", closefd=False)
    return [source.readline().strip() for _ in names]


def _connect(pattern: str, wait_s: float) -> Link:
    """The card in the first reader that matches; ``socket:ADDRESS`` for a served card."""
    if pattern.startswith("socket:"):
        from card_os.host.socketlink import SocketLink  # noqa: PLC0415 - one of two ways

        return SocketLink(pattern.removeprefix("socket:"))
    from card_os.host.pcsc import PcscReader  # noqa: PLC0415 - needs libpcsclite

    reader = PcscReader(pattern)
    reader.wait_for_card(wait_s)
    return reader.connect()


def _with_card(a: argparse.Namespace, opened: Opened, work: Callable[[Link], Report]) -> int:
    """Connect, work, show; a card that gives no ATR is noted and told so kindly."""
    try:
        link = _connect(a.reader or opened.config.reader, a.wait)
    except CardMute as e:
        report = Report()
        report.outcomes.append(opened.engine.reject_dead(str(e)))
        return _show(a, report)
    try:
        return _show(a, work(link))
    finally:
        link.close()


def _show(a: argparse.Namespace, report: Report) -> int:
    if a.json:
        print(json.dumps({
            "card": as_json(report.card_id), "good": report.is_good,
            "outcomes": as_json(report.outcomes), "view": as_json(report.view),
            "prints": [type(p).__name__ for p in report.prints],
        }))  # fmt: skip
    else:
        for outcome in [*report.view.get("warnings", ()), *report.outcomes]:
            print("\n".join(text(outcome)))
        for shown in report.view.get("wallets", ()):
            name = shown.programme.title_id if shown.programme else shown.wallet
            print(f"{name}: {shown.available}" + (
                "" if shown.nothing is None else f" ({text(shown.nothing)[0]})"))  # fmt: skip
    return OK if report.is_good else REFUSED


def _of(*outcomes: Outcome) -> Report:
    report = Report()
    report.outcomes += outcomes
    return report


# --- commands ------------------------------------------------------------------------------------


def _init(a: argparse.Namespace) -> None:
    env = Environment(WORLDS[a.env] | (DEMO_BIT if a.demo else 0))
    config = Config(station=a.station, environment=env, reader=a.reader or "",
                    printer=a.printer or "", backend=a.http or "")  # fmt: skip
    request = _folder(a).create(config, _passphrase(), os.urandom)
    write_private(a.out, bytes(request))


def _request(a: argparse.Namespace) -> None:
    write_private(a.out, bytes(_folder(a).request(_passphrase())))


def _new_officer(a: argparse.Namespace) -> None:
    passphrase = _passphrase("BETANG_OFFICER_PASSPHRASE")
    request = _folder(a).make_officer(ROLES[a.role], a.officer, passphrase, os.urandom)
    write_private(a.out, bytes(request))


def _provision(a: argparse.Namespace) -> None:
    _folder(a).provision(a.file.read_bytes(), _passphrase())


def _shift(a: argparse.Namespace) -> None:
    engine = _open(a).engine
    if a.what == "open":
        engine.open_shift(a.officer)
    else:
        print(json.dumps(as_json(engine.close_shift())))


def _tap(a: argparse.Namespace) -> int:
    opened = _open(a)
    wishes = tuple(a.redeem)
    pin = None
    if wishes and not a.bypass:
        (pin,) = _secrets(a, "PIN")
    officer = _officer(a, Role.SUPERVISOR) if a.bypass else None
    wanted = Tap(wishes, deliver=not a.no_deliver, bypass_reason=a.bypass, pin=pin)
    return _with_card(a, opened, lambda link: _counter(opened).tap(link, wanted, officer))


def _counter(opened: Opened) -> Counter:
    device = opened.config.printer
    if not device:
        return Counter(opened.engine, opened.enrolment.place)
    from terminal.printer import print_on  # noqa: PLC0415 - a point without printer needs none

    return Counter(opened.engine, opened.enrolment.place, lambda lines: print_on(device, lines))


def _visit(a: argparse.Namespace, role: Role, work: Callable[[Visit], list[Outcome]]) -> int:
    opened = _open(a)
    officer = None if role == Role.TERMINAL else _officer(a, role)

    def run(visit: Visit, report: Report) -> None:
        report.outcomes += work(visit)

    return _with_card(a, opened, lambda link: _counter(opened).visit(link, role, officer, run))


def _activate(a: argparse.Namespace) -> int:
    if a.after_reset:
        (pin,) = _secrets(a, "PIN")
        return _visit(a, Role.HANDOVER, lambda v: [v.set_pin_after_reset(pin)])
    code, pin = _secrets(a, "Kode / code", "PIN")
    return _visit(a, Role.HANDOVER, lambda v: [
        v.activate(code, pin, bast=a.bast, place=a.place, proxy=a.proxy)])  # fmt: skip


def _change_pin(a: argparse.Namespace) -> int:
    old, new = _secrets(a, "PIN lama / old", "PIN baru / new")
    return _visit(a, Role.TERMINAL, lambda v: [v.change_pin(old, new)])


def _dispute(a: argparse.Namespace) -> int:
    (pin,) = _secrets(a, "PIN")

    def work(visit: Visit) -> list[Outcome]:
        answer = visit.verify_pin(pin)
        return [visit.dispute(a.sequence) if isinstance(answer, PinAccepted) else answer]

    return _visit(a, Role.TERMINAL, work)


def _void(a: argparse.Namespace) -> int:
    opened, officer = _open(a), _officer(a, Role.SUPERVISOR)
    return _with_card(a, opened, lambda link: _counter(opened).void(
        link, officer, a.intent, on_counter=a.on_counter, reason=a.reason))  # fmt: skip


def _note(a: argparse.Namespace) -> int:
    """deliver, returned, given-back: what a person says about goods, without the card."""
    engine = _open(a).engine
    verbs: dict[str, Callable[[int], Outcome]] = {
        "deliver": engine.delivered, "returned": engine.returned, "given-back": engine.given_back
    }  # fmt: skip
    return _show(a, _of(verbs[a.command](a.number)))


def _sync(a: argparse.Namespace) -> None:
    from terminal import sync  # noqa: PLC0415 - no other command loads network code

    opened = _open(a)
    done: Any
    if a.export:
        done = {"exported": sync.export_file(opened.engine, opened.log_key, a.export)}
    elif a.import_file:
        done = as_json(sync.import_file(opened.engine, a.import_file))
    else:
        from keys.doors import client_at  # noqa: PLC0415

        url = a.http or opened.config.backend
        if not url:
            raise TransferError("no backend address: --http URL, --export FILE or --import FILE")
        with client_at(url) as client:
            done = as_json(sync.over_http(opened.engine, opened.log_key, client))
    print(json.dumps(done))


def _status(a: argparse.Namespace) -> None:
    opened = _open(a, boot=False)
    print(json.dumps(as_json(status_page.status(opened.engine)), indent=1))


def _stock(a: argparse.Namespace) -> None:
    engine = _open(a, boot=a.what != "list").engine
    if a.what == "receive":
        engine.receive(a.values[0])
    elif a.what in MOVES:
        good, unit, quantity = a.values
        line = GoodsLine(good, Unit[unit.upper()], int(quantity))
        engine.move_stock(MOVES[a.what], line)
    print(json.dumps(as_json(engine.journal.stock())))


def _face(a: argparse.Namespace) -> None:
    from terminal.face.serve import serve  # noqa: PLC0415 - no other command loads web code

    serve(_folder(a), _passphrase(), _counter, port=a.port)


# --- arguments -----------------------------------------------------------------------------------


def _wish(value: str) -> Wish:
    """WALLET=AMOUNT, the wallet decimal or 0x hexadecimal."""
    wallet, amount = value.split("=", 1)
    return Wish(int(wallet, 0), int(amount))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("betang-terminal", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="the terminal's folder")
    parser.add_argument("--demo", action="store_true", help="accept a root marked DEMO, only it")
    verbs = parser.add_subparsers(dest="command", required=True)

    def verb(name: str, run: Callable[[argparse.Namespace], int | None], words: str,
             *, card: bool = False) -> argparse.ArgumentParser:  # fmt: skip
        sub = verbs.add_parser(name, help=words)
        sub.set_defaults(run=run)
        sub.add_argument("--json", action="store_true")
        if card:
            sub.add_argument("--reader", help="pattern, or socket:ADDRESS")
            sub.add_argument("--wait", type=float, default=WAIT_S, help="seconds for a card")
            sub.add_argument("--secrets-fd", type=int, default=0)
        return sub

    _folder_arguments(verb)
    _card_arguments(verb)
    for name in ("deliver", "returned", "given-back"):
        verb(name, _note, "what a person says about goods").add_argument("number", type=int)
    sync = verb("sync", _sync, "upload and install, over HTTP or by file")
    sync.add_argument("--http", help="the backend's address")
    sync.add_argument("--export", type=Path)
    sync.add_argument("--import", dest="import_file", type=Path)
    verb("status", _status, "journal, data, certificates, open matters")
    face = verb("face", _face, "the village hall's screen, for a browser on this machine")
    face.add_argument("--port", type=int, required=True)
    stock = verb("stock", _stock, "list, receive NUMBER, count|lost GOOD UNIT QUANTITY")
    stock.add_argument("what", choices=["list", "receive", *MOVES])
    stock.add_argument("values", nargs="*")
    return parser


def _folder_arguments(verb: Callable[..., argparse.ArgumentParser]) -> None:
    init = verb("init", _init, "make the folder and keys; write the request")
    init.add_argument("--station", required=True, help="8 characters")
    init.add_argument("--env", choices=sorted(WORLDS), default="live")
    for name in ("--reader", "--printer", "--http"):
        init.add_argument(name)
    init.add_argument("--out", type=Path, required=True)
    verb("request", _request, "the request again, for a renewal").add_argument(
        "--out", type=Path, required=True)  # fmt: skip
    officer = verb("officer", _new_officer, "an officer's key; write the request")
    officer.add_argument("--role", choices=sorted(ROLES), required=True)
    officer.add_argument("--officer", type=int, required=True)
    officer.add_argument("--out", type=Path, required=True)
    verb("provision", _provision, "install the office's answer").add_argument("file", type=Path)
    shift = verb("shift", _shift, "open or close a shift")
    shift.add_argument("what", choices=["open", "close"])
    shift.add_argument("--officer", type=int, default=0)


def _card_arguments(verb: Callable[..., argparse.ArgumentParser]) -> None:
    tap = verb("tap", _tap, "show a card, redeem, hand over", card=True)
    tap.add_argument("--redeem", type=_wish, action="append", default=[], metavar="WALLET=AMOUNT")
    tap.add_argument("--no-deliver", action="store_true", help="hand nothing over yet")
    tap.add_argument("--bypass", default="", metavar="REASON", help="supervised, without PIN")
    tap.add_argument("--officer", type=int, default=0)
    activate = verb("activate", _activate, "hand over a card; code and PIN are read", card=True)
    activate.add_argument("--officer", type=int, required=True)
    activate.add_argument("--bast", default="")
    activate.add_argument("--place", default="")
    activate.add_argument("--proxy", default="")
    activate.add_argument("--after-reset", action="store_true")
    verb("change-pin", _change_pin, "old and new PIN are read", card=True)
    dispute = verb("dispute", _dispute, "the holder objects to a receipt", card=True)
    dispute.add_argument("--sequence", type=int, required=True)
    void = verb("void", _void, "take back the card's latest debit", card=True)
    void.add_argument("--intent", type=int, required=True)
    void.add_argument("--officer", type=int, required=True)
    void.add_argument("--reason", required=True)
    void.add_argument("--on-counter", action="store_true", help="the goods lie on the counter")


if __name__ == "__main__":
    sys.exit(main())
