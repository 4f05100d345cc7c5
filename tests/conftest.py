"""Options and settings of the whole suite."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

CHECKS = list(HealthCheck)
# The same examples each time: whoever changes nothing sees nothing fail. --hypothesis-profile search looks for more.
settings.register_profile("suite", deadline=None, max_examples=60, suppress_health_check=CHECKS, derandomize=True)
settings.register_profile("search", deadline=None, max_examples=1000, suppress_health_check=CHECKS)
settings.load_profile("suite")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--golden", action="store_true", help="write the golden files anew, then look at git diff")
