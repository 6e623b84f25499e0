"""What every suite shares."""

import os
from collections.abc import Iterator

import pytest

from card_os.reference.external import AppletHost
from demo.pcscd import PcscdWorld, WorldError
from tests.support.applet_build import AppletBuildError, build

CONFORMANCE_READER = 3  # the readers before it are for tests/unit/card_os


@pytest.fixture(scope="session")
def pcscd_world() -> Iterator[PcscdWorld]:
    """A private pcscd with four empty virtual readers, which this process and its children see.

    One for the whole process: libpcsclite reads PCSCLITE_CSOCK_NAME once. Put a card in with
    `VpcdSlot(pcscd_world.doors[n]).insert(card)`, reach it with
    `PcscReader(pcscd_world.readers[n])`, and take it out again.
    """
    patch = pytest.MonkeyPatch()
    try:
        with PcscdWorld(4) as world:
            for name, value in world.env.items():
                patch.setenv(name, value)
            yield world
    except WorldError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"not proved through pcscd: {error}")
    finally:
        patch.undo()


@pytest.fixture(scope="session")
def applet_host() -> Iterator[AppletHost]:
    """The Java process that runs the applet, built first where that was not done yet."""
    try:
        build()
    except AppletBuildError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"not proved on the Java Card applet: {error}")
    with AppletHost() as host:
        yield host


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Make ``xdist_group`` work: xdist 3.8 writes a group into a field that pytest 9.2 left.

    ``tests/test_groups.py`` fails when this is needed no more, or no longer enough.
    """
    for item in items:
        named = vars(item).get("_nodeid")
        if named is not None and named != item.nodeid:
            item._id = type(item._id).parse(named)


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name bytes by their place: keys made at import differ between the workers of a run."""
    return argname if isinstance(val, bytes) else None
