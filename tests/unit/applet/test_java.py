"""The applet's own tests: arithmetic, cryptography, Store, and the converter's subset."""

import os
import shutil

import pytest

from tests.support.applet_build import AppletBuildError, java_tests


def test_the_java_tests_pass() -> None:
    if shutil.which("javac") is None or shutil.which("mvn") is None:
        assert not os.environ.get("CI"), "CI has a JDK and Maven"
        pytest.skip("the applet's Java tests were not run: no JDK or no Maven")
    java_tests()


def test_a_missing_jdk_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(AppletBuildError, match="openjdk-17-jdk-headless") as caught:
        java_tests()
    assert "\n" not in str(caught.value)
