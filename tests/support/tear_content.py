"""Every tear and second tear of the reference card's security domain: what it puts on and off.

As `tear_campaign` for the purse: one piece is a first tear (command, write) and the command of the
next session, and walks all second tears: in the power-up between and in every write of that
session, its opening included. The card that was torn is held against one that was not; what a tear
costs in tries of a key set is left out, a lost try is no state (SPEC.md#tears).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from card_os.reference.card import ReferenceCard
from card_os.reference.memory import Nvm, PowerLoss
from keys.securechannel import SecureChannelError
from tests.support.campaign import FaultError
from tests.unit.card_os.gp_bench import REGISTRY, Host, install, logical, make_card, seeded
from tests.unit.card_os.test_card_content import TORN
from wire.errors import WireError

NAME = "security domain"
State = dict[str, bytes | None]


@dataclass(frozen=True, slots=True)
class Sent:
    """One command: the write it began with, the states and memories before and after it."""

    first: int
    before: State
    after: State
    memory_before: Nvm = field(repr=False)
    memory_after: Nvm = field(repr=False)


def _state(card: ReferenceCard) -> State:
    return {name: value for name, value in logical(card).items() if not name.endswith("/tries")}


def _card(memory: Nvm, second: int | None = None) -> ReferenceCard:
    """A card on a copy of the memory, powered; ``second``: after a power-up torn there, too."""
    nvm = memory.fork()
    if second is not None:
        with suppress(PowerLoss):
            nvm.power_on(tear_before=second)
    card = ReferenceCard(nvm, registry=REGISTRY, random=seeded())
    card.power_on()
    return card


@contextmanager
def _watched(card: ReferenceCard) -> Iterator[list[Sent]]:
    sent: list[Sent] = []
    start, real = card.nvm.writes, card.transmit

    def transmit(command: bytes, /) -> bytes:
        first, before, memory = card.nvm.writes - start, _state(card), card.nvm.fork()
        answer = real(command)
        sent.append(Sent(first, before, _state(card), memory, card.nvm.fork()))
        return answer

    card.transmit = transmit  # type: ignore[method-assign]
    yield sent
    del card.transmit


def _do(card: ReferenceCard, name: str) -> str:
    """A session and the command in it: its status word, or that none came of it."""
    try:
        answer = TORN[name](card)()
    except (WireError, SecureChannelError):  # a silent or refusing card is no R-APDU
        return "no session"
    assert isinstance(answer, tuple)
    return f"{answer[1]:04X}"


def _struck(sent: list[Sent], write: int) -> Sent:
    return [s for s in sent if s.first <= write][-1]


def _torn(memory: Nvm, name: str, write: int, where: str) -> ReferenceCard:
    """The card after a session whose write ``write`` met no power."""
    card = _card(memory)
    card.nvm.tear_before = write
    _do(card, name)
    if card.transmit(bytes.fromhex("00A4040000")):  # dead until power-on
        raise FaultError(f"{where}: no such write the second time")
    return card


def _check_left(card: ReferenceCard, struck: Sent, where: str) -> None:
    if _state(card) not in (struck.before, struck.after):
        raise FaultError(f"{where}: neither the state before the command nor after")


def _check_works(card: ReferenceCard, struck: Sent, name: str, where: str) -> str:
    """The command once more, as on a card in that state that was never torn."""
    is_after = _state(card) == struck.after
    clean = _card(struck.memory_after if is_after else struck.memory_before)
    expected, said = _do(clean, name), _do(card, name)
    if (said, _state(card)) != (expected, _state(clean)):
        raise FaultError(f"{where}: then {said}, an untorn card: {expected}")
    return said


class ContentTears:
    """All pieces: a domain with one applet, every command's own writes, every next command."""

    def __init__(self) -> None:
        card = make_card()
        install(Host(card))
        self._base = card.nvm
        self.pieces: list[tuple[str, Sent, int, str]] = []
        for name in TORN:
            whole = _card(self._base)
            with _watched(whole) as sent:
                _do(whole, name)
            own = sent[-1]
            self.pieces += [
                (name, own, write, then)
                for write in range(own.first, whole.nvm.writes) for then in TORN
            ]  # fmt: skip

    def __len__(self) -> int:
        return len(self.pieces)

    def piece(self, number: int) -> Counter[str]:
        """One first tear, one next command and all second tears; raises FaultError."""
        name, own, write, then = self.pieces[number]
        where = f"{NAME}, {name}: tear before write {write - own.first}"
        memory = _torn(self._base, name, write, where).nvm.fork()
        recovered = _card(memory)
        _check_left(recovered, own, where)
        kept = recovered.nvm.fork()
        seen = Counter({f"then {_check_works(recovered, own, then, where)}": 1})
        if name == then:
            seen[f"single tears, {NAME}"] += 1
            for second in range(_writes_of_power_up(memory)):
                there = f"{where}, then before write {second} of the power-up"
                again = _card(memory, second)
                _check_left(again, own, there)
                seen[f"then {_check_works(again, own, then, there)}"] += 1
                seen[f"double tears in the power-up, {NAME}"] += 1
        after = _card(kept)
        with _watched(after) as sent:
            _do(after, then)
        for second in range(after.nvm.writes):
            there = f"{where}, then before write {second} of {then}"
            struck, again = _struck(sent, second), _card(_torn(kept, then, second, there).nvm)
            _check_left(again, struck, there)
            seen[f"then {_check_works(again, struck, then, there)}"] += 1
            seen[f"double tears in the next tap, {NAME}"] += 1
        return seen


def _writes_of_power_up(memory: Nvm) -> int:
    nvm = memory.fork()
    nvm.power_on()
    return nvm.writes
