"""Blank cards, a profile and a CAP file for the loader's tests; the card is the reference card."""

from __future__ import annotations

import hashlib
import itertools

from card_os.host.links import InProcessLink
from card_os.reference.card import ReferenceCard
from card_os.reference.packages import PACKAGES
from card_os.reference.profiles import JCOP_LIKE, TransportKeys
from issuer import profiles
from issuer.cap import CapFile
from issuer.cap_load import Loader, Plan
from keys.cardsession import TransportSets
from keys.kdf import StaticKeys
from keys.signer import P256KeyAgreement
from tests.unit.issuer.cap_files import cap_bytes
from wire.env import Environment
from wire.purse import InstallParameters

ENV = Environment.DEMO_LIVE
KEYS = StaticKeys(b"T" * 16, b"M" * 16, b"D" * 16)
WRONG = StaticKeys(b"t" * 16, b"M" * 16, b"D" * 16)
KVN = 0xFF
CAP = CapFile.parse(cap_bytes())


def seeded():
    numbers = itertools.count()
    return lambda n: hashlib.shake_128(b"load%d" % next(numbers)).digest(n)


ROOT = P256KeyAgreement.generate(seeded()).public_key


def blank(*, keys=KEYS, kvn=KVN, card=JCOP_LIKE, preloaded=(), registry=PACKAGES):
    return ReferenceCard.create(
        transport_keys=TransportKeys(kvn, keys), serial=b"\0\0\0\x07", registry=registry,
        random=seeded(), profile=card, preloaded=preloaded,
    )  # fmt: skip


def changed(profile, **tables):
    """The profile with fields of its tables replaced: ``channel={"kvn": 1}``."""
    update = {
        t: getattr(profile, t).model_copy(update=f) if isinstance(f, dict) else f
        for t, f in tables.items()
    }
    return profile.model_copy(update=update)


PROFILE = changed(profiles.find("j3r180"), load={"block_bytes": 200})


def plan(*, profile=PROFILE, cap=CAP, env=ENV, replace_old=False):
    return Plan(profile, cap, env, ROOT, replace_old)


class Counting:
    """A link that notes the commands; INS by INS."""

    def __init__(self, card):
        self._inner = InProcessLink(card)
        self.sent = []

    atr = property(lambda self: self._inner.atr)
    interface = property(lambda self: self._inner.interface)

    def transmit(self, command, /):
        self.sent.append(command)
        return self._inner.transmit(command)

    def reset(self):
        return self._inner.reset()

    def close(self):
        self._inner.close()

    def count(self, ins):
        return sum(command[1] == ins for command in self.sent)


def load(link, *, keys=KEYS, events=None, random=None, source=None, **options):
    source = source or TransportSets(KVN, {b"": keys})
    emit = (lambda _: None) if events is None else events.append
    return Loader(plan(**options), source, random or seeded(), emit).run(link)


def content(card):
    """What the card holds, tries and sequences aside; the slot's number does not count."""
    nvm = card.nvm
    found = {name: nvm.get(name) for name in nvm.keys("content/file/")}
    for name in nvm.keys("content/app/"):
        raw = nvm.get(name)
        found[name] = raw.replace(nvm.get("content/slot"), b"slot")
    return found


def anchors():
    return bytes(InstallParameters(ENV, ROOT))
