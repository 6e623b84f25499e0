"""Over all values: what the key service signs never steps back, and a flipped byte is refused."""

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keys import ceremony
from keys.approvals import batch_hash, check_approval
from keys.enrol import OfficerRequest, StationRequest
from keys.errors import KeysError, PossessionError
from keys.signer import P256KeyAgreement
from keys.store import SealedStore
from keys.trust import TrustStore
from tests.support import keys_world as kw
from tests.support.keys_world import ENV, NOW_S
from wire import cvc
from wire.entitlement import Entitlement
from wire.errors import WireError

FAST = settings(max_examples=60, deadline=None)
COUNTER = itertools.count(1)


@pytest.fixture(scope="module")
def w():
    made = kw.make()
    made.cert = made.certified()
    made.enrol_terminal()
    return made


@pytest.fixture(scope="module")
def flippable(w):
    """Signed things, and what must refuse each once a bit of it is turned."""
    trust = TrustStore(w.world.trust, allow_demo=True)
    station = w.station_request()
    key = P256KeyAgreement.generate(random.Random(5).randbytes)  # noqa: S311 - repeatable
    officer = OfficerRequest.make(ENV, kw.TERMINAL, cvc.Role.HANDOVER, 3, key)
    request, approval = w.two("order", [b"p"])

    def approve(request: bytes, approval: bytes):
        return check_approval(
            trust, request, approval, action="order", payloads=[b"p"], now_s=NOW_S
        )

    return [
        (w.world.trust.statements[0], trust.add_statement),
        (bytes(w.cert), lambda raw: trust.card_certificate(cvc.Certificate.parse(raw))),
        (bytes(w.world.links[0]), lambda raw: trust.link(cvc.Certificate.parse(raw))),
        (bytes(station), lambda raw: StationRequest.parse(raw).verify()),
        (bytes(officer), lambda raw: OfficerRequest.parse(raw).verify()),
        (request, lambda raw: approve(raw, approval)),
        (approval, lambda raw: approve(request, raw)),
    ]


@FAST
@given(which=st.integers(0, 6), at=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_a_flipped_bit_is_refused(flippable, which, at, bit) -> None:
    raw, accept = flippable[which]
    accept(raw)
    bad = bytearray(raw)
    bad[at % len(bad)] ^= 1 << bit
    with pytest.raises((KeysError, WireError, PossessionError)):
        accept(bytes(bad))


@FAST
@given(
    steps=st.lists(
        st.tuples(
            st.integers(1, 6), st.integers(1, 300), st.integers(0, 300), st.booleans(),
            st.integers(1, 3),
        ),
        min_size=1, max_size=8,
    )
)  # fmt: skip
def test_entitlements_never_step_back(w, steps) -> None:
    base = next(COUNTER) * 10
    given_out: dict[int, list[Entitlement]] = {}
    for sequence, loaded, forfeited, cited, wallet in steps:
        w.clock.now_s += 1
        wish = kw.wish(
            w.cert, wallet=base + wallet, sequence=sequence, loaded=loaded,
            forfeited_through=min(forfeited, loaded), cause=kw.CAUSE if cited else None,
        )  # fmt: skip
        try:
            (raw,) = w.entitle(wish)
        except KeysError:
            continue
        given_out.setdefault(wallet, []).append(Entitlement.parse(raw))
    for history in given_out.values():
        for a, b in itertools.pairwise(history):
            assert bytes(a) == bytes(b) or a.sequence < b.sequence
            assert (a.loaded, a.forfeited_through) <= (b.loaded, b.forfeited_through)
            assert a.forfeited_through <= b.forfeited_through


@FAST
@given(secret=st.binary(max_size=200), passphrase=st.text(min_size=1, max_size=20))
def test_sealed_round_trip(secret, passphrase) -> None:
    store = SealedStore(None, log_n=10)
    assert store.unseal("k", store.seal("k", secret, passphrase), passphrase) == secret


@FAST
@given(a=st.lists(st.binary(max_size=4), max_size=4), b=st.lists(st.binary(max_size=4), max_size=4))
def test_batch_hash_is_injective(a, b) -> None:
    assert (batch_hash(a) == batch_hash(b)) == (a == b)


@FAST
@given(order=st.permutations(range(5)))
def test_any_three_shares_in_any_order(shares, order) -> None:
    texts, wrapping = shares
    assert ceremony.combine([texts[i] for i in order[:3]]) == wrapping


@pytest.fixture(scope="module")
def shares():
    from shamir_mnemonic import generate_mnemonics

    wrapping = bytes(range(32))
    (made,) = generate_mnemonics(1, [(3, 5)], wrapping, iteration_exponent=0)
    return made, wrapping
