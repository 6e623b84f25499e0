"""Two cards, the reference purse and the applet, given the same commands and compared after each.

Both hold the same keys (the applet's, copied after GENERATE KEYS), so status words, lengths, plain
contents (signatures left out) and logical states must agree exactly. A sequence is a seed: valid
commands, wrong ones, garbage, power cuts, resets. Where the two differ, SPEC.md decides.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from random import Random

from card_os.reference.external import AppletInstance
from card_os.reference.memory import PowerLoss
from card_os.reference.purse_store import NONE, Card
from keys.scp11 import Scp11aHost, SoftwareEcdhKey
from keys.securechannel import SecureChannelError, SecurityLevel
from tests.support import applet_orders as orders
from tests.support.applet_world import AppletBench, patched
from tests.support.purse_world import (
    ENV,
    PREFIX,
    STRANGER,
    TERMINAL,
    TODAY,
    Bench,
    HostSession,
    Refused,
    World,
    private_key,
)
from wire.apdu import CommandApdu, ResponseApdu
from wire.cvc import CaKind, Certificate, Role
from wire.purse import Ins, Life
from wire.receipt import Interface

__all__ = ["DifferenceError", "Pair", "play", "starts"]

SIGNED_BYTES = {165, 210}  # statement, receipt
STEPS = 12


class DifferenceError(AssertionError):
    """The two cards disagree; the message names the command."""


@dataclass
class Pair:
    """One card twice; every step compares."""

    reference: Bench
    applet: AppletBench
    random: Random
    sessions: tuple[HostSession, HostSession] | None = None
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def benches(self) -> tuple[Bench, Bench]:
        """Both."""
        return self.reference, self.applet

    def compare(self, what: str, answers: list[tuple[int, bytes]]) -> int:
        """Answers and logical states agree; the status word."""
        a, b = answers
        if a != b:
            raise DifferenceError(f"{what}: {a[0]:04X} {a[1].hex()} / {b[0]:04X} {b[1].hex()}")
        ours, theirs = (bench.store.logical_state() for bench in self.benches)
        if ours != theirs:
            parts = [i for i, (x, y) in enumerate(zip(ours, theirs, strict=True)) if x != y]
            raise DifferenceError(f"{what} ({a[0]:04X}): logical states differ in {parts}")
        self.counts[f"{what} {a[0]:04X}"] += 1
        return a[0]

    def bare(self, what: str, command: CommandApdu, *, secret: bool = False) -> int:
        """One command without secure messaging; ``secret``: contents are fresh, lengths count."""
        got = [bench.transmit(command) for bench in self.benches]
        return self.compare(what, [_shown(r, secret=secret) for r in got])

    def power_on(self) -> None:
        """A reset of both."""
        for bench in self.benches:
            bench.power_on()
        self.sessions = None
        self.compare("reset", [(0, b""), (0, b"")])

    def generate(self, level: SecurityLevel, command: CommandApdu) -> None:
        """A command through SCP03; new keys become the same on both cards."""
        self.sessions = None
        answers = []
        for bench in self.benches:
            try:
                answers.append((0x9000, bytes(len(bench.scp03(command, level)))))
            except Refused as refusal:
                answers.append((refusal.sw, b""))
        if answers[0] == answers[1] and answers[0][0] == 0x9000:
            share_keys(self.reference, self.applet)
        self.compare("SCP03", answers)

    def open(self, certificate: Certificate, scalar: int, *, read: bool) -> None:
        """PSO, GET DATA, MUTUAL AUTHENTICATE, READ STATE, as far as it goes."""
        self.sessions = None
        pso = CommandApdu(0x80, Ins.PSO, 0, 0x10, bytes(certificate))
        if self.bare("PSO", pso) != 0x9000:
            return
        self.bare("GET DATA", CommandApdu(0x80, Ins.GET_DATA, 0x7F, 0x21, b"", 256))
        key = SoftwareEcdhKey(private_key(scalar))
        hosts = [Scp11aHost(key, bench.channel_public, bench.random) for bench in self.benches]
        got = [b.transmit(h.command()) for b, h in zip(self.benches, hosts, strict=True)]
        if self.compare("MUTUAL", [_shown(r, secret=True) for r in got]) != 0x9000:
            return
        try:
            one, two = (h.finish(r) for h, r in zip(hosts, got, strict=True))
        except SecureChannelError:
            return  # the certificate's key is another's
        self.sessions = (
            HostSession(self.reference, one, certificate),
            HostSession(self.applet, two, certificate),
        )
        if read:
            self.secured("READ STATE", (Ins.READ, 0, 0, b""))

    def secured(
        self, what: str, command: tuple[int, int, int, bytes], cla: int = 0x80,
        *, spoil: int | None = None, cut: str = "",
    ) -> None:  # fmt: skip
        """One protected command; ``spoil`` a byte of it, or ``cut`` the power."""
        if self.sessions is None:
            return
        ins, p1, p2, data = command
        plain = CommandApdu(cla, ins, p1, p2, data, 256)
        answers: list[tuple[int, bytes]] = []
        for bench, session in zip(self.benches, self.sessions, strict=True):
            wrapped = session.messaging.wrap(plain)
            if spoil is not None:
                changed = bytearray(bytes(wrapped))
                changed[5 + spoil % (len(changed) - 6)] ^= 0x10
                wrapped = CommandApdu.parse(bytes(changed))
            answers.append(_run(bench, session, wrapped, first_write=cut == "before"))
        if cut:
            answers = [(sw and 1, b"") for sw, _ in answers]
        sw = self.compare(what + (f" {cut}" if cut else ""), answers)
        if cut:
            self.power_on()
        elif sw == 0x6988:
            self.sessions = None


def _run(
    bench: Bench, session: HostSession, wrapped: CommandApdu, *, first_write: bool
) -> tuple[int, bytes]:
    """The answer in clear; (0, nothing) when power failed before the first write."""
    bench.nvm.tear_before = 0 if first_write else None
    try:
        answer = session.messaging.unwrap(bench.transmit(wrapped))
    except PowerLoss:
        return 0, b""
    finally:
        bench.nvm.tear_before = None
    return _shown(answer)


def _shown(answer: ResponseApdu, *, secret: bool = False) -> tuple[int, bytes]:
    data = answer.data
    if secret:
        return answer.sw, bytes(len(data))
    return answer.sw, data[:-64] + bytes(64) if len(data) in SIGNED_BYTES else data


def share_keys(reference: Bench, applet: AppletBench) -> None:
    """The reference card gets the key pairs of the applet; both lose their RAM."""
    records = applet.store
    index = records.card.key_set
    reference.nvm.put(f"{PREFIX}keys/{index}", bytes(records.keys(records.card)))
    for bench in (reference, applet):
        bench.power_on()


# Where sequences start.


def starts(make: Callable[..., AppletInstance]) -> dict[str, tuple[Bench, AppletBench]]:
    """Both cards in every life, with equal keys, and at the ends of their counts."""
    world = World(ENV)
    both = {"BARE": (Bench(world), AppletBench(world, applet_class=make))}
    keyed = _each(both["BARE"], lambda bench: bench.give_links())
    both["INSTALLED"] = _fork(keyed)
    _each(keyed, lambda bench: bench.generate_keys(), fork=False)
    share_keys(*keyed)
    both["KEYED"] = _fork(keyed)
    both["INERT"] = _each(keyed, lambda bench: bench.personalise())
    active = _each(both["INERT"], lambda bench: bench.activate())
    _each(active, lambda bench: bench.load(bypass_total=2), fork=False)
    _each(active, lambda bench: bench.load(
        wallet=orders.CASH, loaded=50_000, cap=50_000, bypass_total=2), fork=False)  # fmt: skip
    both["ACTIVE"] = active
    paid = _each(active, lambda bench: bench.pay(amount=7))
    both["paid"] = paid
    both["end of sequence"] = _at_end(paid, sequence=0xFFFFFFFC, acknowledged=0xFFFFFFFC)
    both["last slot"] = _at_end(paid, sequence=61, acknowledged=30)
    both["end of PIN sets"] = _at_end(paid, pin_set_count=0xFFFE)
    return both


def _fork(pair: tuple[Bench, AppletBench]) -> tuple[Bench, AppletBench]:
    applet = pair[1].fork()
    assert isinstance(applet, AppletBench)
    return pair[0].fork(), applet


def _each(
    pair: tuple[Bench, AppletBench], work: Callable[[Bench], object], *, fork: bool = True
) -> tuple[Bench, AppletBench]:
    both = _fork(pair) if fork else pair
    for bench in both:
        work(bench)
    return both


def _at_end(pair: tuple[Bench, AppletBench], **values: int) -> tuple[Bench, AppletBench]:
    """Both cards with other counts, every ring slot filled with the paid receipt."""
    reference, applet = _fork(pair)
    receipt = reference.nvm.get(f"{PREFIX}ring/0") or b""
    store = reference.store
    fields: dict[str, int] = values
    card: Card = replace(store.card, **fields)  # type: ignore[arg-type]
    for i in range(32):
        reference.nvm.put(f"{PREFIX}ring/{i}", receipt)
    reference.nvm.put(f"{PREFIX}card", bytes(card))
    applet.nvm.put(f"{PREFIX}state", patched(applet.applet.state, card, receipt))
    for bench in (reference, applet):
        bench.power_on()
    assert card.key_set != NONE
    return reference, applet


# One sequence.


def play(both: dict[str, tuple[Bench, AppletBench]], seed: int) -> Counter[str]:
    """One sequence; raises `DifferenceError`."""
    random = Random(seed)  # noqa: S311 - it must repeat
    start = random.choice(list(both))
    pair = Pair(*_fork(both[start]), random)
    interface = random.choice(list(Interface))
    for bench in pair.benches:
        bench.interface = interface
    try:
        for _ in range(STEPS):
            _step(pair)
    except DifferenceError as difference:
        raise DifferenceError(f"seed {seed}, from {start}: {difference}") from None
    return pair.counts


def _step(pair: Pair) -> None:
    r = pair.random
    if pair.sessions is None or r.random() < 0.06:
        trusted = pair.reference.store.highest(CaKind.TERMINAL_CA) > 0
        weights = [12 if trusted else 1, 2, 2 if trusted else 6, 2, 1]
        kind = r.choices(["open", "bare", "link", "SCP03", "reset"], weights)[0]
    else:
        kind = r.choices(["order", "garbage", "spoil", "bare", "reset"], [40, 3, 1, 1, 1])[0]
    match kind:
        case "open":
            certificate, scalar = _certificate(pair)
            pair.open(certificate, scalar, read=r.random() < 0.93)
        case "order":
            name, command = orders.order(pair.reference, r, _role(pair))
            cut = r.choices(["", "before", "after"], [20, 1, 1])[0]
            pair.secured(name, command, cut=cut)
        case "garbage":
            pair.secured("garbage", orders.garbage(r), r.choice([0x80, 0x80, 0x00]))
        case "spoil":
            _, command = orders.order(pair.reference, r, _role(pair))
            pair.secured("spoiled", command, spoil=r.randrange(256))
        case "bare":
            pair.sessions = None
            pair.bare("bare", orders.bare(r))
        case "link":
            pair.sessions = None
            data = orders.link(pair.reference, r)
            pair.bare("link", CommandApdu(0x80, Ins.PSO, 0, 0x10, data))
        case "SCP03":
            level = r.choice([SecurityLevel.FULL, SecurityLevel.FULL, SecurityLevel.C_MAC])
            pair.generate(level, orders.over_scp03(r))
        case _:
            pair.power_on()


def _role(pair: Pair) -> Role:
    assert pair.sessions is not None
    return getattr(pair.sessions[0].certificate.extension, "role")  # noqa: B009 - of a union


def _certificate(pair: Pair) -> tuple[Certificate, int]:
    """Mostly one that opens a session; with the key that goes with it, or another."""
    r, card = pair.random, pair.reference.store.card
    often = {Life.INERT: [Role.HANDOVER] * 4, Life.ACTIVE: []}
    roles = list(Role) + often.get(card.life, [Role.PERSONALISER] * 4)
    fields: dict[str, object] = {
        "officer": r.choice([0, 77, 77, 78]),
        "serial": r.randrange(1, 4),
        "terminal": r.choice([b"TERM0001"] * 5 + [b"TERM0002"]),
    }
    if r.random() < 0.15:
        start = r.choice([card.own_date, TODAY]) + timedelta(days=r.randrange(-5, 410))
        start = min(max(start, date(2000, 1, 1)), date(2099, 12, 1))  # a blank card's is 2000
        fields |= {"effective": start, "expires": start + timedelta(days=r.randrange(30))}
    elif card.own_date > TODAY:
        fields |= {"effective": card.own_date, "expires": card.own_date}
    newest = max(slot.version for slot in pair.reference.store.trust(CaKind.TERMINAL_CA))
    fields["ca_version"] = newest or 1
    if r.random() < 0.05:
        fields["ca_version"] = r.choice([0, 2, 3])
    if r.random() < 0.05:
        fields["signer"] = STRANGER
    made = pair.reference.world.terminal_certificate(r.choice(roles), **fields)  # type: ignore[arg-type]
    return made, STRANGER if r.random() < 0.03 else TERMINAL
