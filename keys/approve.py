"""``betang-approve``: one of the two people, with one key, in a process and folder of their own.

Who the two are, and the folder between them: docs/ledger.md#two-people.
``new`` makes the folder, ``ask`` or ``agree`` signs one pending file, ``serve`` watches the folder
they are exchanged in. What is signed is shown first, in words made from the bytes themselves, and
noted in the person's own journal. An action outside the person's list is refused. The passphrase
comes from BETANG_PASSPHRASE or a prompt. Only the demo may sign unattended.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from keys.approvals import batch_hash, make_approval, make_request
from keys.cli import DEMO_LOG_N, read_secrets
from keys.describe import ACTIONS, describe
from keys.errors import ApprovalError, KeysError, StoreError, TrustError
from keys.exchange import Exchange, Part, Pending
from keys.messages import MESSAGES
from keys.program import quiet
from keys.signer import Ed25519Signer, Signer
from keys.store import DEFAULT_LOG_N, SealedStore, write_private
from keys.trust import TrustStore
from wire.chain import TrustFile
from wire.errors import WireError
from wire.objects import KeyRole, Request

CONFIG, JOURNAL, SERVING, KEY = "config.json", "signed.jsonl", "serving", "approval"
POLL_S = 0.02
MAX_REASON = 200  # bytes of a refusal


class Role(StrEnum):
    """What a person does for one action: ask for it, or agree to another's request."""

    ASK = "ask"
    AGREE = "agree"


@dataclass(frozen=True, slots=True)
class Person:
    """One enrolled person: number, key, what they sign for, and the journal of it.

    ``show`` is given the summary and says whether to sign; ``note`` keeps one line, durably.
    """

    trust: TrustStore
    number: int
    signer: Signer = field(repr=False)
    actions: frozenset[str]
    clock: Callable[[], int]
    show: Callable[[list[str]], bool]
    note: Callable[[dict[str, object]], None]

    def ask(self, pending: Pending) -> bytes:
        """The Request (COSE); :class:`ApprovalError` when this person does not ask for it.

        That is another environment, an action not on the list, bytes nobody can read, a refusal.
        :class:`keys.errors.UnknownKeyError` when no key is stated for this person.
        """
        self._consider(Role.ASK, pending)
        return make_request(
            self.signer, self.trust.env, person=self.number, action=pending.action,
            payloads=pending.payloads, now_s=self.clock(),
        )  # fmt: skip

    def agree(self, pending: Pending, request: bytes) -> bytes:
        """The Approval (COSE) of another's request for exactly this action.

        ``request``: the COSE bytes. :class:`ApprovalError` when it does not stand, is this
        person's own, expired or for something else, and when this person does not agree to it.
        """
        try:
            asked = self.trust.verify(Request, request, at_s=self.clock())
        except (TrustError, WireError) as e:
            raise ApprovalError(f"the request does not stand: {e}") from e
        if asked.person == self.number:
            raise ApprovalError("the request is one's own")
        if asked.action != pending.action or asked.payload_hash != batch_hash(pending.payloads):
            raise ApprovalError("the request is for something else than what is shown")
        if asked.expires_s < self.clock():
            raise ApprovalError("the request has expired")
        self._consider(Role.AGREE, pending)
        return make_approval(
            self.signer, self.trust.env, person=self.number, request=request, now_s=self.clock()
        )

    def _consider(self, role: Role, pending: Pending) -> None:
        """Environment, list, own key; then shown, agreed to and noted, in this order."""
        if pending.environment != self.trust.env:
            raise ApprovalError("the action is of another environment")
        if pending.action not in self.actions:
            raise ApprovalError(f"person {self.number} does not sign for {pending.action}")
        stated = self.trust.key(KeyRole.APPROVAL, self.number)
        if stated.public_key != self.signer.public_key:
            raise ApprovalError(f"this key is not the one stated for person {self.number}")
        lines = describe(pending.action, pending.payloads)
        if not self.show([f"{role}, {self.number}: {pending.name}", *lines]):
            raise ApprovalError(f"person {self.number} refused")
        self.note(
            {"time_s": self.clock(), "role": str(role), "action": pending.action,
             "name": pending.name, "summary": lines}
        )  # fmt: skip

    def step(self, exchange: Exchange, role: Role) -> int:
        """Sign or refuse what lies in the folder for this role; how many answers were put."""
        done = 0
        for name in exchange.names():
            lies_there = {p for p in Part if exchange.has(name, p)}
            is_answered = lies_there & {Part.REFUSAL, _ANSWER[role]}
            if is_answered or (role == Role.AGREE and Part.REQUEST not in lies_there):
                continue
            self.answer(exchange, name, role)
            done += 1
        return done

    def answer(self, exchange: Exchange, name: str, role: Role) -> bool:
        """Sign one action, or put the reason why not; whether it was signed."""
        try:
            pending = exchange.pending(name)
            request = exchange.read(name, Part.REQUEST)
            if role == Role.ASK:
                made = self.ask(pending)
            elif request is None:
                raise ApprovalError("nobody has asked for it yet")
            else:
                made = self.agree(pending, request)
        except KeysError as e:
            reason = f"{self.number}: {e}"
            self.show([f"ditolak / refused {name}: {e}"])
            exchange.put(name, Part.REFUSAL, reason.encode()[:MAX_REASON])
            return False
        exchange.put(name, _ANSWER[role], made)
        return True


_ANSWER = {Role.ASK: Part.REQUEST, Role.AGREE: Part.APPROVAL}


# --- commands -------------------------------------------------------------------------------


@quiet
def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 0 when done, 1 refused."""
    a = _parser().parse_args(argv)
    try:
        return int(a.run(a) or 0)
    except BrokenPipeError:  # quiet() judges whose
        raise
    except KeysError as e:
        indonesian, english = MESSAGES[e.code]
        print(f"betang-approve: {indonesian}\n{english}\n({e})", file=sys.stderr)
    except (WireError, OSError, ValueError) as e:
        print(f"betang-approve: {e}", file=sys.stderr)
    return 1


def _new(a: argparse.Namespace) -> None:
    """Make the folder: sealed key, number, list of actions. Prints the public key."""
    if (a.data / CONFIG).exists():
        raise StoreError(f"{a.data} is a person's already; it was left as it is")
    signer = Ed25519Signer.generate(os.urandom)
    store = SealedStore(a.data / "sealed", log_n=DEMO_LOG_N if a.demo else DEFAULT_LOG_N)
    store.save(KEY, signer.private_bytes(), read_secrets(new=True).passphrase)
    config = {"person": a.person, "actions": sorted(set(a.action) or ACTIONS)}
    write_private(a.data / CONFIG, (json.dumps(config, indent=1) + "\n").encode())
    print(signer.public_key.hex())


def _person(a: argparse.Namespace) -> Person:
    try:
        config = json.loads((a.data / CONFIG).read_text("utf-8"))
        number, actions = int(config["person"]), frozenset(map(str, config["actions"]))
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise StoreError(f"{a.data} is no person's folder") from e
    if unknown := actions - ACTIONS:
        raise StoreError(f"unknown actions: {', '.join(sorted(unknown))}")
    trust = TrustStore(TrustFile.parse(a.trust.read_bytes()), allow_demo=a.demo)
    secret = SealedStore(a.data / "sealed").load(KEY, read_secrets().passphrase)
    is_unattended = bool(a.unattended)
    if is_unattended and not trust.env.is_demo:
        raise ApprovalError("only a demonstration signs unattended")

    def show(lines: list[str]) -> bool:
        print("\n".join(lines), flush=True)
        return is_unattended or _confirms()

    journal = a.data / JOURNAL

    def note(line: dict[str, object]) -> None:
        with journal.open("a", encoding="utf-8") as f:
            f.write(json.dumps(line, ensure_ascii=False) + "\n")
            f.flush()
            os.fsync(f.fileno())

    return Person(trust, number, Ed25519Signer.from_private_bytes(secret), actions,
                  lambda: int(time.time()), show, note)  # fmt: skip


def _confirms() -> bool:
    print("Tanda tangani? / Sign? [y/N] ", end="", flush=True)
    return sys.stdin.readline().strip().lower() in {"y", "ya", "yes"}


def _one(a: argparse.Namespace) -> int:
    """Sign one pending file; the answer lies beside it."""
    person = _person(a)
    return 0 if person.answer(Exchange(a.file.parent), a.file.stem, a.role) else 1


def _serve(a: argparse.Namespace) -> None:
    """Answer what comes into the folder, until ended."""
    person, exchange = _person(a), Exchange(a.exchange)
    (a.data / SERVING).write_text(f"{os.getpid()}\n", "utf-8")
    while True:
        if not person.step(exchange, a.role):
            time.sleep(POLL_S)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="betang-approve", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="command")

    def command(name: str, run: object, text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(run=run)
        sub.add_argument("--demo", action="store_true", help="environments marked DEMO")
        sub.add_argument("--data", type=Path, required=True, help="the person's own folder")
        return sub

    new = command("new", _new, "make a person's folder and key")
    new.add_argument("--person", type=int, required=True, help="the person's number")
    new.add_argument("--action", action="append", default=[], choices=sorted(ACTIONS),
                     help="an action to sign for; repeated; default: all")  # fmt: skip
    for name in Role:
        sub = command(name, _one, f"{name}: sign one pending file")
        sub.set_defaults(role=name)
        sub.add_argument("file", type=Path, help="FOLDER/<name>.pending")
        _common(sub)
    serve = command("serve", _serve, "sign what comes into the exchange folder")
    serve.add_argument("--exchange", type=Path, required=True)
    serve.add_argument("--as", dest="role", type=Role, choices=list(Role), required=True)
    _common(serve)
    return parser


def _common(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--trust", type=Path, required=True, help="trust file")
    sub.add_argument("--unattended", action="store_true", help="with --demo: sign unasked")


if __name__ == "__main__":
    sys.exit(main())
