"""Random commands for a purse: mostly right, often at an edge, sometimes nonsense."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from random import Random

from tests.support.purse_world import CASH, FOOD, ISSUER, OTHER_PIN, PIN, STRANGER, TODAY, Bench
from wire.apdu import CommandApdu
from wire.cvc import CaKind, Role
from wire.entitlement import NEVER_S, Lot, ScriptAction
from wire.purse import Debit, Ins, Void
from wire.raw import MAX_LOADED, U32_MAX

__all__ = ["CASH", "bare", "garbage", "link", "order", "over_scp03"]

Command = tuple[int, int, int, bytes]  # INS, P1, P2, data
PINS = [PIN, PIN, OTHER_PIN, b"739155", b"111111", b"010190", b"27195x", b"98765"]
LAST_DAY = date(2099, 12, 31)


def _issuer(bench: Bench) -> int:
    """The newest issuer key the card has."""
    return max(slot.version for slot in bench.store.trust(CaKind.ISSUER)) or 1


def _spoilt(data: bytes, r: Random, chance: float) -> bytes:
    """One bit or one length wrong, with that chance."""
    if data and r.random() < chance:
        changed = bytearray(data)
        changed[r.randrange(len(changed))] ^= 1 << r.randrange(8)
        data = bytes(changed)
    if r.random() < chance / 5:
        return data[:-1] if r.random() < 0.5 else (data + b"\x00")[:239]
    return data


def _day(bench: Bench, r: Random) -> date:
    own = bench.store.card.own_date
    days = r.choice([0, 0, 0, 1, 30, 399, 400, 401, -400])
    return min(max(own + timedelta(days=days), TODAY - timedelta(days=900)), LAST_DAY)


def _near(n: int, r: Random, top: int = U32_MAX) -> int:
    return min(max(n + r.choice([0, 0, 0, -1, 1, 5, -5]), 0), top)


def _read(bench: Bench, r: Random) -> Command:
    p1 = r.choice([0, 1, 2, 2, 2, 3, 4, 5])
    p2 = r.choice([0, 1, 2, 7, 8, 255]) if p1 == 1 else r.choice([0] * 9 + [1])
    sequence = bench.store.card.sequence - r.choice([-1, 0, 0, 1, 2, 29, 30, 31, 32])
    data = (sequence % (U32_MAX + 1)).to_bytes(4, "big") if p1 == 2 else b""
    return Ins.READ, p1, p2, _spoilt(data, r, 0.02)


def _load(bench: Bench, r: Random) -> Command:
    card = bench.store.card
    wallets = {w.code: w for w in bench.store.wallets(card)} if card.personalised else {}
    code = r.choice([FOOD, FOOD, CASH, *range(1, 9)])
    known = wallets.get(code)
    if known is not None and r.random() < 0.1:
        return Ins.LOAD, 0, 0, bench.store.entitlement(known)  # once more
    loaded = r.choice([1000, 1500, 70_000, MAX_LOADED, _near(known.counters.loaded, r, MAX_LOADED)
                       if known else 10])  # fmt: skip
    through = min(loaded, r.choice([0, 0, 0, 200, loaded, loaded // 2]))
    lots = (Lot(NEVER_S, loaded),)
    if loaded > 10 and r.random() < 0.3:
        lots = (Lot(5, 1), Lot(5, loaded // 2), Lot(NEVER_S, loaded))
    fields: dict[str, object] = {
        "wallet": code, "sequence": max(1, (known.entitlement_sequence if known else 0)
                                        + r.choice([1, 1, 1, 1, 0, -1, 9])),
        "loaded": loaded, "through": through, "lots": lots, "issued": _day(bench, r),
        "cap": r.choice([400, 1, loaded, U32_MAX]),
        "acknowledged": min(U32_MAX, max(0, card.sequence - r.choice([0, 0, 0, 1, 5, -1]))),
        "bypass_total": r.choice([0, 2, 2, 3, 65535]),
        "key_version": _issuer(bench),
    }  # fmt: skip
    if r.random() < 0.05:
        fields |= {"key_version": r.choice([0, 2, 7])}
    if r.random() < 0.05:
        fields |= {"signer": STRANGER}
    made: Callable[..., object] = bench.world.entitlement
    own = bench.certificate_hash if card.personalised else bytes(32)
    return Ins.LOAD, 0, 0, _spoilt(bytes(made(own, **fields)), r, 0.15)  # type: ignore[call-overload]


def _script(bench: Bench, r: Random) -> Command:
    number = bench.store.card.script_number + r.choice([1, 1, 1, 1, 0, 7])
    signer = r.choice([ISSUER] * 15 + [STRANGER])
    made = bench.world.script(
        r.choice(list(ScriptAction)), max(1, min(number, 65535)), issued=_day(bench, r),
        key_version=r.choice([_issuer(bench)] * 15 + [2]), signer=signer,
    )  # fmt: skip
    return Ins.SCRIPT, 0, 0, _spoilt(bytes(made), r, 0.1)


def _pin(bench: Bench, r: Random) -> bytes:
    return bench.store.secrets.pin if r.random() < 0.6 else r.choice(PINS)


def _verify(bench: Bench, r: Random) -> Command:
    return Ins.VERIFY, 0, 0x80, _pin(bench, r)


def _change(bench: Bench, r: Random) -> Command:
    return Ins.CHANGE_PIN, 0, 0x80, _pin(bench, r) + r.choice(PINS)


def _activate(bench: Bench, r: Random) -> Command:
    if bench.store.card.reset_officer or r.random() < 0.2:
        return Ins.ACTIVATE, 1, 0, r.choice(PINS)
    code = bench.store.secrets.code if r.random() < 0.8 else b"00000000"
    return Ins.ACTIVATE, 0, 0, code + r.choice(PINS)


def _debit(bench: Bench, r: Random, role: Role) -> Command:
    card = bench.store.card
    wallets = bench.store.wallets(card)
    wallet = r.choice(wallets) if wallets and r.random() < 0.95 else None
    balance = wallet.counters.balance if wallet else 5
    amount = r.choice([1, 1, 50, 0, 400, 401, U32_MAX, _near(balance, r)])
    expected = card.sequence if r.random() < 0.93 else _near(card.sequence, r)
    order = Debit(wallet.code if wallet else 99, amount, expected, r.randrange(99), 5, 3, bytes(32))
    p1 = int(role is Role.SUPERVISOR)
    return Ins.DEBIT, p1 if r.random() < 0.95 else 1 - p1, 0, _spoilt(bytes(order), r, 0.03)


def _void(bench: Bench, r: Random) -> Command:
    sequence = _near(bench.store.card.sequence, r)
    return Ins.VOID, 0, 0, bytes(Void(sequence, r.randrange(99), 6, bytes(32)))


def _confirm(bench: Bench, r: Random) -> Command:
    return Ins.CONFIRM, 0, 0, _near(bench.store.card.sequence, r).to_bytes(4, "big")


def _personalise(bench: Bench, r: Random) -> Command:
    card = bench.store.card
    if card.key_set == 0xFF:
        return Ins.PERSONALISE, 0, 0, bytes(236)
    code = r.choice([b"40817263"] * 9 + [b"4081726x"])
    certificate = bytes(bench.own_certificate(serial=r.randrange(1, 5)))
    return Ins.PERSONALISE, 0, 0, _spoilt(code + certificate, r, 0.3)


def order(bench: Bench, r: Random, role: Role) -> tuple[str, Command]:
    """A command that suits the card and the session more often than not."""
    by_role = {
        Role.TERMINAL: ["verify"] * 4 + ["debit"] * 5 + ["confirm"] * 2 + ["change"],
        Role.SUPERVISOR: ["debit"] * 4 + ["void"] * 4 + ["confirm"] * 2,
        Role.HANDOVER: ["activate"] * 6,
        Role.PERSONALISER: ["personalise"] * 6,
    }[role]
    every = ["read", "load", "script", "verify", "change", "activate", "debit", "void", "confirm",
             "personalise"]  # fmt: skip
    name = r.choice(by_role * 2 + ["read"] * 4 + ["load"] * 4 + ["script"] * 2 + every)
    makers: dict[str, Callable[[], Command]] = {
        "read": lambda: _read(bench, r), "load": lambda: _load(bench, r),
        "script": lambda: _script(bench, r), "verify": lambda: _verify(bench, r),
        "change": lambda: _change(bench, r), "activate": lambda: _activate(bench, r),
        "debit": lambda: _debit(bench, r, role), "void": lambda: _void(bench, r),
        "confirm": lambda: _confirm(bench, r), "personalise": lambda: _personalise(bench, r),
    }  # fmt: skip
    return name, makers[name]()


INSES = [0x20, 0x24, 0x30, 0x32, 0x34, 0x36, 0x38, 0x3A, 0x3C, 0x3E, 0x46, 0x2A, 0xCA, 0x82, 0xEE]


def garbage(r: Random) -> Command:
    """Any INS, P1, P2 and data."""
    data = r.randbytes(r.choice([0, 1, 4, 6, 12, 14, 44, 52, 90, 166, 236, 239]))
    return r.choice(INSES), r.choice([0, 0, 1, 2, 0x7F]), r.choice([0, 0, 0x80, 1]), data


def bare(r: Random) -> CommandApdu:
    """Something without secure messaging, or with none behind it."""
    cla = r.choice([0x80, 0x80, 0x84, 0x04, 0x00, 0x90, 0x94, 0xA0])
    p1, p2 = r.choice([(0, 0), (0x7F, 0x21), (1, 0x11), (0, 0x10), (0, 0x11)])
    ins = r.choice(INSES)
    if (cla, ins) == (0x00, 0xA4):
        cla = 0x80
    return CommandApdu(cla, ins, p1, p2, r.randbytes(r.choice([0, 0, 1, 8, 83, 202, 250])), 256)


def link(bench: Bench, r: Random) -> bytes:
    """A link that is newer, or not, or spoilt."""
    kind = r.choice([CaKind.TERMINAL_CA, CaKind.ISSUER, CaKind.CARD_CA])
    highest = 0 if kind is CaKind.CARD_CA else bench.store.highest(kind)
    version = min(65535, max(0, highest + r.choice([1, 1, 1, 0, 4])))
    made = bench.world.link(
        kind, version, lowest_kept=r.choice([0, version, max(0, version - 1), version + 1]),
        back=r.random() < 0.2, effective=min(_day(bench, r), date(2035, 1, 1)),
        signer=r.choice([11] * 9 + [STRANGER]),
    )  # fmt: skip
    return _spoilt(bytes(made), r, 0.15)


def over_scp03(r: Random) -> CommandApdu:
    """GENERATE KEYS, or what the purse does not take that way."""
    ins = r.choice([0x46, 0x46, 0x46, 0x30, 0x2A, 0xEE])
    p1, p2 = r.choice([(0, 0), (0, 0), (0, 0), (0, 1), (1, 0)])
    return CommandApdu(r.choice([0x80] * 6 + [0x00]), ins, p1, p2, r.choice([b"", b"", b"x"]), 256)
