"""A card with a small applet, and our host end of SCP03 on it, for the tests of this folder."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable

from card_os.reference.applets import CardContext, CardServices
from card_os.reference.card import ReferenceCard
from card_os.reference.errors import CardError
from card_os.reference.memory import Store
from card_os.reference.profiles import TransportKeys
from keys.kdf import StaticKeys, kcv
from keys.scp03 import Scp03Host
from keys.securechannel import HostMessaging, SecurityLevel
from wire.apdu import CommandApdu, ResponseApdu
from wire.tlv import encode, parse_all

SD = bytes.fromhex("A000000151000000")
PACKAGE = b"\xf0BETANG"
MODULE = PACKAGE + b"\x01"
AID = PACKAGE + b"\x01"
OTHER_AID = PACKAGE + b"\x02"
SERIAL = bytes.fromhex("0000002A")
LEVELS = list(SecurityLevel)


class Counter:
    """An applet with one persistent number and one in RAM."""

    def __init__(self, store: Store, parameters: bytes, services: CardServices) -> None:
        if parameters == b"bad":
            raise CardError(0x6A80)
        self.store, self.services = store, services
        self.ram = 0
        if store.get("n") is None:
            store.put("n", b"\x00")

    def select(self) -> bytes:
        self.ram = 0
        return encode(0x6F, encode(0x84, self.services.aid))

    def deselect(self) -> None:
        self.ram = 0

    def process(self, command: CommandApdu, ctx: CardContext) -> bytes:
        if command.ins == 0x01:
            self.store.put("n", bytes([(self.store.get("n") or b"\0")[0] + 1]))
            self.ram += 1
        elif command.ins == 0x02:
            level = 0xEE if ctx.secure_channel is None else ctx.secure_channel.level
            return bytes([level, ctx.interface]) + command.data
        elif command.ins == 0x03:
            raise CardError(0x6985)
        return (self.store.get("n") or b"") + bytes([self.ram])


REGISTRY = {PACKAGE: Counter}


def seeded() -> Callable[[int], bytes]:
    numbers = itertools.count()
    return lambda n: hashlib.shake_128(b"seed%d" % next(numbers)).digest(n)


def key_set(name: str, size: int = 16) -> StaticKeys:
    return StaticKeys(*(hashlib.sha256(f"{name}{i}".encode()).digest()[:size] for i in range(3)))


TRANSPORT_KEYS = TransportKeys(0x30, key_set("transport"))


def make_card(**options: object) -> ReferenceCard:
    arguments = {
        "transport_keys": TRANSPORT_KEYS,
        "serial": SERIAL,
        "registry": REGISTRY,
        "random": seeded(),
    }
    card = ReferenceCard.create(**{**arguments, **options})  # type: ignore[arg-type]
    card.power_on()
    return card


def header(text: str) -> tuple[int, int, int, int]:
    cla, ins, p1, p2 = bytes.fromhex(text)
    return cla, ins, p1, p2


def send(card: ReferenceCard, text: str, data: bytes = b"") -> tuple[bytes, int]:
    answer = ResponseApdu.parse(
        card.transmit(bytes(CommandApdu(*header(text), data, None if data else 256)))
    )
    return answer.data, answer.sw


class Host:
    """Our own host end of SCP03 on a card."""

    def __init__(
        self,
        card: ReferenceCard,
        level: SecurityLevel = SecurityLevel.FULL,
        keys: StaticKeys = TRANSPORT_KEYS.keys,
        **options: object,
    ) -> None:
        self.card = card
        host = Scp03Host(lambda _: keys, level, seeded(), aid=SD, **options)  # type: ignore[arg-type]
        answer = self._transmit(host.initialize_update())
        self.session: HostMessaging
        self.opening = host.external_authenticate(answer)
        self.session = host.finish(self._transmit(self.opening))

    def _transmit(self, command: CommandApdu) -> ResponseApdu:
        return ResponseApdu.parse(self.card.transmit(bytes(command)))

    def send(self, text: str, data: bytes = b"") -> tuple[bytes, int]:
        command = self.session.wrap(CommandApdu(*header(text), data))
        answer = self.session.unwrap(self._transmit(command))
        return answer.data, answer.sw


def lv(*fields: bytes) -> bytes:
    return b"".join(bytes([len(f)]) + f for f in fields)


def install_data(
    aid: bytes = AID,
    parameters: bytes = b"anchors",
    module: bytes = MODULE,
    package: bytes = PACKAGE,
    privileges: bytes = b"\x00",
) -> bytes:
    return lv(package, module, aid, privileges, encode(0xC9, parameters), b"")


def install(host: Host, aid: bytes = AID) -> None:
    assert host.send("80E60C00", install_data(aid)) == (b"\x00", 0x9000)


def put_key_data(host: Host, kvn: int, keys: StaticKeys, *, clear_length: bool = True) -> bytes:
    data = bytes([kvn])
    for key in (keys.enc, keys.mac, keys.dek):
        cipher = host.session.encrypt_sensitive(key + bytes(-len(key) % 16))
        block = bytes([len(key)]) + cipher if clear_length else cipher
        data += bytes([0x88, len(block)]) + block + b"\x03" + kcv(key)
    return data


def select(card: ReferenceCard, aid: bytes, p2: int = 0) -> tuple[bytes, int]:
    return send(card, f"00A404{p2:02X}", aid)


def status(host: Host, p1: int, p2: int = 2, aid: bytes = b"") -> list[dict[int, bytes]]:
    data, sw = host.send(f"80F2{p1:02X}{p2:02X}", encode(0x4F, aid))
    assert sw == 0x9000
    return [dict(parse_all(value)) for tag, value in parse_all(data) if tag == 0xE3]


def send_raw(card: ReferenceCard, text: str, data: bytes) -> bytes:
    return card.transmit(bytes(CommandApdu(*header(text), data)))


def cap(aid: bytes = PACKAGE, body: bytes = bytes(500)) -> bytes:
    header = bytes.fromhex("DECAFFED") + b"\x01\x02\x04" + b"\x00\x01" + lv(aid)
    return b"\x01" + len(header).to_bytes(2, "big") + header + body


def load(host: Host, file: bytes, announced: bytes = PACKAGE, digest: bytes = b"") -> int:
    _, sw = host.send("80E60200", lv(announced, SD, digest, b"", b""))
    blocks = [file[i : i + 200] for i in range(0, len(file), 200)]
    for number, block in enumerate(blocks):
        if sw == 0x9000:
            last = 0x80 if number == len(blocks) - 1 else 0
            _, sw = host.send(f"80E8{last:02X}{number:02X}", block)
    return sw


def logical(card: ReferenceCard) -> dict[str, bytes | None]:
    """What the card means: the domain's records, content, and records of live instances."""
    nvm = card.nvm
    names = nvm.keys("sd/") + nvm.keys("content/app/") + nvm.keys("content/file/")
    state = {name: nvm.get(name) for name in names}
    for name in nvm.keys("content/app/"):
        slot = int.from_bytes(dict(parse_all(nvm.get(name) or b""))[0xC7], "big")
        state |= {key: nvm.get(key) for key in nvm.keys(f"applet/{slot}/")}
    return state
