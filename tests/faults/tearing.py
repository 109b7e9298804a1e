"""Death in the middle of a write: `tear.c`, compiled, and put before libc in a process."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Literal

import pytest

How = Literal["before", "half", "power"]


class Tearing:
    """The compiled library."""

    def __init__(self, library: Path) -> None:
        self.library = library

    def preloaded(self) -> dict[str, str]:
        """Return the environment in which a process has the library, and does nothing with it."""
        others = os.environ.get("LD_PRELOAD")
        return {"LD_PRELOAD": f"{self.library}:{others}" if others else str(self.library)}

    def at(self, pattern: str, nth: int, how: How, linger: float = 0) -> dict[str, str]:
        """Return the environment in which a process dies at its nth call on a file; see tear.c.

        It comes to a halt there for `linger` seconds; its other threads do not.
        """
        return {
            **self.preloaded(),
            "TEAR_PATTERN": pattern,
            "TEAR_NTH": str(nth),
            "TEAR_HOW": how,
            "TEAR_LINGER": str(int(linger * 1e6)),
        }


def compile_tearing(folder: Path) -> Tearing:
    """Compile the library, and see that it does what it should; skip the test where it cannot."""
    names = (os.environ.get("CC"), "cc", "gcc", "clang")
    compiler = next((name for name in names if name and shutil.which(name)), None)
    if compiler is None:
        pytest.skip("no C compiler: no death in the middle of a write")
    library = folder / "tear.so"
    source = Path(__file__).parent / "tear.c"
    done = subprocess.run(
        [compiler, "-shared", "-fPIC", "-Wall", "-Wextra", "-o", library, source, "-ldl"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    tearing = Tearing(library)
    probe = folder / "probe"
    program = f"import os; os.pwrite(os.open({str(probe)!r}, os.O_RDWR | os.O_CREAT), b'1234', 0)"
    probed = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **tearing.at("*/probe", 1, "half")},
        check=False,
        stderr=subprocess.DEVNULL,
    )
    if probed.returncode != -signal.SIGKILL:
        pytest.skip("LD_PRELOAD has no effect on this Python: is its libc a static one?")
    assert probe.read_bytes() == b"12"
    return tearing
