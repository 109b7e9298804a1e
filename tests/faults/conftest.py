"""What the fault tests share: the harness's library, and the figures that a run ends with."""

import os
from collections.abc import Callable

import pytest

pytest.register_assert_rewrite("tests.faults.campaign")

from tests.faults.tearing import Tearing, compile_tearing  # noqa: E402 - after the above

KILLS = int(os.environ.get("DETECTOR_KILLS", "20"))
"""Kills at random moments, and those at named steps together; `make faults` asks for ten times."""

Figures = Callable[[str], None]

_FIGURES = pytest.StashKey[list[str]]()


@pytest.fixture(scope="session")
def tearing(tmp_path_factory: pytest.TempPathFactory) -> Tearing:
    return compile_tearing(tmp_path_factory.mktemp("tearing"))


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> Figures:
    """Keeps a line to be shown at the end."""
    lines = request.config.stash.setdefault(_FIGURES, [])
    return lambda line: lines.append(f"{request.node.name}: {line}")


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    lines = config.stash.get(_FIGURES, [])
    if lines:
        terminalreporter.section("what the service was killed at")
    for line in lines:
        terminalreporter.write_line(line)
