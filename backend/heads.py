"""Heads of both chains, signed by the Ack key and kept for the export (docs/wire.md#chains)."""

from __future__ import annotations

from sqlmodel import Session, col, select

from backend import issuance, ledger
from backend.models import Head
from keys.signer import Signer, sign_object
from wire.env import Environment
from wire.objects import IssuanceHead, LedgerHead


def publish(session: Session, signer: Signer, env: Environment, now_s: int) -> list[bytes]:
    """Sign what has grown since the last heads; the new COSE objects."""
    made = []
    for shape, (sequence, digest) in (
        (LedgerHead, ledger.head(session)),
        (IssuanceHead, issuance.head(session)),
    ):
        if sequence == 0 or sequence <= _last(session, shape.KIND):
            continue
        raw = bytes(sign_object(signer, shape(sequence, digest, now_s), env))
        session.add(Head(kind=shape.KIND, sequence=sequence, raw=raw))
        made.append(raw)
    session.flush()
    return made


def _last(session: Session, kind: str) -> int:
    found = session.exec(
        select(Head.sequence).where(Head.kind == kind).order_by(col(Head.sequence).desc()).limit(1)
    ).first()
    return found or 0


def published(session: Session) -> list[bytes]:
    """Every head ever signed, in order."""
    return list(session.exec(select(Head.raw).order_by(col(Head.id))))
