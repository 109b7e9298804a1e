"""The benchmarks' logs are what they say, and the benchmark runs."""

import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from benchmarks.logset import Record, log_files, write_log_set
from benchmarks.ruleset import write_rules
from detector.pipeline import Settings
from detector.replay import replay
from detector.rules.loader import load_rules, shipped_rules
from detector.rules.ruleset import RuleSet
from tests.conftest import REPOSITORY


@pytest.fixture(scope="module")
def records() -> list[Record]:
    return [record for _, batch in log_files(10_000) for record in batch]


def depth(value: Any) -> int:
    if not isinstance(value, (dict, list)):
        return 0
    inner = value.values() if isinstance(value, dict) else value
    return 1 + max(map(depth, inner), default=0)


def scalars(value: Any) -> int:
    if not isinstance(value, (dict, list)):
        return 1
    return sum(map(scalars, value.values() if isinstance(value, dict) else value))


def test_the_generated_records_have_the_proportions_of_real_ones(records: list[Record]) -> None:
    sizes = [len(msgspec.json.encode(record)) for record in records]
    assert 1100 <= statistics.mean(sizes) <= 1400
    assert 24 <= statistics.mean(map(scalars, records)) <= 32
    assert {2, 3, 4, 8} <= set(map(depth, records))
    assert 0.08 <= sum("errorCode" in record for record in records) / len(records) <= 0.12
    counts = [len(batch) for _, batch in log_files(10_000)]
    assert (min(counts) <= 3, max(counts) <= 394) == (True, True)
    assert 40 <= statistics.mean(counts) <= 65


def test_the_same_seed_makes_the_same_files_and_another_others(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_log_set(tmp_path / name, 200, seed)
    contents = [
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in "abc"
    ]
    assert contents[0] == contents[1] != contents[2]


def test_nine_in_a_thousand_are_changes_to_iam_policies(tmp_path: Path) -> None:
    logs = write_log_set(tmp_path, 10_000)
    rules = RuleSet.load(shipped_rules() / "cis" / "iam_policy_changes.yml")
    result = replay(rules, [tmp_path], Settings())
    assert result.accounting.received == logs.records == 10_000
    assert 60 <= result.accounting.matched <= 120


def test_the_benchmark_prints_its_ratio() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.replay", "--records", "500", "--turns", "1"],
        capture_output=True,
        text=True,
        check=True,
        cwd=REPOSITORY,
    )
    assert "x the floor's time" in done.stdout


def test_the_generated_rules_are_good_and_mostly_about_named_events(tmp_path: Path) -> None:
    write_rules(tmp_path, 200)
    loaded = load_rules([tmp_path])
    assert (len(loaded.rules), loaded.errors) == (200, [])
    named = sum("eventName" in path.read_text() for path in tmp_path.iterdir())
    assert 160 <= named <= 199


def test_the_benchmark_of_rules_prints_a_ratio_for_each_number_of_rules() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.matching", "--records", "300", "--turns", "1"],
        capture_output=True,
        text=True,
        check=True,
        cwd=REPOSITORY,
    )
    assert done.stdout.count(" x the barest; loaded in ") == 5


@pytest.mark.parametrize("groups", [1, 20])
def test_the_benchmark_of_a_storm_prints_its_ratio_and_the_memory(groups: int) -> None:
    arguments = ["--events", "400", "--groups", str(groups), "--parts", "2"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.storm", *arguments],
        capture_output=True,
        text=True,
        check=True,
        cwd=REPOSITORY,
    )
    assert done.stdout.count(" x the match stage") == 3
    assert "MiB resident" in done.stdout


def test_the_benchmark_of_firehose_prints_its_ratio() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.firehose", "--records", "300", "--turns", "1", "--gzip"],
        capture_output=True,
        text=True,
        check=True,
        cwd=REPOSITORY,
    )
    assert "x the floor's time" in done.stdout


def test_the_benchmark_of_a_stream_prints_a_ratio_of_the_source_and_of_all_of_it() -> None:
    arguments = ["--shards", "2", "--answers", "2", "--records", "3", "--turns", "1"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.kinesis", *arguments],
        capture_output=True,
        text=True,
        check=True,
        cwd=REPOSITORY,
    )
    assert done.stdout.count(" x the floor's time") == 2


def test_the_benchmark_of_s3_prints_its_ratio_for_each_size() -> None:
    arguments = ["--records", "100", "--turns", "1", "--sizes", "10", "50"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.s3", *arguments],
        capture_output=True,
        text=True,
        check=True,
        cwd=REPOSITORY,
    )
    assert done.stdout.count(" x the time of bare GETs") == 2


def test_the_benchmark_of_alerts_prints_a_ratio_and_how_late_they_are() -> None:
    arguments = ["--alerts", "60", "--turns", "1", "--rates", "20", "--seconds", "0.5"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.alerts", *arguments],
        capture_output=True,
        text=True,
        check=True,
        cwd=REPOSITORY,
    )
    assert " x the time of bare posts" in done.stdout
    assert "10 objects, 20 a second: 0 alerts lost" in done.stdout
