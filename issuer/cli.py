"""``betang-issuer``: a desk without a screen (docs/desk.md#commands).

The desk's passphrase (of its log key) comes from BETANG_PASSPHRASE or a prompt; only ``init``,
``request``, ``provision`` and ``sync`` need it.
"""

from __future__ import annotations

import argparse
import dataclasses
import getpass
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import Enum, IntEnum
from pathlib import Path
from typing import Any

from card_os.host.links import CardMute, HostError, Link, LinkError, NoCard
from issuer import cap_commands, messages, office
from issuer.bulk import MAX_CARDS, STOP_AFTER, run_bulk
from issuer.cap_load import Loader, LoadProgress
from issuer.cards import open_stack
from issuer.cardwork import EntitlementSource, Tools
from issuer.config import Config, Folder, Opened
from issuer.errors import IssuerError, MailError, TransferError
from issuer.identify import look_inside
from issuer.mail import new_identity, open_mailer
from issuer.outcomes import Event, KeyServiceRefused, Outcome
from issuer.personalise import Desk
from issuer.place import Place
from issuer.reading import Readings
from keys.doors import client_at
from keys.errors import Code as KeyCode
from keys.errors import KeysError
from keys.http import KeyClient
from keys.messages import MESSAGES as KEY_MESSAGES
from keys.program import quiet
from keys.store import write_private
from wire.env import DEMO_BIT, Environment
from wire.errors import WireError
from wire.purse import CardState

WORLDS = {"live": Environment.LIVE, "specimen": Environment.SPECIMEN}
DEMO_LOG_N = 12  # the demo's passphrase guards nothing; its start must not wait for scrypt
OK, FAILED, USAGE, REFUSED = 0, 1, 2, 3
WAIT_S = 30.0
ORDER_BYTES, CARD_BYTES = 16, 8
COSE_START = b"\xd2\x84"


@quiet
def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 0 done, 1 an error, 2 wrong use, 3 a card was not issued."""
    parser = _parser()
    a = parser.parse_args(argv)
    if a.data is None:
        parser.error("--data: the desk's folder is needed")
    try:
        return int(a.run(a) or OK)
    except BrokenPipeError:  # quiet() judges whose
        raise
    except IssuerError as e:
        _complain(a, messages.ERRORS[e.code], str(e))
    except KeysError as e:
        _complain(a, KEY_MESSAGES[e.code], str(e))
    except LinkError as e:
        _complain(a, messages.READER, str(e))
    except (WireError, HostError, OSError, ValueError) as e:
        _complain(a, messages.DATA, str(e))
    return FAILED


def _complain(a: argparse.Namespace, texts: tuple[str, str], detail: str) -> None:
    print(f"betang-issuer: {_in(a, texts)} ({detail})", file=sys.stderr)


def _in(a: argparse.Namespace, texts: tuple[str, str]) -> str:
    return texts[1 if a.lang == "en" else 0]


def _as_json(value: Any) -> Any:
    """Bytes as hex, enums by name or value, outcomes with their words."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, IntEnum):
        return value.name
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, list | tuple):
        return [_as_json(x) for x in value]
    if isinstance(value, dict):
        return {str(k): _as_json(v) for k, v in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: _as_json(getattr(value, f.name)) for f in dataclasses.fields(value)}
        if isinstance(value, Outcome):
            words = messages.text(value)
            return {"outcome": value.key, "good": value.is_good, "id": words[0],
                    "en": words[1], **fields}  # fmt: skip
        return fields
    return value


def _print(value: Any) -> None:
    print(json.dumps(_as_json(value), ensure_ascii=False), flush=True)


# --- folder, key service, office -----------------------------------------------------------------


def _folder(a: argparse.Namespace) -> Folder:
    return Folder(a.data, demo=a.demo, log_n=DEMO_LOG_N if a.demo else None)


def _passphrase() -> str:
    return os.environ.get("BETANG_PASSPHRASE") or getpass.getpass("Kata sandi / passphrase: ")


def _clock() -> int:
    return int(time.time())


def _open(a: argparse.Namespace, *, boot: bool = False) -> Opened:
    return _folder(a).open(_clock, boot=boot)


@contextmanager
def _keys(a: argparse.Namespace, opened: Opened) -> Iterator[KeyClient]:
    path = a.key_service or opened.config.key_service
    if not path:
        raise TransferError("no key service: --key-service SOCKET")
    client = KeyClient(Path(path))
    try:
        yield client
    finally:
        client.close()


@contextmanager
def _office(a: argparse.Namespace, opened: Opened) -> Iterator[office.Office | None]:
    url = a.http or opened.config.backend
    if not url:
        yield None
        return
    with client_at(url) as client:
        yield office.Office(client)


@contextmanager
def _place(a: argparse.Namespace, emit: Callable[[Event], None]) -> Iterator[Place]:
    opened = _open(a, boot=True)
    with _keys(a, opened) as keys, _office(a, opened) as reached:
        source: EntitlementSource = reached or office.NoOffice()
        if getattr(a, "entitlements", None):
            source = office.EntitlementFolder(a.entitlements)
        tools = Tools(keys, opened.trust, opened.links, source, opened.mail, _clock, os.urandom)
        desk = Desk(opened.log, opened.book, tools, emit, evidence=opened.evidence)
        yield Place(desk, opened.tally, opened.evidence, reached, keys.stock, _folder(a).log_key)


def _card(a: argparse.Namespace, opened: Opened | None = None) -> Link:
    reader = a.reader or (opened or _open(a)).config.reader
    link = open_stack(reader).next(a.wait)
    if link is None:
        raise NoCard("no card came in time")
    return link


# --- commands ------------------------------------------------------------------------------------


def _init(a: argparse.Namespace) -> None:
    env = Environment(WORLDS[a.env] | (DEMO_BIT if a.demo else 0))
    config = Config(
        station=a.station, environment=env, mail_recipient=a.mail_recipient,
        mail=str(a.mail.resolve()) if a.mail else "", reader=a.reader or "",
        backend=a.http or "", key_service=str(a.key_service.resolve()) if a.key_service else "",
    )  # fmt: skip
    write_private(a.out, bytes(_folder(a).create(config, _passphrase(), os.urandom)))


def _request(a: argparse.Namespace) -> None:
    write_private(a.out, bytes(_folder(a).request(_passphrase())))


def _provision(a: argparse.Namespace) -> None:
    _folder(a).provision(a.file.read_bytes(), _passphrase())


def _mail_key(a: argparse.Namespace) -> None:
    if a.out.exists():
        raise MailError(f"{a.out} exists; it was left as it is")
    identity, recipient = new_identity()
    write_private(a.out, identity.encode() + b"\n")
    print(recipient)


def _open_mailers(a: argparse.Namespace) -> None:
    identity = a.identity.read_text("ascii")
    _print([
        {"card": m.card_id, "family": m.family, "code": m.code}
        for m in (open_mailer(path.read_bytes(), identity) for path in a.files)
    ])  # fmt: skip


def _orders(a: argparse.Namespace) -> None:
    opened = _open(a)
    if a.file:
        _print(opened.book.add_all(office.read_sequence(a.file)))
        return
    with _office(a, opened) as reached:
        if reached is None:
            raise TransferError("no backend address: --http URL or --file FILE")
        _print(office.fetch(reached, opened.station, opened.book, opened.evidence))


def _personalise(a: argparse.Namespace) -> int:
    with _place(a, _emitter(a)) as place:
        desk = place.desk
        try:
            link = _card(a)
        except LinkError as e:
            if isinstance(e, NoCard):
                raise
            return _show(a, desk.note_unready(e))
        try:
            return _show(a, desk.personalise(link, a.officer, a.order, scrap=a.scrap))
        finally:
            link.close()


def _bulk(a: argparse.Namespace) -> int:
    with _place(a, _emitter(a)) as place:
        desk, stack = place.desk, open_stack(a.reader or _folder(a).config().reader)
        result = run_bulk(desk, lambda: stack.next(a.wait), a.officer, count=a.count,
                          stop_after=a.stop_after, scrap=a.scrap, tally=place.tally)  # fmt: skip
    _print(result)
    return REFUSED if result.bad else OK


def _emitter(a: argparse.Namespace) -> Callable[[Event], None]:
    """With --json one line an event, as it happens; else what a person wants to see."""

    def emit(event: Event) -> None:
        if a.json:
            _print({"event": type(event).__name__, **_as_json(event)})
        else:
            outcome = getattr(event, "outcome", None)
            if outcome is not None:
                _show(a, outcome)

    return emit


def _show(a: argparse.Namespace, outcome: Outcome) -> int:
    if a.json:
        _print(outcome)
    else:
        print(_in(a, messages.text(outcome)))
        if isinstance(outcome, KeyServiceRefused):
            print(_in(a, KEY_MESSAGES[KeyCode(outcome.code)]))
        detail = getattr(outcome, "detail", "")
        if detail:
            print(f"({detail})")
    return OK if outcome.is_good else REFUSED


def _scrap(a: argparse.Namespace) -> int:
    with _place(a, lambda _: None) as place:
        _show(a, place.desk.scrap(a.order, a.reason, a.officer, card_id=a.card))
    return OK


def _skip(a: argparse.Namespace) -> None:
    with _place(a, lambda _: None) as place:
        place.desk.skip(a.order, a.officer)
    _print({"set_aside": a.order})


def _identify(a: argparse.Namespace) -> None:
    opened = _open(a)

    def look(link: Link) -> CardState:
        with _keys(a, opened) as keys:
            return look_inside(link, keys, opened.trust, opened.links, os.urandom)

    has_keys = a.key_service or opened.config.key_service
    readings = Readings(opened.log, opened.book, opened.trust.env, _clock, a.officer)
    try:
        link = _card(a, opened)
    except CardMute as e:
        read = readings.unready(e)
    else:
        try:
            read = readings.read(link, look if has_keys else None)
        finally:
            link.close()
    job, inside = read.job, {"unknown": read.closed} if read.closed else read.inside
    _print({
        "said": read.said, "card": read.found, "scrapped": read.scrapped,
        "order": None if job is None else {"number": job.number, "state": job.state,
                                           "step": job.step, "card_id": job.card_id},
        "inside": None if inside is None else json.loads(json.dumps(_as_json(inside), default=str)),
    })  # fmt: skip


def _sync(a: argparse.Namespace) -> None:
    opened = _open(a)
    if a.import_file:
        raw = a.import_file.read_bytes()
        if not raw.startswith(COSE_START):
            raise TransferError("the file is no acknowledgement")
        _print({"pruned": opened.log.acknowledge(raw, opened.trust)})
        return
    key = _folder(a).log_key(_passphrase())
    if a.export:
        _print({"exported": office.export_file(opened.log, key, a.export)})
        return
    with _office(a, opened) as reached:
        if reached is None:
            raise TransferError("no backend address: --http URL, --export or --import FILE")
        sent, pruned = office.sync(opened.log, key, opened.trust, reached)
    _print({"uploaded": sent, "pruned": pruned})


def _face(a: argparse.Namespace) -> None:
    from issuer.face.server import serve  # noqa: PLC0415 - the other commands need no web

    config = _folder(a).config()
    reader = a.reader or config.reader
    serve(lambda: _place(a, lambda _: None), lambda: open_stack(reader), config.environment,
          a.port, stop_after=a.stop_after)  # fmt: skip


def _probe(a: argparse.Namespace) -> int:
    link = _card(a)
    try:
        looked, lines = cap_commands.look(link, a.profile)
    finally:
        link.close()
    if a.json:
        _print(looked)
    else:
        print(*(_in(a, line) for line in lines), sep="\n")
    return OK if looked.best is not None and looked.best.is_whole else REFUSED


def _load_applet(a: argparse.Namespace) -> int:
    opened = _open(a)
    plan = cap_commands.read_plan(a.cap, a.profile, opened.trust, replace=a.replace)
    if a.dry_run:
        _print(cap_commands.plan_as_json(plan))
        return OK
    keys = cap_commands.transport_keys(a.transport_keys)

    def emit(event: LoadProgress) -> None:
        if a.json:
            _print({"event": type(event).__name__, **_as_json(event)})
        else:
            print(_in(a, cap_commands.progress(event)), flush=True)

    link = _card(a, opened)
    try:
        return _show(a, Loader(plan, keys, os.urandom, emit).run(link))
    finally:
        link.close()


def _status(a: argparse.Namespace) -> None:
    opened = _open(a)
    head, jobs = opened.log.head(), opened.book.jobs()
    begun = opened.book.begun()
    _print({
        "station": opened.config.station, "environment": opened.config.environment.name,
        "head": head, "unacknowledged": head.sequence - head.acknowledged,
        "orders": len(jobs), "issued": sum(j.state == 1 for j in jobs),
        "scrapped": opened.book.scrapped_count(),
        "begun": [{"order": j.number, "chip": j.chip, "card_id": j.card_id, "step": j.step}
                  for j in begun],
    })  # fmt: skip


# --- arguments -----------------------------------------------------------------------------------


def _hex(size: int) -> Callable[[str], bytes]:
    def read(text: str) -> bytes:
        try:
            raw = bytes.fromhex(text)
        except ValueError:
            raw = b""
        if len(raw) != size:
            raise argparse.ArgumentTypeError(f"{2 * size} hex digits expected")
        return raw

    return read


Verb = Callable[..., argparse.ArgumentParser]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("betang-issuer", description=__doc__)
    parser.add_argument("--data", type=Path, help="the desk's folder (needed)")
    parser.add_argument("--demo", action="store_true", help="accept a root marked DEMO, only it")
    parser.add_argument("--lang", choices=("id", "en"), default="id")
    verbs = parser.add_subparsers(dest="command", required=True)

    def verb(
        name: str, run: Callable[[argparse.Namespace], int | None], words: str, *,
        card: bool = False, keys: bool = False, http: bool = False,
    ) -> argparse.ArgumentParser:  # fmt: skip
        sub = verbs.add_parser(name, help=words)
        sub.set_defaults(run=run)
        if card:
            sub.add_argument("--reader", help="pattern of the PC/SC name, or socket:ADDRESS")
            sub.add_argument("--wait", type=float, default=WAIT_S, help="seconds for a card")
        if keys:
            sub.add_argument("--key-service", type=Path, help="the key service's socket")
        if http:
            sub.add_argument("--http", help="the backend's address")
        return sub

    _folder_arguments(verb)
    _card_arguments(verb)
    cap_commands.arguments(
        verb("probe", _probe, "which profile fits a blank card, and what it lacks", card=True),
        verb("load-applet", _load_applet, "load the purse onto a blank card", card=True),
    )
    orders = verb("orders", _orders, "take signed orders", http=True)
    orders.add_argument("--file", type=Path, help="a CBOR sequence of orders")
    sync = verb("sync", _sync, "upload the desk log, over HTTP or by file", http=True)
    sync.add_argument("--export", type=Path)
    sync.add_argument("--import", dest="import_file", type=Path)
    verb("status", _status, "log, orders, cards begun")
    face = verb("face", _face, "the desk in a browser of this machine", card=True, keys=True,
                http=True)  # fmt: skip
    face.add_argument("--port", type=int, required=True)
    face.add_argument("--data", type=Path, default=argparse.SUPPRESS)
    face.add_argument("--demo", action="store_true", default=argparse.SUPPRESS)
    face.add_argument("--stop-after", type=int, default=STOP_AFTER, metavar="FAILURES")
    return parser


def _folder_arguments(verb: Verb) -> None:
    init = verb("init", _init, "make the folder and log key; write the request", keys=True,
                http=True)  # fmt: skip
    init.add_argument("--station", required=True, help="8 characters")
    init.add_argument("--env", choices=sorted(WORLDS), default="live")
    init.add_argument("--reader")
    init.add_argument("--mail-recipient", required=True, help="age1..., seals transport codes")
    init.add_argument("--mail", type=Path, help="folder of the mailers")
    init.add_argument("--out", type=Path, required=True)
    verb("request", _request, "the request again").add_argument("--out", type=Path, required=True)
    verb("provision", _provision, "install the office's answer").add_argument("file", type=Path)
    verb("mail-key", _mail_key, "a key for the mail path; prints its recipient").add_argument(
        "--out", type=Path, required=True)  # fmt: skip
    opener = verb("open-mailers", _open_mailers, "for the mail path: show codes as JSON")
    opener.add_argument("--identity", type=Path, required=True)
    opener.add_argument("files", type=Path, nargs="+")


def _card_arguments(verb: Verb) -> None:
    one = verb("personalise", _personalise, "make or resume one card", card=True, keys=True,
               http=True)  # fmt: skip
    which = one.add_mutually_exclusive_group()
    which.add_argument("--order", type=_hex(ORDER_BYTES), metavar="HEX")
    which.add_argument("--next", action="store_true", help="the card's own, else the next order")
    bulk = verb("bulk", _bulk, "card after card", card=True, keys=True, http=True)
    bulk.add_argument("--count", type=int, default=MAX_CARDS)
    bulk.add_argument("--stop-after", type=int, default=STOP_AFTER, metavar="FAILURES")
    for sub in (one, bulk):
        sub.add_argument("--entitlements", type=Path, metavar="DIR", help="instead of --http")
        sub.add_argument("--scrap", action="store_true", help="scrap what proves unfinishable")
    scrap = verb("scrap", _scrap, "void a card that cannot be finished", keys=True, http=True)
    scrap.add_argument("--order", type=_hex(ORDER_BYTES), required=True)
    scrap.add_argument("--card", type=_hex(CARD_BYTES), help="if the desk did not hear of it")
    scrap.add_argument("--reason", required=True)
    skip = verb("skip", _skip, "set aside an order of another family's decree row", keys=True,
                http=True)  # fmt: skip
    skip.add_argument("--order", type=_hex(ORDER_BYTES), required=True)
    identify = verb("identify", _identify, "say what a card is, logged; JSON", card=True,
                    keys=True)  # fmt: skip
    for sub in (one, bulk, scrap, skip, identify):
        sub.add_argument("--officer", type=int, required=True)
    for sub in (one, bulk, scrap):
        sub.add_argument("--json", action="store_true")


if __name__ == "__main__":
    sys.exit(main())
