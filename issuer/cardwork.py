"""The work on one card, step by step; each step begins from what the card and the service say.

Nothing is assumed from an earlier run: a chip whose card is not certified starts again from a
fresh instance, a certified one goes on with the keys its certificate names (PROTOCOL.md §6).
The desk relays the protected commands and holds no card management key (§3).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from card_os.host import errors
from card_os.host.links import Link
from card_os.host.opening import CardIdentity
from card_os.host.purse import PurseSession
from card_os.host.security_domain import PurseKeySession, Scope, SecurityDomainSession
from issuer.errors import TransferError
from issuer.mail import MailRoom, new_code
from issuer.orders import Job
from issuer.outcomes import Fault, Outcome, Unfinishable, Waiting, WrongKeys
from keys.cardsession import OWN_KVN
from keys.errors import ChannelError, KeysError, TrustError
from keys.relay import CardKeyVerbs, CardRelay, PersonaliserKey
from keys.trust import TrustStore
from wire import cvc, log
from wire.apdu import CommandApdu, ResponseApdu
from wire.ecdsa import decompress
from wire.entitlement import CERTIFICATE_HASH_BYTES, Entitlement
from wire.env import PACKAGE_AID, purse_aid
from wire.errors import WireError
from wire.log import DeskStep
from wire.purse import (
    PIN_UNBLOCKS,
    TRANSPORT_CODE_TRIES,
    CardKeys,
    CardState,
    Flag,
    InstallParameters,
    Life,
)
from wire.schema import Shape

MODULE_AID = PACKAGE_AID + b"\x01"
_KDD_BYTES = 10  # in INITIALIZE UPDATE's answer the key version follows it


class EntitlementSource(Protocol):
    """Where first entitlements come from."""

    def entitlements(self, card_id: bytes) -> Sequence[bytes]:
        """Every newest signed entitlement of the card, perhaps none yet.

        Raises :class:`issuer.errors.TransferError` when it cannot be known now.
        """
        ...


class StopError(Exception):
    """The work ends here with this outcome; it is no error of the program."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.key)
        self.outcome = outcome


@dataclass(frozen=True, slots=True)
class Tools:
    """What a desk works with. ``links``: the card's first trust (kinds T and I)."""

    keys: CardKeyVerbs
    trust: TrustStore
    links: tuple[cvc.Certificate, ...]
    source: EntitlementSource
    mail: MailRoom
    clock: Callable[[], int]
    random: Callable[[int], bytes] = field(repr=False)


class RelayChannel:
    """:class:`keys.relay.CardRelay` as the sessions of card_os.host take it; sees only APDUs."""

    def __init__(self, relay: CardRelay) -> None:
        self._relay = relay
        self.kvn = 0

    def initialize_update(self) -> bytes:
        """The first command of a channel."""
        return bytes(self._relay.initialize_update())

    def external_authenticate(self, response: bytes) -> bytes:
        """The second; the card's key version is noted on the way."""
        answer = ResponseApdu.parse(response)
        self.kvn = answer.data[_KDD_BYTES]  # at least 29 bytes: the session checked
        return bytes(self._relay.external_authenticate(answer))

    def finish(self, response: bytes) -> None:
        """The card's answer to the second."""
        self._relay.finish(ResponseApdu.parse(response))

    def wrap(self, command: bytes) -> bytes:
        """The command protected."""
        return bytes(self._relay.wrap(CommandApdu.parse(command)))

    def unwrap(self, response: bytes) -> bytes:
        """The answer in clear."""
        return bytes(self._relay.unwrap(ResponseApdu.parse(response)))

    def put_key(self) -> bytes:
        """PUT KEY with our own keys, protected by the service."""
        return bytes(self._relay.put_key())


class Journal(Protocol):
    """Where the work says how far it came; both are durable on return."""

    def reach(self, step: DeskStep, card_id: bytes | None = None) -> None:
        """The card has come to ``step``."""
        ...

    def note(self, body: Shape) -> None:
        """A further log record."""
        ...


class CardWork:
    """One card under one order; :meth:`run` raises :class:`StopError` where it cannot go on."""

    def __init__(self, link: Link, tools: Tools, job: Job, officer: int, journal: Journal) -> None:
        self._link, self._tools, self._journal = link, tools, journal
        self._order, self._raw, self._officer = job.order, job.raw, officer
        self._env = tools.trust.env

    def run(self) -> tuple[bytes, tuple[int, ...]]:
        """Card id and wallets of the card, issued and verified.

        1. own management keys; 2. purse; 3. card keys, certificate; 4. PERSONALISE; 5. first
        entitlements; 6. all of it read back after a power-up.
        """
        with CardRelay(self._tools.keys, self._raw, self._officer) as relay:
            channel = RelayChannel(relay)
            certificate = self._install(relay, channel)  # 1, 2
            if certificate is None:
                certificate = self._make_keys(relay, channel)  # 3
            else:
                self._check_certificate(certificate)
        self._journal.reach(DeskStep.CERTIFIED, certificate.subject)
        key = PersonaliserKey.of(self._tools.keys)
        self._personalise(certificate, key)  # 4
        self._journal.reach(DeskStep.PERSONALISED, certificate.subject)
        loaded = self._load(certificate, key)  # 5
        self._journal.reach(DeskStep.LOADED, certificate.subject)
        self._verify(certificate, key, loaded)  # 6
        return certificate.subject, tuple(sorted(e.wallet for e in loaded))

    # --- 1, 2 --------------------------------------------------------------------------------

    def _open(self, channel: RelayChannel) -> SecurityDomainSession:
        """The security domain; one try only, since each wrong one brings the card nearer its end.

        A wrong key shows at the card's cryptogram, before the card is asked to count a try.
        """
        try:
            return SecurityDomainSession(self._link, channel)
        except (ChannelError, errors.KeyBlockedError) as e:
            raise StopError(WrongKeys(self._order.number, str(e))) from e

    def _install(self, relay: CardRelay, channel: RelayChannel) -> cvc.Certificate | None:
        with self._open(channel) as domain:
            if channel.kvn != OWN_KVN:
                domain.put_key()
        with self._open(channel) as domain:
            if channel.kvn != OWN_KVN:
                raise StopError(self._unfinishable(Fault.OTHER_KEYS, "PUT KEY changed nothing"))
            self._journal.reach(DeskStep.MANAGEMENT_KEYS)
            certificate = relay.certificate()
            if certificate is None:
                self._fresh_instance(domain)
                self._journal.reach(DeskStep.INSTALLED)
            return certificate

    def _fresh_instance(self, domain: SecurityDomainSession) -> None:
        """Our own instance: one that was there may have been given another root."""
        others = {k.kvn for k in domain.key_information()} - {OWN_KVN}
        if others:
            detail = "key versions " + " ".join(f"{kvn:02X}" for kvn in sorted(others))
            raise StopError(self._unfinishable(Fault.FOREIGN_KEY_SET, detail))
        aid = purse_aid(self._env)
        if domain.get_status(Scope.APPLICATIONS, aid):
            domain.delete(aid)
        parameters = bytes(InstallParameters(self._env, self._tools.trust.root_key))
        domain.install_for_install(PACKAGE_AID, MODULE_AID, aid, parameters)

    # --- 3 -------------------------------------------------------------------------------------

    def _make_keys(self, relay: CardRelay, channel: RelayChannel) -> cvc.Certificate:
        with PurseKeySession(self._link, channel, self._env) as session:
            keys = session.generate_keys()
        self._journal.reach(DeskStep.KEYS_MADE)
        certificate = relay.certify()
        self._check_certificate(certificate)
        if _card_keys(certificate) != keys:
            detail = "the certificate is for other keys than the card answered"
            raise StopError(self._unfinishable(Fault.CERTIFICATE, detail, certificate.subject))
        return certificate

    def _check_certificate(self, certificate: cvc.Certificate) -> None:
        try:
            self._tools.trust.card_certificate(certificate)
        except (TrustError, WireError) as e:
            outcome = self._unfinishable(Fault.CERTIFICATE, str(e), certificate.subject)
            raise StopError(outcome) from e

    # --- 4 -------------------------------------------------------------------------------------

    def _session(self, certificate: cvc.Certificate, key: PersonaliserKey) -> PurseSession:
        """A session with the personalised card, which must show exactly this certificate."""

        def verify(shown: cvc.Certificate) -> CardIdentity:
            if shown != certificate:
                detail = "the card shows another certificate than the service made"
                raise StopError(self._unfinishable(Fault.CERTIFICATE, detail, certificate.subject))
            return CardIdentity.of(shown)

        return PurseSession.open(
            self._link, env=self._env, certificate=key.certificate, channel_key=key,
            verify_card_certificate=verify, random=self._tools.random, links=self._tools.links,
        )  # fmt: skip

    def _personalise(self, certificate: cvc.Certificate, key: PersonaliserKey) -> None:
        card_id = certificate.subject
        try:
            with self._session(certificate, key) as session:
                self._check_inert(session.state, card_id)
        except errors.KeyUnknownError:  # of the session's own certificate: links are missing
            raise
        except errors.NotThereError:
            self._write_certificate(certificate, key)
            return
        if not self._tools.mail.holds(card_id):
            detail = "the card holds a transport code that no mailer carries"
            raise StopError(self._unfinishable(Fault.CODE_LOST, detail, card_id))

    def _check_inert(self, state: CardState, card_id: bytes) -> None:
        if state.life != Life.INERT:
            detail = f"life {state.life.name}"
            raise StopError(self._unfinishable(Fault.LIFE, detail, card_id))

    def _write_certificate(self, certificate: cvc.Certificate, key: PersonaliserKey) -> None:
        """The mailer is durable before the card learns its code: a torn answer loses neither."""
        card_id = certificate.subject
        code = new_code(self._tools.random)
        session = PurseSession.open_keyed(
            self._link, env=self._env, certificate=key.certificate, channel_key=key,
            card_keys=_card_keys(certificate), random=self._tools.random,
            links=self._tools.links,
        )  # fmt: skip
        with session:
            self._tools.mail.seal(card_id, self._order.family, code)
            session.personalise(code, certificate)

    # --- 5 -------------------------------------------------------------------------------------

    def _load(self, certificate: cvc.Certificate, key: PersonaliserKey) -> list[Entitlement]:
        entitlements = self._entitlements(certificate)
        if not entitlements:
            return []
        with self._session(certificate, key) as session:
            for each in entitlements:
                statement = session.load(each)
                self._journal.note(log.Load(each.hash, bytes(statement)))
        return entitlements

    def _entitlements(self, certificate: cvc.Certificate) -> list[Entitlement]:
        card_id = certificate.subject
        try:
            raws = self._tools.source.entitlements(card_id)
            found = [self._tools.trust.entitlement(raw) for raw in raws]
        except (TransferError, WireError, KeysError) as e:
            raise StopError(Waiting(self._order.number, card_id, str(e))) from e
        wanted = (card_id, certificate.digest[:CERTIFICATE_HASH_BYTES])
        if any((e.card_id, e.certificate_hash) != wanted for e in found):
            detail = "an entitlement is for another card"
            raise StopError(Waiting(self._order.number, card_id, detail))
        return found

    # --- 6 -------------------------------------------------------------------------------------

    def _verify(
        self, certificate: cvc.Certificate, key: PersonaliserKey, loaded: list[Entitlement]
    ) -> None:
        """Power up anew, then compare certificate, state and each entitlement in force."""
        card_id = certificate.subject
        self._link.reset()
        with self._session(certificate, key) as session:
            wrong = _differences(session.state, loaded)
            held = [session.read_entitlement(n) for n in range(len(session.state.wallets))]
            wrong += [f"entitlement {e.wallet}" for e in held if not self._stands(e, loaded)]
        if wrong:
            raise StopError(self._unfinishable(Fault.CONTENT, ", ".join(wrong), card_id))

    def _stands(self, held: Entitlement, loaded: list[Entitlement]) -> bool:
        try:
            self._tools.trust.entitlement(bytes(held))
        except (WireError, KeysError):
            return False
        return held.hash in {e.hash for e in loaded}

    def _unfinishable(self, reason: Fault, detail: str, card_id: bytes | None = None) -> Outcome:
        return Unfinishable(reason, self._order.number, card_id, detail)


def _card_keys(certificate: cvc.Certificate) -> CardKeys:
    extension = certificate.extension
    if not isinstance(extension, cvc.CardExtension):
        raise WireError("not a card certificate")
    return CardKeys(certificate.public_key, decompress(extension.receipt_key))


def _differences(state: CardState, loaded: list[Entitlement]) -> list[str]:
    """What a card fresh from the desk shows otherwise than it must (card_os/SPEC.md#states)."""
    want: dict[str, object] = {
        "life": Life.INERT, "flags": Flag(0), "sequence": 0, "acknowledged": 0,
        "script_number": 0, "script_count": 0, "pin_set_count": 0, "bypass_count": 0,
        "pin_tries": TRANSPORT_CODE_TRIES, "pin_unblocks_left": PIN_UNBLOCKS,
        "bypass_total": max([e.bypass_total for e in loaded], default=0),
    }  # fmt: skip
    wrong = [name for name, value in want.items() if getattr(state, name) != value]
    wallets = {
        w.wallet: (w.entitlement_sequence, w.counters.loaded, w.counters.debited)
        for w in state.wallets
    }
    if wallets != {e.wallet: (e.sequence, e.loaded, 0) for e in loaded}:
        wrong.append("wallets")
    return wrong
