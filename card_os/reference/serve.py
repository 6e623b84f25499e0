"""A card in a virtual reader and behind a socket, moved and cut from another shell.

`CardServer` holds one place for a card. What reaches it: vpcd (`--reader`), a socket of
length-framed APDUs (`--socket`, for programs without PC/SC) and a control socket that takes one
JSON object a line and answers one: `{"do": "insert" | "remove" | "swap" | "tear" | "status" |
"stop", ...}`, `{"ok": true, ...}` or `{"ok": false, "error": "..."}`.

Frames of the APDU socket, both ways: kind (1 byte), length (2 bytes, big-endian), data.
Kind 00 = power off (as an answer: there is no card, or it went away), 01 = power on or reset
(answered with the ATR), 02 = APDU. The end of the stream takes the power away.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from card_os.icc import ATR_CONTACTLESS, ATR_T0, ATR_T1, T0Face, interface_of
from card_os.reference.card import ReferenceCard
from card_os.reference.errors import ReferenceCardError
from card_os.reference.foreign import DroppingCard, EchoCard, ForeignCard, UnfitCard
from card_os.reference.packages import PACKAGES
from card_os.reference.profiles import JCOP_LIKE, TransportKeys
from card_os.reference.vpcd import VpcdError, VpcdSlot
from keys.kdf import StaticKeys

if TYPE_CHECKING:
    from collections.abc import Callable

    from card_os.icc import IccDevice
    from card_os.reference.applets import Registry
    from card_os.reference.memory import Nvm

__all__ = ["CardPlace", "CardServer", "CardSource", "ServeError", "Tear", "ask", "open_card"]

OFF, ON, APDU = 0, 1, 2
TRANSPORT_KVN = 0x30
_MAX_LINE_BYTES = 4096
CARDS: dict[str, Callable[[bytes], IccDevice]] = {
    "echo": EchoCard,
    "foreign": lambda _atr: ForeignCard(),
    "unfit": lambda _atr: UnfitCard(),
    "dropping": lambda _atr: DroppingCard(),
}


class ServeError(Exception):
    """The card cannot be served or moved as asked; the message is one line."""


@dataclass(frozen=True, slots=True)
class CardSource:
    """Which card: a state file of the reference card, or one of `CARDS` by name."""

    state: Path | None = None
    name: str = ""


@dataclass(frozen=True, slots=True)
class Tear:
    """Cut the power before the (`writes` + 1)-th persistent write, or (None) before the answer.

    With `ins`, counting begins with the next command of that instruction.
    """

    writes: int | None
    ins: int | None = None


def choose_atr(protocol: str, interface: str) -> bytes:
    """Return the ATR for "t0"/"t1" and "contact"/"contactless". Raises ServeError."""
    if interface == "contactless":
        if protocol == "t0":
            raise ServeError("a contactless card has no T=0")
        return ATR_CONTACTLESS
    return ATR_T0 if protocol == "t0" else ATR_T1


def open_card(source: CardSource, atr: bytes, registry: Registry = PACKAGES) -> IccDevice:
    """Return the card of `source`; `registry` is what its load files are run by.

    Raises ServeError for an unknown name or a missing file.
    """
    if source.state is None:
        if source.name not in CARDS:
            raise ServeError(f"no card of the name {source.name!r}: " + ", ".join(CARDS))
        return CARDS[source.name](atr)
    if not source.state.exists():
        raise ServeError(f"no card in {source.state}: make one with `betang-card make`")
    try:
        return ReferenceCard.load(
            source.state,
            registry=registry,
            random=os.urandom,
            interface=interface_of(atr),
            protocol="t0" if atr == ATR_T0 else "t1",
        )
    except ReferenceCardError as error:
        raise ServeError(f"no card in {source.state}: {error}") from error


def make_cards(folder: Path, delivery: Path, batch: str, first: int, count: int) -> None:
    """Make blank cards as their maker delivers them, and the maker's delivery list.

    `folder`/NNNNNNNN.card for `count` serials from `first`. The list is the JSON that
    `betang-keys stock` takes: {batch, kvn, chips: [{kdd, enc, mac, dek}]} in hex, readable by its
    owner only. Nothing is overwritten. Raises ServeError.
    """
    serials = range(first, first + count)
    states = {n: folder / f"{n:08d}.card" for n in serials}
    if delivery.exists() or any(state.exists() for state in states.values()):
        raise ServeError("a card or list of that name exists; nothing was changed")
    folder.mkdir(parents=True, exist_ok=True)
    chips = [_make_card(states[n], n.to_bytes(4, "big")) for n in serials]
    with os.fdopen(os.open(delivery, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump({"batch": batch, "kvn": TRANSPORT_KVN, "chips": chips}, file)


def _make_card(state: Path, serial: bytes) -> dict[str, str]:
    keys = StaticKeys(os.urandom(16), os.urandom(16), os.urandom(16))
    card = ReferenceCard.create(
        state,
        transport_keys=TransportKeys(TRANSPORT_KVN, keys),
        serial=serial,
        registry=PACKAGES,
        random=os.urandom,
    )
    card.nvm.close()
    kdd = JCOP_LIKE.kdd_of(serial)
    return {
        "kdd": kdd.hex(), "enc": keys.enc.hex(), "mac": keys.mac.hex(), "dek": keys.dek.hex()
    }  # fmt: skip


class CardPlace:
    """The place for one card: an `IccDevice` that may be empty, with the tear switch.

    A card that gives no answer, or whose power was cut, is out afterwards (`remove` is not needed
    before the next `insert`).
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._card: IccDevice | None = None
        self._nvm: Nvm | None = None
        self._tear: Tear | None = None  # armed, waiting for its command
        self._writes_left: int | None = None  # counting; a reset does not end it
        self.inside = False
        self.commands = 0
        self.cuts = 0

    def hold(self, card: IccDevice, atr: bytes) -> None:
        """Take this card (not yet inserted) instead of the present one, whose file is closed."""
        with self._lock:
            self.take_out()
            if self._nvm is not None:
                self._nvm.close()
            self._nvm = getattr(card, "nvm", None)
            self._tear = self._writes_left = None
            self._card = T0Face(card) if atr == ATR_T0 else card

    def put_in(self) -> bool:
        """Insert the card held; False when there is none."""
        with self._lock:
            self.inside = self._card is not None
            return self.inside

    def take_out(self) -> None:
        """Remove the card: its RAM dies."""
        with self._lock:
            if self._card is not None:
                self._card.power_off()
            self.inside = False

    def arm(self, tear: Tear) -> None:
        """Set the tear switch. Raises ServeError when the card has no memory to tear."""
        with self._lock:
            if tear.writes is not None and self._nvm is None:
                raise ServeError("this card has no persistent memory")
            self._tear, self._writes_left = tear, None

    def power_on(self) -> bytes:
        """Return the ATR, or no bytes without a card."""
        with self._lock:
            return self._card.power_on() if self.inside and self._card else b""

    def power_off(self) -> None:
        """Take the supply away."""
        with self._lock:
            if self._card is not None:
                self._card.power_off()

    def transmit(self, command: bytes, /) -> bytes:
        """Return the R-APDU, or no bytes: no card, or it went away within the command."""
        with self._lock:
            if not self.inside or self._card is None:
                return b""
            self.commands += 1
            before_answer = self._trigger(command)
            if self._nvm is not None:
                self._nvm.tear_before = self._writes_left
            answer = self._card.transmit(command)
            if self._nvm is not None:
                self._writes_left = self._nvm.tear_before
            if before_answer or not answer:
                self.cuts += 1
                self._tear = self._writes_left = None
                self.take_out()
                return b""
            return answer

    def _trigger(self, command: bytes) -> bool:
        """Start what is armed for this command; return whether its answer is to be lost."""
        tear = self._tear
        if tear is None or tear.ins not in {None, command[1] if len(command) > 1 else None}:
            return False
        self._tear, self._writes_left = None, tear.writes
        return tear.writes is None


class CardServer:
    """Serves a `CardPlace` on a virtual reader, an APDU socket and a control socket."""

    def __init__(
        self,
        atr: bytes,
        *,
        control: Path,
        reader: str | None = None,
        listen: str | None = None,
        registry: Registry = PACKAGES,
    ) -> None:
        """`reader`: as `vpcd.connect_reader`; `listen`: `host:port` or a unix socket's path.

        `registry`: the load files that a card from a state file can run.
        """
        self._atr = atr
        self._registry = registry
        self.place = CardPlace()
        self._moves = threading.Lock()
        self._slot = VpcdSlot(reader) if reader else None
        self._stop = threading.Event()
        self._source = CardSource()
        self._control_path = control
        self._control = _listen(str(control))
        try:
            self._apdus = _listen(listen) if listen else None
        except ServeError:
            self._control.close()
            raise
        self._listen = listen

    @property
    def listening(self) -> str:
        """Where the APDU socket listens (with the port chosen for `host:0`), or ""."""
        if self._apdus is None or self._apdus.family == socket.AF_UNIX:
            return self._listen or ""
        host, port = self._apdus.getsockname()[:2]
        return f"{host}:{port}"

    def start(self) -> None:
        """Begin to serve; returns at once."""
        threading.Thread(
            target=self._accept, args=(self._control, self._order), daemon=True
        ).start()
        if self._apdus is not None:
            framed = (self._apdus, self._framed)
            threading.Thread(target=self._accept, args=framed, daemon=True).start()

    def stop(self) -> None:
        """Make `wait` return; for signal handlers and other threads."""
        self._stop.set()

    def hold(self, source: CardSource) -> None:
        """Have a card ready for `insert`, outside."""
        with self._moves:
            self._hold(source)

    def _hold(self, source: CardSource) -> None:
        self.place.take_out()
        if source.state is not None and self._source == source:
            return  # its file is open already
        self.place.hold(open_card(source, self._atr, self._registry), self._atr)
        self._source = source

    def wait(self) -> None:
        """Return when `stop` was asked for."""
        self._stop.wait()

    def close(self) -> None:
        """Take the card out and remove the sockets."""
        self._stop.set()
        self.remove()
        for sock, path in ((self._control, str(self._control_path)), (self._apdus, self._listen)):
            if sock is not None:
                is_path = sock.family == socket.AF_UNIX
                sock.close()
                if is_path and path:
                    Path(path).unlink(missing_ok=True)

    def insert(self, source: CardSource | None = None) -> None:
        """Insert the card of `source`, or again the one held. Raises ServeError."""
        with self._moves:
            if self.place.inside:
                raise ServeError("a card is already in")
            if source is not None:
                self._hold(source)
            if not self.place.put_in():
                raise ServeError("there is no card to insert")
            if self._slot is not None:
                self._slot.remove()  # what a cut has left
                try:
                    self._slot.insert(self.place)
                except VpcdError as error:
                    self.place.take_out()
                    raise ServeError(str(error)) from error

    def remove(self) -> None:
        """Take the card out; harmless without one."""
        with self._moves:
            if self._slot is not None:
                self._slot.remove()
            self.place.take_out()

    def _order(self, sock: socket.socket) -> None:
        """Answer the orders on one control connection."""
        with sock.makefile("r", encoding="utf-8") as lines:
            while line := lines.readline(_MAX_LINE_BYTES):
                try:
                    answer = {"ok": True, **self._obey(json.loads(line))}
                except (ServeError, VpcdError, ValueError, KeyError, TypeError, OSError) as error:
                    answer = {"ok": False, "error": str(error) or type(error).__name__}
                sock.sendall(json.dumps(answer).encode() + b"\n")

    def _obey(self, order: dict[str, Any]) -> dict[str, Any]:
        source = None
        if order.get("state") or order.get("card"):
            state = order.get("state")
            source = CardSource(Path(state) if state else None, order.get("card") or "")
        match order["do"]:
            case "insert":
                self.insert(source)
            case "remove":
                self.remove()
            case "swap":
                self.remove()
                self.insert(source)
            case "tear":
                self.place.arm(Tear(order["writes"], order.get("ins")))
            case "stop":
                self._stop.set()
            case "status":
                pass
            case other:
                raise ServeError(f"unknown order {other!r}")
        return self.status()

    def status(self) -> dict[str, Any]:
        """Return what `betang-card status` shows."""
        held = self._source.state or self._source.name
        return {
            "inside": self.place.inside,
            "card": str(held),
            "atr": self._atr.hex(),
            "interface": interface_of(self._atr).value,
            "listening": self.listening,
            "commands": self.place.commands,
            "cuts": self.place.cuts,
        }

    def _framed(self, sock: socket.socket) -> None:
        """Serve one connection of length-framed APDUs."""
        with sock.makefile("rb") as stream:
            while len(head := stream.read(3)) == 3:
                size = int.from_bytes(head[1:], "big")
                data = stream.read(size)
                if len(data) < size or head[0] > APDU or (data and head[0] != APDU):
                    break
                answer = b""
                if head[0] == ON:
                    answer = self.place.power_on()
                elif head[0] == APDU:
                    answer = self.place.transmit(data)
                else:
                    self.place.power_off()
                kind = head[0] if answer else OFF
                sock.sendall(bytes([kind]) + len(answer).to_bytes(2, "big") + answer)
        if self._slot is None:
            self.place.power_off()

    def _accept(self, listener: socket.socket, serve: Callable[[socket.socket], None]) -> None:
        """Serve connections one after the other until the listener is closed."""
        while not self._stop.is_set():
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            with sock, contextlib.suppress(OSError):
                if sock.family != socket.AF_UNIX:
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                serve(sock)


def _listen(address: str) -> socket.socket:
    """Listen at `host:port` (loopback only, it has no access control) or at a path, 0600."""
    try:
        if "/" not in address and ":" in address:
            host, _, port = address.rpartition(":")
            if host not in {"127.0.0.1", "localhost"}:
                raise ServeError("a card is served on 127.0.0.1 only")
            return socket.create_server((host, int(port)))
        path = Path(address)
        if path.exists() and _answers(address):
            raise ServeError(f"another server is at {address}")
        path.unlink(missing_ok=True)  # left by a killed server
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.bind(address)
        path.chmod(0o600)
        sock.listen(8)
    except (OSError, ValueError) as error:
        raise ServeError(f"cannot listen at {address}: {error}") from error
    return sock


def _answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        return probe.connect_ex(path) == 0


def ask(control: str | os.PathLike[str], **order: Any) -> dict[str, Any]:
    """Send one order to the server at `control`; return its answer. Raises ServeError."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.connect(os.fspath(control))
            sock.sendall(json.dumps(order).encode() + b"\n")
            with sock.makefile("r", encoding="utf-8") as lines:
                answer = json.loads(lines.readline() or "{}")
    except (OSError, ValueError) as error:
        raise ServeError(f"no card server at {os.fspath(control)}: {error}") from error
    if not answer.get("ok"):
        raise ServeError(str(answer.get("error", "the server closed the connection")))
    return cast("dict[str, Any]", answer)
