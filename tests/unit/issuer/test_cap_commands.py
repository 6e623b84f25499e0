"""``betang-issuer probe`` and ``load-applet``, as typed, and through a real pcscd."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator

import pytest

from card_os.host.links import InProcessLink
from card_os.host.pcsc import PcscReader
from card_os.icc import T0Face
from card_os.reference.card import ReferenceCard
from card_os.reference.foreign import ForeignCard
from card_os.reference.packages import PACKAGES
from card_os.reference.profiles import JCOP_LIKE, TransportKeys
from card_os.reference.vpcd import VpcdSlot
from demo.pcscd import PcscdWorld
from issuer import cap_commands, cli
from issuer.config import Folder
from issuer.errors import ProfileError
from issuer.outcomes import Issued
from issuer.probe import best, examine
from issuer.profiles import shipped
from keys.cardsession import TransportMaster
from tests.unit.issuer.cap_files import cap_bytes
from tests.unit.issuer.desk_world import ENV, TRANSPORT, CutLink, DeskWorld
from tests.unit.issuer.load_world import KEYS, Counting, blank, content, load, plan, seeded
from tests.unit.issuer.test_cli import Desk
from wire.env import PACKAGE_AID, purse_aid
from wire.purse import InstallParameters

KDD = JCOP_LIKE.kdd_of(b"\0\0\0\x07")
DELIVERY = {"batch": "b1", "kvn": 0xFF, "chips": [KDD.hex()],
            "keys": [k.hex() for k in (KEYS.enc, KEYS.mac, KEYS.dek)]}  # fmt: skip


class Captured:
    """What was printed, where pytest's own capture does not reach: a fixture of the module."""

    def __init__(self, patch):
        self.out, self.err = io.StringIO(), io.StringIO()
        patch.setattr(sys, "stdout", self.out)
        patch.setattr(sys, "stderr", self.err)

    def readouterr(self):
        told = self.out.getvalue(), self.err.getvalue()
        for each in (self.out, self.err):
            each.seek(0)
            each.truncate()
        return told


@pytest.fixture(scope="module")
def provisioned(tmp_path_factory):
    """One provisioned desk for them all: nothing here writes to its folder."""
    with pytest.MonkeyPatch.context() as patch:
        with pytest.MonkeyPatch.context() as printing:
            desk = Desk(tmp_path_factory.mktemp("loader"), patch, Captured(printing))
            desk.provision()
        yield desk


@pytest.fixture
def desk(provisioned, tmp_path, capsys):
    desk = provisioned
    desk.capsys = capsys
    (tmp_path / "purse.cap").write_bytes(cap_bytes())
    desk.words = ["load-applet", "--cap", str(tmp_path / "purse.cap"), "--profile", "j3r180"]
    desk.keys = keys_file(tmp_path, DELIVERY)
    return desk


def keys_file(path, delivery, mode=0o600):
    file = path / "delivery.json"
    file.write_text(delivery if isinstance(delivery, str) else json.dumps(delivery))
    file.chmod(mode)
    return file


# --- probe -------------------------------------------------------------------------------------


def test_probe_says_which_profile_fits_and_what_it_lacks(desk):
    assert desk.run("probe", "--json", links=[InProcessLink(blank())]) == cli.OK
    (told,) = desk.lines()
    assert told["best"] == {"profile": "j3r180", "is_product": True, "lacks": []}
    assert told["card"]["isd"] == "a000000151000000"
    assert {p["profile"] for p in told["profiles"]} >= {"j3r180", "slj52", "smartcafe7"}
    assert told["untold"] == ["memory"]
    assert desk.run("probe", links=[InProcessLink(blank())]) == cli.OK
    assert "Profile j3r180 fits" in desk.out
    assert "never tried on a real card" in desk.out
    assert "its free memory" in desk.out
    assert desk.run("probe", links=[InProcessLink(blank(kvn=0x20))], lang="id") == cli.REFUSED
    assert "Versi kunci kiriman dari profil tidak ada" in desk.out
    assert desk.run("probe", links=[InProcessLink(ForeignCard())]) == cli.REFUSED
    assert "No profile fits" in desk.out


def test_probe_needs_no_desk_s_folder_and_takes_a_profile_of_one_s_own(desk, tmp_path):
    own = tmp_path / "mine.toml"
    text = (cap_commands.profiles.resources.files("issuer.profiles") / "j3r180.toml").read_text()
    own.write_text(text.replace("kvn = 0xFF", "kvn = 0x20"))
    links = [InProcessLink(blank(kvn=0x20))]
    words = ("probe", "--reader", "x", "--profile", str(own))
    front = ["--data", str(tmp_path / "nowhere"), "--lang", "en"]
    desk.links = links
    assert cli.main([*front, *words]) == cli.OK
    assert "Profile mine fits" in desk.capsys.readouterr().out
    own.write_text("product = 1")
    assert desk.run("probe", "--profile", str(own), links=[InProcessLink(blank())]) == cli.FAILED
    assert "card profile" in desk.err


# --- load-applet -------------------------------------------------------------------------------


def test_load_applet_loads_with_the_desk_s_own_anchors_and_says_how_far(desk):
    card = blank()
    words = [*desk.words, "--transport-keys", str(desk.keys)]
    assert desk.run(*words, links=[InProcessLink(card)]) == cli.OK
    assert "Loading " in desk.out
    assert "Checked after a power cut" in desk.out
    assert "The purse is loaded and installed" in desk.out
    trust = Folder(desk.path / "desk", demo=True).open(desk.world.clock, boot=False).trust
    record = card.nvm.get("content/app/" + purse_aid(trust.env).hex())
    assert bytes(InstallParameters(trust.env, trust.root_key)) in record
    assert desk.run(*words, "--json", links=[InProcessLink(card)]) == cli.OK
    *events, done = desk.lines()
    assert (done["outcome"], done["found"]) == ("AppletLoaded", True)
    assert [e["step"] for e in events] == ["probed", "opened", "deleted", "installed", "verified"]
    assert all(e["event"] == "LoadProgress" for e in events)


def test_a_dry_run_touches_no_reader_and_needs_no_keys(desk, monkeypatch):
    monkeypatch.setattr(cli, "open_stack", lambda _: pytest.fail("a reader was opened"))
    assert desk.run(*desk.words, "--dry-run") == cli.OK
    (said,) = desk.lines()
    assert said["profile"] == "j3r180"
    assert said["tried_on_hardware"] is False
    assert "channel.kvn" in said["assumed"]
    assert said["package"] == PACKAGE_AID.hex()
    commands = [c["command"] for c in said["commands"]]
    assert commands[3] == "EXTERNAL AUTHENTICATE"
    assert commands.count("LOAD") == 1
    trust = Folder(desk.path / "desk", demo=True).open(desk.world.clock, boot=False).trust
    assert said["parameters"] == bytes(InstallParameters(trust.env, trust.root_key)).hex()


def test_an_interrupted_load_is_gone_on_with_by_the_same_command(desk):
    card = blank()
    words = [*desk.words, "--transport-keys", str(desk.keys)]
    assert desk.run(*words, links=[CutLink(card, 12)]) == cli.REFUSED
    assert "Put the same card in again" in desk.out
    assert desk.run(*words, links=[InProcessLink(card)], lang="id") == cli.OK
    assert "Dompet termuat dan terpasang" in desk.out


def test_wrong_keys_are_one_try_and_a_warning(desk, tmp_path):
    card = blank()
    file = keys_file(tmp_path, {**DELIVERY, "keys": ["00" * 16] * 3})
    link = Counting(card)
    assert desk.run(*desk.words, "--transport-keys", str(file), links=[link]) == cli.REFUSED
    assert "DO NOT try others" in desk.out
    assert link.count(0x82) == 0
    assert link.count(0x50) == 1
    assert content(card) == {}
    assert "00" * 16 not in desk.out + desk.err


@pytest.mark.parametrize(
    "delivery",
    ["{", "[]", "5", '"x"', {**DELIVERY, "keys": ["zz"] * 3}, {**DELIVERY, "keys": ["00" * 7] * 3},
     {"batch": "b"}, {k: v for k, v in DELIVERY.items() if k != "keys"}, "[" * 100_000],
)  # fmt: skip
def test_a_file_that_is_no_delivery_is_refused_without_its_content(tmp_path, delivery):
    file = keys_file(tmp_path, delivery)
    with pytest.raises(ProfileError) as caught:
        cap_commands.transport_keys(file)
    assert "zz" not in str(caught.value)
    assert "00000" not in str(caught.value)


def test_a_file_that_others_can_read_or_that_is_not_there_is_refused(desk, tmp_path):
    for mode in (0o640, 0o604, 0o620):
        keys_file(tmp_path, DELIVERY, mode)
        assert desk.run(*desk.words, "--transport-keys", str(desk.keys)) == cli.FAILED
        assert "chmod 600" in desk.err
    assert desk.run(*desk.words, "--transport-keys", str(tmp_path / "none")) == cli.FAILED
    assert desk.run(*desk.words) == cli.FAILED
    assert "--transport-keys FILE" in desk.err
    huge = keys_file(tmp_path, " " * (cap_commands.MAX_KEY_FILE_BYTES + 1))
    assert desk.run(*desk.words, "--transport-keys", str(huge)) == cli.FAILED


def test_a_master_key_stands_for_every_chip(tmp_path):
    source = cap_commands.transport_keys(
        keys_file(tmp_path, {"batch": "b1", "kvn": 0, "chips": [KDD.hex()], "master": "6d" * 16})
    )
    assert source == TransportMaster(0, b"m" * 16)


def test_what_cannot_be_loaded_is_said_in_one_line(desk, tmp_path):
    (tmp_path / "purse.cap").write_bytes(b"?")
    assert desk.run(*desk.words, "--dry-run") == cli.FAILED
    assert "CAP file cannot be used" in desk.err
    (tmp_path / "purse.cap").write_bytes(bytes(600_000))
    assert desk.run(*desk.words, "--dry-run") == cli.FAILED
    (tmp_path / "purse.cap").write_bytes(cap_bytes())
    words = [*desk.words[:-1], "feitian-a40", "--dry-run"]
    assert desk.run(*words) == cli.FAILED
    assert "cannot run on Feitian" in desk.err
    assert len(desk.err.splitlines()) == 1
    with pytest.raises(SystemExit):
        desk.run("load-applet", "--transport-key", "00" * 16)  # never on the command line


# --- the whole way ------------------------------------------------------------------------------


def test_a_card_loaded_here_is_personalised_at_the_desk():
    world = DeskWorld()
    serial = b"\0\0\0\x63"
    world.state.receive_chips("b1", [JCOP_LIKE.kdd_of(serial)])
    card = ReferenceCard.create(
        transport_keys=TransportKeys(0xFF, TRANSPORT), serial=serial, registry=PACKAGES,
        random=seeded(), preloaded=(),
    )  # fmt: skip
    order = world.order()
    assert load(Counting(card), keys=TRANSPORT, env=ENV).is_good
    assert isinstance(world.desk.personalise(InProcessLink(card), 7), Issued)
    assert order is not None
    # A made card is never loaded again: its keys are ours.
    refused = load(Counting(card), keys=TRANSPORT, env=ENV, replace_old=True)
    assert "own-keys" in refused.detail


@pytest.fixture(scope="module")
def slot(pcscd_world: PcscdWorld) -> Iterator[VpcdSlot]:
    slot = VpcdSlot(pcscd_world.doors[1])
    yield slot
    slot.remove()


@pytest.mark.xdist_group("pcscd")
@pytest.mark.parametrize("protocol", ["t1", "t0"])
def test_probed_and_loaded_through_pcscd(pcscd_world, slot, protocol):
    card = ReferenceCard.create(
        transport_keys=TransportKeys(0xFF, KEYS), serial=b"\0\0\0\x07", registry=PACKAGES,
        random=seeded(), preloaded=(), protocol=protocol,
    )  # fmt: skip
    reader = PcscReader(pcscd_world.readers[1], timeout_s=10.0)
    try:
        slot.insert(T0Face(card) if protocol == "t0" else card)
        assert reader.wait_for_card(10.0)
        link = reader.connect()
        assert best(examine(link), shipped()).profile == "j3r180"
        assert load(link).is_good
        link.close()
    finally:
        slot.remove()
        reader.close()
    assert content(card)
    assert plan().instance == purse_aid(ENV)
