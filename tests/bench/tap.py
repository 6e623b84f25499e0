"""The standard tap: what goes over the wire, what real chips would need, what the host needs."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from smartcard import scard

from card_os.host.pcsc import PcscReader
from card_os.host.trace import Trace
from demo.pcscd import PcscdWorld, WorldError
from keys.scp11 import SoftwareEcdhKey
from tests.bench import bare
from tests.bench.frame import ROOT, Row, Section, Size, at_most, interleaved, timed
from tests.bench.tapworld import LARGE, STANDARD, Bench, bench, record, tap
from wire import ecdsa
from wire.cvc import CardExtension
from wire.objects import KeyRole
from wire.purse import Ins

TITLE = "Tap"
# Milliseconds: sign, verify, ECDH, key generation (issue 6, from public measurements, not ours)
CHIPS = {
    "J3R180": (32, 30, 20, 27),
    "SLJ52GLA080": (146, 101, 126, 214),
    "SmartCafe 7": (52, 68, 64, 207),
}
BAUDS = (9_600, 19_200, 38_400, 57_600, 115_200)
BITS = 12  # a byte on a contact line with its start, parity and guard bits
LINK_BYTES = 5 + 200 + 2  # a link by PSO that the card has already, and 940E
MESSAGING_MS = 8  # a protected command: an assumption, as in docs/applet.md
PERSON_S = {"card in": 4, "wallet and amount": 6, "PIN": 8, "goods and slip": 14, "card out": 3}
FAMILIES = 180


def measure(size: Size) -> Section:
    """Counts, modelled times, families per hour, tap_host."""
    made = Section()
    standard, large = bench(STANDARD), bench(LARGE)
    trace = record(standard)
    for name, t in (("standard tap", trace), ("3 wallets, 1 load, 8 receipts", record(large))):
        sent, received = _bytes(t)
        made.add(Row(f"{name}: APDUs", len(t.steps) - 1, ""),
                 Row(f"{name}: bytes sent", sent, "B"),
                 Row(f"{name}: bytes received", received, "B"))  # fmt: skip
    made.add(*_modelled(trace))
    made.text += [
        "Standard tap: one wallet, one receipt of another terminal collected, no LOAD, the card",
        "handed over at this terminal; from SELECT to the receipt. The CAs are in their first",
        "version; once both were rotated, a terminal sends a link of each with every tap.",
        f"Modelled: {BITS} bits a byte on the wire, {MESSAGING_MS} ms a protected command (an",
        "assumption), sign, verify, ECDH and key generation of each chip as issue 6 states them;",
        "a verification on the card is two (its second look). No chip was measured.",
        f"Seconds of the person, assumed: {', '.join(f'{k} {v}' for k, v in PERSON_S.items())}.",
    ]
    if size.pcscd:
        _host(made, standard, trace, size)
    else:
        made.add(*_in_process(standard, trace, size))
    _hall(made, trace)
    return made


def _bytes(trace: Trace) -> tuple[int, int]:
    steps = trace.steps[1:]
    return sum(len(s.command) for s in steps), sum(len(s.answer) for s in steps)


# --- real chips, modelled ------------------------------------------------------------------------


def _modelled(trace: Trace) -> list[Row]:
    rows = []
    for chip in CHIPS:
        for baud in BAUDS:
            ms = chip_ms(trace, chip, baud)
            name = f"modelled, {chip}, {baud:,} baud"
            is_bar = (chip, baud) == ("J3R180", 115_200)
            rows.append(at_most(name, ms, 400, "ms") if is_bar else Row(name, ms, "ms"))
        ms = chip_ms(trace, chip, BAUDS[-1], cached=True)
        name = f"modelled, {chip}, 115,200 baud, certificate cached"
        rows.append(at_most(name, ms, 370, "ms") if chip == "J3R180" else Row(name, ms, "ms"))
    links_ms = 2 * LINK_BYTES * BITS * 1000 / BAUDS[-1]
    rows.append(Row("more at 115,200 baud, once two links are sent", links_ms, "ms"))
    return rows


def chip_ms(trace: Trace, chip: str, baud: int, *, cached: bool = False) -> float:
    """Milliseconds of a recorded tap on a chip: public-key work, messaging, bytes."""
    total = 0.0
    for step in trace.steps[1:]:
        ins, refused = step.command[1], step.answer[-2:] != b"\x90\x00"
        total += (len(step.command) + len(step.answer)) * BITS * 1000 / baud
        total += MESSAGING_MS * bool(step.command[0] & 0x04 and ins != 0xA4)
        needs = (0, 0, 0, 0) if refused else _needs(ins, cached=cached)
        total += sum(n * c for n, c in zip(needs, CHIPS[chip], strict=True))
    return total


def _needs(ins: int, *, cached: bool) -> tuple[int, int, int, int]:
    """Sign, verify, ECDH, key generation of one accepted command (docs/applet.md)."""
    if ins == Ins.PSO:
        return (0, 0, 0, 0) if cached else (0, 2, 1, 0)
    return {
        int(Ins.MUTUAL_AUTHENTICATE): (0, 0, 2, 1), int(Ins.DEBIT): (1, 0, 0, 0),
        int(Ins.LOAD): (1, 2, 0, 0),
    }.get(ins, (0, 0, 0, 0))  # fmt: skip


def _hall(made: Section, trace: Trace) -> None:
    host_ms = next((r.value for r in made.rows if r.what.startswith("host's own")), 0.0)
    person_s = sum(PERSON_S.values())
    for chip in CHIPS:
        for baud in (BAUDS[0], BAUDS[-1]):
            each_s = (chip_ms(trace, chip, baud) + host_ms) / 1000 + person_s
            made.add(
                Row(f"families per hour, {chip}, {baud:,} baud", 3600 / each_s, "/h"),
                Row(f"{FAMILIES} families, {chip}, {baud:,} baud", FAMILIES * each_s / 60, "min"),
            )


# --- the host -----------------------------------------------------------------------------------


@dataclass
class Bare:
    """The public-key operations that a host owes in the standard tap."""

    items: list[bare.Signed]
    points: list[bytes]

    def __call__(self) -> None:
        """Ephemeral key, two agreements, four verifications, every key from its bytes."""
        random = Random(7).randbytes  # noqa: S311
        ephemeral = SoftwareEcdhKey.generate(random)
        for point in self.points:
            ephemeral.ecdh(point)
        bare.verify(self.items)


def bare_of(b: Bench, receipt: bytes, collected: bytes) -> Bare:
    """Card certificate, entitlement, collected receipt, own receipt; both agreements."""
    world, certificate = b.terminal.issuer.world, b.card.certificate
    assert isinstance(certificate.extension, CardExtension)
    own = certificate.extension.receipt_key
    ca = world.signer(KeyRole.CARD_CA).public_key
    items = [
        bare.signed(ca, certificate.signed_bytes + certificate.signature),
        bare.signed(world.signer(KeyRole.ISSUER).public_key, entitlement_of(b)),
        bare.signed(own, collected),
        bare.signed(own, receipt),
    ]
    other = SoftwareEcdhKey.generate(Random(8).randbytes).public  # noqa: S311
    return Bare(items, [certificate.public_key, other])


def entitlement_of(b: Bench) -> bytes:
    """The bytes of the wallet's entitlement, as the roster has it."""
    found = b.fresh().roster.card(b.card.card_id)
    assert found is not None
    return found.entitlements[0]


def _bare(b: Bench, trace: Trace) -> Bare:
    from card_os.host.trace import ReplayLink

    terminal = b.fresh()
    receipt = tap(terminal, ReplayLink(trace))
    seen = [r.body.item for r in terminal.journal.records(0, 1 << 30) if r.kind.name == "COLLECTED"]
    return bare_of(b, bytes(receipt), seen[-1])


def _in_process(b: Bench, trace: Trace, size: Size) -> list[Row]:
    """Without pcscd: the engine alone against a replay in this process."""
    from card_os.host.trace import ReplayLink

    c = _bare(b, trace)

    def engine() -> float:
        terminal = b.fresh()
        ecdsa.p256_public_key.cache_clear()
        return timed(time.perf_counter, lambda: tap(terminal, ReplayLink(trace)))

    ours, limit = interleaved(size.repeats, engine, lambda: timed(time.perf_counter, c))
    return [Row("host's own work in a tap", ours * 1e3, "ms"), at_most("tap_host", ours / limit, 2)]


def _host(made: Section, b: Bench, trace: Trace, size: Size) -> None:
    """(A − B) / C through pcscd."""
    with ExitStack() as stack:
        try:
            world = stack.enter_context(PcscdWorld(1))
        except WorldError as e:
            made.text.append(f"Not through pcscd: {e}; the engine alone, in process.")
            made.add(*_in_process(b, trace, size))
            return
        os.environ |= world.env
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (folder / "trace").write_text(trace.to_json_lines(), "ascii")
        card = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.replay", world.doors[0], str(folder / "trace")],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        stack.callback(_end, card)
        assert card.stdout is not None
        card.stdout.readline()
        reader = PcscReader(world.readers[0])
        if not reader.wait_for_card(10):
            raise RuntimeError("pcscd sees no replay card")
        _through_pcscd(made, b, trace, reader, size)


def _end(card: subprocess.Popen[str]) -> None:
    assert card.stdin is not None
    card.stdin.close()
    card.wait(10)
    assert card.stdout is not None
    card.stdout.close()


def _through_pcscd(made: Section, b: Bench, trace: Trace, reader: PcscReader, size: Size) -> None:
    commands = [list(s.command) for s in trace.steps[1:]]
    answers = [list(s.answer) for s in trace.steps[1:]]
    c = _bare(b, trace)
    link = reader.connect()

    def clocks(work: Any) -> tuple[float, float]:
        wall, used = time.perf_counter(), time.process_time()
        work()
        return time.perf_counter() - wall, time.process_time() - used

    def engine() -> tuple[float, float]:
        terminal = b.fresh()
        ecdsa.p256_public_key.cache_clear()
        return clocks(lambda: tap(terminal, _Kept(link)))

    def loop() -> tuple[float, float]:
        def work() -> None:
            for command, answer in zip(commands, answers, strict=True):
                code, got = scard.SCardTransmit(link._card, link._pci, command)
                if code or got != answer:
                    raise RuntimeError("the replay card refused")

        return clocks(work)

    taken: list[list[tuple[float, float]]] = [[], [], []]
    for _ in range(size.repeats):
        for k, work in enumerate((engine, loop, lambda: clocks(c))):
            taken[k].append(work())
    link.close()
    reader.close()
    _report(made, taken)


class _Kept:
    """The link, which a tap does not close."""

    def __init__(self, link: Any) -> None:
        self._link = link
        self.atr, self.interface = link.atr, link.interface
        self.transmit, self.reset = link.transmit, link.reset

    def close(self) -> None:
        """Not yet."""


def _report(made: Section, taken: list[list[tuple[float, float]]]) -> None:
    import statistics

    for k, name in enumerate(("wall", "CPU")):
        a, b, c = (statistics.median(x[k] for x in t) * 1e3 for t in taken)
        ratio = statistics.median((x[k] - y[k]) / z[k] for x, y, z in zip(*taken, strict=True))
        made.add(
            Row(f"A: the engine through pcscd, {name}", a, "ms"),
            Row(f"B: the same bytes in a bare loop, {name}", b, "ms"),
            Row(f"C: the bare public-key operations, {name}", c, "ms"),
            at_most(f"tap_host = (A − B) / C, {name}, median of pairs", ratio, 2),
        )
    a, b = (statistics.median(x[1] for x in t) * 1e3 for t in taken[:2])
    made.add(Row("host's own work in a tap (A − B, CPU)", a - b, "ms"))
    made.text += [
        "tap_host: A is the engine with seeded randomness and clock, journal and roster in",
        "memory, through pcscd against a replay card in a process of its own; B the same bytes by",
        "SCardTransmit; C one ephemeral key, two agreements and four verifications (card",
        "certificate, entitlement, collected and own receipt), each key from its bytes. The",
        "engine's cache of public keys is emptied before each tap (production keeps the CA's).",
    ]
