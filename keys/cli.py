"""``betang-keys``: make, state, list, rotate, revoke and serve the keys of one environment.

When to do which: docs/runbooks.md.
The passphrase comes from BETANG_PASSPHRASE or a prompt, a token's PIN from BETANG_PIN. Shares of
the root are files of one line each.
"""

from __future__ import annotations

import argparse
import getpass
import json
import os
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from keys.errors import KeysError
from keys.folder import KeyFolder, Secrets, TokenPlace
from keys.hierarchy import Heads, KeyName, Root
from keys.issuance import HttpIssuance
from keys.messages import MESSAGES
from keys.program import quiet
from keys.signer import Ed25519Signer, P256Signer
from keys.store import DEFAULT_LOG_N, SealedStore, write_private
from keys.trust import TrustStore
from wire import cbor, dates
from wire.cose import Sign1, key_id
from wire.env import Environment
from wire.errors import WireError
from wire.objects import IssuanceHead, KeyRole, KeyStatement, LedgerHead

WORLDS = {"live": Environment.LIVE, "specimen": Environment.SPECIMEN}
DEMO_LOG_N = 12  # the demo's passphrase guards nothing; its start must not wait for scrypt
BACKEND_TIMEOUT_S = 60.0


@quiet
def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 0 when done, 1 refused, 2 wrong use."""
    arguments = _parser().parse_args(argv)
    try:
        return int(arguments.run(arguments) or 0)
    except BrokenPipeError:  # quiet() judges whose
        raise
    except KeysError as e:
        indonesian, english = MESSAGES[e.code]
        print(f"betang-keys: {indonesian}\n{english}\n({e})", file=sys.stderr)
    except (WireError, OSError, ValueError) as e:
        print(f"betang-keys: {e}", file=sys.stderr)
    return 1


# --- commands -------------------------------------------------------------------------------


def _init(a: argparse.Namespace) -> None:
    env = WORLDS[a.env]
    if a.demo:
        env = Environment(env | 0x80)
    place = TokenPlace(a.pkcs11, a.token) if a.pkcs11 else None
    folder = KeyFolder.create(
        a.data, env, read_secrets(new=True), random=os.urandom, place=place, log_n=_cost(a)
    )
    for name, entry in sorted(folder.config["keys"].items()):
        print(f"{name:16} {entry['where']:7} {entry['public']}")
    print(f"scp03-master     KCV     {folder.config['scp03_kcv']}")


def _new_key(a: argparse.Namespace) -> None:
    kind = P256Signer if a.kind == "p256" else Ed25519Signer
    signer = kind.generate(os.urandom)
    secrets = read_secrets(new=True)
    store = SealedStore(a.dir, log_n=_cost(a))
    store.save(a.name, signer.private_bytes(), secrets.passphrase)
    print(signer.public_key.hex())


def _ceremony(a: argparse.Namespace) -> None:
    folder = _folder(a)
    others: dict[KeyName, bytes] = {(KeyRole.ACK, 1): bytes.fromhex(a.ack)}
    for text in a.approver:
        number, key = text.split("=", 1)
        others[KeyRole.APPROVAL, int(number)] = bytes.fromhex(key)
    now_s = int(time.time())
    from_s = now_s
    if a.valid_from:
        from_s = dates.start_of_day_s(datetime.strptime(a.valid_from, "%Y-%m-%d").date())  # noqa: DTZ007 - a day
    root = P256Signer.generate(os.urandom)
    held = folder.hold_ceremony(root, others, random=os.urandom, now_s=now_s, from_s=from_s)
    for number, share in enumerate(held.shares, 1):
        if a.shares:
            write_private(a.shares / f"share-{number}.txt", (share + "\n").encode())
        else:
            _show_share(number, share)
    print((folder.path / "protocol.txt").read_text())


def _show_share(number: int, share: str) -> None:
    """One holder at a time reads the screen; it is cleared before the next."""
    input(f"Pemegang {number} saja melihat layar; Enter. / Only holder {number} looks; Enter. ")
    print(share)
    input("Sudah ditulis? Enter. / Written down? Enter. ")
    print("\033[2J\033[3J\033[H", end="")


def _issue(a: argparse.Namespace) -> None:
    folder, root, trust = _sitting(a)
    now_s = int(time.time())
    raw = root.state(KeyRole[a.role], a.version, bytes.fromhex(a.key), now_s, now_s=now_s)
    trust.add_statement(raw)
    folder.save_trust(trust)
    print(f"{a.role} {a.version} {key_id(bytes.fromhex(a.key)).hex()}")


def _rotate(a: argparse.Namespace) -> None:
    folder, root, _ = _sitting(a)
    version = folder.rotate(
        root, KeyRole[a.role], read_secrets(), random=os.urandom, now_s=int(time.time())
    )
    print(f"{a.role} {version}")


def _new_personaliser(a: argparse.Namespace) -> None:
    print(_folder(a).new_personaliser(read_secrets(), random=os.urandom).hex())


def _revoke(a: argparse.Namespace) -> None:
    folder, root, trust = _sitting(a)
    heads = _heads(a, trust)
    statement = trust.key(KeyRole[a.role], a.version)
    trust.add_revocation(root.revoke(statement.public_key, heads, now_s=int(time.time())))
    folder.save_trust(trust)
    print(f"{a.role} {a.version} {key_id(statement.public_key).hex()} dicabut / revoked")
    print(f"sampai / up to: ledger {heads.ledger_sequence}, issuance {heads.issuance_sequence}")


def _heads(a: argparse.Namespace, trust: TrustStore) -> Heads:
    """What the revocation still honours: the newest heads of a file, or the two given."""
    raws: list[bytes] = []
    if a.heads:
        raws = list(cbor.decode_sequence(a.heads.read_bytes()))
    elif a.ledger_head and a.issuance_head:
        raws = [a.ledger_head.read_bytes(), a.issuance_head.read_bytes()]
    kinds = [(raw, Sign1.parse(raw).kind) for raw in raws]
    ledgers = [trust.verify(LedgerHead, raw) for raw, kind in kinds if kind == LedgerHead.KIND]
    logs = [trust.verify(IssuanceHead, raw) for raw, kind in kinds if kind != LedgerHead.KIND]
    until_s = a.until if a.until is not None else int(time.time())
    ledger = max(
        (h for h in ledgers if h.time_s <= until_s), key=lambda h: h.sequence, default=None
    )
    log = max((h for h in logs if h.time_s <= until_s), key=lambda h: h.sequence, default=None)
    if raws and (ledger is None or log is None):
        raise ValueError("tidak ada kepala setua itu / no heads of both kinds as old as that")
    if ledger is None or log is None:
        return Heads()
    return Heads(ledger.sequence, ledger.head, log.sequence, log.head)


def _list(a: argparse.Namespace) -> None:
    folder = _folder(a)
    trust = folder.trust()
    print(f"{folder.env.name}  root {key_id(trust.root_key).hex()}")
    for s in sorted(trust.statements(), key=lambda s: (s.role, s.version)):
        print(_line(s, folder, revoked=trust.revocation(s.public_key) is not None))
    for batch, count in sorted(folder.config["batches"].items()):
        print(f"batch {batch}: {count}")


def _line(s: KeyStatement, folder: KeyFolder, *, revoked: bool) -> str:
    entry = folder.config["keys"].get(f"{s.role.name.lower()}-{s.version}", {})
    where = entry.get("where", "-") if entry.get("public") == s.public_key.hex() else "-"
    life = f"{dates.day_of(s.from_s)}..{dates.day_of(s.to_s)}"
    state = "REVOKED" if revoked else ""
    return f"{s.role.name:12} {s.version:4} {key_id(s.public_key).hex()} {where:7} {life} {state}"


def _export_trust(a: argparse.Namespace) -> None:
    folder = _folder(a)
    a.out.parent.mkdir(parents=True, exist_ok=True)
    a.out.write_bytes(bytes(folder.trust().trust_file()))
    if a.links:
        a.links.write_bytes((folder.path / "links.cbor").read_bytes())


def _stock(a: argparse.Namespace) -> None:
    count = _folder(a).receive(json.loads(a.file.read_text()), read_secrets())
    print(f"{count} cip diterima; hancurkan berkas asal. / {count} chips; destroy the source file.")


def _serve(a: argparse.Namespace) -> None:
    folder = _folder(a)
    from keys.doors import client  # noqa: PLC0415 - no other command needs client and server
    from keys.httpserver import serve  # noqa: PLC0415

    log = HttpIssuance(client(a.backend, BACKEND_TIMEOUT_S))
    service = folder.service(read_secrets(), log, clock=lambda: int(time.time()), random=os.urandom)
    serve(service, a.socket or a.data / "keys.sock")


# --- shared -----------------------------------------------------------------------------------


def _cost(a: argparse.Namespace) -> int:
    return DEMO_LOG_N if a.demo else DEFAULT_LOG_N


def _folder(a: argparse.Namespace) -> KeyFolder:
    return KeyFolder.open(a.data, allow_demo=a.demo, log_n=_cost(a))


def _sitting(a: argparse.Namespace) -> tuple[KeyFolder, Root, TrustStore]:
    folder = _folder(a)
    shares = [Path(p).read_text().strip() for p in a.share]
    return folder, folder.root(shares), folder.trust()


def read_secrets(*, new: bool = False) -> Secrets:
    """Passphrase and PIN, from the environment or typed; a new passphrase twice.

    ``ValueError`` when the two differ or it is empty.
    """
    passphrase = os.environ.get("BETANG_PASSPHRASE")
    if passphrase is None:
        passphrase = getpass.getpass("Kata sandi / passphrase: ")
        if new and passphrase != getpass.getpass("Sekali lagi / again: "):
            raise ValueError("frasa sandi berbeda / the passphrases differ")
    if not passphrase:
        raise ValueError("frasa sandi kosong / the passphrase is empty")
    return Secrets(passphrase, os.environ.get("BETANG_PIN", ""))


def _socket(text: str) -> Path:
    """A path; the issuance log is never kept behind an address of a network."""
    if "://" in text:
        raise argparse.ArgumentTypeError(
            f"{text}: bukan soket; berikan berkas office.sock dalam folder backend / "
            "not a socket; give the file office.sock in the backend's data folder"
        )
    return Path(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="betang-keys", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="command")
    roles = [r.name for r in KeyRole if r not in {KeyRole.ROOT, KeyRole.LOG}]

    def command(name: str, run: object, text: str, *, data: bool = True) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(run=run)
        sub.add_argument("--demo", action="store_true", help="environments marked DEMO only")
        if data:
            sub.add_argument("--data", type=Path, required=True, help="the key folder")
        return sub

    def sitting(name: str, run: object, text: str) -> argparse.ArgumentParser:
        sub = command(name, run, text)
        sub.add_argument("--share", action="append", required=True, help="share file; three times")
        sub.add_argument("--role", choices=roles, required=True)
        return sub

    sub = command("init", _init, "make the keys below the root")
    sub.add_argument("--env", choices=WORLDS, required=True)
    sub.add_argument("--pkcs11", help="PKCS#11 library; the role keys are made on its token")
    sub.add_argument("--token", default="betang", help="label of the token")
    sub = command("new-key", _new_key, "make a person's or the backend's key", data=False)
    sub.add_argument("--dir", type=Path, required=True)
    sub.add_argument("--name", required=True)
    sub.add_argument("--kind", choices=("ed25519", "p256"), default="ed25519")
    sub = command("ceremony", _ceremony, "make the root, share it, state the keys")
    sub.add_argument("--ack", required=True, metavar="HEX", help="the backend's Ack key")
    sub.add_argument("--approver", action="append", required=True, metavar="N=HEX")
    sub.add_argument(
        "--shares", type=Path, help="write the shares here (else one by one on screen)"
    )
    sub.add_argument("--valid-from", metavar="YYYY-MM-DD")
    sub = sitting("issue", _issue, "state a key made elsewhere (Ack, approval)")
    sub.add_argument("--version", type=int, required=True, help="for APPROVAL: the person's number")
    sub.add_argument("--key", required=True, metavar="HEX")
    command("list", _list, "list the keys")
    sitting("rotate", _rotate, "make, state and link the next version of a key")
    command("new-personaliser", _new_personaliser, "another channel key for the personaliser")
    sub = sitting("revoke", _revoke, "revoke a key")
    sub.add_argument("--version", type=int, required=True)
    sub.add_argument("--ledger-head", type=Path, help="newest published head (COSE)")
    sub.add_argument("--issuance-head", type=Path, help="newest published head (COSE)")
    sub.add_argument("--heads", type=Path, help="or heads.cbor of an export: its newest two")
    sub.add_argument(
        "--until",
        type=int,
        metavar="SECONDS",
        help="of --heads, only those published by then (before the theft)",
    )
    sub = command("export-trust", _export_trust, "write the trust file")
    sub.add_argument("--out", type=Path, required=True)
    sub.add_argument("--links", type=Path)
    sub = command("stock", _stock, "receive a maker's chips and transport keys")
    sub.add_argument("--file", type=Path, required=True)
    sub = command("serve", _serve, "serve the keys on a unix socket")
    sub.add_argument("--socket", type=Path, help="default: DATA/keys.sock")
    sub.add_argument(
        "--backend", type=_socket, required=True, help="the backend's socket (DATA/office.sock)"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
