"""Records per second of a replay, and how far that is from the floor.

The floor is what no detector can do without: the same files read, inflated by isal and checked to
be JSON by msgspec. Floor and replay take turns in one process, so that what else the machine does
hits both; the ratio of each turn is what to compare between machines and commits.

    python -m benchmarks.replay [--records 100000] [--turns 7] [--seed 1] [--rules PATH]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
from isal import isal_zlib

from benchmarks.logset import LogSet, write_log_set
from detector.pipeline import Settings
from detector.replay import replay
from detector.rules.loader import shipped_rules
from detector.rules.ruleset import RuleSet


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rules", type=Path, default=shipped_rules())
    arguments = parser.parse_args()
    rules = RuleSet.load(arguments.rules)
    with tempfile.TemporaryDirectory() as folder:
        logs = write_log_set(Path(folder), arguments.records, arguments.seed)
        mebibytes = logs.document_bytes / (1 << 20)
        print(f"{logs.records} records in {logs.files} files, {mebibytes:.1f} MiB inflated")
        floors, replays = measure(logs, rules, arguments.turns)
    ratios = [taken / floor for floor, taken in zip(floors, replays, strict=True)]
    print(f"floor   {logs.records / min(floors):>9,.0f} records/s at best")
    print(f"replay  {logs.records / min(replays):>9,.0f} records/s at best")
    print(
        f"ratio   {statistics.median(ratios):.2f} x the floor's time"
        f" (median of {len(ratios)} turns, {min(ratios):.2f} to {max(ratios):.2f})"
    )


def measure(logs: LogSet, rules: RuleSet, turns: int) -> tuple[list[float], list[float]]:
    """Return the seconds that the floor and the replay took, turn by turn."""

    def work() -> None:
        result = replay(rules, [logs.folder], Settings())
        assert result.accounting.received == logs.records
        assert result.accounting.is_balanced

    def floor() -> None:
        validate = msgspec.json.Decoder(msgspec.Raw).decode
        for path in sorted(logs.folder.iterdir()):
            validate(isal_zlib.decompress(path.read_bytes(), wbits=31))

    floor()
    work()
    taken = [(_seconds(floor), _seconds(work)) for _ in range(turns)]
    return [floor_seconds for floor_seconds, _ in taken], [seconds for _, seconds in taken]


def _seconds(function: Callable[[], None]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
