"""What surrounds a bench in tests: a reader moved by hand, an office that answers, evidence."""

from __future__ import annotations

from concurrent.futures import Future

from card_os.host.links import InProcessLink, NoReader
from issuer.evidence import EvidenceBook
from issuer.face import screens as s
from issuer.face.bench import Bench
from issuer.place import Place
from issuer.tally import Tally
from keys.errors import PassphraseError
from keys.signer import sign_object
from tests.unit.issuer.desk_world import DESK_ID, OFFICER, DeskWorld
from wire.cose import Sign1
from wire.objects import (
    Acknowledgement,
    DecreeAnnex,
    DecreeRow,
    FieldVerification,
    GoodsLine,
    KeyRole,
    Programme,
    Tariff,
    Unit,
    VerificationDecision,
)

WORDS = "desk words"


class Reader:
    """A stack of one place, moved by the test: what lies there is a link, or an error."""

    def __init__(self) -> None:
        self.card, self.taken, self.changed, self.gone = None, False, False, False

    def put(self, make) -> None:
        """``make()``: the link to the card, or an error raised when it is powered."""
        self.changed = self.card is not None
        self.card, self.taken = make, False

    def take(self) -> None:
        self.card, self.taken = None, False

    def next(self, _):
        if self.card is None or self.taken:
            return None
        self.taken, self.changed = True, False
        return self.again()

    def again(self):
        link = self.card()
        if isinstance(link, Exception):
            raise link
        return link

    def is_out(self, _):
        return self.card is None or self.changed

    def name(self):
        if self.gone:
            raise NoReader("no reader")
        return "Pembaca meja"


class Office:
    """The office as it answers: signed orders, evidence, an acknowledgement of each upload."""

    def __init__(self, w: DeskWorld) -> None:
        self.w, self.open, self.proofs, self.error = w, [], [], None
        self.uploads = 0

    def orders(self, desk: bytes) -> list[bytes]:
        assert desk == DESK_ID
        if self.error is not None:
            raise self.error
        return self.open

    def evidence(self, desk: bytes) -> list[bytes]:
        return self.proofs

    def upload(self, raw: bytes) -> bytes:
        if self.error is not None:
            raise self.error
        self.uploads += 1
        head = self.w.desk.log.head()
        body = Acknowledgement(DESK_ID, head.sequence, head.hash, self.w.clock())
        return bytes(sign_object(self.w.world.signer(KeyRole.ACK), body, self.w.env))


def place_of(w: DeskWorld, office=None) -> Place:
    def key(passphrase: str):
        if passphrase != WORDS:
            raise PassphraseError("no")
        return w.log_key

    return Place(w.desk, Tally(w.db), EvidenceBook(w.db, w.trust), office, w.service.stock, key)


FOOD_TITLES, CASH_TITLES = ("Paket pangan", "Food basket"), ("Bantuan tunai", "Cash aid")
SIGNATORY, REASON = "Gubernur Kalimantan Tengah", "sesuai, foto diambil"


def proofs(
    w: DeskWorld, family: bytes, row: int = 1, *, food=FOOD_TITLES, cash=CASH_TITLES,
    signatory: str = SIGNATORY, reason: str = REASON,
):  # fmt: skip
    """A decree over two families, with its visit and programmes, signed by the registry."""
    sign = w.world.signer(KeyRole.REGISTRY)
    visit = FieldVerification(family, 31, w.clock() - 9, VerificationDecision.VERIFIED,
                              reason, b"e" * 32, 32)  # fmt: skip
    seen = bytes(sign_object(sign, visit, w.env))
    name = Sign1.parse(seen).hash
    rows = (
        DecreeRow(row, family, 11, 2, name), DecreeRow(row + 500, family, 12, 250_000, name),
        DecreeRow(999, b"o" * 16, 11, 5, b"x" * 32),
    )  # fmt: skip
    decree = DecreeAnnex("188.44/17/2026", 20260215, signatory, rows)
    rice = (GoodsLine("beras", Unit.GRAM, 5_000),)
    food = Programme(11, 1, "Dinas", *food, 1, Unit.BASKET, "Bulog", 9, 2,
                     0, True, (), (Tariff(1, 150_000, rice),))  # fmt: skip
    cash = Programme(12, 1, "Dinas", *cash, 2, Unit.RUPIAH, "Bank", 9, 2,
                     0, False, (), (Tariff(1, 1, ()),))  # fmt: skip
    raws = [seen, *(bytes(sign_object(sign, x, w.env)) for x in (decree, food, cash))]
    return raws, Sign1.parse(raws[1]).hash, name


class World:
    """A bench driven by hand, round by round."""

    def __init__(self, *, reached: bool = False) -> None:
        self.w = DeskWorld()
        self.office = Office(self.w)
        self.reader, self.seen, self.visits = Reader(), [], 0
        place = place_of(self.w, self.office if reached else None)
        self.bench = Bench(place, self.reader)
        self.bench.listen(lambda: self.seen.append(self.bench.view))

    @property
    def screen(self):
        return self.bench.view.screen

    def tell(self, command) -> s.View:
        heard: Future[s.View] = self.bench.tell(command)
        self.bench.turn()
        return heard.result(0)

    def go(self) -> None:
        self.tell(s.Go(self.bench.view.turn))

    def sign_in(self) -> None:
        self.visits += 1
        self.tell(s.SignIn(OFFICER, WORDS, f"visit {self.visits}"))

    def insert(self, make) -> s.Screen:
        """A card (or a link's maker) comes in; what is shown when it is done."""
        self.reader.put(make if callable(make) else lambda: InProcessLink(make))
        for _ in range(2):
            self.bench.turn()
        return self.screen

    def take(self) -> s.Screen:
        self.reader.take()
        for _ in range(2):
            self.bench.turn()
        return self.screen


def signed_in(d: World, orders: int = 3) -> list[bytes]:
    numbers = [d.w.order() for _ in range(orders)]
    d.sign_in()
    return numbers
