"""Probing a blank card: nothing but questions, which profile fits, and what it lacks."""

from __future__ import annotations

from dataclasses import replace

import pytest

from card_os.host.commands import SET_STATUS as _SET_STATUS
from card_os.host.links import CardRemoved, InProcessLink
from card_os.host.security_domain import KeyInformation, LocalChannel, SecurityDomainSession
from card_os.reference.foreign import ForeignCard
from card_os.reference.profiles import JCOP_LIKE
from issuer import cap_messages, profiles
from issuer.probe import Lack, Probe, Untold, best, examine, fit
from keys.cardsession import OWN_KVN
from tests.unit.issuer.desk_world import CutLink
from tests.unit.issuer.load_world import KEYS, Counting, blank, changed, seeded
from wire.tlv import encode

ISD = bytes.fromhex("A000000151000000")
J3R180 = profiles.find("j3r180")
ALL = profiles.shipped()


def lacks(probe, profile=J3R180, code_bytes=0):
    return [m.lack for m in fit(probe, profile, code_bytes).lacks]


def test_a_blank_card_fits_its_profile_and_is_only_asked():
    card = blank()
    before = {name: card.nvm.get(name) for name in card.nvm.keys("")}
    link = Counting(card)
    probe = examine(link)
    assert (probe.isd, probe.locked, probe.cplc[:2]) == (ISD, False, JCOP_LIKE.cplc[:2])
    assert probe.version == (2, 3, 1)
    assert probe.channels == ((3, 0x70),)
    assert {(k.kvn, k.key_type, k.length_bytes) for k in probe.keys} == {(0xFF, 0x88, 16)}
    assert probe.untold == (Untold.MEMORY,)
    found = best(probe, ALL)
    assert (found.profile, found.is_whole, found.can_load) == ("j3r180", True, True)
    assert {command[1] for command in link.sent} == {0xA4, 0xCA}
    assert {name: card.nvm.get(name) for name in card.nvm.keys("")} == before


def test_free_memory_is_told_where_the_card_tells_it():
    probe = examine(InProcessLink(blank(card=replace(JCOP_LIKE, memory_bytes=30_000))))
    assert probe.free_bytes == 30_000
    assert probe.untold == ()
    assert lacks(probe, code_bytes=16_000) == []
    assert lacks(probe, code_bytes=17_000) == [Lack.MEMORY]


CHIP = Probe(b"\x3b\x00", ISD, cplc=JCOP_LIKE.cplc, channels=((3, 0x70),),
             keys=tuple(KeyInformation(n, 0xFF, 0x88, 16) for n in (1, 2, 3)))  # fmt: skip


def _keyed(kvn=0xFF, kind=0x88, size=16):
    return replace(CHIP, keys=tuple(KeyInformation(n, kvn, kind, size) for n in (1, 2, 3)))


@pytest.mark.parametrize(
    ("probe", "want"),
    [
        (CHIP, []),
        (replace(CHIP, keys=None, channels=None), []),
        (replace(CHIP, locked=True), [Lack.LOCKED]),
        (replace(CHIP, isd=None), [Lack.NO_DOMAIN]),
        (replace(CHIP, isd=b"\xa0\x00\x00\x00\x03"), [Lack.NO_DOMAIN]),
        (_keyed(kvn=0x20), [Lack.OTHER_KEYS]),
        (_keyed(kvn=OWN_KVN), [Lack.OWN_KEYS]),
        (_keyed(kind=0x80), [Lack.NO_SCP03]),
        (replace(CHIP, keys=CHIP.keys + _keyed(kind=0x80).keys), []),
        (_keyed(size=8), [Lack.KEY_LENGTH]),
        (replace(CHIP, channels=((2, 0x55),)), [Lack.NO_SCP03]),
        (replace(CHIP, channels=((2, 0x55), (3, 0x70))), []),
        (replace(CHIP, channels=((3, 0x10),)), [Lack.OPTIONS]),
        (replace(CHIP, channels=((3, 0x71),)), [Lack.OPTIONS]),
        (replace(CHIP, channels=((3, 0x88),)), [Lack.OPTIONS]),
        (replace(CHIP, free_bytes=10_000), [Lack.MEMORY]),
        (replace(_keyed(kind=0x80), locked=True, channels=((2, 0x15),)),
         [Lack.LOCKED, Lack.NO_SCP03, Lack.NO_SCP03]),
    ],
)  # fmt: skip
def test_what_a_card_lacks(probe, want):
    assert lacks(probe) == want
    assert fit(probe, J3R180).is_product
    assert fit(probe, J3R180).can_load is not bool(want)


def test_a_card_without_r_mac_loads_and_cannot_be_personalised():
    smart = profiles.find("smartcafe7")
    probe = replace(CHIP, cplc=bytes.fromhex("00050056D001") + bytes(36), channels=((3, 0x10),))
    found = fit(probe, smart)
    assert [m.lack for m in found.lacks] == [Lack.PERSONALISE]
    assert found.can_load
    assert not found.is_whole
    assert lacks(replace(probe, channels=((3, 0x10), (3, 0x70))), smart) == []


def test_a_product_that_cannot_run_the_purse_is_told():
    for name, fabricator in (("feitian-a22cr", "4090789286AA"), ("feitian-a40", "4090779486AA")):
        probe = replace(CHIP, cplc=bytes.fromhex(fabricator) + bytes(36))
        found = best(probe, ALL)
        assert found.profile == name
        assert not found.can_load
        assert Lack.CHIP in {m.lack for m in found.lacks}


def test_every_shipped_profile_is_found_by_its_chip_and_by_its_atr():
    for profile in ALL:
        known = profile.recognise
        for ic_type in known.ic_types:
            cplc = known.ic_fabricator + ic_type + known.operating_systems[0] + bytes(36)
            assert best(replace(CHIP, cplc=cplc), ALL).profile == profile.name
        for atr in known.atrs:
            found = best(replace(CHIP, cplc=b"", atr=atr), ALL)
            assert found.profile == profile.name
        # Where the chip says what it is, the ATR, which a seller may change, decides nothing.
        other = replace(CHIP, cplc=bytes(42), atr=known.atrs[0])
        assert best(other, ALL) is None


def test_a_foreign_card_and_a_silent_one_fit_nothing():
    foreign = InProcessLink(ForeignCard())
    probe = examine(foreign, [ISD])
    assert probe.isd is None
    assert best(probe, ALL) is None
    with pytest.raises(CardRemoved):
        examine(CutLink(blank(), 2))


class Said:
    """A card that answers each command as told, 6A88 to the others."""

    atr = b"\x3b\x00"

    def __init__(self, answers):
        self.answers = answers

    def transmit(self, command, /):
        return self.answers.get(command[1:4].hex().upper(), b"\x6a\x88")


# A J3R180 on sale: its SELECT tells no recognition data (GlobalPlatformPro, issue 383).
REAL_FCI = bytes.fromhex("6F108408A000000151000000A5049F6501FF9000")
REAL_CPLC = bytes.fromhex(
    "9F7F2A4790D32147000000000031800504742075150000000000000000031C2A353034373400000000000000009000"
)


def test_a_card_that_tells_little_is_known_by_its_chip():
    probe = examine(Said({"A40400": REAL_FCI, "CA9F7F": REAL_CPLC}))
    assert set(probe.untold) == {Untold.KEYS, Untold.CHANNEL, Untold.MEMORY}
    found = best(probe, ALL)
    assert (found.profile, found.is_whole) == ("j3r180", True)


def test_recognition_data_in_the_fci_and_keys_of_another_form():
    oid = bytes.fromhex("2A864886FC6B")
    data = encode(0x60, encode(0x06, oid + b"\x02\x02\x02\x01"))
    data += encode(0x64, encode(0x06, oid + b"\x04\x02\x55"))
    fci = encode(0x6F, encode(0x84, ISD) + encode(0xA5, encode(0x73, data)))
    row = encode(0xC0, bytes.fromhex("01FF8810FF80"))
    probe = examine(Said({"A40400": fci + b"\x90\x00", "CA9F7F": REAL_CPLC,
                          "CA00E0": encode(0xE0, row) + b"\x90\x00"}))  # fmt: skip
    assert (probe.version, probe.channels, probe.keys) == ((2, 2, 1), ((2, 0x55),), None)
    assert lacks(probe) == [Lack.NO_SCP03]


@pytest.mark.parametrize(
    "garbage", [b"", b"\x6f", b"\x6f\x05\x84", b"\xff" * 200, b"\x66\x03\x73\x05\x00"]
)
def test_nonsense_is_told_as_silence(garbage):
    answers = {"A40400": REAL_FCI}
    for tag in (0x9F7F, 0x66, 0xE0, 0xFF21):
        body = encode(tag, garbage) if len(garbage) < 100 else garbage
        answers[f"CA{tag:04X}"] = body + b"\x90\x00"
    probe = examine(Said(answers))
    assert set(probe.untold) == set(Untold)
    assert examine(Said({"A40400": garbage + b"\x90\x00"})).isd is None


def test_a_locked_card_is_told():
    card = blank()
    with SecurityDomainSession(InProcessLink(card), LocalChannel(lambda _: KEYS, seeded())) as sd:
        for life in (0x07, 0x0F, 0x7F):
            sd._relay(_SET_STATUS, b"", p1=0x80, p2=life)
    probe = examine(InProcessLink(card))
    assert probe.locked
    assert lacks(probe) == [Lack.LOCKED]


def test_another_version_of_the_keys_is_another_profile():
    probe = examine(InProcessLink(blank(kvn=0x20)))
    assert lacks(probe) == [Lack.OTHER_KEYS]
    assert lacks(probe, changed(J3R180, channel={"kvn": 0x20})) == []


def test_every_lack_has_its_words():
    assert set(cap_messages.LACKS) == set(Lack)
    assert set(cap_messages.UNTOLD) == set(Untold)
