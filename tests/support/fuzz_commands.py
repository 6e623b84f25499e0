"""Mutated commands to a whole card: no crash, a known status word, nothing changed on refusal.

A card stands in one of the states of `purse_tears`, behind its real dispatcher and security domain.
Commands are valid ones of real flows (`applet_orders`, the security domain's), changed before the
secure messaging is put around them, after it, or not at all in between.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from card_os.host.commands import PURSE_COMMANDS
from card_os.reference.applets import Registry
from card_os.reference.card import ReferenceCard
from card_os.reference.content import CardContent
from card_os.reference.external import STATE, AppletHost
from card_os.reference.memory import Nvm
from card_os.reference.packages import PACKAGES
from card_os.reference.purse_store import PurseStore
from keys.scp11 import Scp11aHost, SoftwareEcdhKey
from keys.securechannel import HostMessaging, SecureChannelError, SecurityLevel
from tests.support import applet_orders as orders
from tests.support import fuzz_mutate as mutate
from tests.support.applet_world import AppletBench, records_of
from tests.support.campaign import FaultError
from tests.support.purse_tears import STATES
from tests.support.purse_world import (
    CODE,
    ENV,
    PREFIX,
    ROOT,
    TERMINAL,
    TERMINAL_CA,
    Bench,
    World,
    point,
    private_key,
    stages,
)
from tests.unit.card_os.gp_bench import TRANSPORT_KEYS, Host, install_data, make_card
from wire.apdu import CommandApdu, ResponseApdu
from wire.cvc import CaKind, Role
from wire.env import PACKAGE_AID, purse_aid
from wire.errors import WireError
from wire.purse import CardState, Ins, InstallParameters, Life, Sw

__all__ = ["COMMANDS", "Cards", "Target", "applet_cards", "play"]

COMMANDS = 200  # of one piece
LONGEST_BYTES = 261  # header, Lc 255, data, Le
AID = purse_aid(ENV)
SD = bytes.fromhex("A000000151000000")
SELECT = bytes(CommandApdu(0x00, 0xA4, 0x04, 0x00, AID, 256))
SELECT_SD = bytes(CommandApdu(0x00, 0xA4, 0x04, 0x00, SD, 256))
NO_DATA = bytes(CommandApdu(0x80, Ins.READ, 0, 0, b"", 256))
# SPEC.md#status-words, without FILE_NOT_FOUND, which only SELECT gives.
PURSE_WORDS = {int(s) for s in Sw if s not in {Sw.VERIFICATION_FAILED, Sw.FILE_NOT_FOUND}}
SELECT_WORDS = {0x6A81, 0x6A82, 0x6283}
DOMAIN_WORDS = {0x9000, 0x6310, 0x6283, 0x6300, 0x6700, 0x6982, 0x6983, 0x6985, 0x6A80, 0x6A81,
                0x6A82, 0x6A84, 0x6A86, 0x6A88, 0x6D00, 0x6E00, 0x9484, 0x9485}  # fmt: skip
BY_INS: dict[int, set[int]] = {}
for _c in PURSE_COMMANDS:
    BY_INS.setdefault(_c.ins, {0x9000}).update(int(s) for s in _c.refusals)
READS_ONLY = {Ins.GET_DATA, Ins.MUTUAL_AUTHENTICATE}
TRIES = {Ins.VERIFY, Ins.CHANGE_PIN, Ins.ACTIVATE}


class Cards:
    """A card of every state, made once, of any purse."""

    def __init__(self, registry: Registry = PACKAGES, bench: Callable[[], Bench] | None = None,
                 states: tuple[str, ...] = tuple(STATES)) -> None:  # fmt: skip
        self.registry = registry
        first = (bench or (lambda: Bench(World(ENV))))()
        lives = stages(first)
        whole = make_card(registry=registry)
        parameters = bytes(InstallParameters(ENV, point(ROOT)))
        data = install_data(AID, parameters, PACKAGE_AID + b"\x01", PACKAGE_AID)
        if Host(whole).send("80E60C00", data)[1] != Sw.OK:
            raise FaultError("INSTALL refused")
        kept = {k: whole.nvm.get(k) for k in whole.nvm.keys()}  # noqa: SIM118 - not a dict
        slot = CardContent(whole.nvm, registry, bytes).instances()[AID].slot
        self._applet = f"applet/{slot}/"
        self._outside = {k: v for k, v in kept.items() if not k.startswith(self._applet)}
        self.benches = {name: STATES[name](lambda life: lives[life].fork()) for name in states}

    def nvm(self, state: str) -> Nvm:
        """The whole card's memory in that state."""
        made, bench = Nvm(), self.benches[state]
        for key, value in self._outside.items():
            made.put(key, value or b"")
        for key in bench.nvm.keys(PREFIX):
            made.put(self._applet + key.removeprefix(PREFIX), bench.nvm.get(key) or b"")
        return made


@dataclass
class Target:
    """A card under fire, and what is known of it."""

    cards: Cards
    state: str
    random: Random
    counts: Counter[str] = field(default_factory=Counter)
    pool: list[bytes] = field(default_factory=list)
    followed: dict[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.bench = self.cards.benches[self.state].fork(seed=self.random.randrange(2**32))
        self.card = ReferenceCard(
            self.cards.nvm(self.state), registry=self.cards.registry, random=self.random.randbytes
        )
        self.secured: HostMessaging | None = None
        self.domain: HostMessaging | None = None
        self.role = Role.TERMINAL
        self.secrets = self._secrets()
        self.power_on()

    # What a card may never say

    def _secrets(self) -> dict[str, bytes]:
        keys = TRANSPORT_KEYS.keys
        found = {"static key ENC": keys.enc, "static key MAC": keys.mac, "static key DEK": keys.dek}
        card = self.bench.store.card
        if card.life >= Life.KEYED:
            pairs = self.bench.store.keys(card)
            found |= {"private scalars": bytes(pairs)[:32], "private scalar": bytes(pairs)[32:64]}
        secrets = self.bench.store.secrets
        found |= {"PIN": secrets.pin, "transport code": secrets.code, "first code": CODE}
        return {name: value for name, value in found.items() if any(value)}

    def power_on(self) -> None:
        """Power, and the purse selected."""
        self.secured = self.domain = None
        self.card.power_on()
        self.card.transmit(SELECT)

    # One command and the oracle

    def send(self, raw: bytes, plain: CommandApdu | None = None) -> ResponseApdu:
        """Any bytes; ``plain`` is what secure messaging was put around, where it was."""
        if len(raw) == LONGEST_BYTES and self.cards.registry is not PACKAGES:
            raw = raw[:-1]  # jCardSim's APDU buffer ends a byte before it: 6F00, no applet asked
        before = self._memory()
        self.counts["commands"] += 1
        try:
            answer = self.card.transmit(raw)
        except Exception as error:
            raise FaultError(
                f"{self._said(raw, plain)}: {type(error).__name__}: {error}"
            ) from error
        if not 2 <= len(answer) <= 258:
            raise FaultError(f"{self._said(raw, plain)}: {len(answer)} bytes answered")
        response = ResponseApdu.parse(answer)
        self._check_word(raw, plain, response)
        self._check_memory(raw, plain, response, before)
        self._check_secrets(raw, plain, answer)
        self.counts[f"{'secured' if plain else 'bare'} {response.sw:04X}"] += 1
        self.counts["to the applet"] += self.cards.registry is not PACKAGES
        return response

    def _memory(self) -> dict[str, bytes]:
        return dict(self.card.nvm._cells)

    def _said(self, raw: bytes, plain: CommandApdu | None) -> str:
        inner = f" ({bytes(plain).hex()})" if plain else ""
        return f"{self.state}: {raw.hex()}{inner}"

    def _check_word(self, raw: bytes, plain: CommandApdu | None, answer: ResponseApdu) -> None:
        sw = answer.sw
        known = sw in PURSE_WORDS | SELECT_WORDS | DOMAIN_WORDS or sw & 0xFFF0 == 0x63C0
        if plain is not None and self.domain is None and plain.cla == 0x80:
            of = BY_INS.get(plain.ins, {int(Sw.INS_NOT_SUPPORTED)}) | {
                int(Sw.SECURE_MESSAGING_WRONG)
            }
            known = (0x63C0 if sw & 0xFFF0 == 0x63C0 else sw) in of
        if not known:
            raise FaultError(f"{self._said(raw, plain)}: status word {sw:04X} is not its own")

    def _check_memory(
        self, raw: bytes, plain: CommandApdu | None, answer: ResponseApdu, before: dict[str, bytes]
    ) -> None:
        after = self._memory()
        changed = {k for k in before.keys() | after.keys() if before.get(k) != after.get(k)}
        if not changed:
            return
        ins = plain.ins if plain else raw[1] if len(raw) > 1 else 0
        sw, names = answer.sw, {k.removeprefix(self.cards._applet) for k in changed}
        if sw in {0x9000, 0x6310} and not (plain is None and ins in READS_ONLY):
            return
        if all(k.startswith("sd/") and k.endswith(("/tries", "/sequence")) for k in changed):
            return  # SCP03: a try is taken before anything is compared
        tried = sw & 0xFFF0 == 0x63C0 or sw == Sw.PIN_TOO_SIMPLE
        if plain and ins in TRIES and tried and (
            (names <= {"secrets"} and self._only_tries(before, after)) or names == {"state"}
        ):  # fmt: skip
            return
        raise FaultError(f"{self._said(raw, plain)}: {sw:04X} and {sorted(changed)} changed")

    def _only_tries(self, before: dict[str, bytes], after: dict[str, bytes]) -> bool:
        """PIN(6), its tries, code(8), its tries: one of the two counters, and nothing else."""
        name = self.cards._applet + "secrets"
        a, b = before[name], after[name]
        return len(a) == len(b) and {i for i in range(len(a)) if a[i] != b[i]} <= {6, 15}

    def _check_secrets(self, raw: bytes, plain: CommandApdu | None, answer: bytes) -> None:
        for name, value in self.secrets.items():
            if value in answer:
                raise FaultError(f"{self._said(raw, plain)}: the answer holds the {name}")

    # Sessions

    def open(self) -> None:
        """PSO, MUTUAL AUTHENTICATE and READ STATE, as a terminal of one role does."""
        r, self.secured, self.domain = self.random, None, None
        self._follow()
        card = self.bench.store.card
        fit = {Life.INERT: [Role.HANDOVER] * 4, Life.ACTIVE: [Role.TERMINAL, Role.SUPERVISOR] * 2}
        self.role = r.choice(list(Role) + fit.get(card.life, [Role.PERSONALISER] * 6))
        officer = 77 if self.role is Role.HANDOVER else 0
        version, signer = self._terminal_ca()
        certificate = self.bench.world.terminal_certificate(
            self.role, officer=officer, effective=max(card.own_date, _TODAY),
            expires=max(card.own_date, _END), ca_version=version, signer=signer,
        )  # fmt: skip
        pso = CommandApdu(0x80, Ins.PSO, 0, 0x10, bytes(certificate))
        if self.valid(bytes(pso)).sw != Sw.OK:
            return
        self.valid(bytes(CommandApdu(0x80, Ins.GET_DATA, 0x7F, 0x21, b"", 256)))
        key = SoftwareEcdhKey(private_key(TERMINAL))
        host = Scp11aHost(key, self.bench.channel_public, r.randbytes)
        answer = self.valid(bytes(host.command()))
        if answer.sw != Sw.OK:
            return
        try:
            self.secured = host.finish(answer)
        except SecureChannelError as error:
            raise FaultError(f"{self.state}: an honest agreement failed: {error}") from error
        self.protected(CommandApdu(0x80, Ins.READ, 0, 0, b"", 256))

    def _terminal_ca(self) -> tuple[int, int]:
        """Version and key of a CA that this card trusts now."""
        for slot in self.bench.store.trust(CaKind.TERMINAL_CA):
            for scalar in (TERMINAL_CA, 30, 31):
                if slot.version and slot.key == point(scalar):
                    return slot.version, scalar
        return 1, TERMINAL_CA

    def valid(self, raw: bytes) -> ResponseApdu:
        """A command as it was recorded; mutations take pieces of it."""
        self.pool.append(raw)
        del self.pool[:-40]
        self.counts["commands"] -= 1  # not one of ours to count
        self.counts["setting up"] += 1
        return self.send(raw)

    def _follow(self) -> None:
        """The bench, which knows what a sensible next command is, gets the card's memory."""
        cells = self.card.nvm._cells
        if cells == self.followed:
            return
        self.followed = dict(cells)
        own = self.cards._applet
        for key in [k for k in self.bench.nvm.keys(PREFIX) if own + k[len(PREFIX) :] not in cells]:
            self.bench.nvm.delete(key)
        for key, value in cells.items():
            if key.startswith(own):
                self.bench.nvm.put(PREFIX + key.removeprefix(own), value)

    def protected(self, plain: CommandApdu, spoil: Callable[[bytes], bytes] | None = None) -> None:
        """Wrapped rightly, and then perhaps spoiled; the answer's plain content is looked at."""
        session = self.secured or self.domain
        if session is None:
            return
        try:
            raw = bytes(session.wrap(plain))
        except SecureChannelError:
            return  # does not fit, or no CLA that can be protected: no honest host sends it
        sent = spoil(raw) if spoil else raw
        if session.level is SecurityLevel.NONE or not self._covered(raw, sent):
            spoil = None
        answer = self.send(sent, None if spoil else plain)
        try:
            clear = session.unwrap(answer)
        except SecureChannelError as error:
            if not spoil and sent == raw:
                raise FaultError(f"{self._said(sent, plain)}: {error}") from error
            self._is_over()
            return
        if spoil and answer.sw == Sw.OK:
            raise FaultError(f"{self._said(sent, plain)}: taken with a wrong MAC")
        self._check_plain(sent, plain, clear)
        if answer.sw == Sw.SECURE_MESSAGING_WRONG or sent != raw:
            self._is_over()

    @staticmethod
    def _covered(raw: bytes, sent: bytes) -> bool:
        """Whether a change lies where the C-MAC sees it: not in Le (Amd D §6.2.4)."""
        n = 5 + raw[4]
        return sent[:n] != raw[:n]

    def _is_over(self) -> None:
        self.secured = self.domain = None
        self.card.transmit(SELECT)

    def _check_plain(self, raw: bytes, plain: CommandApdu, clear: ResponseApdu) -> None:
        self._check_secrets(raw, plain, clear.data)
        if clear.sw != Sw.OK or self.domain is not None:
            return
        if not clear.data or len(clear.data) > 223:
            raise FaultError(f"{self._said(raw, plain)}: {len(clear.data)} plain bytes answered")
        if (plain.ins, plain.p1) == (Ins.READ, 0):
            CardState.parse(clear.data)

    # Steps

    def step(self) -> None:
        """One command, of one of the kinds."""
        r = self.random
        self._follow()
        if self.secured is not None:
            kind = r.choices(["order", "changed", "spoilt", "bare", "wild"], [10, 20, 1, 1, 1])[0]
        else:
            kind = r.choices(["open", "bare", "link", "domain", "wild"], [12, 3, 1, 1, 1])[0]
        getattr(self, f"_{kind}")()

    def _open(self) -> None:
        self.open()

    def _next(self) -> CommandApdu:
        _, (ins, p1, p2, data) = orders.order(self.bench, self.random, self.role)
        return CommandApdu(0x80, ins, p1, p2, data, 256)

    def _order(self) -> None:
        plain = self._next()
        self.pool.append(bytes(plain))
        del self.pool[:-40]
        self.protected(plain)

    def _changed(self) -> None:
        r = self.random
        changed = mutate.apdu(r, bytes(self._next()), self.pool)
        try:
            plain = CommandApdu.parse(changed)
        except WireError:
            return self._spoilt()
        self.protected(plain)
        return None

    def _spoilt(self) -> None:
        self.protected(self._next(), lambda raw: mutate.apdu(self.random, raw, self.pool))

    def _bare(self) -> None:
        r = self.random
        raw = bytes(orders.bare(r)) if r.random() < 0.3 or not self.pool else r.choice(self.pool)
        in_session = self.secured is not None
        self.send(mutate.apdu(r, raw, self.pool))
        if in_session:
            self._is_over()

    def _link(self) -> None:
        r, data = self.random, orders.link(self.bench, self.random)
        if r.random() < 0.5:
            data = mutate.tlvs(r, data)[:255]
        self.send(bytes(CommandApdu(0x80, Ins.PSO, r.choice((0, 0, 1)), 0x10, data)))

    def _wild(self) -> None:
        r = self.random
        if r.random() < 0.3:
            self.power_on()
        self.send(r.randbytes(r.choice((0, 1, 3, 4, 5, 6, 7, 20, 261, 262, 300))))
        self._is_over()

    def _domain(self) -> None:
        """The security domain: selected, opened with SCP03, and given changed commands."""
        r = self.random
        self.valid(SELECT if r.random() < 0.2 else SELECT_SD)
        level = r.choice(list(SecurityLevel))
        try:
            host = Host(self.card, level)
        except (SecureChannelError, AssertionError):
            return self.power_on()  # tries used up
        self.domain = host.session
        for _ in range(r.randrange(1, 12)):
            raw = r.choice(_DOMAIN)
            if r.random() < 0.75:
                raw = mutate.apdu(r, raw, _DOMAIN)
            try:
                plain = CommandApdu.parse(raw)
            except WireError:
                self.send(raw)
                break
            if plain.ins in {0xF0, 0xE4, 0xD8} and r.random() < 0.9:
                continue  # these end the card: seldom
            if self.domain is None:
                break
            spoil = (lambda b: mutate.apdu(r, b, _DOMAIN)) if r.random() < 0.15 else None
            self.protected(plain, spoil)
            if level is SecurityLevel.NONE:
                break
        self.domain = None
        self.card.transmit(SELECT)
        return None


def _domain_commands() -> list[bytes]:
    """What a real issuer's desk sends a card's security domain."""
    parameters = bytes(InstallParameters(ENV, point(ROOT)))
    install = install_data(AID, parameters, PACKAGE_AID + b"\x01", PACKAGE_AID)
    load = hashlib.sha256(b"").digest()
    lines: list[tuple[str, bytes]] = [
        ("80CA9F7F", b""), ("80CA0066", b""), ("80CA00E0", b""), ("80CA0042", b""),
        ("80CA0045", b""), ("80CA00C1", b""), ("80CADF01", b""), ("80F28002", b"\x4f\x00"),
        ("80F24002", b"\x4f\x00"), ("80F22002", b"\x4f\x00\x5c\x05\x4f\x9f\x70\xc5\xcc"),
        ("80F21000", b"\x4f\x00"), ("80E60C00", install), ("80E60400", install),
        ("80E60200", b"\x07" + PACKAGE_AID + b"\x00\x20" + load + b"\x00\x00"),
        ("80E80000", b"\xc4\x0a\xde\xca\xff\xed" + bytes(6)), ("80E88000", b"\xc4\x02\x00\x00"),
        ("80E29000", b"\x42\x03abc"), ("80E28000", b"\x45\x02zz"), ("80E20000", b"\x42\x01"),
        ("80E40000", b"\x4f\x08" + AID), ("80F08007", b""), ("80F0407F", AID),
        ("80D83081", b"\x31" + b"\x88\x11\x10" + bytes(16) + b"\x03" + bytes(3)),
        ("80460000", b""), ("80503000", bytes(8)), ("84823300", bytes(16)),
    ]  # fmt: skip
    made = []
    for head, data in lines:
        cla, ins, p1, p2 = bytes.fromhex(head)
        made.append(bytes(CommandApdu(cla, ins, p1, p2, data, 256)))
    return made


_DOMAIN = _domain_commands()
_TODAY = World(ENV).terminal_certificate().effective
_END = World(ENV).terminal_certificate().expires


class MirrorBench(AppletBench):
    """An `AppletBench` that reads the mirror of the applet's memory, not the applet."""

    @property
    def store(self) -> PurseStore:
        """The records as the last command left them."""
        return records_of(self.nvm.get(PREFIX + STATE) or self.applet.state)


def applet_cards(host: AppletHost) -> Cards:
    """The same cards with the applet as their purse; its way round is too long for 31 debits."""
    few = tuple(s for s in STATES if not s.startswith("ring"))
    world = World(ENV)
    return Cards(host.packages, lambda: MirrorBench(world, applet_class=host.make), few)


def play(cards: Cards, seed: int, number: int, commands: int = COMMANDS) -> Counter[str]:
    """One piece: a fresh card, that many commands; raises `FaultError`."""
    random: Any = Random(f"{seed}/{number}")  # noqa: S311 - it must repeat
    state = random.choice(list(cards.benches))
    target = Target(cards, state, random)
    while target.counts["commands"] < commands:
        target.step()
    return target.counts
