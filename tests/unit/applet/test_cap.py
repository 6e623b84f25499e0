"""``make cap`` with a stand-in for the vendor's kit: it converts nothing and records what it is
asked. That a real converter takes these sources is not proved by it.
"""

import os
import subprocess
from pathlib import Path

import pytest

from card_os.reference.external import APPLET, AppletHost
from wire.env import PACKAGE_AID

ROOT = Path(__file__).parents[3]
CAP = ROOT / "build" / "cap" / "betang-purse.cap"
STAND_IN = """
package com.sun.javacard.{package};
import java.nio.file.*;
public class {name} {{
  public static void main(String[] a) throws Exception {{
    Path home = Path.of(System.getProperty("jc.home"));
    Files.write(home.resolve("{name}.args"), String.join("\\n", a).getBytes());
    if (Files.exists(home.resolve("{name}.fails"))) System.exit(3);
    if ("{name}".equals("Main") && !Files.exists(home.resolve("silent"))) {{
      String folder = a[java.util.Arrays.asList(a).indexOf("-d") + 1];
      Path out = Path.of(folder, "id/betang/purse/javacard");
      Files.createDirectories(out);
      Files.write(out.resolve("purse.cap"), "a stand-in, no CAP".getBytes());
      Files.write(out.resolve("purse.exp"), "a stand-in".getBytes());
    }}
  }}
}}
"""


@pytest.fixture(scope="module")
def tools(applet_host: AppletHost, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """tools.jar with the two programs' stand-ins."""
    folder = tmp_path_factory.mktemp("tools")
    for package, name in (("converter", "Main"), ("offcardverifier", "Verifier")):
        (folder / f"{name}.java").write_text(STAND_IN.format(package=package, name=name))
    subprocess.run(["javac", "-d", folder / "c", *folder.glob("*.java")], check=True)
    subprocess.run(["jar", "cf", folder / "tools.jar", "-C", folder / "c", "."], check=True)
    return folder / "tools.jar"


@pytest.fixture
def kit(tools: Path, tmp_path: Path) -> Path:
    """A kit as 3.1 and newer lie on a disk, its API jCardSim's."""
    folder = tmp_path / "kit"
    (folder / "lib").mkdir(parents=True)
    (folder / "lib/tools.jar").symlink_to(tools)
    (jar,) = (APPLET / "target" / "lib").glob("jcardsim*.jar")
    (folder / "lib/api_classic-3.0.4.jar").symlink_to(jar)
    for name in ("api_export_files_3.0.4/javacard/framework/javacard/framework.exp",
                 "gp/org/globalplatform/javacard/globalplatform.exp"):  # fmt: skip
        (folder / name).parent.mkdir(parents=True)
        (folder / name).touch()
    return folder


def ran(kit: Path | None, **more: str) -> subprocess.CompletedProcess[str]:
    chosen = {} if kit is None else {"JC_SDK": str(kit), "JC_EXPORTS": str(kit / "gp")}
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("JC_", "MAKE"))}
    return subprocess.run(["make", "-s", "cap", *(f"{k}={v}" for k, v in (chosen | more).items())],
                          cwd=ROOT, env=kept, capture_output=True, text=True, check=False,
                          timeout=120)  # fmt: skip


@pytest.mark.xdist_group("cap")
def test_the_kit_is_asked_as_it_must_be(kit: Path) -> None:
    done = ran(kit)
    assert done.returncode == 0, done.stderr
    assert "betang-purse.cap, verified" in done.stdout
    assert CAP.read_text() == "a stand-in, no CAP"
    asked = (kit / "Main.args").read_text().splitlines()
    aid = ":".join(f"0x{b:02X}" for b in PACKAGE_AID)
    assert asked[-6:] == ["-applet", f"{aid}:0x01", "id.betang.purse.BetangPurse",
                          "id.betang.purse", aid, "1.0"]  # fmt: skip
    assert asked[asked.index("-target") + 1] == "3.0.4"
    assert asked[asked.index("-exportpath") + 1] == f"{kit}/gp"
    assert "-i" not in asked  # no int on the card
    classes = ROOT / asked[asked.index("-classdir") + 1]
    made = {p.stem for p in (classes / "id/betang/purse").glob("*.class")}
    assert made >= {"BetangPurse", "Purse", "Store", "SecurityDomainGate"}
    assert not {name for name in made if name.startswith(("Host", "Tearing"))}
    version = (classes / "id/betang/purse/Purse.class").read_bytes()[6:8]
    assert version == b"\x00\x33"  # class files of Java 7, the newest that kits 3.1 to 24 read
    verified = [p.rsplit("/", 1)[-1] for p in (kit / "Verifier.args").read_text().splitlines()]
    assert verified == ["-nobanner", "framework.exp", "globalplatform.exp", "purse.exp",
                        "purse.cap"]  # fmt: skip


@pytest.mark.xdist_group("cap")
@pytest.mark.parametrize(
    ("sign", "said"),
    [("silent", "made no CAP"), ("Verifier.fails", "the verifier refused")],
)  # fmt: skip
def test_no_cap_without_both_programs_consent(kit: Path, sign: str, said: str) -> None:
    (kit / sign).touch()
    done = ran(kit)
    assert done.returncode != 0
    assert said in done.stderr
    assert not CAP.exists()


def test_without_a_kit_it_says_where_it_comes_from() -> None:
    done = ran(None)
    assert done.returncode != 0
    assert "oracle.com" in done.stderr
    assert "globalplatform.org" in done.stderr


def test_what_is_no_kit_or_no_export_is_named(kit: Path, tmp_path: Path) -> None:
    assert "no lib/tools.jar" in ran(kit, JC_SDK=str(tmp_path)).stderr
    assert "/globalplatform.exp" in ran(kit, JC_EXPORTS=str(tmp_path / "none")).stderr
    assert "no API for Java Card 3.9" in ran(kit, JC_TARGET="3.9").stderr
