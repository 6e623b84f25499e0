"""docs/wire.md and card_os/SPEC.md suffice: a verifier written from them alone judges the vectors
and an export. tests/vectors/export is build/demo/export with build/demo/trust.cbor in it: after a
change of the wire, `make demo ONCE=1` and copy both again.
"""

import ast
import json
import shutil
import sys
from hashlib import sha256
from pathlib import Path

import pytest
from formats import WIRE, RefusedError, decode, open_cose
from verifier import check_vector, show, summary, verify_export

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
VECTORS = sorted((ROOT / "tests" / "vectors").glob("*.json"))
EXPORT = ROOT / "tests" / "vectors" / "export"
DEMO = ROOT / "build" / "demo"
FINGERPRINT = "52806efa0216aadc8a735160e2037f7e3b71a9bc48c12559a1a926ff87a59037"
FILES = sorted(path.relative_to(EXPORT) for path in EXPORT.rglob("*.cbor"))
ALLOWED = {"cryptography", "nacl", "formats"}


def refused(check, *arguments):
    try:
        check(*arguments)
    except RefusedError:
        return True
    return False


@pytest.mark.parametrize("path", VECTORS, ids=lambda path: path.stem)
def test_every_vector_is_judged_as_it_says(path):
    vectors = json.loads(path.read_text())
    key, environment = bytes.fromhex(vectors["public_key"]), vectors["environment"]
    for one in vectors["accept"]:
        fields = check_vector(path.stem, bytes.fromhex(one["bytes"]), key, environment)
        assert show(fields) == one["fields"], one["name"]
    for one in vectors["refuse"]:
        data = bytes.fromhex(one["bytes"])
        assert refused(check_vector, path.stem, data, key, environment), one["why"]


def first(stem):
    vectors = json.loads((ROOT / "tests" / "vectors" / f"{stem}.json").read_text())
    return bytes.fromhex(vectors["accept"][0]["bytes"]), vectors["environment"]


def worked_examples():
    """The blocks of wire.md#examples as bytes, and all the text around them."""
    text = WIRE.read_text(encoding="utf-8").partition("{#examples}")[2]
    parts = text.split("```")
    lines = [block.strip().splitlines() for block in parts[1::2]]
    found = [bytes.fromhex("".join(line.split("  ")[0] for line in block)) for block in lines]
    return found, "".join(parts[::2])


def test_the_worked_examples_are_the_vectors():
    blocks, text = worked_examples()
    (receipt, env), (card, _), (enrolment, _) = map(
        first, ("receipt", "cvc-card", "object-enrolment")
    )
    signed = open_cose(enrolment, env)
    records = decode(first("upload")[0])[1][:2]
    assert blocks == [receipt, card, enrolment, signed.message, *records]
    for named in (receipt[:146], card, signed.message, *records):
        assert f"`{sha256(named).hexdigest()}`" in text


def test_the_stored_export_verifies():
    found = summary(verify_export(EXPORT, (EXPORT / "trust.cbor").read_bytes(), FINGERPRINT))
    assert found["receipts"] == 22
    assert found["receipts with intent"] == 19
    assert found["receipts without intent, terminal lost"] == 3
    assert found["programmes"][258] == {
        "issued": 4_750_000, "debited": 1_314_000, "reversed": 50_000, "forfeited": 0,
        "left": 3_486_000,
    }  # fmt: skip


@pytest.mark.parametrize("where", [0.0, 0.5, 1.0])
def test_a_bit_in_any_file_is_found(tmp_path, where):
    folder = shutil.copytree(EXPORT, tmp_path / "export")
    for name in FILES:
        whole = (EXPORT / name).read_bytes()
        at = round(where * (len(whole) - 1))
        (folder / name).write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert refused(verify_export, folder, (folder / "trust.cbor").read_bytes()), name
        (folder / name).write_bytes(whole)


def test_an_upload_that_is_missing_is_found(tmp_path):
    for name in FILES:
        if name.parts[0] == "uploads":
            folder = shutil.copytree(EXPORT, tmp_path / name.stem)
            (folder / name).unlink()
            assert refused(verify_export, folder, (folder / "trust.cbor").read_bytes()), name


def test_another_root_is_refused():
    assert refused(verify_export, EXPORT, (EXPORT / "trust.cbor").read_bytes(), "00" * 32)


def test_the_verifier_imports_nothing_of_the_project():
    for path in (HERE / "formats.py", HERE / "verifier.py"):
        nodes = list(ast.walk(ast.parse(path.read_text())))
        names = {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
        names |= {one.name for node in nodes if isinstance(node, ast.Import) for one in node.names}
        assert {name.split(".")[0] for name in names} <= ALLOWED | sys.stdlib_module_names


def test_the_newest_demo_verifies():
    """Where `make demo` ran to its end; elsewhere the stored export stands for it."""
    done = (DEMO / "summary.json").exists() and (DEMO / "trust.cbor").exists()
    folder, trust = (DEMO / "export", DEMO) if done else (EXPORT, EXPORT)
    found = summary(verify_export(folder, (trust / "trust.cbor").read_bytes()))
    assert found["receipts"] > 0
