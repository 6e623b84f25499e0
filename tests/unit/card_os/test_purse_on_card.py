"""The purse as the issuer meets it: installed and keyed through the security domain."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from card_os.reference.packages import PACKAGES
from tests.unit.card_os.gp_bench import Host, install_data, make_card, select, send
from wire.env import PACKAGE_AID, Environment, purse_aid

ROOT = (
    ec.derive_private_key(7, ec.SECP256R1())
    .public_key()
    .public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
)


def test_install_select_and_make_keys() -> None:
    env = Environment(0x81)
    aid = purse_aid(env)
    card = make_card(registry=PACKAGES)
    data = install_data(aid, bytes([env]) + ROOT, PACKAGE_AID + b"\x01", PACKAGE_AID)
    host = Host(card)
    assert host.send("80E60C00", install_data(aid, b"", PACKAGE_AID + b"\x01"))[1] == 0x6A80
    assert host.send("80E60C00", data) == (b"\x00", 0x9000)
    assert select(card, aid)[1] == 0x9000
    assert send(card, "80460000")[1] == 0x6985  # only over SCP03
    public_keys, sw = Host(card).send("80460000")
    assert (len(public_keys), sw, public_keys[0], public_keys[65]) == (130, 0x9000, 4, 4)
