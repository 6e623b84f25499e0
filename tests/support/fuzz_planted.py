"""A bug planted in the certificate reader, for the guided run: it needs a well-formed link."""

from __future__ import annotations

from dataclasses import replace

from tests.support.fuzz_objects import PARSERS
from wire.cvc import Certificate, LinkExtension

_honest = PARSERS["cvc"]


def read(raw: bytes) -> Certificate:
    """Looks up a version in a table that is too short."""
    certificate = _honest.read(raw)
    if isinstance(certificate.extension, LinkExtension):
        [0, 1][certificate.extension.lowest_kept & 0x0F]
    return certificate


PARSERS["cvc"] = replace(_honest, read=read)
