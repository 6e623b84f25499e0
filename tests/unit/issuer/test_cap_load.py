"""Loading a blank card: what is sent, what a pulled card costs, and one try with the keys."""

from __future__ import annotations

from dataclasses import replace

import pytest

from card_os.host.links import InProcessLink
from card_os.host.opening import select_purse
from card_os.host.security_domain import LocalChannel, NewKeys, SecurityDomainSession
from card_os.reference.applets import Package
from card_os.reference.foreign import ForeignCard
from card_os.reference.keysets import MAX_TRIES
from card_os.reference.profiles import JCOP_LIKE
from card_os.reference.purse import PurseApplet
from issuer import cap_load, cap_messages, messages, profiles
from issuer.cap import CapFile
from issuer.cap_load import (
    AppletLoaded,
    Hitch,
    LoadFailed,
    LoadInterrupted,
    LoadProgress,
    LoadStep,
    NotLoaded,
    WrongTransportKeys,
)
from issuer.errors import CapFormatError, ProfileError
from issuer.profiles import NEEDED_DATA_BYTES
from keys.cardsession import OWN_KVN, TransportMaster, TransportSets
from keys.kdf import StaticKeys, diversify
from keys.securechannel import SecurityLevel
from tests.unit.issuer.cap_files import FRAMEWORK, bodies, cap_bytes
from tests.unit.issuer.desk_world import CutLink
from tests.unit.issuer.load_world import (
    CAP,
    ENV,
    KEYS,
    KVN,
    PROFILE,
    WRONG,
    Counting,
    anchors,
    blank,
    changed,
    content,
    load,
    plan,
    seeded,
)
from wire.env import PACKAGE_AID, Environment, purse_aid

INIT, AUTH, INSTALL, LOAD, DELETE = 0x50, 0x82, 0xE6, 0xE8, 0xE4
OLDER = CapFile.parse(cap_bytes(version=(0, 9)))


def tries(card):
    return card.nvm.get(f"sd/{KVN:02X}/tries")[0]


# --- the straight way --------------------------------------------------------------------------


def test_a_blank_card_is_loaded_installed_and_found_again():
    card, events = blank(), []
    link = Counting(card)
    outcome = load(link, events=events)
    assert outcome == AppletLoaded(PACKAGE_AID, purse_aid(ENV), found=False)
    assert select_purse(InProcessLink(card), ENV).env == ENV
    record = card.nvm.get("content/app/" + purse_aid(ENV).hex())
    assert anchors() in record
    assert CAP.sha256 in card.nvm.get("content/file/" + PACKAGE_AID.hex())
    assert [e.step for e in events if e.step is not LoadStep.LOADING] == [
        LoadStep.PROBED, LoadStep.OPENED, LoadStep.LOADED, LoadStep.INSTALLED, LoadStep.VERIFIED,
    ]  # fmt: skip
    blocks = [e for e in events if e.step is LoadStep.LOADING]
    assert blocks[0] == LoadProgress(LoadStep.LOADING, 0, blocks[0].total)
    assert blocks[-1].done == blocks[-1].total == len(CAP.load_file) + 4
    assert len(blocks) == 1 + plan().blocks == 1 + link.count(LOAD)
    assert (link.count(INIT), link.count(AUTH), link.count(DELETE)) == (1, 1, 0)
    assert all(len(c) <= 5 + 255 + 1 for c in link.sent)


@pytest.mark.parametrize(
    ("i", "level", "size", "block"),
    [
        (0x70, SecurityLevel.FULL, 16, 223),
        (0x70, SecurityLevel.C_MAC, 32, 223),
        (0x00, SecurityLevel.C_MAC_C_ENC, 24, 100),
        (0x10, SecurityLevel.C_MAC, 16, 16),
        (0x71, SecurityLevel.FULL, 32, 223),
        (0x01, SecurityLevel.C_MAC_C_ENC, 16, 199),
    ],
)
def test_options_levels_key_and_block_sizes(i, level, size, block):
    keys = StaticKeys(b"T" * size, b"M" * size, b"D" * size)
    card = blank(keys=keys, card=replace(JCOP_LIKE, scp03_i=i))
    profile = changed(PROFILE, channel={"i": i, "level": level}, load={"block_bytes": block})
    assert load(Counting(card), keys=keys, profile=profile).is_good
    assert content(card)


@pytest.mark.parametrize("kind", ["none", "sha-1", "sha-256"])
def test_the_hash_is_the_profile_s(kind):
    level = {"level": SecurityLevel.C_MAC}  # so that INSTALL goes out in clear
    profile = changed(PROFILE, load={"hash": kind}, channel=level)
    link = Counting(blank())
    assert load(link, profile=profile).is_good
    digest = plan(profile=profile).digest
    assert len(digest) == {"none": 0, "sha-1": 20, "sha-256": 32}[kind]
    begin = next(c for c in link.sent if c[1] == INSTALL)
    assert bytes([len(digest)]) + digest + b"\x00\x00" == begin[5:-9][-3 - len(digest) :]


def test_keys_may_stand_under_another_version_and_be_diversified():
    master = b"m" * 16
    card = blank(keys=diversify(master, JCOP_LIKE.kdd_of(b"\0\0\0\x07")), kvn=0x20)
    profile = changed(PROFILE, channel={"kvn": 0x20})
    link = Counting(card)
    assert load(link, profile=profile, source=TransportMaster(0x20, master)).is_good
    assert next(c for c in link.sent if c[1] == INIT)[2] == 0x20


def test_the_other_world_gets_its_own_instance():
    card = blank()
    outcome = load(Counting(card), env=Environment.DEMO_SPECIMEN)
    assert outcome.instance == purse_aid(Environment.DEMO_SPECIMEN)


# --- pulled cards ------------------------------------------------------------------------------


def _begun(kind):
    """A card, and the plan's options, from which a load begins."""
    card, options = blank(), {}
    if kind == "older":
        assert load(Counting(card), cap=OLDER).is_good
        options = {"replace_old": True}
    elif kind == "same":
        assert load(Counting(card)).is_good
    elif kind == "package":
        card = blank(preloaded=(PACKAGE_AID,))
    return card, options


@pytest.mark.parametrize("kind", ["blank", "older", "same", "package"])
def test_a_card_pulled_at_any_command_reaches_the_same_end(kind):
    card, options = _begun(kind)
    link = Counting(card)
    assert load(link, **options).is_good
    want, commands = content(card), len(link.sent)
    assert len([n for n in want if n.startswith("content/app/")]) == 1
    for cut in range(commands):
        for answered in (False, True):
            card, options = _begun(kind)
            broken = load(CutLink(card, cut, answered=answered), **options)
            assert isinstance(broken, LoadInterrupted), (cut, answered, broken)
            assert broken.can_retry
            again = load(Counting(card), **options)
            assert again.is_good, (cut, answered, again)
            assert content(card) == want, (cut, answered)
            assert tries(card) == MAX_TRIES


def test_a_card_torn_within_its_own_writes_reaches_the_same_end():
    card = blank()
    start = card.nvm.writes
    assert load(Counting(card)).is_good
    want, writes = content(card), card.nvm.writes - start
    for n in range(writes):
        card = blank()
        link = Counting(card)
        card.nvm.tear_before = n
        assert isinstance(load(link), LoadInterrupted), n
        card.power_on()
        assert load(Counting(card)).is_good
        assert content(card) == want


def test_a_card_cut_in_its_last_power_cut_is_interrupted():
    class Dead(Counting):
        def reset(self):
            raise cap_load.LinkError("gone")

    assert isinstance(load(Dead(blank())), LoadInterrupted)


# --- wrong keys --------------------------------------------------------------------------------


def test_wrong_keys_are_seen_before_the_card_counts_and_never_tried_again():
    card = blank()
    link = Counting(card)
    outcome = load(link, keys=WRONG)
    assert outcome == WrongTransportKeys(counted=False, detail=outcome.detail)
    assert (link.count(INIT), link.count(AUTH)) == (1, 0)
    assert link.sent[-1][1] == INIT  # it is the last thing the card hears
    assert tries(card) == MAX_TRIES
    assert not outcome.can_retry
    assert "DO NOT" in messages.text(outcome)[1]
    assert "JANGAN" in messages.text(outcome)[0]
    assert "dead for ever" in messages.text(outcome)[1]


class Refusing(Counting):
    """A card whose proof of the keys is right and which refuses the host's all the same."""

    def __init__(self, card, sw):
        super().__init__(card)
        self.sw = sw

    def transmit(self, command, /):
        if command[1] == AUTH:
            self.sent.append(command)
            return self.sw.to_bytes(2, "big")
        return super().transmit(command)


@pytest.mark.parametrize("sw", [0x6300, 0x6982, 0x6983, 0x6985, 0x6988, 0x63C2, 0x6A80, 0x6F00])
def test_a_refused_proof_is_one_try_and_the_end(sw):
    link = Refusing(blank(), sw)
    outcome = load(link)
    assert outcome == WrongTransportKeys(counted=True, detail=outcome.detail)
    assert link.count(AUTH) == 1
    assert link.sent[-1][1] == AUTH
    assert "another try may brick the card" in messages.text(outcome)[1]


def test_a_key_set_without_tries_left_is_not_tried():
    card = blank()
    card.nvm.put(f"sd/{KVN:02X}/tries", b"\x00")
    link = Counting(card)
    assert isinstance(load(link), WrongTransportKeys)
    assert link.count(AUTH) == 0


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (TransportSets(KVN, {bytes(10): KEYS}), Hitch.NO_KEYS),  # another chip's
        (TransportSets(0x20, {b"": KEYS}), Hitch.CHANNEL),  # another version
        (TransportSets(0, {b"": StaticKeys(*[b"k" * 24] * 3)}), Hitch.CHANNEL),  # another length
    ],
)
def test_keys_that_are_not_this_card_s_are_never_used(source, reason):
    link = Counting(blank())
    profile = changed(PROFILE, channel={"key_bytes": (16, 32)})
    outcome = load(link, source=source, profile=profile)
    assert isinstance(outcome, NotLoaded)
    assert outcome.reason is reason
    assert link.count(AUTH) == 0


def test_a_card_that_answers_with_another_version_is_left():
    card = blank(kvn=0x20)
    link = Counting(card)
    silent = _Silent(link, {0xCA})  # it tells nobody its keys' versions
    profile = changed(PROFILE, recognise={"atrs": (link.atr,)})
    outcome = load(silent, profile=profile, source=TransportSets(0, {b"": KEYS}))
    assert outcome == NotLoaded(Hitch.CHANNEL, outcome.detail)
    assert link.count(AUTH) == 0


class _Silent:
    """A card that answers some commands with 6A88 outside a session."""

    def __init__(self, link, quiet):
        self.link, self.quiet = link, quiet
        self.atr, self.interface = link.atr, link.interface

    def transmit(self, command, /):
        return (
            b"\x6a\x88"
            if command[0] == 0x80 and command[1] in self.quiet
            else self.link.transmit(command)
        )

    def reset(self):
        return self.link.reset()


# --- cards that are left alone -----------------------------------------------------------------


def _reason(outcome):
    assert isinstance(outcome, NotLoaded), outcome
    return outcome.reason


def test_another_product_is_not_tried():
    link = Counting(blank(card=replace(JCOP_LIKE, cplc=b"\x40\x90" + JCOP_LIKE.cplc[2:])))
    assert _reason(load(link)) is Hitch.OTHER_CARD
    assert link.count(INIT) == 0
    foreign = InProcessLink(ForeignCard())
    assert _reason(load(foreign)) is Hitch.OTHER_CARD


def test_a_card_with_our_own_keys_is_not_tried():
    card = blank(kvn=OWN_KVN)
    link = Counting(card)
    outcome = load(link, source=TransportSets(0, {b"": KEYS}))
    assert _reason(outcome) is Hitch.LACKS
    assert "own-keys" in outcome.detail
    assert link.count(INIT) == 0
    profile = changed(PROFILE, channel={"kvn": OWN_KVN})  # not even by a profile that names them
    assert _reason(load(link, profile=profile, source=TransportSets(0, {b"": KEYS}))) is Hitch.LACKS


def test_a_card_that_tells_of_our_keys_inside_alone_is_left():
    card = blank(kvn=0x20)
    profile = changed(PROFILE, channel={"kvn": 0x20})
    source = TransportSets(0x20, {b"": KEYS})
    assert load(Counting(card), profile=profile, source=source).is_good
    channel = LocalChannel(
        lambda _: KEYS,
        seeded(),
        new_keys=lambda _: NewKeys(OWN_KVN, 0, StaticKeys(*[b"o" * 16] * 3)),
    )
    with SecurityDomainSession(InProcessLink(card), channel) as domain:
        domain.put_key()  # beside the maker's set, which a card may keep
    before = content(card)
    link = Counting(card)
    silent = _Silent(link, {0xCA})
    profile = changed(profile, recognise={"atrs": (link.atr,)})
    outcome = load(silent, profile=profile, source=source, replace_old=True)
    assert _reason(outcome) is Hitch.LACKS
    assert "own-keys" in outcome.detail
    assert (link.count(DELETE), link.count(INSTALL)) == (0, 0)
    assert content(card) == before


def test_a_card_that_tells_its_keys_nobody_is_loaded():
    outcome = load(_Lying(blank(), 0xCA, b"\x6a\x88", secured=True))
    assert outcome.is_good


def test_an_older_purse_is_left_unless_it_is_to_be_replaced():
    card = blank()
    assert load(Counting(card), cap=OLDER).is_good
    before = content(card)
    outcome = load(Counting(card))
    assert _reason(outcome) is Hitch.CONTENT
    assert "0.9" in outcome.detail
    assert content(card) == before
    link = Counting(card)
    assert load(link, replace_old=True) == AppletLoaded(PACKAGE_AID, purse_aid(ENV), found=False)
    assert link.count(DELETE) == 2
    assert CAP.sha256 in card.nvm.get("content/file/" + PACKAGE_AID.hex())


def test_a_purse_of_the_other_world_is_left_unless_it_is_to_be_replaced():
    card = blank()
    assert load(Counting(card), env=Environment.DEMO_SPECIMEN).is_good
    assert _reason(load(Counting(card))) is Hitch.CONTENT
    assert load(Counting(card), replace_old=True).is_good
    assert list(content(card)) == [
        "content/file/" + PACKAGE_AID.hex(), "content/app/" + purse_aid(ENV).hex(),
    ]  # fmt: skip


def test_what_is_there_already_is_used_and_the_instance_made_anew():
    card = blank()
    load(Counting(card))
    card.nvm.put("applet/1/stale", b"x")
    link = Counting(card)
    assert load(link) == AppletLoaded(PACKAGE_AID, purse_aid(ENV), found=True)
    assert (link.count(LOAD), link.count(DELETE), link.count(INSTALL)) == (0, 1, 1)
    assert "applet/1/stale" not in card.nvm.keys("applet/")


def test_a_card_too_small_is_told_before_anything_is_written():
    size = NEEDED_DATA_BYTES + len(CAP.load_file)
    small = replace(JCOP_LIKE, memory_bytes=size - 1)
    card = blank(card=small)
    assert _reason(load(Counting(card))) is Hitch.LACKS
    assert content(card) == {}
    card = blank(card=replace(small, memory_bytes=size))
    assert load(Counting(card)).is_good
    # What is there already needs no further place.
    assert load(Counting(card)).is_good


# --- cards that do not do as they say ----------------------------------------------------------


class _Lying:
    """The domain behind a channel at level 01, whose answers no MAC protects."""

    def __init__(self, card, ins, answer, *, secured=False):
        self.inner, self.ins, self.answer, self.secured = Counting(card), ins, answer, secured
        self.atr, self.interface = self.inner.atr, self.inner.interface

    def transmit(self, command, /):
        given = self.inner.transmit(command)
        lies = command[1] == self.ins and (command[0] == 0x84 or not self.secured)
        return self.answer if lies else given

    def reset(self):
        return self.inner.reset()


@pytest.mark.parametrize(
    ("ins", "answer"),
    [(LOAD, b"\x6a\x84"), (LOAD, b"\x6f\x00"), (INSTALL, b"\x69\x85"), (0xF2, b"\x6a\x88")],
)
def test_a_refusal_on_the_way_is_said(ins, answer):
    profile = changed(PROFILE, channel={"level": SecurityLevel.C_MAC})
    outcome = load(_Lying(blank(), ins, answer), profile=profile)
    assert isinstance(outcome, LoadFailed)
    assert outcome.detail


def test_an_answer_without_its_mac_is_no_answer():
    assert isinstance(load(_Lying(blank(), LOAD, b"\x00\x90\x00")), LoadFailed)


def test_a_purse_that_does_not_answer_afterwards_is_no_success():
    class Other(PurseApplet):
        def select(self):
            return b"\x6f\x00"

    card = blank(registry={PACKAGE_AID: Package(Other, (PACKAGE_AID + b"\x01",))})
    assert isinstance(load(Counting(card)), LoadFailed)


# --- plans -------------------------------------------------------------------------------------


def test_a_plan_says_what_is_sent_and_a_load_sends_that():
    link = Counting(blank())
    assert load(link).is_good
    said = {p.command: p for p in plan().commands()}
    assert said["LOAD"].count == link.count(LOAD)
    assert said["LOAD"].data_bytes == len(CAP.load_file) + 4
    assert said["INSTALL [for install]"].data_bytes == len(anchors()) == 66
    assert said["EXTERNAL AUTHENTICATE"].count == link.count(AUTH) == 1


@pytest.mark.parametrize(
    ("error", "words", "options"),
    [
        (CapFormatError, "not the purse", {"cap": CapFile.parse(
            cap_bytes(package=b"\xf0OTHER", applets=(b"\xf0OTHER\x01",)))}),
        (CapFormatError, "not the purse", {"cap": CapFile.parse(
            cap_bytes(applets=(PACKAGE_AID + b"\x09",)))}),
        (CapFormatError, "32-bit", {"cap": CapFile.parse(cap_bytes(flags=0x05))}),
        (CapFormatError, "Java Card 3.1.0", {"cap": CapFile.parse(
            cap_bytes(imports=((FRAMEWORK, (1, 7)),)))}),
        (CapFormatError, "Java Card 99", {"cap": CapFile.parse(
            cap_bytes(imports=((FRAMEWORK, (1, 60)),)))}),
        (ProfileError, "cannot run", {"profile": profiles.find("feitian-a22cr")}),
        (ProfileError, "cannot run", {"profile": profiles.find("feitian-a40")}),
        (ProfileError, "more than 256", {"profile": changed(
            PROFILE, load={"block_bytes": 16}), "cap": CapFile.parse(cap_bytes(code=4_000))}),
        (ProfileError, "persistent", {"profile": changed(
            PROFILE, chip={"persistent_bytes": NEEDED_DATA_BYTES})}),
    ],
)  # fmt: skip
def test_what_could_not_run_is_refused_before_a_card_is_touched(error, words, options):
    with pytest.raises(error, match=words):
        plan(**options)


def test_the_framework_s_version_is_the_card_s_or_older():
    assert plan().needs_java_card == (3, 0, 4)
    none = CapFile.parse(cap_bytes(imports=()))
    assert plan(cap=none).needs_java_card == (2, 1, 0)
    assert bodies()[1][:4] == bytes.fromhex("DECAFFED")


# --- words -------------------------------------------------------------------------------------


def test_every_outcome_step_and_secret_has_its_words():
    samples = [
        AppletLoaded(b"", b"", found=True), LoadInterrupted(None, ""), LoadFailed(None, ""),
        *(NotLoaded(h, "") for h in Hitch),
        *(WrongTransportKeys(counted=c, detail="") for c in (True, False)),
    ]  # fmt: skip
    assert {o.key for o in samples} == set(cap_messages.OUTCOMES)
    assert not set(cap_messages.OUTCOMES) & set(messages.OUTCOMES)
    assert set(cap_messages.STEPS) == set(LoadStep)
    for texts in (*cap_messages.OUTCOMES.values(), *cap_messages.STEPS.values()):
        assert all(texts)
        assert texts[0] != texts[1]
    loader = cap_load.Loader(plan(), TransportSets(KVN, {b"": KEYS}), seeded())
    assert b"T" * 16 not in repr(loader).encode()
    assert "TTTT" not in repr(loader)
