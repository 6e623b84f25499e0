"""The ceremony, the folder, the command line and the socket."""

import json
import os
import shutil
import subprocess
import sys
import threading
import time

import httpx
import pytest

from keys import ceremony, cli
from keys.ceremony import combine, hold, protocol, recover
from keys.doors import listen
from keys.errors import (
    ApprovalError,
    CeremonyError,
    DemoRefusedError,
    HierarchyError,
    KeysError,
    NotDemoError,
    ObjectRefusedError,
    PassphraseError,
    RevokedKeyError,
    StockError,
    StoreError,
    UnreachableError,
)
from keys.folder import KeyFolder, Secrets
from keys.hierarchy import Heads, make_world
from keys.http import KeyClient
from keys.httpserver import make_server
from keys.issuance import MemoryIssuance
from keys.relay import CardRelay
from keys.signer import Ed25519Signer, P256KeyAgreement, P256Signer, sign_object
from keys.trust import TrustStore
from tests.support import keys_world as kw
from tests.support.keys_world import ENV, NOW_S
from wire import cbor, cvc
from wire.chain import TrustFile
from wire.env import Environment
from wire.objects import FundRelease, IssuanceHead, KeyRole, LedgerHead, Order

SECRETS = Secrets("frasa")
LOG_N = 10
KDD = "0102030405060708090a"


@pytest.fixture(scope="module")
def held():
    root = P256Signer.generate(os.urandom)
    return root, hold(root, ENV, random=os.urandom, now_s=NOW_S)


def reopen(held, shares, **changes):
    r = held.record
    facts = {"sealed_root": held.sealed_root, "root_key": r.root_key,
             "wrapping_kcv": r.wrapping_kcv} | changes  # fmt: skip
    return recover(shares, **facts)


# --- ceremony ---------------------------------------------------------------------------------


def test_three_shares_give_the_root(held) -> None:
    root, done = held
    assert len(done.shares) == 5
    assert done.record.combinations_tested == 10
    assert reopen(done, [done.shares[i] for i in (4, 0, 2)]).public_key == root.public_key


def test_what_does_not_recombine(held) -> None:
    _, done = held
    other = hold(P256Signer.generate(os.urandom), ENV, random=os.urandom, now_s=NOW_S)
    for shares in (done.shares[:2], done.shares[:2] + other.shares[:1], ["x"],
                   (done.shares[0],) * 3):  # fmt: skip
        with pytest.raises(CeremonyError):
            combine(shares)
    with pytest.raises(CeremonyError, match="check value"):
        reopen(done, other.shares[:3])
    with pytest.raises(CeremonyError, match="does not open"):
        reopen(done, done.shares[:3], sealed_root=other.sealed_root)
    with pytest.raises(CeremonyError, match="another key"):
        reopen(done, done.shares[:3], root_key=other.record.root_key)


def test_identity_is_bech32_as_age_reads_it() -> None:
    import pyrage

    for key in (bytes(32), bytes(range(32)), b"\xff" * 32):
        assert str(pyrage.x25519.Identity.from_str(ceremony.identity(key))) == ceremony.identity(
            key
        )


def test_a_wrong_combination_stops_the_ceremony(monkeypatch) -> None:
    real = ceremony.combine
    root = P256Signer.generate(os.urandom)
    monkeypatch.setattr(ceremony, "combine", lambda s: bytes(32) if len(s) == 3 else real(s))
    with pytest.raises(CeremonyError, match="gives another"):
        hold(root, ENV, random=os.urandom, now_s=NOW_S)
    key = bytes(range(32))
    monkeypatch.setattr(ceremony, "combine", lambda _: key)
    with pytest.raises(CeremonyError, match="fewer"):
        hold(root, ENV, random=lambda _: key, now_s=NOW_S)


def test_protocol_is_printable_and_gives_nothing_away(held) -> None:
    root, done = held
    text = protocol(done.record)
    assert done.record.fingerprint in text
    assert "DEMO" in text
    assert "BERITA ACARA" in text
    assert max(map(len, text.splitlines())) < 240
    for secret in (*done.shares, root.private_bytes().hex(), done.shares[0].split()[5]):
        assert secret not in text.split(" ")
        assert secret not in repr(done)
    live = ceremony.Record(Environment.LIVE, NOW_S, root.public_key, b"", (), b"", 10)
    assert "DEMO" not in protocol(live)


# --- folder -----------------------------------------------------------------------------------


def make_folder(path, env=ENV, **options) -> KeyFolder:
    return KeyFolder.create(path, env, SECRETS, random=os.urandom, log_n=LOG_N, **options)


@pytest.fixture(scope="module")
def ready(tmp_path_factory):
    """A folder after its ceremony, and the shares; copied by each test that writes."""
    folder = make_folder(tmp_path_factory.mktemp("keys") / "live")
    done = folder.hold_ceremony(
        P256Signer.generate(os.urandom), kw.others(), random=os.urandom, now_s=NOW_S, from_s=NOW_S
    )
    return folder.path, done.shares


@pytest.fixture
def folder(ready, tmp_path):
    shutil.copytree(ready[0], tmp_path / "live")
    return KeyFolder.open(tmp_path / "live", allow_demo=True, log_n=LOG_N)


def test_folder_serves_what_the_ceremony_stated(folder) -> None:
    service = folder.service(SECRETS, MemoryIssuance(), clock=lambda: NOW_S, random=os.urandom)
    cert = cvc.Certificate.parse(service.personaliser_certificate())
    assert folder.trust().terminal_certificate(cert).subject == b"DEMOPERS"
    assert len(folder.trust().statements()) == 8
    assert [folder.trust().link(x) for x in folder.links()] == list(folder.links())


def test_demo_and_not_demo(folder, tmp_path) -> None:
    with pytest.raises(DemoRefusedError):
        KeyFolder.open(folder.path, allow_demo=False)
    live = make_folder(tmp_path / "real", Environment.LIVE)
    with pytest.raises(NotDemoError):
        KeyFolder.open(live.path, allow_demo=True)
    assert KeyFolder.open(live.path, allow_demo=False).env == Environment.LIVE


def test_before_the_ceremony(tmp_path) -> None:
    folder = make_folder(tmp_path / "x")
    with pytest.raises(HierarchyError):
        folder.trust()
    with pytest.raises(HierarchyError):
        folder.root(["a"])
    with pytest.raises(HierarchyError):
        make_folder(tmp_path / "x")
    with pytest.raises(HierarchyError):
        KeyFolder.open(tmp_path / "nothing", allow_demo=True)


def test_ceremony_once_and_with_two_people(folder, tmp_path) -> None:
    root = P256Signer.generate(os.urandom)
    options = {"random": os.urandom, "now_s": NOW_S, "from_s": NOW_S}
    with pytest.raises(HierarchyError, match="already"):
        folder.hold_ceremony(root, kw.others(), **options)
    fresh = make_folder(tmp_path / "fresh")
    few = {k: v for k, v in kw.others().items() if k != (KeyRole.APPROVAL, 2)}
    with pytest.raises(HierarchyError, match="two people"):
        fresh.hold_ceremony(root, few, **options)


def test_wrong_passphrase_and_swapped_key(folder) -> None:
    with pytest.raises(PassphraseError):
        folder.signers(Secrets("falsch"))
    folder.store.save("policy-1", os.urandom(32), "frasa", replace=True)
    with pytest.raises(StoreError, match="another key"):
        folder.signers(SECRETS)


def test_rotation(folder, ready) -> None:
    root = folder.root(ready[1][:3])
    options = {"random": os.urandom, "now_s": NOW_S + 5}
    assert folder.rotate(root, KeyRole.ISSUER, SECRETS, **options) == 2
    assert folder.rotate(root, KeyRole.POLICY, SECRETS, **options) == 2
    again = KeyFolder.open(folder.path, allow_demo=True, log_n=LOG_N)
    link = again.links()[-1]
    assert link.subject == b"DEMOI\x00\x00\x02"
    assert link.public_key == again.trust().key(KeyRole.ISSUER, 2).public_key
    assert len(again.links()) == 3
    assert again.signers(SECRETS)[KeyRole.ISSUER, 2].public_key == link.public_key
    with pytest.raises(HierarchyError):
        folder.rotate(root, KeyRole.ACK, SECRETS, **options)


def test_a_revoked_key_is_dropped_by_the_link_of_the_next(folder, ready) -> None:
    root, trust = folder.root(ready[1][:3]), folder.trust()
    key = trust.key(KeyRole.TERMINAL_CA, 1).public_key
    trust.add_revocation(root.revoke(key, Heads(), now_s=NOW_S))
    folder.save_trust(trust)
    folder.rotate(root, KeyRole.TERMINAL_CA, SECRETS, random=os.urandom, now_s=NOW_S)
    folder.rotate(root, KeyRole.ISSUER, SECRETS, random=os.urandom, now_s=NOW_S)
    dropped, kept = (link.extension.lowest_kept for link in folder.links()[-2:])
    assert (dropped, kept) == (2, 1)


def test_another_personaliser(folder, monkeypatch, capsys) -> None:
    monkeypatch.setenv("BETANG_PASSPHRASE", "frasa")
    assert run("new-personaliser", "--demo", "--data", folder.path) == 0
    shown = bytes.fromhex(capsys.readouterr().out.strip())
    again = KeyFolder.open(folder.path, allow_demo=True, log_n=LOG_N)
    service = again.service(SECRETS, MemoryIssuance(), clock=lambda: NOW_S, random=os.urandom)
    assert cvc.Certificate.parse(service.personaliser_certificate()).public_key == shown
    monkeypatch.setenv("BETANG_PASSPHRASE", "salah")
    assert run("new-personaliser", "--demo", "--data", folder.path) == 1


def test_a_revocation_honours_the_heads_before_the_theft(
    folder, ready, tmp_path, monkeypatch
) -> None:
    ack = Ed25519Signer.generate(os.urandom)
    root, trust = folder.root(ready[1][:3]), folder.trust()
    now_s = int(time.time())
    trust.add_statement(root.state(KeyRole.ACK, 2, ack.public_key, now_s, now_s=now_s))
    folder.save_trust(trust)
    heads = [
        shape(n, bytes([n]) * 32, 1000 * n) for n in (1, 2) for shape in (LedgerHead, IssuanceHead)
    ]
    file = tmp_path / "heads.cbor"
    file.write_bytes(cbor.encode_sequence([bytes(sign_object(ack, h, ENV)) for h in heads]))
    monkeypatch.setenv("BETANG_PASSPHRASE", "frasa")
    sitting = ["--demo", "--data", folder.path]
    for n, share in enumerate(ready[1][:3]):
        (tmp_path / str(n)).write_text(share)
        sitting += ["--share", tmp_path / str(n)]
    wanted = [*sitting, "--version", 1, "--heads", file]
    assert run("revoke", *wanted, "--role", "ISSUER", "--until", 1999) == 0
    assert run("revoke", *wanted, "--role", "POLICY") == 0
    assert run("revoke", *wanted, "--role", "REGISTRY", "--until", 999) == 1
    again = KeyFolder.open(folder.path, allow_demo=True, log_n=LOG_N).trust()
    found = [again.revocation(again.key(role, 1).public_key)
             for role in (KeyRole.ISSUER, KeyRole.POLICY, KeyRole.REGISTRY)]  # fmt: skip
    assert [r and (r.ledger_sequence, r.issuance_sequence) for r in found] == [
        (1, 1), (2, 2), None
    ]  # fmt: skip


@pytest.mark.parametrize(
    "keys",
    [
        {"master": "00" * 16},
        {"keys": ["00" * 16, "11" * 16, "22" * 16]},
        {"chips": [{"kdd": KDD, "enc": "00" * 16, "mac": "11" * 16, "dek": "22" * 16}]},
    ],
)
def test_delivery(folder, keys) -> None:
    assert folder.receive({"batch": "B1", "kvn": 255, "chips": [KDD]} | keys, SECRETS) == 1
    service = folder.service(SECRETS, MemoryIssuance(), clock=lambda: NOW_S, random=os.urandom)
    assert service.stock() == (1, 0, 0)
    source = service._keys.batches["b1"]
    assert (source.kvn, len(source.keys(bytes.fromhex(KDD)).enc)) == (255, 16)
    assert "00" * 16 not in (folder.path / "config.json").read_text()


@pytest.mark.parametrize(
    "bad",
    [
        {}, {"batch": "b", "kvn": 1}, {"batch": "b", "kvn": 1, "chips": [KDD]},
        {"batch": "b", "kvn": 1, "chips": ["00"], "master": "00" * 16},
        {"batch": "../x", "kvn": 1, "chips": [KDD], "master": "00" * 16},
        {"batch": "b", "kvn": 256, "chips": [KDD], "master": "00" * 16},
        {"batch": "b", "kvn": 1, "chips": [KDD], "master": "00" * 15},
        {"batch": "b", "kvn": 1, "chips": [KDD], "keys": ["00" * 16]},
    ],
)  # fmt: skip
def test_malformed_deliveries(folder, bad) -> None:
    with pytest.raises(StockError):
        folder.receive(bad, SECRETS)
    assert folder.config["batches"] == {}


# --- command line -------------------------------------------------------------------------------


def run(*arguments) -> int:
    return cli.main([str(a) for a in arguments])


def test_the_command_line(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("BETANG_PASSPHRASE", "frasa")
    data, shares = tmp_path / "live", tmp_path / "shares"
    assert run("init", "--demo", "--env", "live", "--data", data) == 0
    keys = []
    for name in ("ack", "p1", "p2"):
        capsys.readouterr()
        assert run("new-key", "--demo", "--dir", tmp_path / "p", "--name", name) == 0
        keys.append(capsys.readouterr().out.strip())
    people = ["--approver", f"1={keys[1]}", "--approver", f"2={keys[2]}"]
    assert run("ceremony", "--demo", "--data", data, "--ack", keys[0], *people, "--shares", shares,
               "--valid-from", "2026-01-01") == 0  # fmt: skip
    printed = capsys.readouterr().out
    assert "BERITA ACARA" in printed
    assert (shares / "share-1.txt").read_text().strip() not in printed
    sitting = ["--demo", "--data", data]
    for n in (1, 3, 5):
        sitting += ["--share", shares / f"share-{n}.txt"]
    other = Ed25519Signer.generate(os.urandom).public_key.hex()
    assert run("rotate", *sitting, "--role", "TERMINAL_CA") == 0
    assert run("issue", *sitting, "--role", "ACK", "--version", 2, "--key", other) == 0
    assert run("revoke", *sitting, "--role", "POLICY", "--version", 1) == 0
    assert run("list", "--demo", "--data", data) == 0
    listed = capsys.readouterr().out
    assert "REVOKED" in listed
    assert "TERMINAL_CA     2" in listed
    out = tmp_path / "out" / "trust.cbor"
    assert run("export-trust", "--demo", "--data", data, "--out", out,
               "--links", tmp_path / "l") == 0  # fmt: skip
    trust = TrustStore(TrustFile.parse(out.read_bytes()), allow_demo=True)
    assert trust.revocation(trust.key(KeyRole.POLICY, 1).public_key) is not None
    delivery = tmp_path / "d.json"
    delivery.write_text(json.dumps({"batch": "b", "kvn": 255, "chips": [KDD], "master": "00" * 16}))
    assert run("stock", "--demo", "--data", data, "--file", delivery) == 0


def test_refusals_are_said_in_both_languages(folder, monkeypatch, capsys) -> None:
    monkeypatch.setenv("BETANG_PASSPHRASE", "salah")
    assert run("list", "--data", folder.path) == 1
    text = capsys.readouterr().err
    assert "tanpa" in text or "--demo" in text
    assert "Traceback" not in text
    assert run("serve", "--demo", "--data", folder.path, "--backend", folder.path / "no.sock") == 1
    assert "Kata sandi salah" in capsys.readouterr().err
    monkeypatch.setenv("BETANG_PASSPHRASE", "")
    assert run("init", "--demo", "--env", "live", "--data", folder.path / "x") == 1


@pytest.mark.parametrize("address", ["http://127.0.0.1:8620", "https://kantor", "HTTP://x"])
def test_the_issuance_log_is_never_behind_an_address(folder, capsys, address) -> None:
    with pytest.raises(SystemExit) as ended:
        run("serve", "--demo", "--data", folder.path, "--backend", address)
    assert ended.value.code == 2
    text = capsys.readouterr().err
    assert "bukan soket" in text
    assert "not a socket" in text


def test_shares_on_the_screen_one_by_one(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("BETANG_PASSPHRASE", "frasa")
    data = tmp_path / "spec"
    run("init", "--demo", "--env", "specimen", "--data", data)
    asked = []
    monkeypatch.setattr("builtins.input", asked.append)
    keys = [Ed25519Signer.generate(os.urandom).public_key.hex() for _ in range(3)]
    capsys.readouterr()
    assert run("ceremony", "--demo", "--data", data, "--ack", keys[0], "--approver",
               f"1={keys[1]}", "--approver", f"2={keys[2]}") == 0  # fmt: skip
    assert len(asked) == 10
    assert capsys.readouterr().out.count("\033[2J") == 5


# --- socket ---------------------------------------------------------------------------------------


@pytest.fixture
def client(tmp_path):
    w = kw.make()
    server = make_server(w.service)
    with listen(tmp_path / "k.sock") as sock:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]})
        thread.start()
        w.client = KeyClient(tmp_path / "k.sock")
        yield w
        w.client.close()
        server.should_exit = True
        thread.join()


def test_verbs_over_the_socket(client) -> None:
    w = client
    shape = FundRelease("n", 1, 2, NOW_S)
    (raw,) = w.client.sign_registry([shape], *w.two("funds", [bytes(shape)]))
    assert w.trust.verify(FundRelease, raw) == shape
    assert TrustFile.parse(w.client.trust_file()) == w.world.trust
    w.enrol_terminal()
    assert w.client.certify_terminal(w.station_request())
    card, order = w.card(), w.order()
    with CardRelay(w.client, order, 7) as relay:
        kw.keyed(w, relay, card)
        assert relay.certificate() is None
        cert = relay.certify()
    assert w.client.stock() == (0, 1, 0)
    assert len(w.client.personaliser_ecdh(cert.public_key)) == 32
    wish = kw.wish(cert)
    (entitlement,) = w.client.sign_entitlements([wish], *w.two("entitlements", [bytes(wish)]))
    assert w.trust.entitlement(entitlement)
    body = kw.script_body(cert)
    assert w.client.sign_scripts([body], *w.two("scripts", [body]))
    parameters = kw.PARAMETERS
    assert w.client.sign_policy(parameters, *w.two("parameters", [bytes(parameters)]))
    from keys.enrol import OfficerRequest

    ask = OfficerRequest.make(
        ENV, kw.TERMINAL, cvc.Role.HANDOVER, 3, P256KeyAgreement.generate(os.urandom)
    )
    assert w.client.certify_officer(ask, *w.two("certify-officer", [bytes(ask)]))
    w.client.scrap_card(cert.subject, "x")
    from tests.unit.keys.test_service import approver

    w.client.enrol_approver(approver(w)[1])
    assert w.trust.key(KeyRole.APPROVAL, 3)


def test_errors_come_back_as_they_were_raised(client) -> None:
    w = client
    shape = FundRelease("n", 1, 2, NOW_S)
    with pytest.raises(ApprovalError, match="other bytes"):
        w.client.sign_registry([shape], *w.two("funds", [b"x"]))
    with pytest.raises(ObjectRefusedError):
        w.client.open_card_session(b"junk", 1)
    with pytest.raises(ObjectRefusedError):
        w.client.sign_registry([], b"", b"")
    with pytest.raises(ObjectRefusedError):
        w.client._ask("card-step", [b"x", "no-such-step", b""])
    order = w.order()
    key = w.world.signer(KeyRole.REGISTRY).public_key
    w.trust.add_revocation(w.world.root.revoke(key, Heads(issuance_sequence=5), now_s=NOW_S))
    with pytest.raises(RevokedKeyError) as caught:
        w.client.open_card_session(order, 1)
    assert caught.value.revocation.issuance_sequence == 5


@pytest.mark.parametrize(
    ("verb", "arguments"),
    [
        ("nothing", []), ("stock", [1]), ("registry", [1, [], b"", b""]),
        ("registry", ["receipt", [], b"", b""]), ("registry", ["order", b"", b"", b""]),
        ("card-open", [b"", "x"]), ("terminal", ["x"]), ("card-open", [b"", True]),
    ],
)  # fmt: skip
def test_bad_calls(client, verb, arguments) -> None:
    with pytest.raises(ObjectRefusedError):
        client.client._ask(verb, arguments)


def test_a_real_socket_of_a_real_process(folder, tmp_path) -> None:
    path = tmp_path / "k.sock"
    process = subprocess.Popen(
        [sys.executable, "-m", "keys.cli", "serve", "--demo", "--data", folder.path,
         "--socket", path, "--backend", tmp_path / "no.sock"],
        env=os.environ | {"BETANG_PASSPHRASE": "frasa"}, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        for _ in range(1200):
            assert process.poll() is None, process.stderr.read()
            if path.exists():
                break
            threading.Event().wait(0.05)
        client = KeyClient(path)
        trust = client.trust_file()
        assert path.stat().st_mode & 0o777 == 0o600
        assert trust == (folder.path / "trust.cbor").read_bytes()
        with pytest.raises(KeysError):  # no log, no certificate
            client.personaliser_certificate()
    finally:
        client.close()
        process.terminate()
        process.communicate(timeout=10)
    assert not path.exists()
    assert process.returncode == 0


def _nobody(_: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("no")


@pytest.mark.parametrize("answer", [_nobody, lambda _: httpx.Response(500, text="boom")])
def test_no_answer_and_no_problem_document(answer) -> None:
    client = KeyClient(None, httpx.MockTransport(answer))
    with pytest.raises(UnreachableError):
        client.stock()


def test_worlds_do_not_mix() -> None:
    live = make_world(Environment.LIVE, random=os.urandom, now_s=NOW_S)
    specimen = make_world(Environment.SPECIMEN, random=os.urandom, now_s=NOW_S)
    from keys.signer import sign_object
    from wire.errors import EnvironmentMismatchError

    order = Order(bytes(16), bytes(16), bytes(32), 1, None, (1,), kw.DESK, NOW_S)
    raw = bytes(sign_object(specimen.signer(KeyRole.REGISTRY), order, Environment.SPECIMEN))
    with pytest.raises(EnvironmentMismatchError):
        TrustStore(live.trust, allow_demo=False).verify(Order, raw)
