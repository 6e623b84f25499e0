"""tests/vectors/*.json: what they say, the code does; and they are what their maker makes."""

import json

import pytest

from tests.support import vectors
from wire import bundle, cbor, chain, cvc, log, objects
from wire.cose import Sign1
from wire.entitlement import Entitlement, Script
from wire.env import Environment
from wire.errors import EnvironmentMismatchError, WireError
from wire.receipt import Receipt, Statement

FILES = sorted(vectors.FOLDER.glob("*.json"))
SHAPES = {s.KIND: type(s) for s in vectors.sample_objects()}


def same_environment(thing, env):
    if thing.env != env:
        raise EnvironmentMismatchError(thing.env)
    return thing


def read(name: str, data: bytes, key: bytes, env: Environment) -> object:
    raw = {"receipt": Receipt, "statement": Statement, "entitlement": Entitlement,
           "script": Script}  # fmt: skip
    if name in raw:
        return same_environment(raw[name].parse(data), env).verify(key)
    if name.startswith("cvc-"):
        return same_environment(cvc.Certificate.parse(data), env).verify(key)
    if name == "upload":
        made = log.Upload.parse(data)
        made.signed_head.verify(key, objects.UploadHead.KIND, env)
        return made
    if name == "ledger":
        entries = [chain.LedgerEntry.parse(x) for x in cbor.decode_sequence(data)]
        return chain.check_entries(entries)
    if name == "bundle-file":
        return Sign1.parse(bundle.unpack(data))
    return objects.open_signed(SHAPES[name.removeprefix("object-")], data, key, env)


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_code_does_what_the_vectors_say(path):
    content = json.loads(path.read_text("utf-8"))
    key, env = bytes.fromhex(content["public_key"]), Environment(content["environment"])
    assert content["accept"]
    assert content["refuse"]
    for good in content["accept"]:
        read(path.stem, bytes.fromhex(good["bytes"]), key, env)
    for bad in content["refuse"]:
        with pytest.raises(WireError):
            pytest.fail(
                f"accepted: {bad['why']} {read(path.stem, bytes.fromhex(bad['bytes']), key, env)}"
            )


def test_the_files_are_what_their_maker_makes():
    made = vectors.make()
    assert {p.stem for p in FILES} == set(made)
    for path in FILES:
        assert path.read_text("utf-8") == vectors.text(made[path.stem]), path.stem
