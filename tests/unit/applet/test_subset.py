"""The converter's subset, from the compiled classes: ours keep to it, and each sin is found."""

import subprocess
from pathlib import Path

import pytest

from card_os.reference.external import APPLET, AppletHost
from tests.support.applet_classes import ClassFile, parse
from tests.support.applet_subset import API, API_CLASSES, Rules, violations

RULES = Rules("id/betang/purse", "SecurityDomainGate")
CLASSES = APPLET / "target" / "classes"
HEAD = "package id.betang.purse;\n"

INHERITED = """final class Inherited extends javacard.framework.Applet {
  public void process(javacard.framework.APDU a) { getShareableInterfaceObject(null, (byte) 0); }
}"""

# A class body (or a whole class), and what is said of it.
SINS = {
    "Ints": ("int a;", "the type I"),
    "Ints2": ("short f(int a) { return (short) a; }", "the type I"),
    "Ints3": ("int[] a = new int[3];", "the type [I"),
    "Longs": ("short f(short a) { long b = a; return (short) b; }", "i2l"),
    "Doubles": ("short f(short a) { return (short) (a * 1.5); }", "ldc2_w"),
    "Floats": ("float a;", "the type F"),
    "Chars": ("char a;", "the type C"),
    "BigConstant": ("boolean f(short a) { return a == 40000; }", "ldc int"),
    "Strings": ('Object a = "x";', "a string 'x'"),
    "StringType": ("String a;", "a String"),
    "Square": ("byte[][] a;", "an array of arrays"),
    "Square2": ("Object a = new byte[2][2];", "multianewarray"),
    "Square3": ("Object a = new byte[2][];", "an array of arrays"),
    "Lambda": ("Runnable a = () -> { };", "invokedynamic"),
    "Generic": ("<T> void f(T a) { }", "a generic type"),
    "Generic2": ("final class Generic2<T> { }", "a generic type"),
    "Each": ("short f(byte[] a) { short n = 0; for (byte b : a) { n += b; } return n; }", "iinc"),
    "Counter": ("void f() { for (int i = 0; i < 9; i++) { } }", "iinc"),
    "Lock": ("void f() { synchronized (this) { } }", "monitorenter"),
    "Lock2": ("synchronized void f() { }", "synchronized"),
    "Native": ("native void f();", "native"),
    "Enums": ("enum Enums { A }", "an enum or record"),
    "Records": ("record Records(byte a) { }", "an enum or record"),
    "Library": ("short f(short a) { return (short) Math.abs(a); }", "java/lang/Math.abs"),
    "Newer": ("void f(byte[] a) { javacard.framework.JCSystem.requestObjectDeletion(); }",
              "requestObjectDeletion()V was not looked up"),
    "Inherited": (INHERITED, "getShareableInterfaceObject"),
    "Domain": ("void f() { org.globalplatform.GPSystem.getSecureChannel().resetSecurity(); }",
               "uses GlobalPlatform's"),
    "Domain2": ("Object f(Object a) { return (org.globalplatform.SecureChannel) a; }",
                "names GlobalPlatform's"),
    "Initialiser": ("static byte[] a = make(); static byte[] make() { return null; }",
                    "invokestatic in a static initialiser"),
    "Compared": ("boolean f(short a, short b) { return a + b > 9; }", "goes into a comparison"),
    "Indexed": ("byte f(byte[] x, short a) { return x[a + 1]; }", "goes into an index"),
    "IndexStore": ("void f(byte[] x, short a) { x[a << 1] = 0; }", "goes into an index"),
    "Divided": ("short f(short a, short b) { return (short) ((a + b) / 2); }", "goes into idiv"),
    "Rest": ("short f(short a, short b) { return (short) ((a - b) % 3); }", "goes into irem"),
    "Shifted": ("short f(short a, short b) { return (short) ((a + b) >> 1); }", "goes into ishr"),
    "Distance": ("short f(short a, short b) { return (short) (1 << a + b); }", "distance"),
    "Unsigned": ("short f(short a) { return (short) (a >>> 1); }", "iushr"),
    "Negated": ("boolean f(short a) { return -a < 3; }", "goes into a comparison"),
    "Masked": ("boolean f(short a) { return ((a << 4) & a) == 0; }", "goes into a comparison"),
    "Joined": ("boolean f(short a, boolean b) { return (b ? a : a * 3) == 0; }", "a comparison"),
    "Switched": ("void f(short a) { switch (a * 2) { case 4: break; default: a = 1; } }",
                 "goes into a switch"),
    "Length": ("Object f(short a) { return new byte[a + 1]; }", "goes into a length"),
    "Kept": ("short f(short a) { var b = a + 1; return (short) b; }", "goes into a local"),
}  # fmt: skip
FINE = {
    "Cast": "short f(short a, short b) { return (short) (a * b + (a << 3) - (b & 0x7F)); }",
    "CastFirst": "boolean f(short a, short b) { return (short) (a + b) > 9; }",
    "Bytes": "void f(byte[] x, short a) { x[a] += 3; x[(short) (a + 1)] ^= (byte) (x[a] << 1); }",
    "Loop": "short f(byte[] x) { short n = 0; "
            "for (short i = 0; i < (short) x.length; i++) { n += x[i] & 0xFF; } return n; }",
}  # fmt: skip


@pytest.fixture(scope="module")
def ours(applet_host: AppletHost) -> list[ClassFile]:
    return [parse(p) for p in sorted((CLASSES / "id/betang/purse").glob("*.class"))]


@pytest.fixture(scope="module")
def planted(applet_host: AppletHost, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every sin compiled, in one run of javac."""
    folder = tmp_path_factory.mktemp("sins")
    big = "".join(f"a[{i}] = (byte) (a[{i}] * 3);" for i in range(4000))
    sources = {
        **{name: body for name, (body, _) in SINS.items()}, **FINE,
        "Long": f"void f(byte[] a) {{ {big} }}",
        "Wide": "".join(f"void f{i}() {{ }}" for i in range(129)),
        "Fat": "".join(f"byte f{i};" for i in range(256)),
    }  # fmt: skip
    for name, body in sources.items():
        whole = body if f" {name}" in body.split("{")[0] else f"class {name} {{ {body} }}"
        (folder / f"{name}.java").write_text(HEAD + whole, "ascii")
    jars = ":".join(map(str, [CLASSES, *(APPLET / "target" / "lib").glob("*.jar")]))
    subprocess.run(["javac", "-nowarn", "-cp", jars, "-d", folder, *folder.glob("*.java")],
                   check=True, capture_output=True, timeout=120)  # fmt: skip
    return folder / "id/betang/purse"


def said(planted: Path, name: str) -> str:
    return "\n".join(violations([parse(planted / f"{name}.class")], RULES))


def test_our_classes_keep_to_the_subset(ours: list[ClassFile]) -> None:
    assert len(ours) >= 30
    assert violations(ours, RULES) == []


@pytest.mark.parametrize("name", SINS)
def test_each_sin_is_found(planted: Path, name: str) -> None:
    assert SINS[name][1] in said(planted, name)


@pytest.mark.parametrize("name", FINE)
def test_what_the_converter_takes_is_left_alone(planted: Path, name: str) -> None:
    assert said(planted, name) == ""


@pytest.mark.parametrize(
    ("name", "text"),
    [("Long", "bytes of code"), ("Wide", "129 virtual methods"), ("Fat", "256 fields")],
)
def test_sizes(planted: Path, name: str, text: str) -> None:
    assert text in said(planted, name)


def test_sizes_of_the_package(ours: list[ClassFile]) -> None:
    many = violations(ours * 9, RULES)
    assert any("classes" in text for text in many)
    assert any(text.endswith("bytes of code") for text in many)


def test_globalplatform_is_used_by_one_replaceable_class(ours: list[ClassFile]) -> None:
    """All others know the abstract Gate; only the load file's applet class makes the real one."""
    other = Rules(RULES.package, "Nobody")
    users = {text.split(":")[0].split(".")[0] for text in violations(ours, other)}
    assert users == {"SecurityDomainGate"}
    naming = {c.name.rsplit("/", 1)[-1] for c in ours
              if f"{RULES.package}/SecurityDomainGate" in c.classes}  # fmt: skip
    assert naming == {"SecurityDomainGate", "BetangPurse"}


def test_the_list_of_the_platform_holds_nothing_unused(ours: list[ClassFile]) -> None:
    """A member that nobody uses was perhaps not looked up by anybody."""
    own = {c.name for c in ours}
    used = {f"{n}{k}" for c in ours for o, n, k in c.refs}
    assert {member for member in API if member.split(".")[1] not in used} == set()
    named = {x.lstrip("[").removeprefix("L").removesuffix(";") for c in ours for x in c.classes}
    assert API_CLASSES - named - {member.split(".")[0] for member in API} == set()
    assert own <= named
