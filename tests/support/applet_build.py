"""Build the applet and its host with Maven, once; what is missing is said in one line.

``python -m tests.support.applet_build`` does it for scripts/setup.
"""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
from hashlib import sha256

from card_os.reference.external import APPLET

__all__ = ["AppletBuildError", "build", "java_tests"]

_STAMP = APPLET / "target" / "betang-stamp"
_BUILD_S = 600
JCARDSIM_SHA256 = "db6de7ffde71651c45d00df7e160771685cec3e14e444bf36b796658d289942f"


class AppletBuildError(Exception):
    """There is no JDK or no Maven, or the build failed."""


def build() -> None:
    """Compile unless what is built comes from these sources. Raises AppletBuildError.

    Two workers of a test run take turns.
    """
    for program in ("java", "javac", "mvn"):
        if shutil.which(program) is None:
            raise AppletBuildError(f"no {program} (packages openjdk-17-jdk-headless and maven)")
    (APPLET / "target").mkdir(exist_ok=True)
    with (APPLET / "target" / "betang-lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        wanted = _fingerprint()
        if _STAMP.exists() and _STAMP.read_text("ascii") == wanted:
            return
        _maven("test-compile")
        for jar in (APPLET / "target" / "lib").glob("*.jar"):
            if sha256(jar.read_bytes()).hexdigest() != JCARDSIM_SHA256:
                raise AppletBuildError(f"{jar.name} is not the file we know")
        _STAMP.write_text(wanted, "ascii")


def java_tests() -> None:
    """Run the Java tests of what is built. Raises AppletBuildError with what Maven said."""
    build()
    with (APPLET / "target" / "betang-lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _maven("surefire:test")


def main() -> int:
    """Build; 1 and one line when that cannot be."""
    try:
        build()
    except AppletBuildError as error:
        sys.stderr.write(f"the applet is not built: {error}\n")
        return 1
    return 0


def _fingerprint() -> str:
    files = [APPLET / "pom.xml", *sorted((APPLET / "src").rglob("*.java"))]
    whole = sha256()
    for file in files:
        whole.update(str(file.relative_to(APPLET)).encode() + b"\0" + file.read_bytes())
    return whole.hexdigest()


def _maven(goal: str) -> None:
    """Offline where that does, else with what Maven Central has."""
    for options in (["-o"], []):
        command = ["mvn", "-q", "-B", *options, goal]
        done = subprocess.run(
            command, cwd=APPLET, capture_output=True, text=True, timeout=_BUILD_S, check=False
        )
        if done.returncode == 0:
            return
    said = (done.stdout + done.stderr).strip()
    raise AppletBuildError(f"mvn {goal} failed: {said[:4000] or 'without a word'}")


if __name__ == "__main__":
    sys.exit(main())
