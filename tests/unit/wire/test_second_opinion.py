"""Another COSE library reads every signed object of ours."""

import pytest
from cwt import COSE, COSEKey

from tests.support import vectors
from wire import cose, objects


def cose_key(public: bytes) -> COSEKey:
    named = {2: cose.key_id(public)}
    if len(public) == 32:
        return COSEKey.new(named | {1: 1, 3: -8, -1: 6, -2: public})  # RFC 9053 §7.2
    point = {-2: public[1:33], -3: public[33:]}
    return COSEKey.new(named | {1: 2, 3: -7, -1: 1} | point)  # §7.1.1


@pytest.mark.parametrize("shape", vectors.sample_objects(), ids=lambda s: s.KIND)
def test_cwt_verifies_what_we_sign(shape: objects.SignedShape) -> None:
    raw = vectors.sign_object(shape)
    key = cose_key(vectors.OFF_CARD[shape.SIGNER].public)
    assert COSE.new().decode(raw, key) == bytes(shape)
    with pytest.raises(Exception, match=r"(?i)verif"):
        COSE.new().decode(raw[:-1] + bytes([raw[-1] ^ 1]), key)
