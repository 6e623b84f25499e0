"""Tests that share something machine-wide run on one worker: ``xdist_group`` is heard."""

from __future__ import annotations

import os

import pytest


@pytest.mark.xdist_group("heard")
def test_the_group_is_in_the_name(request: pytest.FixtureRequest) -> None:
    if "PYTEST_XDIST_WORKER" not in os.environ or not request.config.getoption("loadgroup", None):
        return  # one process: nothing to keep together
    assert request.node.nodeid.endswith("@heard")
