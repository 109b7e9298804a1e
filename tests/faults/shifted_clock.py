"""The service with another wall clock: `shifted_clock.py FILE run --config FILE`.

The clock is off by the seconds that FILE holds, which may change while the service runs.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path


def _main() -> None:
    shift = Path(sys.argv.pop(1))
    real = time.time
    time.time = lambda: real() + float(shift.read_text())
    from detector.cli import entry_point  # noqa: PLC0415 - it must find the clock replaced

    entry_point()


if __name__ == "__main__":
    _main()
