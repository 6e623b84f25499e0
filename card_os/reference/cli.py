"""`betang-card`: put a software card into a virtual reader, and move it from another shell."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from card_os.reference.external import AppletHost, AppletHostError
from card_os.reference.packages import PACKAGES
from card_os.reference.serve import (
    CARDS,
    CardServer,
    CardSource,
    ServeError,
    ask,
    choose_atr,
    make_cards,
)
from keys.program import quiet

if TYPE_CHECKING:
    from collections.abc import Sequence

_DEFAULT_CONTROL = "betang-card.ctl"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="betang-card", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)

    def verb(name: str, text: str) -> argparse.ArgumentParser:
        sub = verbs.add_parser(name, help=text, description=text)
        sub.add_argument("--control", default=_DEFAULT_CONTROL, help="the server's control socket")
        return sub

    def card(sub: argparse.ArgumentParser, *flags: str) -> None:
        sub.add_argument(*flags, type=Path, default=None, help="state file (made if missing)")
        sub.add_argument("--card", choices=sorted(CARDS), help="a stand-in instead of a state file")

    serve = verb("serve", "serve a card until stopped; prints 'ready' when it can be reached")
    serve.add_argument("--reader", help="vpcd's HOST:PORT, or a door's path (demo/pcscd.py)")
    serve.add_argument("--socket", help="length-framed APDUs at HOST:PORT or a path")
    card(serve, "--state")
    serve.add_argument("--atr", choices=("t0", "t1"), default="t1")
    serve.add_argument("--interface", choices=("contact", "contactless"), default="contact")
    serve.add_argument("--out", action="store_true", help="start with the card outside")
    serve.add_argument("--applet", action="store_true", help="the purse is the Java Card applet, "
                       "run by jCardSim behind this card's security domain")  # fmt: skip

    make = verbs.add_parser("make", help="make blank cards as their maker delivers them")
    make.add_argument("folder", type=Path, help="where the cards' state files go")
    make.add_argument("--delivery", type=Path, required=True, help="new list for betang-keys stock")
    make.add_argument("--batch", default="B1")
    make.add_argument("--first", type=int, default=1, help="first serial number")
    make.add_argument("--count", type=int, default=1)

    card(verb("insert", "insert the card held, or another"), "--state")
    verb("remove", "take the card out")
    swap = verb("swap", "take the card out and insert another")
    swap.add_argument("state", nargs="?", type=Path, help="the other card's state file")
    swap.add_argument("--card", choices=sorted(CARDS), help="a stand-in instead of a state file")
    tear = verb("tear", "cut the power within a command")
    tear.add_argument("writes", help="after that many persistent writes; 'answer': before it")
    when = tear.add_mutually_exclusive_group()
    when.add_argument("--ins", type=lambda text: int(text, 16), help="count from this INS (hex)")
    when.add_argument("--debit", action="store_true", help="count from the next DEBIT")
    verb("status", "show what is served, as JSON")
    verb("stop", "end the server")
    return parser


def _serve(options: argparse.Namespace) -> None:
    if not options.reader and not options.socket:
        raise ServeError("where? give --reader, --socket or both")
    if (options.state is None) == (options.card is None):
        raise ServeError("which card? give either --state or --card")
    atr = choose_atr(options.atr, options.interface)
    source = CardSource(options.state, options.card or "")
    with ExitStack() as stack:
        registry = stack.enter_context(AppletHost()).packages if options.applet else PACKAGES
        server = CardServer(
            atr, control=Path(options.control), reader=options.reader, listen=options.socket,
            registry=registry,
        )  # fmt: skip
        stack.callback(server.close)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: server.stop())
        if options.out:
            server.hold(source)
        else:
            server.insert(source)
        server.start()
        print("ready", server.listening, flush=True)
        server.wait()


def _order(options: argparse.Namespace) -> dict[str, Any]:
    order: dict[str, Any] = {"do": options.verb}
    if options.verb in {"insert", "swap"}:
        # The server's folder may be another.
        order["state"] = str(options.state.absolute()) if options.state else None
        order["card"] = options.card
        if options.verb == "swap" and not (order["state"] or order["card"]):
            raise ServeError("swap for which card? give a state file or --card")
    if options.verb == "tear":
        if options.writes != "answer" and not options.writes.isdecimal():
            raise ServeError("tear after how many writes? give a number or 'answer'")
        order["writes"] = None if options.writes == "answer" else int(options.writes)
        order["ins"] = options.ins
        if options.debit:
            from wire.purse import Ins  # noqa: PLC0415 - only here

            order["ins"] = int(Ins.DEBIT)
    return order


@quiet
def main(argv: Sequence[str] | None = None) -> int:
    """Run `betang-card`; return the exit code."""
    options = _parser().parse_args(argv)
    try:
        if options.verb == "serve":
            _serve(options)
        elif options.verb == "make":
            make_cards(
                options.folder, options.delivery, options.batch, options.first, options.count
            )
        else:
            answer = ask(options.control, **_order(options))
            if options.verb == "status":
                print(json.dumps({k: v for k, v in answer.items() if k != "ok"}, indent=1))
    except (ServeError, AppletHostError) as error:
        print(f"betang-card: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
