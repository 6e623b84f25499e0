"""The PKCS#11 token: it signs by the rules of the files, and its keys do not leave it."""

import os
import subprocess
from pathlib import Path

import pytest

from keys.errors import (
    TokenError,
)
from keys.folder import KeyFolder, Secrets, TokenPlace
from keys.issuance import MemoryIssuance
from keys.pkcs11 import Token
from keys.signer import P256KeyAgreement, P256Signer
from tests.support import keys_world as kw
from tests.support.keys_world import ENV, NOW_S
from wire import cvc, ecdsa

SECRETS = Secrets("frasa")
LOG_N = 10


LIBRARY = "/usr/lib/softhsm/libsofthsm2.so"


@pytest.fixture(scope="module")
def token(tmp_path_factory):
    """One token for this process: SoftHSM reads its configuration once."""
    if not Path(LIBRARY).exists():
        if os.environ.get("CI"):
            pytest.fail("SoftHSM2 is missing")
        pytest.skip("not proved: SoftHSM2 is not installed")
    base = tmp_path_factory.mktemp("hsm")
    (base / "tokens").mkdir()
    conf = base / "softhsm2.conf"
    conf.write_text(f"directories.tokendir = {base}/tokens\nobjectstore.backend = file\n")
    os.environ["SOFTHSM2_CONF"] = str(conf)
    subprocess.run(
        ["softhsm2-util", "--init-token", "--free", "--label", "betang", "--pin", "1234",
         "--so-pin", "5678"], check=True, capture_output=True,
    )  # fmt: skip
    made = Token(LIBRARY, "betang", "1234")
    yield made
    made.close()


def test_token_signs_by_the_same_rules(token) -> None:
    p256, ed = token.generate_p256("a"), token.generate_ed25519("b")
    ecdsa.verify_p256(p256.public_key, p256.sign(b"m"), b"m")
    ecdsa.verify_ed25519(ed.public_key, ed.sign(b"m"), b"m")
    peer = P256KeyAgreement.generate(os.urandom)
    assert p256.ecdh(peer.public_key) == peer.ecdh(p256.public_key)
    assert token.p256("a").public_key == p256.public_key
    assert token.ed25519("b").public_key == ed.public_key
    assert token.holds("a")
    assert not token.holds("z")


def test_token_keys_do_not_leave(token) -> None:
    from pkcs11 import Attribute
    from pkcs11.exceptions import PKCS11Error

    key = token.generate_p256("stay")
    assert key._private[Attribute.SENSITIVE]
    assert not key._private[Attribute.EXTRACTABLE]
    with pytest.raises(PKCS11Error):
        key._private[Attribute.VALUE]


def test_an_extractable_key_is_not_used(token, monkeypatch) -> None:
    from pkcs11 import Attribute

    monkeypatch.setattr("keys.pkcs11._PRIVATE", {Attribute.SENSITIVE: False,
                                                 Attribute.EXTRACTABLE: True})  # fmt: skip
    with pytest.raises(TokenError, match="leave"):
        token.generate_p256("loose")


def test_token_refusals(token) -> None:
    token.generate_p256("once")
    with pytest.raises(TokenError, match="already"):
        token.generate_p256("once")
    with pytest.raises(TokenError):
        token.p256("missing")
    with pytest.raises(TokenError, match="kind"):
        token.ed25519("once")
    with pytest.raises(TokenError):
        Token(LIBRARY, "no such token", "1234")
    with pytest.raises(TokenError):
        Token("/nonexistent.so", "betang", "1234")


def test_a_token_without_eddsa_says_so(token, monkeypatch) -> None:
    monkeypatch.setattr(token, "_mechanisms", set())
    with pytest.raises(TokenError, match="EdDSA"):
        token.generate_ed25519("c")


def test_a_hierarchy_on_the_token(token, tmp_path) -> None:
    secrets = Secrets("frasa", "1234")
    folder = KeyFolder.create(
        tmp_path / "hsm", ENV, secrets, random=os.urandom, log_n=LOG_N,
        place=TokenPlace(LIBRARY, "betang"),
    )  # fmt: skip
    folder.hold_ceremony(
        P256Signer.generate(os.urandom), kw.others(), random=os.urandom, now_s=NOW_S, from_s=NOW_S
    )
    assert {k["where"] for k in folder.config["keys"].values()} == {"pkcs11"}
    service = folder.service(secrets, MemoryIssuance(), clock=lambda: NOW_S, random=os.urandom)
    cert = cvc.Certificate.parse(service.personaliser_certificate())
    assert folder.trust().terminal_certificate(cert)
