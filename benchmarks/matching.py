"""Measure what rules cost: inflating, decoding and matching, by the number of rules.

Run as `python -m benchmarks.matching [--records N] [--turns N]`. The floor inflates the same bodies
and validates them as records with an eventSource and an eventName; the barest that can be done is
to inflate them and to skip through the JSON. Both take turns with the work, in the same process.
Evidence is not included: what a match costs after it was found depends on how much is found.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.logset import write_log_set
from benchmarks.measure import (
    bodies_of,
    in_turns,
    inflate_and_skip,
    inflate_and_validate,
    seconds,
)
from benchmarks.ruleset import write_rules
from detector.envelopes.compression import inflate
from detector.envelopes.log_file import LogFile
from detector.envelopes.payload import MAX_INFLATED_BYTES
from detector.rules.loader import shipped_rules
from detector.rules.ruleset import RuleSet

COUNTS = (1, 16, 100, 1000)


def _opened(body: bytes) -> LogFile:
    return LogFile(inflate(body, max_bytes=MAX_INFLATED_BYTES))


def main() -> None:
    """Run the benchmark and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=int, default=50_000)
    parser.add_argument("--turns", type=int, default=11)
    parser.add_argument("--load", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.load:
        _print_load(arguments.load)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        logs = write_log_set(folder / "logs", arguments.records)
        bodies = bodies_of(logs.folder)
        print(f"{logs.records} records in {logs.files} files")
        sets = {f"{count} generated": folder / f"rules-{count}" for count in COUNTS}
        for count, path in zip(COUNTS, sets.values(), strict=True):
            write_rules(path, count)
        for label, path in {"shipped packs": shipped_rules(), **sets}.items():
            _measure(label, path, bodies, arguments.turns)


def _measure(label: str, path: Path, bodies: list[bytes], turns: int) -> None:
    rules = RuleSet.load(path)
    matched = sum(len(rules.match_batch(_opened(body)).matched) for body in bodies)

    def work() -> None:
        for body in bodies:
            rules.match_batch(_opened(body))

    ratio, _, _ = in_turns(work, lambda: inflate_and_validate(bodies), turns)
    barest, _, _ = in_turns(work, lambda: inflate_and_skip(bodies), turns)
    load = subprocess.run(
        [sys.executable, "-m", "benchmarks.matching", "--load", str(path)],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    rule_count = len(rules.rules)
    print(
        f"{label:16} {rule_count:4} rules, {matched:5} matched: {ratio} x the floor,"
        f" {barest} x the barest; {load}"
    )


def _print_load(path: Path) -> None:
    """Print what it takes to load rules in a process of its own, over what Python takes anyway."""
    before = _resident_bytes()
    taken = seconds(lambda: RuleSet.load(path))
    grown = _resident_bytes() - before
    print(f"loaded in {taken:.2f} s, {grown / (1 << 20):.0f} MiB")


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()


if __name__ == "__main__":
    main()
