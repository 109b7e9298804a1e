"""Records per second of a replay, and how far that is from the floor.

The floor is what no detector can do without: the same files read, inflated by isal and checked to
be JSON by msgspec. Floor and replay take turns in one process, so that what else the machine does
hits both; the ratio of each turn is what to compare between machines and commits.

    python -m benchmarks.replay [--records 100000] [--turns 7] [--seed 1] [--rules PATH]
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import msgspec
from isal import isal_zlib

from benchmarks.logset import write_log_set
from benchmarks.measure import in_turns
from detector.pipeline import Settings
from detector.replay import replay
from detector.rules.loader import shipped_rules
from detector.rules.ruleset import RuleSet


def main() -> None:
    """Run the benchmark and print its figures."""
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

        def work() -> None:
            result = replay(rules, [logs.folder], Settings())
            assert result.accounting.received == logs.records
            assert result.accounting.is_balanced

        def floor() -> None:
            validate = msgspec.json.Decoder(msgspec.Raw).decode
            for path in sorted(logs.folder.iterdir()):
                validate(isal_zlib.decompress(path.read_bytes(), wbits=31))

        ratio, works, floors = in_turns(work, floor, arguments.turns)
    print(f"floor   {logs.records / min(floors):>9,.0f} records/s at best")
    print(f"replay  {logs.records / min(works):>9,.0f} records/s at best")
    print(f"ratio   {ratio} x the floor's time, median of {arguments.turns} turns")


if __name__ == "__main__":
    main()
