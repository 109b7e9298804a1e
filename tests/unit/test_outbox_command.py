"""`detector outbox` on a state; the running service is in the integration tests."""

from __future__ import annotations

import json
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from detector.cli import detector
from detector.errors import DetectorError, StateError
from detector.state import changing, checks
from detector.state.schema import MIGRATIONS, migrate
from detector.state.sqlite import SQLiteStore
from detector.state.store import Notification
from tests.alerts import alert
from tests.records import NOON

ERROR = "hook.example answered 400: \x1b[2Jbad\nbody"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The path of a state: for the hook one alert of each state, for the pager one that waits."""
    path = tmp_path / "state.sqlite3"
    with SQLiteStore.open(path) as store:
        for number, name in enumerate(("dead", "sent", "waiting")):
            put(store, name, NOON + number)
        found = {item.alert.id: item for item in store.outbox.due("hook", NOON + 9, 10)}
        store.outbox.bury("hook", found["dead"], ERROR)
        store.outbox.delivered("hook", found["sent"], NOON + 9, 60)
        store.outbox.retry_later("hook", found["waiting"], NOON + 3600, "hook.example answered 503")
        put(store, "paged", NOON + 5, "pager")
    return path


def put(store: SQLiteStore, name: str, at: float, sink: str = "hook") -> None:
    made = msgspec.structs.replace(alert(), id=name, dedup_key=name)
    with store.transaction(at) as transaction:
        transaction.save_alert(made, [sink], 60)


def run(command: str, path: Path, *arguments: str, answer: str | None = None) -> Result:
    """Run a command; what fails must fail with one of our own errors."""
    result = CliRunner().invoke(
        detector, ["outbox", command, "--state", str(path), *arguments], input=answer
    )
    assert result.exception is None or isinstance(result.exception, (SystemExit, DetectorError)), (
        result.exception
    )
    return result


def listed(path: Path, *arguments: str) -> list[dict[str, Any]]:
    result = run("list", path, "--format", "json", *arguments)
    assert result.exit_code == 0
    found: list[dict[str, Any]] = json.loads(result.stdout)
    return found


def ids(path: Path, *arguments: str) -> list[str]:
    return [entry["alert"]["id"] for entry in listed(path, *arguments)]


def due(path: Path, sink: str, at: float) -> list[str]:
    with SQLiteStore.open(path) as store:
        return [item.alert.id for item in store.outbox.due(sink, at, 10)]


# Looking.


def test_the_entries_are_listed_for_people_the_oldest_first(path: Path) -> None:
    line = "2026-09-16T12:00:00Z  open  medium  1 x IAM policy changed  111122223333  alice"
    result = run("list", path)
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "hook  dead  raised  1 failed attempt  made 2026-09-16T12:00:00Z",
        "  hook.example answered 400: [2Jbad body",
        f"  {line}  dead",
        "hook  pending  raised  1 failed attempt  made 2026-09-16T12:00:02Z"
        "  due 2026-09-16T13:00:00Z",
        "  hook.example answered 503",
        f"  {line}  waiting",
        "pager  pending  raised  0 failed attempts  made 2026-09-16T12:00:05Z"
        "  due 2026-09-16T12:00:05Z",
        f"  {line}  paged",
    ]


def test_the_entries_are_listed_for_scripts_with_all_that_there_is(path: Path) -> None:
    first = listed(path)[0]
    assert first.pop("alert")["evidence"][0]["eventName"] == "PutUserPolicy"
    assert first == {
        "sink": "hook",
        "kind": "raised",
        "state": "dead",
        "attempts": 1,
        "made_at": NOON,
        "due_at": NOON,
        "delivered_at": None,
        "last_error": ERROR,
    }


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--sink", "hook"], ["dead", "waiting"]),
        (["--sink", "hook", "--sink", "pager"], ["dead", "waiting", "paged"]),
        (["--dead"], ["dead"]),
        (["--pending"], ["waiting", "paged"]),
        (["--dead", "--pending"], ["dead", "waiting", "paged"]),
        (["--alert", "waiting"], ["waiting"]),
        (["--alert", "waiting", "--dead"], []),
        (["--sink", "nobody"], []),
    ],
)
def test_entries_are_chosen_by_sink_state_and_alert(
    path: Path, arguments: list[str], expected: list[str]
) -> None:
    assert ids(path, *arguments) == expected


def test_a_list_that_is_cut_says_so(path: Path) -> None:
    result = run("list", path, "--limit", "1")
    assert "dead" in result.stdout
    assert "waiting" not in result.stdout
    assert result.stderr == "detector: 2 entries more, see --limit\n"


def test_a_list_changes_nothing(path: Path) -> None:
    before = path.read_bytes()
    listed(path)
    assert path.read_bytes() == before


# Trying again.


def test_what_a_sink_has_refused_is_due_again(path: Path) -> None:
    result = run("retry", path, "--sink", "hook", "--dead")
    assert result.stdout.startswith(
        "1 entry due now: a running service looks within 10 s, else the next one does."
    )
    assert [entry["state"] for entry in listed(path, "--alert", "dead")] == ["pending"]
    # It comes after what was made before it, of the same rule and group, and is not delivered.
    assert due(path, "hook", 4e9) == ["waiting"]
    assert run("retry", path, "--alert", "waiting").exit_code == 0
    assert due(path, "hook", 4e9) == ["dead", "waiting"]


def test_what_waits_for_its_time_is_due_at_once(path: Path) -> None:
    assert run("retry", path, "--alert", "waiting").exit_code == 0
    (entry,) = listed(path, "--alert", "waiting")
    assert entry["attempts"] == 0
    assert entry["due_at"] > NOON + 3600
    assert entry["made_at"] == NOON + 2


def test_all_are_retried_if_the_call_says_so(path: Path) -> None:
    assert run("retry", path, "--all").stdout.startswith("3 entries due now")


@pytest.mark.parametrize("command", ["retry", "drop"])
def test_a_call_that_names_no_entries_or_in_two_ways_is_wrong(path: Path, command: str) -> None:
    for arguments in ([], ["--all", "--dead"], ["--all", "--sink", "hook"]):
        result = run(command, path, *arguments)
        assert result.exit_code == 2
        assert "or --all" in result.stderr
    assert ids(path) == ["dead", "waiting", "paged"]


@pytest.mark.parametrize("arguments", [["retry"], ["drop", "--yes"]])
def test_an_alert_that_is_not_there_is_told(path: Path, arguments: list[str]) -> None:
    command, *rest = arguments
    result = run(command, path, *rest, "--alert", "dead", "--alert", "sent", "--alert", "x\x1b[2J")
    assert result.exit_code == 1
    assert result.stdout.startswith("1 entry ")
    assert result.stderr.splitlines() == [
        "detector: there is no such entry of the alert sent",
        "detector: there is no such entry of the alert x [2J",
    ]


# Dropping.


def test_entries_are_dropped_once_somebody_has_said_yes(path: Path) -> None:
    result = run("drop", path, "--sink", "hook", answer="y\n")
    assert result.exit_code == 0
    assert result.stdout == "2 entries dropped\n"
    assert result.stderr.splitlines() == [
        "1 entry dead for hook",
        "1 entry pending for hook",
        "Drop these 2 entries for good? [y/N]: y",
    ]
    assert ids(path) == ["paged"]
    with SQLiteStore.open(path) as store:
        assert {item.id for item in store.alerts()} == {"dead", "sent", "waiting", "paged"}


@pytest.mark.parametrize("answer", ["n\n", "\n"])
def test_nothing_is_dropped_without_a_yes(path: Path, answer: str) -> None:
    result = run("drop", path, "--all", answer=answer)
    assert result.exit_code == 1
    assert result.stdout == "nothing was dropped\n"
    assert len(ids(path)) == 3


def test_nothing_is_dropped_where_nobody_answers(path: Path) -> None:
    assert run("drop", path, "--all", answer="").exit_code == 1
    assert len(ids(path)) == 3


def test_what_comes_in_while_somebody_thinks_is_not_dropped(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def think(*_: object, **__: object) -> bool:
        with SQLiteStore.open(path) as store:
            put(store, "new", 4e9, "hook")
        return True

    monkeypatch.setattr("click.confirm", think)
    assert run("drop", path, "--all").stdout == "3 entries dropped\n"
    assert ids(path) == ["new"]


def test_nobody_is_asked_of_nothing(path: Path) -> None:
    result = run("drop", path, "--sink", "nobody")
    assert (result.exit_code, result.output) == (0, "0 entries dropped\n")


# Beside a service, and on other states.


def test_a_state_in_use_is_changed_once_its_writer_is_done(path: Path) -> None:
    with SQLiteStore.open(path) as store:
        results: list[Result] = []
        caller = threading.Thread(target=lambda: results.append(run("retry", path, "--all")))
        with store.writing():
            caller.start()
            caller.join(0.3)
            assert not results
        caller.join(20)
        assert results[0].exit_code == 0
        # The running one sees it without being opened again.
        assert {item.alert.id for item in store.outbox.due("hook", 4e9, 10)} == {"dead", "waiting"}
        put(store, "later", NOON)
    assert "later" in ids(path)


def test_a_service_that_was_sending_what_is_dropped_goes_on(path: Path) -> None:
    with SQLiteStore.open(path) as store:
        (sending,) = store.outbox.due("pager", NOON + 9, 10)
        assert run("drop", path, "--sink", "pager", "--yes").exit_code == 0
        store.outbox.delivered("pager", sending, NOON + 10, 60)
        store.outbox.retry_later("pager", sending, NOON + 20, "503")
        store.outbox.bury("pager", sending, "400")
        assert store.outbox.due("pager", 4e9, 10) == []
    assert ids(path, "--sink", "pager") == []


@pytest.mark.parametrize("arguments", [["retry", "--all"], ["drop", "--all", "--yes"]])
def test_another_states_file_is_left_as_it_is(tmp_path: Path, arguments: list[str]) -> None:
    command, *rest = arguments
    old, newer, foreign, text = (tmp_path / name for name in ("old", "newer", "foreign", "text"))
    for target in (old, newer):
        with closing(sqlite3.connect(target, isolation_level=None)) as connection:
            migrate(connection, str(target), MIGRATIONS[:-1] if target == old else MIGRATIONS)
            if target == newer:
                connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    with closing(sqlite3.connect(foreign)) as connection:
        connection.execute("CREATE TABLE t (x)")
    text.write_text("no database at all")
    said = {}
    for target in (old, newer, foreign, text, tmp_path / "missing"):
        before = target.read_bytes() if target.exists() else None
        result = run(command, target, *rest)
        assert isinstance(result.exception, StateError)
        assert result.exception.remedy
        assert (target.read_bytes() if target.exists() else None) == before
        said[target.name] = str(result.exception)
    assert "start the service once" in said["old"]
    assert "run the newer detector" in said["newer"]
    assert "another program's" in said["foreign"]
    assert "not an SQLite database" in said["text"]
    assert "there is no state" in said["missing"]


def test_a_state_of_an_older_detector_is_listed(tmp_path: Path) -> None:
    path = tmp_path / "old.sqlite3"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        migrate(connection, str(path), MIGRATIONS[:-1])
    assert listed(path) == []


def test_a_state_that_stays_locked_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")

        def impatient(*arguments: Any, **options: Any) -> sqlite3.Connection:
            connection = checks.connect(*arguments, **options)
            connection.execute("PRAGMA busy_timeout = 50")
            return connection

        monkeypatch.setattr("detector.state.changing.connect", impatient)
        result = run("retry", path, "--all")
    assert isinstance(result.exception, StateError)
    assert "end the other program" in str(result.exception)


def test_a_failed_change_changes_nothing(path: Path) -> None:
    def change(outbox: Any) -> None:
        outbox.retry_later("pager", Notification(alert()), 1, "x")
        raise RuntimeError

    before = listed(path)
    with pytest.raises(RuntimeError):
        changing.change_outbox(path, change)
    assert listed(path) == before
