"""`detector quarantine` on a folder; the running service is in the integration tests."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from detector.cli import detector
from detector.errors import DetectorError
from detector.quarantine.entry import document_of, entry_of
from detector.quarantine.folder import FolderQuarantine
from detector.state.sqlite import SQLiteStore
from detector.state.store import Quarantined
from tests.records import NOON

ITEMS = [
    Quarantined(
        "logs", "a.json", None, "truncated", b"\x1f\x8b\xff", "it ends", NOON - 60, True, NOON
    ),
    Quarantined("logs", "b.json", 7, "no_event_time", b'{"a": 1}', kept_at=NOON + 1),
    Quarantined(
        "kinesis", "s\x1b[2J", None, "too_large", b"cut", is_complete=False, kept_at=NOON + 2
    ),
]
ENTRIES = [entry_of(item) for item in ITEMS]
WHOLE, RECORD, CUT = (entry.id for entry in ENTRIES)


def place(folder: Path) -> FolderQuarantine:
    return FolderQuarantine(folder, max_bytes=1 << 20, retention=1e9)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "quarantine"
    asyncio.run(place(folder).keep({entry.id: document_of(entry) for entry in ENTRIES}))
    return folder


def run(command: str, folder: Path, *arguments: str) -> Result:
    """Run a command; what fails must fail with one of our own errors."""
    result = CliRunner().invoke(
        detector, ["quarantine", command, "--quarantine", str(folder), *arguments]
    )
    assert result.exception is None or isinstance(result.exception, (SystemExit, DetectorError)), (
        result.exception
    )
    return result


def replaying(folder: Path) -> list[str]:
    return [item.id for item in asyncio.run(place(folder).listed("replaying"))]


def left(folder: Path) -> list[str]:
    return [item.id for item in asyncio.run(place(folder).listed("kept"))]


def test_the_entries_are_listed_for_people_oldest_first(folder: Path) -> None:
    assert run("list", folder).stdout.splitlines() == [
        f"{WHOLE}  logs  truncated  a.json  3 bytes",
        f"{RECORD}  logs  no_event_time  b.json, record 7  8 bytes",
        f"{CUT}  kinesis  too_large  s [2J  3 bytes  (a part)",
    ]


def test_the_entries_are_listed_for_scripts(folder: Path) -> None:
    found = json.loads(run("list", folder, "--format", "json").stdout)
    assert found[0] == {
        "id": WHOLE,
        "state": "kept",
        "source": "logs",
        "origin": "a.json",
        "index": None,
        "reason": "truncated",
        "message": "it ends",
        "kept_at": "2026-09-16T12:00:00Z",
        "delivered_at": "2026-09-16T11:59:00Z",
        "complete": True,
        "bytes": 3,
        "encoding": "base64",
    }
    assert [item["id"] for item in found] == [WHOLE, RECORD, CUT]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (["--source", "logs"], [WHOLE, RECORD]),
        (["--reason", "too_large"], [CUT]),
        (["--reason", "truncated", "--source", "kinesis"], []),
    ],
)
def test_a_list_is_of_a_source_or_a_reason(
    folder: Path, filters: list[str], expected: list[str]
) -> None:
    found = json.loads(run("list", folder, "--format", "json", *filters).stdout)
    assert [item["id"] for item in found] == expected


def test_a_folder_that_is_not_there_yet_has_no_entries(tmp_path: Path) -> None:
    result = run("list", tmp_path / "no")
    assert (result.exit_code, result.output) == (0, "")


def test_a_file_that_is_no_entry_is_named_and_the_others_are_shown(folder: Path) -> None:
    (folder / f"{RECORD}.json").write_text("{")
    result = run("list", folder)
    assert result.exit_code == 1
    assert [line.split()[0] for line in result.stdout.splitlines()] == [WHOLE, CUT]
    assert f"detector: {RECORD}: it is not an entry of a quarantine" in result.stderr


def test_an_entry_is_shown_without_what_would_move_a_cursor(folder: Path) -> None:
    lines = run("show", folder, CUT).stdout.splitlines()
    assert lines[0] == f"id           {CUT}"
    assert "origin       s [2J" in lines
    assert "complete     false" in lines
    assert not any("\x1b" in line for line in lines)
    assert json.loads(run("show", folder, CUT, "--format", "json").stdout)["reason"] == "too_large"


def test_a_body_is_shown_byte_for_byte(folder: Path) -> None:
    assert run("show", folder, WHOLE, "--body").stdout_bytes == b"\x1f\x8b\xff"
    assert run("show", folder, RECORD, "--body").stdout_bytes == b'{"a": 1}'


@pytest.mark.parametrize("entry_id", ["../../etc/passwd", "x", WHOLE[:-1] + "g"])
@pytest.mark.parametrize("command", ["show", "replay", "drop"])
def test_an_entry_that_is_not_there_is_an_error(folder: Path, command: str, entry_id: str) -> None:
    result = run(command, folder, entry_id)
    assert result.exit_code == 1
    said = result.stderr or str(result.exception)
    assert f"there is no entry {entry_id}" in said
    assert left(folder) == [WHOLE, RECORD, CUT]


def test_an_entry_is_marked_for_a_replay_and_shown_to_be(folder: Path) -> None:
    result = run("replay", folder, WHOLE)
    assert (result.exit_code, result.stdout) == (
        0,
        "1 entry to be replayed: by a running service within 2 s, else by the next one\n",
    )
    assert replaying(folder) == [WHOLE]
    assert run("list", folder).stdout.splitlines()[0].endswith("3 bytes  (to be replayed)")
    assert run("replay", folder, WHOLE).stdout.startswith("1 entry to be replayed")
    assert run("show", folder, WHOLE, "--body").stdout_bytes == b"\x1f\x8b\xff"


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (["--all"], [WHOLE, RECORD]),
        (["--source", "logs"], [WHOLE, RECORD]),
        (["--reason", "no_event_time"], [RECORD]),
        ([WHOLE, CUT, WHOLE], [WHOLE]),
    ],
)
def test_what_was_cut_is_not_replayed_and_said_to_be_cut(
    folder: Path, choice: list[str], expected: list[str]
) -> None:
    result = run("replay", folder, *choice)
    assert replaying(folder) == expected
    has_cut = CUT in choice or "--all" in choice
    assert (f"{CUT} cannot be replayed: only a part" in result.stderr) is has_cut
    assert result.exit_code == has_cut


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (["--all"], []),
        (["--source", "logs"], [CUT]),
        ([WHOLE, RECORD], [CUT]),
    ],
)
def test_entries_are_dropped_for_good_also_those_to_be_replayed(
    folder: Path, choice: list[str], expected: list[str]
) -> None:
    run("replay", folder, WHOLE)
    result = run("drop", folder, *choice)
    assert result.exit_code == 0
    assert result.stdout == f"{3 - len(expected)} entries dropped\n"
    assert left(folder) == expected
    assert replaying(folder) == []


@pytest.mark.parametrize("command", ["replay", "drop"])
@pytest.mark.parametrize("choice", [[], ["--all", WHOLE], ["--all", "--reason", "x"]])
def test_a_call_that_names_no_entries_or_in_two_ways_is_wrong(
    folder: Path, command: str, choice: list[str]
) -> None:
    assert run(command, folder, *choice).exit_code == 2
    assert left(folder) == [WHOLE, RECORD, CUT]


@pytest.mark.parametrize("command", [["list"], ["show", WHOLE], ["drop", "--all"]])
def test_a_call_that_names_no_place_is_wrong(command: list[str]) -> None:
    assert CliRunner().invoke(detector, ["quarantine", *command]).exit_code == 2


def test_the_place_is_that_of_the_configuration_and_what_waits_is_told_of(tmp_path: Path) -> None:
    config = tmp_path / "detector.yaml"
    config.write_text("sources: [{type: directory, path: logs}]\n")
    folder = tmp_path / "state" / "quarantine"
    asyncio.run(place(folder).keep({WHOLE: document_of(ENTRIES[0])}))
    with SQLiteStore.open(tmp_path / "state" / "detector.sqlite3") as store:
        with store.transaction(0) as transaction:
            transaction.quarantine(ITEMS[1])
        result = CliRunner().invoke(detector, ["quarantine", "list", "--config", str(config)])
    assert result.stdout.startswith(WHOLE)
    assert result.stderr == "detector: 1 entry more in the state, which the service moves\n"
    assert result.exit_code == 0


def test_a_place_that_is_no_bucket_is_an_error() -> None:
    result = CliRunner().invoke(detector, ["quarantine", "list", "--quarantine", "s3:///x"])
    assert "path is a folder, or like s3://bucket/prefix" in str(result.exception)


def test_a_folder_that_cannot_be_read_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = run("list", tmp_path / "file" / "x")
    assert "cannot be used: Not a directory; check quarantine.path" in str(result.exception)
