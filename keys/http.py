"""The key service's client, and what both ends of its socket share.

``POST /v1/<verb>``: body and answer are deterministic CBOR arrays. Nothing secret stands in a
URL, and nothing of a body is logged. Errors are RFC 9457 problem documents whose ``code`` gives
the client the same exception that the service raised. The server is ``keys/httpserver.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import httpx

from keys import errors
from keys.cardservice import CardStep
from keys.doors import over
from keys.enrol import OfficerRequest, StationRequest
from keys.errors import Code, KeysError, ObjectRefusedError, RevokedKeyError, UnreachableError
from keys.service import EntitlementWish
from wire import cbor, objects
from wire.errors import FormatError
from wire.objects import SignedShape

BASE = "http://betang-keys"
TIMEOUT_S = 120.0
CBOR_TYPE = "application/cbor"
PROBLEM_TYPE = "application/problem+json"


def as_bytes(value: cbor.Value) -> bytes:
    """A byte string; :class:`FormatError` for anything else."""
    if not isinstance(value, bytes):
        raise FormatError("argument is not a byte string")
    return value


def as_optional(value: cbor.Value) -> bytes | None:
    """A byte string or null."""
    return None if value is None else as_bytes(value)


def as_list(value: cbor.Value) -> list[bytes]:
    """A list of byte strings; :class:`FormatError`."""
    if not isinstance(value, list):
        raise FormatError("argument is not a list")
    return [as_bytes(v) for v in value]


def as_text(value: cbor.Value) -> str:
    """Text; :class:`FormatError`."""
    if not isinstance(value, str):
        raise FormatError("argument is not text")
    return value


def as_number(value: cbor.Value) -> int:
    """An integer; :class:`FormatError`."""
    if type(value) is not int:
        raise FormatError("argument is not a number")
    return value


def _error_classes() -> dict[str, type[KeysError]]:
    found = {}
    for name in vars(errors).values():
        if isinstance(name, type) and issubclass(name, KeysError):
            found[str(name.code)] = name
    return found


_CLASSES = _error_classes()


class KeyClient:
    """The verbs of :class:`keys.service.KeyService` over the socket at ``path``.

    Raises what the service raises (:class:`ObjectRefusedError` for bytes that are no object of
    ours), and :class:`UnreachableError`. ``transport`` is for tests in process.
    """

    def __init__(self, path: Path | None, transport: httpx.BaseTransport | None = None) -> None:
        carrier = transport or over(path or Path())
        self._http = httpx.Client(transport=carrier, base_url=BASE, timeout=TIMEOUT_S)

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def _ask(self, verb: str, arguments: list[cbor.Value]) -> cbor.Value:
        try:
            answer = self._http.post(
                f"/v1/{verb}",
                content=cbor.encode(arguments),
                headers={"content-type": CBOR_TYPE},
            )
        except httpx.HTTPError as e:
            raise UnreachableError("the key service does not answer") from e
        if answer.status_code != httpx.codes.OK:
            raise _error_of(answer)
        return cbor.decode_array(answer.content, 1)[0]

    def _bytes(self, verb: str, arguments: list[cbor.Value]) -> bytes:
        return as_bytes(self._ask(verb, arguments))

    def sign_registry(
        self, shapes: Sequence[SignedShape], request: bytes, approval: bytes
    ) -> list[bytes]:
        """See :meth:`keys.service.KeyService.sign_registry`."""
        kind = shapes[0].KIND if shapes else ""
        payloads: list[cbor.Value] = [bytes(s) for s in shapes]
        return as_list(self._ask("registry", [kind, payloads, request, approval]))

    def sign_policy(
        self, shape: SignedShape, request: bytes | None = None, approval: bytes | None = None
    ) -> bytes:
        """See :meth:`keys.service.KeyService.sign_policy`."""
        return self._bytes("policy", [shape.KIND, bytes(shape), request, approval])

    def sign_entitlements(
        self, wishes: Sequence[EntitlementWish], request: bytes, approval: bytes
    ) -> list[bytes]:
        """See :meth:`keys.service.KeyService.sign_entitlements`."""
        bodies: list[cbor.Value] = [bytes(w) for w in wishes]
        return as_list(self._ask("entitlements", [bodies, request, approval]))

    def sign_scripts(self, bodies: Sequence[bytes], request: bytes, approval: bytes) -> list[bytes]:
        """See :meth:`keys.service.KeyService.sign_scripts`."""
        return as_list(self._ask("scripts", [[*bodies], request, approval]))

    def certify_terminal(self, request: StationRequest) -> bytes:
        """See :meth:`keys.service.KeyService.certify_terminal`."""
        return self._bytes("terminal", [bytes(request)])

    def certify_officer(
        self, wish: OfficerRequest, request: bytes | None = None, approval: bytes | None = None
    ) -> bytes:
        """See :meth:`keys.service.KeyService.certify_officer`."""
        return self._bytes("officer", [bytes(wish), request, approval])

    def enrol_approver(self, enrolment: objects.ApproverEnrolment) -> None:
        """See :meth:`keys.servicecore.ServiceCore.enrol_approver`."""
        self._ask("approver", [bytes(enrolment)])

    def personaliser_certificate(self) -> bytes:
        """See :meth:`keys.cardservice.CardVerbs.personaliser_certificate`."""
        return self._bytes("personaliser-certificate", [])

    def personaliser_ecdh(self, channel_key: bytes) -> bytes:
        """See :meth:`keys.cardservice.CardVerbs.personaliser_ecdh`."""
        return self._bytes("personaliser-ecdh", [channel_key])

    def open_card_session(self, order: bytes, officer: int) -> bytes:
        """See :meth:`keys.cardservice.CardVerbs.open_card_session`."""
        return self._bytes("card-open", [order, officer])

    def card_step(self, session_id: bytes, step: CardStep, apdu: bytes = b"") -> bytes:
        """See :meth:`keys.cardservice.CardVerbs.card_step`."""
        return self._bytes("card-step", [session_id, str(step), apdu])

    def close_card_session(self, session_id: bytes) -> None:
        """See :meth:`keys.cardservice.CardVerbs.close_card_session`."""
        self._ask("card-close", [session_id])

    def certify_card(self, session_id: bytes) -> bytes:
        """See :meth:`keys.cardservice.CardVerbs.certify_card`."""
        return self._bytes("card-certify", [session_id])

    def card_certificate(self, session_id: bytes) -> bytes | None:
        """See :meth:`keys.cardservice.CardVerbs.card_certificate`."""
        return as_optional(self._ask("card-certificate", [session_id]))

    def scrap_card(self, card_id: bytes, reason: str) -> None:
        """See :meth:`keys.cardservice.CardVerbs.scrap_card`."""
        self._ask("card-scrap", [card_id, reason])

    def trust_file(self) -> bytes:
        """See :meth:`keys.servicecore.ServiceCore.trust_file`."""
        return self._bytes("trust", [])

    def stock(self) -> tuple[int, int, int]:
        """See :meth:`keys.servicecore.ServiceCore.stock`."""
        value = self._ask("stock", [])
        free, certified, scrapped = value if isinstance(value, list) else [None] * 3
        return as_number(free), as_number(certified), as_number(scrapped)


def _error_of(answer: httpx.Response) -> KeysError:
    try:
        problem = answer.json()
        code, detail = str(problem["code"]), str(problem["detail"])
        revocation = problem.get("revocation")
    except (ValueError, KeyError, TypeError, AttributeError):
        return UnreachableError(f"the key service answered {answer.status_code}")
    if code == Code.REVOKED and isinstance(revocation, str):
        return RevokedKeyError(objects.Revocation.parse(bytes.fromhex(revocation)))
    kind = _CLASSES.get(code, ObjectRefusedError)
    return kind(detail) if kind is not RevokedKeyError else KeysError(detail)
