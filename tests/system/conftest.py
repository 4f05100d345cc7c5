"""What every system test needs."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(scope="session", autouse=True)
def root() -> None:
    """System tests need root, and say so; they are never skipped in silence."""
    if os.geteuid() != 0:
        pytest.fail("system tests build network namespaces and need root; without: pytest -m 'not system'")
