"""Programs nobody here wrote reach the card through pcscd: scan, plain commands, SCP03, SCP11a."""

import os
import subprocess
from collections.abc import Callable, Iterator

import pytest
from smartcard import System
from ykman.pcsc import ScardSmartCardConnection
from yubikit.core import Tlv
from yubikit.core.smartcard import ApduError, SmartCardProtocol
from yubikit.core.smartcard.scp import KeyRef, Scp03KeyParams, Scp11KeyParams, ScpKid
from yubikit.core.smartcard.scp import StaticKeys as YubikitKeys
from yubikit.securitydomain import SecurityDomainSession

from card_os.host.links import InProcessLink
from card_os.host.pcsc import PcscReader
from card_os.icc import IccDevice, T0Face
from card_os.reference.card import ReferenceCard
from card_os.reference.packages import PACKAGES
from card_os.reference.profiles import TransportKeys
from card_os.reference.vpcd import VpcdSlot
from demo.pcscd import PcscdWorld
from keys.kdf import StaticKeys
from tests.conformance.world import PIN, TRANSPORT, Authorities, Bench
from tests.unit.card_os.gp_bench import SD, TRANSPORT_KEYS, cap, key_set, lv
from tests.unit.keys.test_scp_yubikit import CvCertificate
from wire.cvc import Role
from wire.ecdsa import p256_public_key
from wire.env import PACKAGE_AID, purse_aid
from wire.purse import CardState, InstallParameters, Life
from wire.tlv import encode, parse_all

READER = 2
WAIT_S = 20
SELECT_SD = "00 A4 04 00 08 A0 00 00 01 51 00 00 00 00"
TRANSPORT_PARAMS = Scp03KeyParams(
    KeyRef(ScpKid.SCP03, 0x30),
    YubikitKeys(TRANSPORT_KEYS.keys.enc, TRANSPORT_KEYS.keys.mac, TRANSPORT_KEYS.keys.dek),
)

pytestmark = pytest.mark.xdist_group("pcscd")

Connect = Callable[[], ScardSmartCardConnection]


def fresh(protocol: str = "t1", keys: TransportKeys = TRANSPORT_KEYS) -> ReferenceCard:
    return ReferenceCard.create(
        transport_keys=keys, serial=b"\0\0\0\7", registry=PACKAGES, random=os.urandom,
        protocol=protocol,
    )  # fmt: skip


@pytest.fixture
def put(pcscd_world: PcscdWorld) -> Iterator[Callable[[IccDevice], str]]:
    """Put a card into the reader; answers the reader's name."""
    slot = VpcdSlot(pcscd_world.doors[READER], known_empty=True)

    def insert(card: IccDevice) -> str:
        slot.insert(card)
        watch = PcscReader(pcscd_world.readers[READER])
        assert watch.wait_for_card(WAIT_S)
        watch.close()
        return pcscd_world.readers[READER]

    yield insert
    slot.remove()


@pytest.fixture
def reader(put: Callable[[IccDevice], str]) -> str:
    return put(fresh())


@pytest.fixture
def connect(pcscd_world: PcscdWorld) -> Iterator[Connect]:
    """yubikit's own connection over pyscard, unpatched."""
    opened: list[ScardSmartCardConnection] = []

    def open_one() -> ScardSmartCardConnection:
        name = pcscd_world.readers[READER]
        (found,) = [r for r in System.readers() if r.name == name]
        opened.append(ScardSmartCardConnection(found.createConnection()))
        return opened[-1]

    yield open_one
    for each in opened:
        each.close()


def run(world: PcscdWorld, *words: str, typed: str = "") -> str:
    env = {**world.env, "PATH": "/usr/bin:/bin", "HOME": "/nonexistent"}
    done = subprocess.run(
        words, input=typed, capture_output=True, text=True, timeout=WAIT_S, env=env, check=True
    )
    return done.stdout + done.stderr


def test_opensc_tool_reads_the_atr_and_selects(pcscd_world: PcscdWorld, reader: str) -> None:
    said = run(pcscd_world, "opensc-tool", "--reader", reader, "--card-driver", "default",
               "--atr")  # fmt: skip
    assert said.strip().lower().startswith("3b:")
    said = run(pcscd_world, "opensc-tool", "--reader", reader, "--card-driver", "default",
               "--send-apdu", SELECT_SD.replace(" ", ":"))  # fmt: skip
    assert "SW1=0x90, SW2=0x00" in said
    assert "6F" in said


def test_opensc_tool_follows_a_t0_card(
    pcscd_world: PcscdWorld, put: Callable[[IccDevice], str]
) -> None:
    """Over T=0 an answer comes by 61xx and 6Cxx; opensc-tool follows both, yubikit only 61xx."""
    reader = put(T0Face(fresh("t0")))
    said = run(pcscd_world, "opensc-tool", "--reader", reader, "--card-driver", "default",
               "--send-apdu", SELECT_SD.replace(" ", ":"),
               "--send-apdu", "80:CA:9F:7F:00")  # fmt: skip
    assert said.count("SW1=0x90, SW2=0x00") == 2
    assert "\n9F 7F 2A 47 90" in said


def test_opensc_tool_tries_all_its_drivers(pcscd_world: PcscdWorld, reader: str) -> None:
    """Each driver selects what it knows; none of it is here, and the card answers as before."""
    said = run(pcscd_world, "opensc-tool", "--reader", reader, "--name")
    assert "Unsupported card" in said
    said = run(pcscd_world, "opensc-tool", "--reader", reader, "--card-driver", "default",
               "--send-apdu", "80:CA:9F:7F:00")  # fmt: skip
    assert "SW1=0x90, SW2=0x00" in said


# What a person types into scriptor, the answer's first bytes, and its status word.
PLAIN = [
    ("00 A4 04 00", "6F 41 84 08 A0 00 00 01 51 00 00 00 A5", "90 00"),
    ("00 A4 04 00 00", "6F 41 84 08 A0 00 00 01 51 00 00 00 A5", "90 00"),
    (SELECT_SD, "6F 41 84 08 A0 00 00 01 51 00 00 00 A5", "90 00"),
    ("00 A4 04 00 07 A0 00 00 01 51 00 00 00", "6F 41 84 08 A0 00 00 01 51", "90 00"),
    ("00 A4 04 00 05 A0 00 00 01 51 00", "6F 41 84 08 A0 00 00 01 51", "90 00"),
    ("00 A4 04 00 08 A0 00 00 00 03 00 00 00 00", "", "6A 82"),
    ("80 CA 9F 7F 00", "9F 7F 2A 47 90 D3 21 47 00", "90 00"),
    ("00 CA 9F 7F 00", "9F 7F 2A 47 90 D3 21 47 00", "90 00"),
    ("80 CA 00 42 00", "42 04 42 45 54 47", "90 00"),
    ("80 CA 00 45 00", "45 08 47 90 00 01 00 00 00 07", "90 00"),
    ("80 CA 00 66 00", "66 31 73 2F 06 07 2A 86 48 86 FC 6B 01", "90 00"),
    ("80 CA 00 67 00", "67 0F A0 09 80 01 03 81 01 70 82 01 07 83 02 01 02", "90 00"),
    ("80 CA 00 CF 00", "CF 0A 61 00 00 00 00 07 00 01 00 00", "90 00"),
    ("80 CA 00 C1 00", "C1 03 00 00 00", "90 00"),
    ("80 CA 00 E0 00", "E0 12 C0 04 01 30 88 10 C0 04 02 30 88 10 C0 04 03 30 88 10", "90 00"),
    ("80 CA 12 34 00", "", "6A 88"),
    ("80 50 00 00 08 01 02 03 04 05 06 07 08 00", "61 00 00 00 00 07 00 01 00 00 30 03 70",
     "90 00"),
    ("80 50 31 00 08 01 02 03 04 05 06 07 08 00", "", "6A 88"),
    ("80 F2 80 02 02 4F 00 00", "", "69 82"),
    ("80 FE 00 00 00", "", "6D 00"),
    ("90 CA 9F 7F 00", "", "6E 00"),
]  # fmt: skip


def test_scriptor_sends_every_plain_command(pcscd_world: PcscdWorld, reader: str) -> None:
    typed = "".join(f"{command}\n" for command, _, _ in PLAIN)
    said = run(pcscd_world, "scriptor", "-r", reader, typed=typed)
    # An answer is "< bytes in hex, over lines, status word : its meaning".
    answers = [" ".join(part.split(":")[0].split()) for part in said.split("\n< ")[1:]]
    assert len(answers) == len(PLAIN)
    for answer, (command, begins, sw) in zip(answers, PLAIN, strict=True):
        assert answer.startswith(begins), command
        assert answer.endswith(sw), command
        assert begins or answer == sw, command


def test_pcsc_scan_sees_the_card(pcscd_world: PcscdWorld, reader: str) -> None:
    env = {**pcscd_world.env, "PATH": "/usr/bin:/bin", "HOME": "/nonexistent"}
    scan = subprocess.Popen(
        ["stdbuf", "-o0", "pcsc_scan", "-n"], stdout=subprocess.PIPE, text=True, env=env
    )
    try:
        assert scan.stdout is not None
        seen = ""
        for line in scan.stdout:
            seen += line
            if reader in seen and "ATR: 3B" in seen:
                break
        assert "Card inserted" in seen
    finally:
        scan.kill()
        scan.wait()
        scan.stdout.close()


# -- yubikit ------------------------------------------------------------------------------------


def as_yubikit(keys: StaticKeys) -> YubikitKeys:
    return YubikitKeys(keys.enc, keys.mac, keys.dek)


def versions(session: SecurityDomainSession) -> set[int]:
    """Key versions of the template E0; a YubiKey leaves the tag out, so yubikit cannot read it."""
    return {value[1] for _, value in parse_all(Tlv.unpack(0xE0, session.get_data(0xE0)))}


@pytest.mark.usefixtures("reader")
def test_yubikit_lists_puts_and_deletes_keys(connect: Connect) -> None:
    session = SecurityDomainSession(connect())
    assert versions(session) == {0x30}
    assert session.get_supported_ca_identifiers() == {}
    assert session.get_certificate_bundle(KeyRef(0x11, 1)) == []
    session.authenticate(TRANSPORT_PARAMS)
    first, second = key_set("first", 16), key_set("second", 16)
    session.put_key(KeyRef(1, 0x02), as_yubikit(first))
    session.put_key(KeyRef(1, 0x03), as_yubikit(second), replace_kvn=0x02)
    session.store_data(encode(0x42, b"pcscd"))
    assert versions(session) == {0x30, 0x03}
    session.delete_key(kvn=0x30)
    with pytest.raises(ApduError) as last:
        session.delete_key(kvn=0x03)
    assert last.value.sw == 0x6985
    session = SecurityDomainSession(connect())
    assert session.get_data(0x42) == encode(0x42, b"pcscd")
    session.authenticate(Scp03KeyParams(KeyRef(1, 0x03), as_yubikit(second)))
    assert versions(session) == {0x03}


@pytest.mark.usefixtures("reader")
def test_yubikit_resets_nothing(connect: Connect) -> None:
    """Its reset blocks every key by wrong openings; it stops where it would list the keys."""
    session = SecurityDomainSession(connect())
    with pytest.raises(ValueError, match="tag"):
        session.reset()
    with pytest.raises(ValueError, match="Incorrect SCP"):
        session.authenticate(Scp03KeyParams(KeyRef(1, 0x30), as_yubikit(key_set("other"))))
    with pytest.raises(ValueError, match="Incorrect SCP"):  # 6A88: no such version
        session.authenticate(Scp03KeyParams(KeyRef(1, 0x31), TRANSPORT_PARAMS.keys))
    session = SecurityDomainSession(connect())
    session.authenticate(TRANSPORT_PARAMS)
    assert versions(session) == {0x30}


@pytest.mark.usefixtures("reader")
def test_yubikit_loads_installs_locks_and_deletes(connect: Connect) -> None:
    session = SecurityDomainSession(connect())
    session.authenticate(TRANSPORT_PARAMS)
    apdu, up = session.protocol.send_apdu, Authorities()
    aid = purse_aid(up.env)
    parameters = encode(0xC9, bytes(InstallParameters(up.env, up.root.public)))
    apdu(0x80, 0xE4, 0, 0x80, encode(0x4F, PACKAGE_AID))
    apdu(0x80, 0xE6, 0x02, 0, lv(PACKAGE_AID, SD, b"", b"", b""))
    file = encode(0xC4, cap(PACKAGE_AID))
    blocks = [file[i : i + 239] for i in range(0, len(file), 239)]
    for number, block in enumerate(blocks):
        apdu(0x80, 0xE8, 0x80 * (block is blocks[-1]), number, block)
    module = PACKAGE_AID + b"\x01"
    apdu(0x80, 0xE6, 0x0C, 0, lv(PACKAGE_AID, module, aid, b"\0", parameters, b""))
    apdu(0x80, 0xF0, 0x40, 0x80, aid)
    assert apdu(0x80, 0xF2, 0x40, 0x00, b"\x4f\0") == lv(aid) + b"\x87\0"
    apdu(0x80, 0xF0, 0x40, 0x00, aid)
    (entry,) = Tlv.parse_list(apdu(0x80, 0xF2, 0x40, 0x02, b"\x4f\0"))
    assert Tlv.parse_dict(entry.value)[0x9F70] == b"\x07"
    apdu(0x80, 0xE4, 0, 0, encode(0x4F, aid))
    with pytest.raises(ApduError) as none:
        apdu(0x80, 0xF2, 0x40, 0x02, b"\x4f\0")
    assert none.value.sw == 0x6A88


def test_yubikit_opens_the_purse_with_scp11a(
    put: Callable[[IccDevice], str], connect: Connect
) -> None:
    card = fresh(keys=TransportKeys(0x30, TRANSPORT))
    bench = Bench(InProcessLink(card), Authorities()).prepare("ACTIVE")
    put(card)
    client = SmartCardProtocol(connect())
    select_and_open(client, bench, bench.up)
    state = CardState.parse(client.send_apdu(0x80, 0x30, 0, 0))
    assert (state.life, state.pin_tries) == (Life.ACTIVE, 3)
    with pytest.raises(ApduError) as wrong:  # a warning, with its MAC
        client.send_apdu(0x80, 0x20, 0, 0x80, b"000000")
    assert wrong.value.sw == 0x63C2
    with pytest.raises(ApduError) as none:
        client.send_apdu(0x80, 0x30, 2, 0, bytes([0, 0, 0, 1]))
    assert none.value.sw == 0x6A88
    assert client.send_apdu(0x80, 0x20, 0, 0x80, PIN.encode()) == b"\x03"
    with pytest.raises(ApduError) as stranger:  # a certificate of another terminal CA
        select_and_open(client, bench, Authorities())
    assert stranger.value.sw == 0x6982


def select_and_open(client: SmartCardProtocol, bench: Bench, up: Authorities) -> None:
    assert bench.keys is not None
    station = Bench(bench.link, up).station(Role.TERMINAL)
    client.select(purse_aid(up.env))
    params = Scp11KeyParams(
        KeyRef(ScpKid.SCP11a, 1), p256_public_key(bench.keys.channel_key), KeyRef(0x10, 0),
        station.key.private_key, [CvCertificate(bytes(station.certificate))],
    )  # fmt: skip
    client.init_scp(params)
