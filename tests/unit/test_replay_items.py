"""What a replay is given: files, standard input and S3, in one order, and chosen by time."""

import gzip
import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from detector.sources.delivery import Payload
from detector.sources.stored import Period, Stored, in_order
from tests.records import log_file, record
from tests.unit.test_command_line import SAMPLE, Call, call, detector

__all__ = ["call"]


def named(time: str) -> str:
    return f"111122223333_CloudTrail_us-east-1_{time}_Mu0KsOhtH1ar15ZZ.json"


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """Three days at noon, a record each, and one whose name tells no time."""
    for day in (15, 16, 17):
        name = named(f"202609{day}T1200Z")
        (tmp_path / name).write_bytes(log_file(record(at=(day - 16) * 86_400)))
    (tmp_path / "undated.json").write_bytes(log_file(record()))
    return tmp_path


@pytest.mark.parametrize(
    ("options", "files"),
    [
        ([], 4),
        (["--from", "2026-09-16"], 3),
        (["--to", "2026-09-16"], 3),
        (["--from", "2026-09-16", "--to", "2026-09-16"], 2),
        (["--from", "2026-09-16T12:00:00Z", "--to", "2026-09-17T12:00:00Z"], 2),
        (["--from", "2026-09-16T14:00:00+02:00"], 3),
        (["--from", "2026-09-16t12:01"], 2),
        (["--from", "2026-09-16 12:00:00.5Z"], 2),
        (["--from", "2026-09-18"], 1),
    ],
)
def test_files_are_chosen_by_the_time_of_delivery_in_their_names(
    call: Call, logs: Path, options: list[str], files: int
) -> None:
    done = call("replay", *options, logs)
    assert done.returncode == 0
    assert f" from {files} file" in done.stdout


@pytest.mark.parametrize(
    "text", ["yesterday", "2026", "2026-02-30", "2026-09-16T25:00Z", "", "1e9"]
)
@pytest.mark.parametrize("option", ["--from", "--to"])
def test_what_is_not_a_time_is_told_with_what_is(
    call: Call, logs: Path, option: str, text: str
) -> None:
    done = call("replay", option, text, logs)
    assert done.returncode == 2
    assert f"'{option}': '{text}' is not a time: expected a date such as 2026-09-16" in done.stderr


def test_a_period_that_ends_before_it_begins_is_a_wrong_call(call: Call, logs: Path) -> None:
    done = call("replay", "--from", "2026-09-17", "--to", "2026-09-16", logs)
    assert done.returncode == 2
    assert "'--to': it is not after --from" in done.stderr


def piped(body: bytes, *arguments: str | Path) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "detector", "replay", *map(str, arguments)]
    done = subprocess.run(command, input=body, capture_output=True, timeout=60, check=False)
    assert b"Traceback" not in done.stderr
    assert done.returncode == 0
    return done


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_standard_input_is_one_payload(pack: Callable[[bytes], bytes]) -> None:
    # As `zcat *.gz` gives them.
    body = pack(log_file(record()) + log_file(record(), record()))
    done = piped(body, "--format", "json", "-")
    assert json.loads(done.stdout)["records"]["in"] == 3


def test_standard_input_goes_with_files(logs: Path) -> None:
    body = (logs / "undated.json").read_bytes()
    records = json.loads(piped(body, "--format", "json", "-", logs, "-").stdout)["records"]
    assert (records["in"], records["duplicate"]) == (5, 1)


def test_what_is_wrong_with_standard_input_is_told_of_it() -> None:
    done = piped(gzip.compress(log_file(record()))[:-9], "-")
    assert done.stderr.startswith(b"standard input: rejected, truncated: ")
    assert piped(b"", "-").stderr.startswith(b"standard input: rejected, empty: ")


@pytest.mark.parametrize("text", ["s3://", "s3:///prefix"])
def test_an_address_without_a_bucket_is_a_wrong_call(call: Call, text: str) -> None:
    done = call("replay", text)
    assert done.returncode == 2
    assert "it names no bucket; expected s3://bucket/prefix" in done.stderr


def test_items_come_by_their_times_and_first_those_that_have_none() -> None:
    def read() -> Payload:
        raise AssertionError

    times = [3.0, None, 1.0, 2.0, None, 1.0]
    items = [Stored(str(place), time, read) for place, time in enumerate(times)]
    assert [item.origin for item in in_order(items)] == ["1", "4", "2", "5", "3", "0"]


def test_a_period_has_its_start_and_not_its_end() -> None:
    noon = datetime(2026, 9, 16, 12, tzinfo=UTC).timestamp()
    period = Period(noon, noon + 60)
    assert [period.holds(noon + offset) for offset in (-1, 0, 59, 60)] == [False, True, True, False]
    assert period.holds(None)


def test_a_bar_is_shown_to_a_person_only() -> None:
    main, terminal = pty.openpty()
    command = [sys.executable, "-m", "detector", "replay", "--format", "json", SAMPLE]
    with os.fdopen(main, "rb", buffering=0) as shown:
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=terminal) as process:
            os.close(terminal)
            assert process.stdout is not None
            document = process.stdout.read()
        bar = b""
        while b"13/13" not in bar:
            bar += shown.read(4096)
    assert b"Replaying" in bar
    assert json.loads(document)["records"]["in"] == 139
    assert "Replaying" not in detector("replay", SAMPLE).stderr
