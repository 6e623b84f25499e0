"""Signers in memory, and the sealed store."""

import os

import pytest

from keys.errors import Code, PassphraseError, StoreError
from keys.messages import MESSAGES
from keys.signer import Ed25519Signer, P256KeyAgreement, P256Signer, sign_object
from keys.store import MAGIC, SealedStore
from tests.support.keys_world import ENV
from wire import ecdsa
from wire.cose import Algorithm
from wire.objects import Approval, FundRelease, open_signed

KINDS = (Ed25519Signer, P256Signer, P256KeyAgreement)


@pytest.mark.parametrize("kind", KINDS)
def test_private_bytes_round_trip_and_hide(kind) -> None:
    key = kind.generate(os.urandom)
    raw = key.private_bytes()
    assert kind.from_private_bytes(raw).public_key == key.public_key
    assert raw.hex() not in repr(key)
    assert "rivate" not in repr(key)
    with pytest.raises(ValueError, match="32"):
        kind.from_private_bytes(raw[:-1])


@pytest.mark.parametrize("kind", [P256Signer, P256KeyAgreement])
def test_zero_and_short_randomness_are_refused(kind) -> None:
    with pytest.raises(ValueError, match="positive"):
        kind.from_private_bytes(bytes(32))
    with pytest.raises(ValueError, match="another length"):
        kind.generate(lambda n: os.urandom(n - 1))


def test_signatures_verify_by_the_wire_rules() -> None:
    ed, p256 = Ed25519Signer.generate(os.urandom), P256Signer.generate(os.urandom)
    ecdsa.verify_ed25519(ed.public_key, ed.sign(b"m"), b"m")
    ecdsa.verify_p256(p256.public_key, p256.sign(b"m"), b"m")


def test_agreement_agrees() -> None:
    a, b = (P256KeyAgreement.generate(os.urandom) for _ in range(2))
    assert a.ecdh(b.public_key) == b.ecdh(a.public_key)
    ecdsa.verify_p256(a.public_key, a.prove(b"x"), b"x")


@pytest.mark.parametrize(("kind", "algorithm"), [(Ed25519Signer, -8), (P256Signer, -7)])
def test_sign_object(kind, algorithm) -> None:
    signer, shape = kind.generate(os.urandom), FundRelease("n", 1, 2, 3)
    made = sign_object(signer, shape, ENV)
    assert made.algorithm == Algorithm(algorithm)
    assert open_signed(FundRelease, bytes(made), signer.public_key, ENV) == shape
    assert Approval.KIND == "approval"


# --- store -------------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path) -> SealedStore:
    return SealedStore(tmp_path / "s", log_n=10)


def test_store_round_trip(store, tmp_path) -> None:
    store.save("issuer-1", b"secret" * 5, "frasa")
    assert store.load("issuer-1", "frasa") == b"secret" * 5
    assert (store.names(), store.exists("issuer-1")) == (("issuer-1",), True)
    file = tmp_path / "s" / "issuer-1.sealed"
    assert file.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "s").stat().st_mode & 0o777 == 0o700
    assert b"secret" not in file.read_bytes()


def test_store_keeps_what_it_has(store) -> None:
    store.save("k", b"1", "p")
    with pytest.raises(StoreError, match="exists"):
        store.save("k", b"2", "p")
    store.save("k", b"2", "p", replace=True)
    assert store.load("k", "p") == b"2"


def test_wrong_passphrase_and_missing(store) -> None:
    store.save("k", b"1", "p")
    with pytest.raises(PassphraseError):
        store.load("k", "q")
    with pytest.raises(StoreError, match="no key"):
        store.load("other", "p")


def test_every_byte_counts(store) -> None:
    raw = store.seal("k", b"secret", "p")
    for at in range(len(raw)):
        if at == len(MAGIC):
            continue  # the cost: another test
        bad = bytearray(raw)
        bad[at] ^= 1
        with pytest.raises(PassphraseError):
            store.unseal("k", bytes(bad), "p")
    for end in (0, 10, len(raw) - 1):
        with pytest.raises(PassphraseError):
            store.unseal("k", raw[:end], "p")


def test_a_renamed_file_does_not_open(store, tmp_path) -> None:
    store.save("policy-1", b"1", "p")
    (tmp_path / "s" / "policy-1.sealed").rename(tmp_path / "s" / "registry-1.sealed")
    with pytest.raises(PassphraseError):
        store.load("registry-1", "p")


@pytest.mark.parametrize("log_n", [0, 9, 21, 255])
def test_cost_is_bounded(store, log_n) -> None:
    raw = bytearray(store.seal("k", b"1", "p"))
    raw[len(MAGIC)] = log_n
    with pytest.raises(PassphraseError, match="cost"):
        store.unseal("k", bytes(raw), "p")
    with pytest.raises(ValueError, match="cost"):
        SealedStore(None, log_n=log_n)


def test_a_huge_file_is_not_read(store, tmp_path) -> None:
    store.save("k", b"1", "p")
    with (tmp_path / "s" / "k.sealed").open("ab") as f:
        f.truncate(2 << 20)
    with pytest.raises(PassphraseError, match="no sealed"):
        store.load("k", "p")


@pytest.mark.parametrize("name", ["", "../x", "A", "a/b", "x" * 65, ".x"])
def test_names(store, name) -> None:
    with pytest.raises(StoreError):
        store.save(name, b"1", "p")


def test_every_code_has_both_texts() -> None:
    assert set(MESSAGES) == set(Code)
    assert all(i and e and i != e for i, e in MESSAGES.values())
