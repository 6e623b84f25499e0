"""Changed answers to the host's verbs: only declared errors, never another receipt than asked for.

An honest run of every verb is recorded: its commands, and per answer the plain content with the
card's messaging as it stood just before the answer was wrapped. A replay gives the host the same
answers again but one: with bytes changed on the line, or with its plain content changed and wrapped
again under the session's own keys, signed again by the card's receipt key where it is signed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, fields
from functools import cache
from random import Random
from typing import Any

from card_os.host.errors import ProtocolError
from card_os.host.links import CardMute, HostError, InProcessLink
from card_os.host.opening import CardIdentity
from card_os.host.purse import PurseSession
from card_os.icc import ATR_T1
from card_os.reference.applets import CardContext, CardServices
from card_os.reference.errors import CardError
from card_os.reference.memory import Persistent
from card_os.reference.purse import PurseApplet
from card_os.reference.purse_session import Session
from keys import ca
from keys.enrol import OfficerRequest, StationRequest
from keys.securechannel import CardMessaging, SecureChannelError
from keys.signer import Ed25519Signer, P256KeyAgreement
from tests.support import fuzz_mutate as mutate
from tests.support.campaign import FaultError
from tests.support.terminal_world import CASH, CODE, FOOD, OTHER_PIN, PIN, START_S, Card, Issuer
from wire.apdu import CommandApdu, ResponseApdu
from wire.cvc import Role
from wire.entitlement import ScriptAction
from wire.env import purse_aid
from wire.objects import StationKind
from wire.purse import Debit, InstallParameters, Sw, Void
from wire.receipt import RECEIPT_BYTES, STATEMENT_BYTES, Receipt, Statement

__all__ = ["ANSWERS", "LyingApplet", "LyingCard", "lied", "play"]

ANSWERS = 200  # of one piece
WORDS = [int(s) for s in Sw] + [0x63C2, 0x63CF, 0x6310, 0x6F00, 0x6100, 0x6C10, 0x9F00, 0x0000]
SIGNED = {RECEIPT_BYTES, STATEMENT_BYTES}
# What a host cannot know of an answer it takes; everything else it must have compared.
UNKNOWN = {"raw", "interface"}


def lied(r: Random, data: bytes, sw: int, sign: Callable[[bytes], bytes] | None,
         pool: list[bytes]) -> tuple[bytes, int]:  # fmt: skip
    """Another plain answer of a card that holds its keys; at most 223 bytes, none in an error."""
    kind = r.randrange(8)
    if kind == 0:
        sw = r.choice(WORDS)
    elif kind == 1 and pool:
        data = r.choice(pool)  # an older answer of its own
    elif sign is not None and len(data) in SIGNED and kind < 7:
        body = bytearray(data[:-64])
        at = r.randrange(5, len(body)) if r.random() < 0.9 else r.randrange(5)
        width = r.choice((1, 1, 2, 4))
        if r.random() < 0.5:
            body[at] ^= 1 << r.randrange(8)
        else:
            body[at : at + width] = r.choice((b"\0", b"\xff", b"\x7f")) * len(body[at : at + width])
        data = bytes(body) + sign(bytes(body))
    else:
        data = mutate.blob(r, data, pool)
    return (data[:223], sw) if sw == Sw.OK else (b"", sw)


class LyingApplet(PurseApplet):
    """The reference purse, whose card may change an answer before it is wrapped."""

    card: LyingCard

    def _dispatch(self, session: Session, command: CommandApdu, ctx: CardContext) -> bytes:
        before = copy(session.messaging)
        try:
            data, sw = super()._dispatch(session, command, ctx), int(Sw.OK)
        except CardError as error:
            data, sw = b"", error.sw
        data, sw = self.card.plain(before, data, sw)
        if sw != Sw.OK:
            raise CardError(sw)
        return data


class LyingCard(Card):
    """A card of `terminal_world` with a lie ready: ``lie`` changes plain, ``noise`` wire bytes."""

    lie: Callable[[bytes, int], tuple[bytes, int]] | None = None
    noise: Callable[[bytes], bytes] | None = None
    heard: list[tuple[CardMessaging, bytes, int]] | None = None

    def _make(self) -> None:
        env = self.issuer.env
        parameters = bytes(InstallParameters(env, self.issuer.world.trust.root_key))
        services = CardServices(purse_aid(env), self.random)
        self.applet = LyingApplet(Persistent(self.nvm, "purse/"), parameters, services)
        self.applet.card = self

    def plain(self, messaging: CardMessaging, data: bytes, sw: int) -> tuple[bytes, int]:
        """What the applet is about to answer."""
        if self.heard is not None:
            self.heard.append((messaging, data, sw))
        return (data, sw) if self.lie is None else self.lie(data, sw)

    def sign(self, body: bytes) -> bytes:
        """By the card's own receipt key."""
        store = self.applet._store
        return store.keys(store.card).sign(body)[len(body) :]

    def transmit(self, raw: bytes, /) -> bytes:
        answer = super().transmit(raw)
        return answer if self.noise is None or not answer else self.noise(answer)

    def fork(self) -> LyingCard:
        """An independent copy, not powered, honest."""
        made = copy(self)
        made.nvm, made.powered = self.nvm.fork(), False
        made.lie = made.noise = made.heard = None
        made.random = Random(int.from_bytes(self.random(4), "big")).randbytes  # noqa: S311
        made._make()
        return made


@dataclass
class Answer:
    """One recorded answer: its bytes, and where it was wrapped how."""

    raw: bytes
    messaging: CardMessaging | None = None
    data: bytes = b""
    sw: int = 0

    def wrapped(self, data: bytes, sw: int) -> bytes:
        """Other plain content, wrapped as the card would have."""
        assert self.messaging is not None
        try:
            return bytes(copy(self.messaging).wrap(ResponseApdu(data, sw)))
        except SecureChannelError:
            return sw.to_bytes(2, "big")


class Tape:
    """A link that answers from a recording, but for one place; ends when the tape ends."""

    atr = ATR_T1

    def __init__(self, answers: list[bytes]) -> None:
        self._answers = iter(answers)

    def transmit(self, _: bytes, /) -> bytes:
        answer = next(self._answers, b"\x6f\x00")
        if not answer:
            raise CardMute("no answer")
        return answer

    def reset(self) -> bytes:
        return ATR_T1

    def close(self) -> None:
        """Nothing to close."""


class _Recorder(InProcessLink):
    """An honest link that keeps the answers."""

    def __init__(self, card: LyingCard) -> None:
        super().__init__(card)
        self.card, self.answers = card, list[Answer]()

    def transmit(self, command: bytes, /) -> bytes:
        self.card.heard = []
        raw = super().transmit(command)
        heard = self.card.heard
        self.answers.append(Answer(raw, *heard[0]) if heard else Answer(raw))
        return raw


@dataclass
class Verb:
    """One verb of the host with the session it starts from, and what the card answered."""

    name: str
    start: PurseSession | None
    call: Callable[[PurseSession], Any]
    answers: list[Answer]
    result: Any
    key: bytes


@dataclass(frozen=True)
class _Opening:
    """How a session is opened, the same bytes every time."""

    issuer: Issuer
    certificate: Any
    key: P256KeyAgreement

    def __call__(self, link: Any) -> PurseSession:
        return PurseSession.open(
            link, env=self.issuer.env, certificate=self.certificate, channel_key=self.key,
            verify_card_certificate=CardIdentity.of, random=Random(4).randbytes,  # noqa: S311
            links=self.issuer.world.links,
        )  # fmt: skip


def _opening(issuer: Issuer, role: Role, officer: int) -> _Opening:
    key = P256KeyAgreement.generate(issuer.random)
    terminal = b"OTHER001"
    request = (
        OfficerRequest.make(issuer.env, terminal, role, officer, key) if officer else
        StationRequest.make(issuer.env, terminal, StationKind.TERMINAL,
                            Ed25519Signer.generate(issuer.random), key)
    )  # fmt: skip
    certificate = ca.issue_terminal_certificate(
        issuer.terminal_ca(), request, serial=issuer.next_serial(), now_s=START_S
    )
    return _Opening(issuer, certificate, key)


def _flow(issuer: Issuer, card: LyingCard, role: Role, officer: int,
          steps: list[tuple[str, Callable[[PurseSession], Any]]]) -> list[Verb]:  # fmt: skip
    """Record an opening and the steps after it."""
    opening, link = _opening(issuer, role, officer), _Recorder(card)
    session = opening(link)
    key = session.identity.receipt_key
    found = [Verb(f"open {role.name}", None, lambda s: opening(s._link), link.answers, None, key)]
    for name, call in steps:
        link.answers, start = [], _copy(session)
        result = call(session)
        found.append(Verb(name, start, call, link.answers, result, key))
    return found


def _copy(session: PurseSession) -> PurseSession:
    made = copy(session)
    made._messaging = copy(session._messaging)
    return made


@cache
def verbs() -> tuple[tuple[Verb, ...], Callable[[bytes], bytes]]:
    """Every verb of the host, recorded once a process; and the card's receipt key."""
    issuer = Issuer()
    card, inert = LyingCard(issuer, 1, "active"), LyingCard(issuer, 2, "inert")
    for wallet, loaded in ((FOOD, 4), (CASH, 1_000_000)):
        card.load_raw(issuer.entitlement(card, wallet, loaded=loaded))
    newer = issuer.entitlement(card, FOOD, sequence=2, loaded=9)
    block = issuer.script(card, ScriptAction.PIN_UNBLOCK)
    found = _flow(issuer, card, Role.TERMINAL, 0, [
        ("read state", lambda s: s.read_state()),
        ("load", lambda s: s.load(newer)),
        ("load again", lambda s: s.load(newer)),
        ("script", lambda s: s.script(block)),
        ("read entitlement", lambda s: s.read_entitlement(0)),
        ("read PIN statement", lambda s: s.read_pin_statement()),
        ("read script statement", lambda s: s.read_script_statement()),
        ("verify", lambda s: s.verify_pin(PIN)),
        ("debit", lambda s: s.debit(Debit(CASH, 5, 0, 7, START_S, 1, bytes(32)))),
        ("read receipt", lambda s: s.read_receipt(1)),
        ("confirm", lambda s: s.confirm(1)),
        ("debit more", lambda s: s.debit(Debit(FOOD, 1, 1, 8, START_S, 1, bytes(32)))),
        ("change PIN", lambda s: s.change_pin(PIN, OTHER_PIN)),
    ])  # fmt: skip
    found += _flow(issuer, card, Role.SUPERVISOR, 41, [
        ("void", lambda s: s.void(Void(2, 9, START_S, bytes(32)))),
        ("bypass", lambda s: s.debit(Debit(CASH, 5, 3, 10, START_S, 1, bytes(32)), bypass=True)),
    ])  # fmt: skip
    found += _flow(
        issuer, inert, Role.HANDOVER, 42, [("activate", lambda s: s.activate(CODE, PIN))]
    )
    reset = issuer.script(card, ScriptAction.PIN_RESET, 2, officer=42)
    found += _flow(issuer, card, Role.HANDOVER, 42, [
        ("script reset", lambda s: s.script(reset)),
        ("set PIN", lambda s: s.set_pin_after_reset(PIN)),
    ])  # fmt: skip
    return tuple(found), card.sign


def play(seed: int, number: int, answers: int = ANSWERS) -> Counter[str]:
    """One piece: that many changed answers; raises `FaultError`."""
    r, counts = Random(f"{seed}/{number}"), Counter[str]()  # noqa: S311
    known, sign = verbs()
    pool = [a.data for v in known for a in v.answers if a.data]
    wire = [a.raw for v in known for a in v.answers]
    while counts["answers"] < answers:
        verb = r.choice(known)
        at = r.randrange(len(verb.answers))
        answer = verb.answers[at]
        if answer.messaging is None or r.random() < 0.15:
            given = r.choice((mutate.blob(r, answer.raw, wire), r.choice(wire), answer.raw[-2:]))
            if r.random() < 0.02:
                given = b""
        else:
            given = answer.wrapped(*lied(r, answer.data, answer.sw, sign, pool))
        if given == answer.raw:
            continue
        counts["answers"] += 1
        tape = [a.raw for a in verb.answers]
        tape[at] = given
        counts[f"host: {_replayed(verb, tape, at)}"] += 1
    return counts


def _replayed(verb: Verb, tape: list[bytes], at: int) -> str:
    """The verb with that tape: the name of what came of it."""
    link, said = Tape(tape), f"{verb.name}, answer {at} {tape[at].hex()}"
    session = copy(verbs()[0][1].start) if verb.start is None else _copy(verb.start)
    assert session is not None
    session._link = link  # type: ignore[assignment]
    try:
        result = verb.call(session)
    except HostError as error:
        over = not session.is_open or verb.start is None
        if isinstance(error, ProtocolError) and not over:
            raise FaultError(f"{said}: the session goes on after {error!r}") from error
        return type(error).__name__
    except Exception as error:
        raise FaultError(f"{said}: {type(error).__name__}: {error}") from error
    _check_taken(verb, result, said)
    return "taken"


def _check_taken(verb: Verb, result: Any, said: str) -> None:
    """What was taken is signed, and says what was asked wherever the host can know."""
    if not isinstance(result, Receipt | Statement) or not isinstance(verb.result, type(result)):
        return
    result.verify(verb.key)
    if verb.name.startswith("read "):
        return  # the host asked for a sequence, and knows nothing else yet
    start = verb.start
    blind = start is not None and start.state.sequence > 0 and start._newest is None
    unknown = UNKNOWN | {"link"} if blind and verb.name != "void" else UNKNOWN
    for f in fields(result):
        if f.name not in unknown and getattr(result, f.name) != getattr(verb.result, f.name):
            raise FaultError(f"{said}: taken though {f.name} differs")
