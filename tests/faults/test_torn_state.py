"""A state that is cut off in each single one of its writes is whole when it is opened again."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults import torn_state
from tests.faults.conftest import Figures
from tests.faults.tearing import How, Tearing

pytestmark = pytest.mark.faults


@pytest.mark.parametrize(
    ("how", "pattern"),
    [
        ("before", "*.sqlite3*"),
        ("half", "*.sqlite3*"),
        pytest.param("power", "*-wal", id="power-log"),
    ],
)
def test_a_death_at_any_write_of_a_state_loses_no_commit_and_leaves_no_half_of_one(
    tearing: Tearing, tmp_path: Path, figures: Figures, how: How, pattern: str
) -> None:
    done = subprocess.run(
        [sys.executable, torn_state.__file__, tmp_path, how, pattern],
        env={**os.environ, **tearing.preloaded()},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    deaths = int(done.stdout)
    assert deaths > 20
    figures(f"{deaths} deaths, one at each call")
