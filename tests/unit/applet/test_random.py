"""Keys and ephemeral keys of the applet differ between runs: jCardSim's own would repeat."""

import pytest

from card_os.reference import external
from card_os.reference.external import AppletHost
from keys.scp11 import Scp11aHost, SoftwareEcdhKey
from tests.support.applet_world import AppletBench
from tests.support.purse_world import ENV, TERMINAL, World, private_key
from wire.cvc import Role


def fresh_values() -> tuple[bytes, bytes]:
    """A new Java process's first card: the public half of its channel key, and the ephemeral key
    that it answers MUTUAL AUTHENTICATE with.
    """
    with AppletHost() as host:
        bench = AppletBench(World(ENV), applet_class=host.make)
        bench.give_links()
        bench.generate_keys()
        bench.power_on()
        certificate = bench.world.terminal_certificate(Role.PERSONALISER)
        assert bench.pso(certificate) == 0x9000
        key = Scp11aHost(SoftwareEcdhKey(private_key(TERMINAL)), bench.channel_public, bench.random)
        answer = bench.transmit(key.command())
        assert answer.sw == 0x9000
        at = answer.data.index(b"\x5f\x49\x41") + 3
        return bench.channel_public, answer.data[at : at + 65]


def test_they_differ_between_runs(applet_host: AppletHost) -> None:
    ours = [fresh_values() for _ in range(2)]
    assert len({value for pair in ours for value in pair}) == 4


def test_jcardsims_own_generator_is_noticed(
    applet_host: AppletHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its class before ours on the class path, both runs make the same keys."""
    reverse = ":".join(reversed(external.class_path().split(":")))
    monkeypatch.setattr(external, "class_path", lambda: reverse)
    assert fresh_values() == fresh_values()
