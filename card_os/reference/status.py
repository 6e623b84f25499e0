"""GET STATUS: what the card holds, in both answer formats, page by page.

Row by row in docs/foreign-clients.md#content.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from card_os.reference.content import CardContent
from card_os.reference.errors import CardError
from wire.apdu import CommandApdu
from wire.errors import require
from wire.tlv import encode, parse_all

__all__ = ["NEXT", "SW_MORE", "Query", "entries", "page"]

NEXT = 0x01  # P2: next occurrences of the last query
TLV_FORMAT = 0x02  # P2: E3 templates instead of the old format
SD, APPLICATIONS, FILES, FILES_AND_MODULES = 0x80, 0x40, 0x20, 0x10
LOADED = 0x01  # life cycle coding of a load file
MAX_PAGE_BYTES = 223  # fits at every security level
SW_MORE = 0x6310
SW_P1P2 = 0x6A86
SW_NOT_FOUND = 0x6A88


@dataclass(frozen=True, slots=True)
class Query:
    """P1's scope, the answer's format, the AID's beginning, the tags asked for (None: all)."""

    scope: int
    tlv: bool
    aid: bytes
    tags: frozenset[int] | None

    @classmethod
    def parse(cls, command: CommandApdu) -> Self:
        """Read the command: 4F {AID or its beginning} and perhaps 5C {tag list}.

        CardError 6A86 for another P1, FormatError for other data (6A80 at the dispatcher).
        """
        if command.p1 not in {SD, APPLICATIONS, FILES, FILES_AND_MODULES}:
            raise CardError(SW_P1P2)
        items = parse_all(command.data)
        require(bool(items) and items[0][0] == 0x4F, "GET STATUS names an AID first")
        require([tag for tag, _ in items[1:]] in ([], [0x5C]), "only a tag list may follow")
        tags = _tag_list(items[1][1]) if len(items) == 2 else None
        return cls(command.p1, bool(command.p2 & TLV_FORMAT), items[0][1], tags)


def entries(query: Query, content: CardContent, sd: tuple[bytes, int, bytes]) -> list[bytes]:
    """Return the entries found; ``sd`` is the domain's AID, life and privileges.

    Raises CardError 6A88 when there is none.
    """
    found: list[bytes] = []
    if query.scope == SD:
        found = [_application(query, sd, None, sd[0])] if sd[0].startswith(query.aid) else []
    elif query.scope == APPLICATIONS:
        for item in content.instances().values():
            if item.aid.startswith(query.aid):
                row = (item.aid, item.life, item.privileges)
                found.append(_application(query, row, item.package, sd[0]))
    else:
        for aid in content.load_files():
            if aid.startswith(query.aid):
                found.append(_file(query, aid, content, sd[0]))
    if not found:
        raise CardError(SW_NOT_FOUND, "nothing of that kind")
    return found


def page(rest: Sequence[bytes]) -> tuple[bytes, list[bytes]]:
    """Return as many whole entries as fit one answer, and the others."""
    taken = 1
    while taken < len(rest) and len(b"".join(rest[: taken + 1])) <= MAX_PAGE_BYTES:
        taken += 1
    return b"".join(rest[:taken]), list(rest[taken:])


def _application(
    query: Query, row: tuple[bytes, int, bytes], package: bytes | None, sd_aid: bytes
) -> bytes:
    aid, life, privileges = row
    if not query.tlv:
        return bytes([len(aid)]) + aid + bytes([life]) + privileges[:1]
    items = [(0x4F, aid), (0x9F70, bytes([life])), (0xC5, privileges)]
    if package is not None:
        items += [(0xC4, package), (0xCC, sd_aid)]
    return _template(query, items)


def _file(query: Query, aid: bytes, content: CardContent, sd_aid: bytes) -> bytes:
    modules = content.modules(aid) if query.scope == FILES_AND_MODULES else ()
    if not query.tlv:
        old = bytes([len(aid)]) + aid + bytes([LOADED, 0])
        if query.scope == FILES_AND_MODULES:
            old += bytes([len(modules)]) + b"".join(bytes([len(m)]) + m for m in modules)
        return old
    items = [(0x4F, aid), (0x9F70, bytes([LOADED])), (0xCE, content.version(aid))]
    items += [(0x84, module) for module in modules] + [(0xCC, sd_aid)]
    return _template(query, items)


def _template(query: Query, items: list[tuple[int, bytes]]) -> bytes:
    kept = [encode(t, v) for t, v in items if query.tags is None or t in query.tags]
    return encode(0xE3, b"".join(kept))


def _tag_list(raw: bytes) -> frozenset[int]:
    tags, at = set(), 0
    while at < len(raw):
        width = 2 if raw[at] & 0x1F == 0x1F else 1  # ISO 7816-4: low bits 1F open a second byte
        require(at + width <= len(raw), "tag list ends within a tag")
        tags.add(int.from_bytes(raw[at : at + width], "big"))
        at += width
    return frozenset(tags)
