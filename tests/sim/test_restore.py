"""Backup and restore of the backend, and what terminals that are ahead of it give back."""

from __future__ import annotations

import os
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from backend.audit.verify import verify
from backend.backup import backup, install_trust
from backend.config import ACK, KEYS, Config, Settings, initialise
from backend.errors import BackendError, ConfigError
from backend.readmit import readmit
from keys.hierarchy import Heads
from keys.signer import Ed25519Signer
from keys.store import SealedStore
from terminal.errors import UploadRefusedError
from terminal.outcomes import CardRefused
from tests.sim.test_runbooks import pay_by_decision
from tests.support.backend_world import ENV
from tests.support.runbook_world import Town
from tests.unit.backend.conftest import POSTGRES, address  # noqa: F401 - a fixture
from wire.chain import TrustFile
from wire.objects import KeyRole

Copy = Callable[[], Callable[[], str]]
"""Makes a backup; what it returns restores it, and gives the restored database's URL."""


@pytest.fixture
def town(tmp_path: Path, address: str) -> Iterator[Town]:  # noqa: F811
    made = Town(tmp_path, address)
    yield made
    made.close()


@pytest.fixture
def copy(town: Town, tmp_path: Path, address: str) -> Iterator[Copy]:  # noqa: F811
    """`betang-backend backup` on SQLite, pg_dump and pg_restore on PostgreSQL."""
    if address.startswith("sqlite"):

        def make_sqlite() -> Callable[[], str]:
            done = backup(tmp_path, Settings(), tmp_path / "backup.sqlite")
            assert done.issuance > 0
            return lambda: f"sqlite:///{tmp_path / 'backup.sqlite'}"

        yield make_sqlite
        return
    name = f"r{os.getpid()}_{abs(hash(tmp_path)) % 10**9}"
    admin = create_engine(POSTGRES, isolation_level="AUTOCOMMIT")

    def make_postgresql() -> Callable[[], str]:
        dump, plain = tmp_path / "backup.dump", address.replace("+psycopg", "")
        subprocess.run(["pg_dump", "-Fc", "-f", dump, "-d", plain], check=True)

        def restore() -> str:
            with admin.connect() as c:
                c.execute(text(f'CREATE DATABASE "{name}"'))
            url = POSTGRES.replace("/betang?", f"/{name}?")
            subprocess.run(
                ["pg_restore", "--exit-on-error", "-d", url.replace("+psycopg", ""), dump],
                check=True,
            )
            return url

        return restore

    yield make_postgresql
    town.close()
    with admin.connect() as c:
        c.execute(text(f'DROP DATABASE IF EXISTS "{name}"'))
    admin.dispose()


def test_a_restored_backend_takes_the_uploads_back_from_an_export(town: Town, copy: Copy) -> None:
    hall, card = town.hall(), town.cards[0]
    hall.pay(card)
    hall.sync()
    then = town.report()
    restore = copy()
    hall.pay(card)
    hall.pay(town.cards[1])
    assert hall.sync().pruned > 0  # acknowledged, and gone from the terminal
    lost = town.report()
    town.office.export(town.folder / "daily")
    town.reborn(restore())
    assert town.office.report() | {"uploads": 0} == then | {"uploads": 0}
    hall.pay(card)
    with pytest.raises(UploadRefusedError):  # 409 gap: it asks for what the terminal has not
        hall.sync()
    assert hall.engine.journal.unacknowledged()  # and nothing is lost by asking
    for upload in sorted((town.folder / "daily/uploads").glob("*.cbor")):
        town.office.take_upload(upload.read_bytes())
    town.office.db.found(ENV, 2)  # config.json "epoch": 2; else its bundles are not newer
    done = hall.sync()
    assert done.version is not None
    assert done.version.epoch == 2
    assert hall.engine.journal.unacknowledged() == []
    assert town.is_exact()
    assert town.held() == {}
    assert town.office.report()["settled_minor"] == lost["settled_minor"] + 1000
    assert town.found() == {19}  # bundles made after the backup, which it cannot know
    town.office.export(town.folder / "after")
    trust = town.folder / "trust.cbor"
    trust.write_bytes(bytes(town.office.trust.trust_file()))
    noted = town.folder / "daily/heads.cbor"
    found = verify(town.folder / "after", trust, allow_demo=True, head_file=noted).findings
    assert 17 in {int(f.invariant) for f in found}  # whoever noted a head sees that there was one


def test_without_copies_the_cards_bring_the_receipts_home(town: Town, copy: Copy) -> None:
    hall, card = town.hall(), town.cards[0]
    hall.pay(card)
    hall.sync()
    restore = copy()
    hall.pay(card)
    hall.pay(card)
    hall.sync()
    lost = town.report()
    town.reborn(restore())
    assert town.report()["settled_minor"] == lost["settled_minor"] - 2000
    hall.pay(card)
    with pytest.raises(UploadRefusedError):
        hall.sync()
    town.office.lost_terminal(hall.name, "cadangan lebih tua dari kotaknya")
    again = town.hall("TERM0003")  # the same device under a new id, in a new folder
    again.pay(card)
    again.sync()
    assert [town.held()[card.card_id.hex(), n] for n in (2, 3, 4)] == ["terminal-lost"] * 3
    for sequence in (2, 3, 4):
        pay_by_decision(town, card, sequence)
    assert town.is_exact()
    assert town.held() == {}
    assert town.report()["settled_minor"] == 5000


# --- the commands ------------------------------------------------------------


@pytest.fixture
def sqlite_town(tmp_path: Path) -> Iterator[Town]:
    made = Town(tmp_path)
    yield made
    made.close()


def test_a_backup_is_whole_and_overwrites_nothing(sqlite_town: Town, tmp_path: Path) -> None:
    hall = sqlite_town.hall()
    with sqlite_town.office.db.write():  # while a job writes
        before = backup(tmp_path, Settings(), tmp_path / "one")
    hall.pay(sqlite_town.cards[0])
    hall.sync()
    after = backup(tmp_path, Settings(), tmp_path / "two")
    assert after.uploads == before.uploads + 2
    assert after.ledger > before.ledger
    assert not [*tmp_path.glob("*.part"), *tmp_path.glob("two-*")]
    assert (tmp_path / "two").stat().st_mode & 0o777 == 0o600
    with pytest.raises(ConfigError, match="exists"):
        backup(tmp_path, Settings(), tmp_path / "two")
    with pytest.raises(ConfigError, match="no database"):
        backup(tmp_path / "nowhere", Settings(), tmp_path / "three")
    with pytest.raises(ConfigError, match="pg_dump"):
        backup(tmp_path, Settings(database_url="postgresql+psycopg://x@/y"), tmp_path / "three")


def test_a_damaged_database_gives_no_backup(sqlite_town: Town, tmp_path: Path) -> None:
    sqlite_town.close()
    file = tmp_path / "backend.sqlite"
    with closing(sqlite3.connect(file)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (page,) = db.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = 'issuance'"
        ).fetchone()
        (size,) = db.execute("PRAGMA page_size").fetchone()
    raw = bytearray(file.read_bytes())
    raw[(page - 1) * size : (page - 1) * size + 100] = bytes(100)
    file.write_bytes(raw)
    with pytest.raises(ConfigError, match="damaged"):
        backup(tmp_path, Settings(), tmp_path / "copy")
    assert not [*tmp_path.glob("copy*")]


def test_a_trust_file_is_taken_with_its_ack_key(sqlite_town: Town, tmp_path: Path) -> None:
    keys, folder = sqlite_town.keys, tmp_path / "data"
    settings = Settings(backend_passphrase="sandi")
    ack = keys.signers[KeyRole.ACK, 1].private_bytes()
    initialise(folder, bytes(keys.trust), ack, Config(key_service="x"), "sandi")
    now_s = sqlite_town.clock()
    new = Ed25519Signer.generate(os.urandom)
    revoked = keys.root.revoke(keys.signers[KeyRole.ACK, 1].public_key, Heads(), now_s=now_s)
    stated = keys.root.state(KeyRole.ACK, 2, new.public_key, now_s, now_s=now_s)
    t = keys.trust
    raw = bytes(TrustFile(t.environment, t.root_key, (*t.statements, stated), (revoked,)))
    with pytest.raises(ConfigError, match="not the newest"):  # else it could answer nobody
        install_trust(folder, raw, settings, demo=True)
    install_trust(folder, raw, settings, demo=True, ack=new.private_bytes())
    assert SealedStore(folder / KEYS).load(ACK, "sandi") == new.private_bytes()
    with pytest.raises(ConfigError, match="older"):
        install_trust(folder, bytes(keys.trust), settings, demo=True)
    (tmp_path / "other").mkdir()
    other = Town(tmp_path / "other", seed=2)
    with pytest.raises(ConfigError, match="another root"):
        install_trust(folder, bytes(other.keys.trust), settings, demo=True)
    other.close()


def test_an_export_newer_than_the_backup_is_readmitted(town: Town, copy: Copy) -> None:
    hall, (card, other) = town.hall(), town.cards[:2]
    hall.pay(card)
    hall.sync()
    restore = copy()
    town.office.block({other.card_id})  # all of this is signed in the gap
    second = town.hall("TERM0002")
    second.pay(card)
    second.sync()
    hall.sync()
    hall.pay(card)
    hall.sync()
    town.office.lost_terminal(hall.name, "hanyut")
    assert town.office.entitle()[0] > 0
    lost = town.report()
    town.office.export(town.folder / "daily")
    town.reborn(restore())
    with pytest.raises(BackendError):  # the key service remembers a hotlist that the books do not
        town.office.block({other.card_id})
    with pytest.raises(BackendError):
        town.office.bundle(second.name, None)
    done = readmit(town.office, town.folder / "daily")
    assert done["missing"] == 0
    assert min(done["items"], done["objects"], done["uploads"]) > 0
    assert not readmit(town.office, town.folder / "daily")["items"]
    town.office.db.found(ENV, 2)
    assert second.sync().version is not None
    second.pay(card)
    second.sync()
    assert town.is_exact()
    assert town.held() == {}
    assert town.office.report()["settled_minor"] == lost["settled_minor"] + 1000
    assert isinstance(second.begin(other), CardRefused)
    assert town.audit() == set()
    assert town.found() <= {19}  # by hash alone it has the bundles that SYNCs name
    with pytest.raises(ConfigError, match="no export"):
        readmit(town.office, town.folder)
