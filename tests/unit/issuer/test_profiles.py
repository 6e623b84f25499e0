"""Card profiles: all are read, each field decides something, each figure has its source."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from card_os.reference.profiles import JCOP_LIKE
from issuer import profiles
from issuer.cap_load import Plan
from issuer.errors import ProfileError
from issuer.probe import Probe, fit
from issuer.profiles import Profile
from keys.scp03 import Scp03Options
from keys.securechannel import MAX_PLAIN_BYTES, SecurityLevel
from tests.unit.issuer.load_world import CAP, ENV, ROOT, changed
from wire.tlv import encode

DOCS = Path(__file__).parents[3] / "docs"
RAW = (Path(profiles.__file__).parent / "j3r180.toml").read_text()
CARD = Probe(
    bytes.fromhex("3BD518FF8191FE1FC38073C821100A"), bytes.fromhex("A000000151000000"),
    cplc=JCOP_LIKE.cplc,
)  # fmt: skip


def test_the_products_that_the_issue_names_are_there():
    names = profiles.names()
    assert {"j3r180", "j3h145", "slj52", "smartcafe7"} <= set(names)
    assert [n for n in names if n.startswith("feitian")]
    assert len(profiles.shipped()) == len(names)
    for profile in profiles.shipped():
        assert not profile.tried_on_hardware  # nobody did; who does, says so here and in the docs
        assert profile.load.block_bytes <= MAX_PLAIN_BYTES
        Scp03Options.parse(profile.channel.i).check(profile.channel.level)
        assert all(profile.sources.values())
        assert profile.advice.id != profile.advice.en


def test_what_the_purse_needs_is_what_docs_applet_says():
    text = (DOCS / "applet.md").read_text()
    assert "| arrays together (counted) | 9,420 |" in text
    assert "about 4,500 (estimated)" in text
    assert "about 40 (estimated)" in text
    assert profiles.NEEDED_DATA_BYTES == 9_420 + 4_500 + 40
    assert f"| {profiles.NEEDED_TRANSIENT_BYTES}, at most 2,048 |" in text
    assert f"transactions of {profiles.NEEDED_COMMIT_BYTES} bytes" in text
    assert "ALG_EC_SVDP_DH_PLAIN" in text
    assert "3.0.4" in text


def test_docs_cards_has_the_profiles_figures():
    text = (DOCS / "cards.md").read_text()
    for p in profiles.shipped():
        row = next(line for line in text.splitlines() if line.startswith(f"| `{p.name}` |"))
        chip = p.chip
        free = f"{chip.persistent_bytes:,}" if chip.persistent_bytes else "over 32,767"
        for figure in (free, f"{chip.transient_bytes:,}", f"{chip.commit_bytes:,}"):
            assert f"| {figure} |" in row
        ms = p.milliseconds
        want = "– | – | – | –"
        if ms is not None:
            want = f"{ms.sign} | {ms.verify} | {ms.ecdh} | {ms.key_generation}"
        assert f"| {want} |" in row
    assert re.search(r"nothing .* tried on hardware", text, re.IGNORECASE | re.DOTALL)


# Field → another value, and what then differs: the fit of a card, or the plan of a load.
OTHER = {
    "recognise.ic_fabricator": b"\x00\x05", "recognise.ic_types": (b"\x00\x56",),
    "recognise.operating_systems": (b"\xd0\x01",), "recognise.atrs": (),
    "channel.isd_aid": b"\xa0\x00\x00\x00\x03", "channel.kvn": 0x20, "channel.i": 0x10,
    "channel.key_bytes": (32,), "channel.level": SecurityLevel.C_MAC,
    "load.block_bytes": 100, "load.hash": "sha-256",
    "chip.java_card": (2, 2, 2), "chip.persistent_bytes": 9_000, "chip.transient_bytes": 600,
    "chip.commit_bytes": 256, "chip.algorithms": (),
}  # fmt: skip


def _decides(profile: Profile) -> list[object]:
    """Everything that a profile decides about a card and a load."""
    told = CARD.__class__(CARD.atr, CARD.isd, cplc=CARD.cplc, keys=_keys(0xFF, 16))
    found: list[object] = [fit(CARD, profile), fit(told, profile)]
    found.append(fit(Probe(CARD.atr, CARD.isd), profile).is_product)
    try:
        plan = Plan(profile, CAP, ENV, ROOT)
        found += [plan.commands(), plan.digest]
    except ProfileError as e:
        found.append(str(e))
    return found


def _keys(kvn, size):
    from card_os.host.security_domain import key_information

    return key_information(b"".join(encode(0xC0, bytes([n, kvn, 0x88, size])) for n in (1, 2, 3)))


@pytest.mark.parametrize("field", OTHER)
def test_each_field_decides_something(field):
    profile = profiles.find("j3r180")
    table, name = field.split(".")
    other = changed(profile, **{table: {name: OTHER[field]}})
    assert _decides(other) != _decides(profile)


def test_no_field_was_forgotten():
    tables = {
        t: Profile.model_fields[t].annotation for t in ("recognise", "channel", "load", "chip")
    }
    fields = {f"{t}.{f}" for t, model in tables.items() for f in model.model_fields}
    assert fields == set(OTHER)


REFUSED = {
    "not text": b"\xff\xfe",
    "no TOML": b"product = ",
    "a field too many": RAW.replace("[load]", "[load]\nspeed = 9").encode(),
    "a field too few": RAW.replace("block_bytes = 223\n", "").encode(),
    "a table without its source": re.sub(r"\nload = .*", "", RAW).encode(),
    "an empty source": re.sub(r"\nload = .*", '\nload = ""', RAW).encode(),
    "an assumed field that is not there": RAW.replace('"load.block_bytes"', '"load.x"').encode(),
    "a level beyond the options": RAW.replace("i = 0x70", "i = 0x10").encode(),
    "no level that protects": RAW.replace("level = 0x33", "level = 0x00").encode(),
    "no such level": RAW.replace("level = 0x33", "level = 0x02").encode(),
    "unknown options": RAW.replace("i = 0x70", "i = 0x88").encode(),
    "DES keys": RAW.replace("[16, 24, 32]", "[8]").encode(),
    "a block too long for the channel": RAW.replace("= 223", "= 240").encode(),
    "no block": RAW.replace("= 223", "= 0").encode(),
    "another hash": RAW.replace('"none"', '"md5"').encode(),
    "no hex": RAW.replace('"4790"', '"47zz"').encode(),
    "a short AID": RAW.replace("A000000151000000", "A0").encode(),
    "key version 0": RAW.replace("kvn = 0xFF", "kvn = 0").encode(),
}


@pytest.mark.parametrize("why", REFUSED)
def test_refused(why):
    assert REFUSED[why] != RAW.encode()
    with pytest.raises(ProfileError):
        profiles.parse("x", REFUSED[why])


def test_a_profile_of_one_s_own_is_a_file(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(RAW.replace("J3R180", "of mine"))
    assert profiles.find(str(path)).name == "mine"
    assert "of mine" in profiles.find(str(path)).product
    path.write_text(RAW + "#" * profiles.MAX_PROFILE_BYTES)
    for name in (str(path), str(tmp_path / "none.toml"), "j3r999", "../profiles/j3r180"):
        with pytest.raises(ProfileError):
            profiles.find(name)
