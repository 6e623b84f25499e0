"""The auditor's pages: addresses and templates only; what they show is in ``browse`` and beside.

docs/audit.md#the-face, docs/ui.md.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

from fastapi import Depends, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.concurrency import run_in_threadpool

from backend.audit.errors import AuditError
from backend.audit.messages import ALERTS, CANNOT, HOLDS, KINDS, MESSAGES, WORDS
from backend.face import browse, charts, gather, lists, paper, parts, things
from backend.face.alter import Altered, NoSuchByteError, alter, choose, files
from backend.face.book import Book, Query
from backend.face.browse import TrailStep, trail
from backend.face.lines import Count, RefKind
from backend.face.lists import Filter
from backend.face.reading import Reading
from backend.face.tables import sheets
from backend.face.texts import (
    COUNTS,
    EXPLAINED,
    FIELDS,
    OUTCOMES,
    PAPERS,
    REFS,
    STAGES,
    STATES,
    STEPS,
    Stage,
    State,
)  # fmt: skip
from ui.face import Face, Mark, back, session
from ui.guard import Door
from ui.words import LANGUAGES
from wire.invariants import TITLES
from wire.objects import Unit

HERE: Final = Path(__file__).parent
T = TypeVar("T")
PART_HEADER: Final = "x-part"
"""Sent by audit.js: only what goes beside the table."""
WORDS_OF_PAGES: Final = {
    "COUNTS": COUNTS, "EXPLAINED": EXPLAINED, "FIELDS": FIELDS, "OUTCOMES": OUTCOMES,
    "PAPERS": PAPERS, "REFS": REFS, "STAGES": STAGES, "STATES": STATES, "STEPS": STEPS,
    "HOLDS": HOLDS, "ALERTS": ALERTS, "CANNOT": CANNOT, "WORDS": WORDS, "TITLES": TITLES,
    "RUPIAH": Unit.RUPIAH, "Unit": Unit, "basis_href": browse.basis_href, "rows": parts.rows,
    "place_href": browse.place_href, "provider_href": browse.provider_href,
}  # fmt: skip


def _found(thing: T | None) -> T:
    if thing is None:
        raise HTTPException(404)
    return thing


def _hex(text: str, size: int) -> bytes:
    try:
        raw = bytes.fromhex(text)
    except ValueError:
        raw = b""
    if len(raw) != size:
        raise HTTPException(404)
    return raw


@dataclass(frozen=True, slots=True)
class Where:
    """What an address narrows a list to."""

    program: int | None = None
    penyalur: str | None = None
    tempat: str | None = None
    kartu: str | None = None
    barang: str | None = None
    hari: str | None = None
    keadaan: State | None = None

    def trail(self, book: Book, here: Stage) -> tuple[TrailStep, ...]:
        """The trail of money so narrowed."""
        card = _hex(self.kartu, 8) if self.kartu else None
        return trail(book, here, programme=self.program, provider=self.penyalur,
                     place=self.tempat, card=card)  # fmt: skip


class Pages:
    """Every page of one auditor's face over one :class:`Reading`."""

    def __init__(
        self, reading: Reading, door: Door, below: Callable[[int], int] = secrets.randbelow
    ) -> None:
        self.reading, self.below = reading, below
        env = reading.book.world.trust.env
        mark = Mark(demo=env.is_demo, specimen=env.is_specimen)
        self.face = Face("Pemeriksa", HERE / "templates", door, mark=mark, static=HERE / "static")
        self.app = self.face.app
        self._money()
        self._places()
        self._cards()
        self._items()
        self._proof()
        self._files()

    @property
    def book(self) -> Book:
        """What is loaded now."""
        return self.reading.book

    def shown(self, request: Request, name: str, here: str = "", **values: Any) -> HTMLResponse:
        """A page with what the frame of every page needs."""
        return self.face.page(request, f"audit/{name}.html", here=here, **self._frame(request),
                              **values)  # fmt: skip

    def _frame(self, request: Request) -> dict[str, Any]:
        book = self.book
        n = LANGUAGES.index(session(request).language)
        return WORDS_OF_PAGES | {
            "labels": lambda chart: [label[n] for label in chart.labels],
            "series": lambda chart: [[COUNTS[c][n], values] for c, values in chart.series],
            "fingerprint": sha256(book.world.trust.root_key).hexdigest(),
            "wallet_name": lambda raw: book.wallet_title(int.from_bytes(raw, "big")),
            "kind_word": lambda kind: KINDS.get(kind, (kind, kind))[n],
            "book": book, "report": book.report, "head": self.reading.head,
            "changed": self.reading.changed(), "title_of": book.title,
            "names": book.names(session(request).language), "PAGE": lists.PAGE,
            "line_name": lambda line: browse.line_name(book, line),
        }  # fmt: skip

    # --- money ------------------------------------------------------------

    def _money(self) -> None:
        app = self.app

        @app.get("/")
        def fund(request: Request) -> HTMLResponse:
            table = browse.programme_table(self.book)
            return self.shown(
                request, "fund", "trail", trail=trail(self.book, Stage.FUND), table=table,
                flow=charts.flow_chart(table),
                days=charts.day_chart(self.book, Query(Count.REDEEMED)),
                at=charts.place_chart(browse.place_table(self.book)),
            )  # fmt: skip

        @app.get("/program/{code}")
        def programme(request: Request, code: int) -> HTMLResponse:
            line = _found(self.book.programmes.get(code))
            table = browse.places_of(self.book, code)
            return self.shown(
                request, "programme", "trail", line=line, table=table,
                trail=trail(self.book, Stage.PROGRAMME, programme=code),
                own=[r for r in browse.programme_table(self.book).rows
                     if r.href.endswith(f"/{code}")],
                has_tariff=line.price_minor != 1, figures=browse.more_of(self.book, code),
                days=charts.day_chart(self.book, Query(Count.REDEEMED, programme=code)),
                at=charts.place_chart(table),
                signed=things.programme_papers(self.book, code),
                handed=[self.book.figure(Query(Count.HANDED, programme=code, good=good), n)
                        for good, n in line.goods.items()],
            )  # fmt: skip

        @app.get("/penyalur")
        def providers(request: Request) -> HTMLResponse:
            return self.shown(
                request, "table", "trail", trail=trail(self.book, Stage.PROVIDER),
                table=browse.provider_table(self.book), stage=Stage.PROVIDER,
            )  # fmt: skip

        @app.get("/penyalur/{name:path}")
        def provider(request: Request, name: str) -> HTMLResponse:
            line = _found(next((p for p in self.book.report.providers if p.provider == name), None))
            return self.shown(
                request, "provider", "trail", line=line,
                trail=trail(self.book, Stage.PROVIDER, provider=name),
                table=browse.programmes_of(self.book, name),
                own=[r for r in browse.provider_table(self.book).rows if r.name[0] == name],
                settled=browse.basis(self.book, Query(Count.SETTLED, provider=name)),
            )  # fmt: skip

    def _places(self) -> None:
        app = self.app

        @app.get("/tempat")
        def places(request: Request) -> HTMLResponse:
            table = browse.place_table(self.book)
            return self.shown(
                request, "table", "trail", trail=trail(self.book, Stage.PLACE), table=table,
                stage=Stage.PLACE, at=charts.place_chart(table),
            )  # fmt: skip

        @app.get("/tempat/{name:path}")
        def place(request: Request, name: str) -> HTMLResponse:
            if name not in browse.places(self.book) and not things.stations_at(self.book, name):
                raise HTTPException(404)
            return self.shown(
                request, "place", "trail", place=name,
                trail=trail(self.book, Stage.PLACE, place=name),
                table=browse.programmes_at(self.book, name),
                stations=things.stations_at(self.book, name),
                goods=browse.goods_at(self.book, name), handed=browse.handed_at(self.book, name),
                units=self.book.world.units(),
                days=charts.day_chart(self.book, Query(Count.REDEEMED, place=name)),
                cards=[c for c in self.book.world.cards.values()
                       if self.book.homes.get(c.card_id, "") == name],
            )  # fmt: skip

        @app.get("/bukti")
        def basis(request: Request, hitung: Count, where: Annotated[Where, Depends()],
                  halaman: int = 1) -> HTMLResponse:  # fmt: skip
            query = Query(hitung, where.program, where.penyalur, where.tempat, where.kartu,
                          where.barang)  # fmt: skip
            found = browse.basis(self.book, query, halaman)
            if request.headers.get(PART_HEADER):
                return HTMLResponse(self.face.part(
                    session(request), "audit/evidence.html", basis=found, is_part=True,
                    **self._frame(request)))  # fmt: skip
            return self.shown(request, "basis", "trail", basis=found, is_part=False,
                              trail=where.trail(self.book, Stage.FUND))  # fmt: skip

    # --- items ------------------------------------------------------------

    def _cards(self) -> None:
        app = self.app

        @app.get("/kartu")
        def cards(request: Request, halaman: int = 1) -> HTMLResponse:
            every = [c for _, c in sorted(self.book.world.cards.items())]
            pages = max(1, -(-len(every) // lists.PAGE))
            page = min(max(1, halaman), pages)
            part = every[(page - 1) * lists.PAGE : page * lists.PAGE]
            return self.shown(
                request, "table", "trail", trail=trail(self.book, Stage.CARD), stage=Stage.CARD,
                table=browse.card_table(self.book, part), page=page, pages=pages,
                number=len(every),
            )  # fmt: skip

        @app.get("/kartu/{card_id}")
        def card(request: Request, card_id: str) -> HTMLResponse:
            found = _found(self.book.world.cards.get(_hex(card_id, 8)))
            return self.shown(
                request, "card", "trail", view=things.card_view(self.book, found),
                trail=trail(self.book, Stage.CARD, card=found.card_id,
                            place=self.book.homes.get(found.card_id)),
            )  # fmt: skip

        @app.get("/struk")
        def receipts(request: Request, where: Annotated[Where, Depends()],
                     halaman: int = 1) -> HTMLResponse:  # fmt: skip
            chosen = Filter(where.program, where.penyalur, where.tempat, where.kartu, where.hari,
                            where.keadaan)  # fmt: skip
            return self.shown(request, "receipts", "trail",
                              list=lists.receipts(self.book, chosen, halaman),
                              trail=where.trail(self.book, Stage.RECEIPT))  # fmt: skip

    def _items(self) -> None:
        app = self.app

        @app.get("/objek/{name}")
        def signed(request: Request, name: str) -> Response:
            ref = self.book.find(name)
            if ref is not None and ref.kind != RefKind.NAMED:
                return RedirectResponse(ref.href, 303)
            found = _found(things.signed(self.book, _hex(name, 32)))
            return self.shown(request, "signed", view=found, trail=trail(self.book, Stage.FUND))

        @app.get("/terminal/{station}")
        def station(request: Request, station: str, halaman: int = 1) -> HTMLResponse:
            found = _found(self.book.world.stations.get(_hex(station, 8)))
            chain = list(found.chain())
            pages = max(1, -(-len(chain) // lists.PAGE))
            page = min(max(1, halaman), pages)
            return self.shown(
                request, "station", view=found, pages=pages, page=page, number=len(chain),
                records=[things.chained(self.book, p)
                         for p in chain[(page - 1) * lists.PAGE : page * lists.PAGE]],
                trail=trail(self.book, Stage.PLACE, place=found.enrolment.place),
            )  # fmt: skip

        @app.get("/catatan/{station}/{sequence}")
        def record(request: Request, station: str, sequence: int) -> HTMLResponse:
            found = _found(things.record(self.book, _hex(station, 8), sequence))
            own = self.book.world.stations[_hex(station, 8)]
            return self.shown(request, "chained", view=found, kind="catatan", station=own,
                              trail=trail(self.book, Stage.PLACE,
                                          place=own.enrolment.place))  # fmt: skip

        @app.get("/buku/{sequence}")
        def ledger(request: Request, sequence: int) -> HTMLResponse:
            found = _found(things.entry(self.book, "buku", sequence))
            covers = self.book.sources.settlement.covers.get(sequence, ())
            return self.shown(
                request, "chained", view=found, kind="buku",
                covered=sum(minor for _, minor in covers), covers=[
                    (lists.receipt_row(self.book, self.book.world.receipts[name]), minor)
                    for name, minor in covers
                ], postings=self.book.world.ledger[sequence - 1].postings,
                trail=trail(self.book, Stage.PROVIDER),
            )  # fmt: skip

        @app.get("/terbit/{sequence}")
        def issuance(request: Request, sequence: int) -> HTMLResponse:
            found = _found(things.entry(self.book, "terbit", sequence))
            return self.shown(request, "chained", view=found, kind="terbit",
                              trail=trail(self.book, Stage.FUND))  # fmt: skip

    # --- proof ------------------------------------------------------------

    def _proof(self) -> None:
        app = self.app

        @app.get("/struk/{name}")
        def receipt(request: Request, name: str, bita: int | None = None) -> HTMLResponse:
            view = _found(gather.receipt_view(self.book, _hex(name, 32), bita))
            held = self.book.held(_hex(name, 32))
            steps = trail(self.book, Stage.RECEIPT)
            if held is not None and view.row is not None:
                row = view.row
                steps = trail(
                    self.book, Stage.RECEIPT, programme=row.programme, place=row.place,
                    card=held.receipt.card_id, receipt=held,
                )  # fmt: skip
            return self.shown(request, "receipt", "trail", view=view, trail=steps)

        @app.get("/temuan")
        def findings(request: Request) -> HTMLResponse:
            return self.shown(
                request, "findings", "findings",
                found=things.findings(self.book, session(request).language),
            )  # fmt: skip

        @app.get("/dilihat")
        def alerts(request: Request) -> HTMLResponse:
            return self.shown(
                request, "alerts", "alerts",
                found=things.alerts(self.book, session(request).language),
                held=[o for o in self.book.report.held if "reversed" not in o.why],
            )  # fmt: skip

        @app.get("/batas")
        def limits(request: Request) -> HTMLResponse:
            return self.shown(request, "limits", "limits", bounds=self.book.report.bounds)

        @app.get("/ubah")
        def choice(request: Request, berkas: str = "", bita: int | None = None) -> HTMLResponse:
            return self._altered(request, berkas, bita, None)

        @app.post("/ubah")
        async def change(request: Request) -> HTMLResponse:
            form = await request.form()
            berkas, bita = str(form.get("berkas", "")), str(form.get("bita", ""))
            return await _threaded(self._alter, request, berkas, bita, "acak" in form)

        @app.post("/muat")
        def reload(request: Request) -> Response:
            error = self.reading.reload()
            if error is not None:
                return self.shown(request, "problem", error=MESSAGES[error.code])
            return back(request)

    def _alter(self, request: Request, berkas: str, bita: str, is_random: bool) -> HTMLResponse:
        try:
            name, at = choose(self.reading.source, self.below) if is_random else (berkas, int(bita))
            result = alter(self.reading.source, name, at, self.book.report.findings)
        except (NoSuchByteError, ValueError):
            number = int(bita) if bita.isdecimal() else None
            return self._altered(request, berkas, number, None, is_wrong=True)
        except (AuditError, OSError):
            return self._altered(request, berkas, None, None, is_away=True)
        return self._altered(request, name, at, result)

    def _altered(
        self, request: Request, file: str, offset: int | None, result: Altered | None,
        *, is_wrong: bool = False, is_away: bool = False,
    ) -> HTMLResponse:  # fmt: skip
        found = []
        if result is not None:
            language = session(request).language
            found = [things.finding_view(self.book, f, language) for f in result.findings]
        return self.shown(
            request, "alter", "alter", files=files(self.reading.source), file=file, offset=offset,
            result=result, found=found, is_wrong=is_wrong, is_away=is_away,
            refused=MESSAGES[result.refused] if result and result.refused else None,
        )  # fmt: skip

    # --- files ------------------------------------------------------------

    def _files(self) -> None:
        app = self.app

        @app.get("/unduh")
        def downloads(request: Request) -> HTMLResponse:
            return self.shown(request, "downloads", "downloads",
                              sheets=sheets(self.book, session(request).language))  # fmt: skip

        @app.get("/unduh/{name}")
        def download(request: Request, name: str) -> Response:
            made = paper.make(self.book, name, session(request).language)
            data, media_type = _found(made)
            headers = {"content-disposition": f'attachment; filename="betang-{name}"'}
            return Response(data, media_type=media_type, headers=headers)


async def _threaded(call: Callable[..., T], *arguments: Any) -> T:
    return await run_in_threadpool(call, *arguments)
