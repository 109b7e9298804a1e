"""`detector state`, and a whole state on its way through a file."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import fastavro
import msgspec
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from detector.alerts.routing import Router
from detector.alerts.silence import Silence
from detector.cli import detector
from detector.errors import DetectorError, StateError
from detector.events.record import Identity
from detector.pipeline import Pipeline, Settings
from detector.rules.ruleset import RuleSet
from detector.state import schema, transfer
from detector.state.checks import TABLES
from detector.state.schema import MIGRATIONS, migrate
from detector.state.sqlite import SQLiteStore
from detector.state.store import Position, Quarantined, Timer
from detector.state.transfer import export_state, import_state
from detector.windows.aligned import WindowKey, WindowState
from tests.alerts import alert
from tests.records import delivery, record
from tests.rules import iam_rule
from tests.strategies import examples

NOON = 1_789_560_000.0
"""2026-09-16T12:00:00Z."""

Dump = dict[str, list[tuple[Any, ...]]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The path of a state with something of everything in it."""
    path = tmp_path / "state.sqlite3"
    with SQLiteStore.open(path) as store:
        with store.transaction(NOON) as transaction:
            transaction.remember(Identity("e", "1"), b"digest")
            transaction.save_position(Position("logs", "a.json", "1"))
            for number in range(2):
                key = WindowKey("iam", (number,), int(NOON) + 300 * number, 300)
                transaction.save(key, WindowState(1, first_event_time=1, last_event_time=1))
            transaction.set_timer(Timer(key, None, NOON))
            transaction.admit("iam", key.group, 1)
            for name in ("sent", "dead", "waiting"):
                made = msgspec.structs.replace(alert(), id=name)
                transaction.save_alert(made, ["hook"], 60)
            transaction.quarantine(Quarantined("logs", "a.json", 7, "no_event_time", b"\x1b[2J"))
        with store.transaction(NOON + 60) as transaction:
            transaction.remember(Identity("f", "1"), b"digest")
        found = {item.alert.id: item for item in store.outbox.due("hook", NOON, 10)}
        store.outbox.delivered("hook", found["sent"], NOON + 1, 60)
        store.outbox.bury("hook", found["dead"], "404")
    return path


def run(*arguments: object) -> Result:
    """Run the command; what fails must fail with one of our own errors."""
    result = CliRunner().invoke(detector, ["state", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, (SystemExit, DetectorError)), (
        result.exception
    )
    return result


def refused(*arguments: object) -> str:
    result = run(*arguments)
    assert isinstance(result.exception, StateError)
    assert result.exception.remedy
    assert result.output == ""
    return str(result.exception)


def dump(path: Path) -> Dump:
    with closing(sqlite3.connect(path)) as connection:
        return {
            table: connection.execute(f"SELECT * FROM {table}").fetchall()  # noqa: S608
            for table in TABLES
        }


def change(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement)


# Looking.


def test_inspect_shows_what_is_there_as_json(path: Path) -> None:
    found = json.loads(run("inspect", "--state", path, "--format", "json").stdout)
    assert found.pop("bytes") == path.stat().st_size
    assert found == {
        "path": str(path),
        "schema_version": len(MIGRATIONS),
        "free_bytes": 0,
        "log_bytes": 0,
        "rows": {
            "seen": 2,
            "windows": 2,
            "timers": 1,
            "groups": 1,
            "alerts": 3,
            "alert_bodies": 3,
            "outbox": 3,
            "positions": 1,
            "quarantine": 1,
        },
        "oldest_seen": "2026-09-16T12:00:00Z",
        "newest_seen": "2026-09-16T12:01:00Z",
        "windows": [
            {
                "rule_id": "iam",
                "windows": 2,
                "first_start": "2026-09-16T12:00:00Z",
                "last_end": "2026-09-16T12:10:00Z",
            }
        ],
        "outbox": [
            {
                "sink": "hook",
                "state": state,
                "notifications": 1,
                "oldest": "2026-09-16T12:00:00Z",
            }
            for state in ("dead", "delivered", "pending")
        ],
        "quarantine": [{"reason": "no_event_time", "records": 1}],
    }


def test_inspect_shows_what_is_there_as_text(path: Path) -> None:
    lines = run("inspect", "--state", path).stdout.splitlines()
    assert lines[1] == f"schema     version {len(MIGRATIONS)}"
    assert "windows    iam: 2, 2026-09-16T12:00:00Z to 2026-09-16T12:10:00Z" in lines
    assert "outbox     hook: 1 dead, since 2026-09-16T12:00:00Z" in lines
    assert lines[-1] == "quarantine no_event_time: 1"


def test_names_that_somebody_else_chose_move_no_cursor(path: Path) -> None:
    change(path, "UPDATE quarantine SET reason = 'a' || char(27) || '[2J' || char(10) || 'b'")
    assert run("inspect", "--state", path).stdout.endswith("quarantine a [2J b: 1\n")


def test_a_time_that_no_calendar_has_is_shown_all_the_same(path: Path) -> None:
    change(path, "UPDATE windows SET start = 1000000000000000")
    assert "iam: 2, 1e+15 s to 1e+15 s" in run("inspect", "--state", path).stdout


def test_a_state_of_an_older_schema_is_shown_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "old.sqlite3"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        migrate(connection, str(path), MIGRATIONS[:1])
    before = path.read_bytes()
    shown = run("inspect", "--state", path).stdout
    assert f"version 1, brought to {len(MIGRATIONS)} at the next start" in shown
    assert run("export", "--state", path, tmp_path / "old.avro").exit_code == 0
    assert path.read_bytes() == before
    assert run("import", "--state", tmp_path / "new.sqlite3", tmp_path / "old.avro").exit_code == 0


def test_the_path_is_taken_from_a_configuration(path: Path) -> None:
    config = path.with_name("detector.yaml")
    config.write_text("sources: [{type: directory, path: x}]\nstate: {path: state.sqlite3}")
    assert run("inspect", "--config", config).stdout == run("inspect", "--state", path).stdout


@pytest.mark.parametrize("name", ["a?mode=rwc#b", "per%20cent", "snow\N{SNOWMAN}", "file:x"])
def test_a_path_means_itself_whatever_characters_are_in_it(
    path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(path.parent)
    path.rename(name)
    assert "seen 2, " in run("inspect", "--state", name).stdout
    assert run("compact", "--state", name).exit_code == 0


@pytest.mark.parametrize("command", ["inspect", "check", "compact"])
def test_a_call_names_one_state(path: Path, command: str) -> None:
    for options in ([], ["--state", path, "--config", path]):
        result = run(command, *options)
        assert result.exit_code == 2
        assert "either --state or --config" in result.stderr


@pytest.mark.parametrize("command", ["inspect", "check", "compact", "export"])
def test_a_state_that_is_not_there_is_not_made(tmp_path: Path, command: str) -> None:
    file = [tmp_path / "x.avro"] if command == "export" else []
    assert "there is no state" in refused(command, "--state", tmp_path / "no", *file)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_file_is_no_state_to_look_at(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    assert "is empty" in refused("inspect", "--state", tmp_path / "empty")


# Check and compact.


def test_check_finds_nothing_in_a_whole_state(path: Path) -> None:
    result = run("check", "--state", path)
    assert result.exit_code == 0
    assert result.stdout == f"{path}: no damage found\n"


def test_check_finds_an_index_that_lacks_a_row_which_no_start_looks_for(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("DELETE FROM sqlite_master WHERE name = 'seen_by_age'")
        connection.commit()
    change(path, "VACUUM")  # the index is gone; one of another column takes its name
    change(path, "CREATE INDEX seen_by_age ON seen (account)")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(
            "UPDATE sqlite_master SET sql = replace(sql, '(account)', '(seen_at)')"
            " WHERE name = 'seen_by_age'"
        )
        connection.commit()
    SQLiteStore.open(path).close()
    result = run("check", "--state", path)
    assert result.exit_code == 1
    assert "missing from index seen_by_age" in result.stdout
    assert "is damaged; export what can be read" in result.stderr


def test_compact_says_what_it_gave_back(path: Path) -> None:
    with SQLiteStore.open(path) as store:
        with store.transaction(0) as transaction:
            transaction.quarantine(Quarantined("s", "o", 0, "why", bytes(200_000)))
        store.drop_quarantined(store.quarantined()[:1])
    before = path.stat().st_size
    kept = dump(path)
    result = run("compact", "--state", path)
    assert result.exit_code == 0
    assert "KiB before, " in result.stdout
    assert path.stat().st_size < before - 190_000
    assert dump(path) == kept


@pytest.mark.parametrize("command", ["compact", "import"])
def test_what_writes_is_refused_while_a_detector_runs(path: Path, command: str) -> None:
    export_state(path, path.with_name("x.avro"))
    file = [path.with_name("x.avro")] if command == "import" else []
    with SQLiteStore.open(path):
        said = refused(command, "--state", path, *file)
    assert "is in use by another detector; stop that one" in said


def test_what_reads_works_while_a_detector_writes(path: Path) -> None:
    with SQLiteStore.open(path) as store, store.transaction(0) as transaction:
        transaction.remember(Identity("not yet", "1"), b"digest")
        found = json.loads(run("inspect", "--state", path, "--format", "json").stdout)
        assert found["rows"]["seen"] == 2
        assert run("check", "--state", path).exit_code == 0
        assert run("export", "--state", path, path.with_name("x.avro")).exit_code == 0
        transaction.remember(Identity("after", "1"), b"digest")


# There and back.


def test_an_export_fills_a_new_state_with_the_same(path: Path) -> None:
    file, new = path.with_name("x.avro"), path.with_name("new") / "state.sqlite3"
    rows = (
        "seen 2, windows 2, timers 1, groups 1, alerts 3, alert_bodies 3, outbox 3, positions 1,"
        " quarantine 1\n"
    )
    assert run("export", "--state", path, file).stdout == f"{file}: wrote {rows}"
    assert run("import", "--state", new, file).stdout == f"{new}: imported {rows}"
    assert dump(new) == dump(path)
    with SQLiteStore.open(new) as store:
        assert [item.alert.id for item in store.outbox.due("hook", NOON, 10)] == ["waiting"]


def test_any_avro_reader_reads_an_export(path: Path) -> None:
    file = path.with_name("x.avro")
    export_state(path, file)
    with file.open("rb") as opened:
        reader = fastavro.reader(opened, return_record_name=True)
        assert reader.codec == "deflate"
        assert reader.metadata["detector.schema_version"] == str(len(MIGRATIONS))
        records: list[Any] = list(reader)
    assert records[0] == (
        "detector.state.seen",
        {"event_id": "e", "account": "1", "seen_at": NOON, "digest": b"digest"},
    )


def test_the_export_has_every_column_of_every_table(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        columns = {
            table: [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
            for table in TABLES
        }
        others = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        assert {name for (name,) in others} == columns.keys()
    parts: Any = transfer.SCHEMA
    assert columns == {
        part["name"].removeprefix("detector.state."): [field["name"] for field in part["fields"]]
        for part in parts
        if part["name"] != "detector.state.end"
    }


texts = st.text(max_size=5)
doubles = st.floats(allow_nan=False)
longs = st.integers(-(2**63), 2**63 - 1)
bodies = st.binary(max_size=50)


def rows(*columns: st.SearchStrategy[Any], key: int) -> st.SearchStrategy[list[tuple[Any, ...]]]:
    return st.lists(st.tuples(*columns), max_size=6, unique_by=lambda row: row[:key])


@st.composite
def states(draw: st.DrawFn) -> Dump:
    """The rows of a state; more than a detector would ever write, but all that the tables take."""
    conditions = st.sampled_from(["open", "resolved", "withdrawn"])
    alerts = draw(rows(texts, texts, longs, conditions, longs, doubles, texts, key=1))
    outbox = rows(
        texts,
        st.sampled_from([row[0] for row in alerts] or [""]),
        st.sampled_from(["pending", "delivered", "dead"]),
        longs,
        doubles,
        doubles,
        st.none() | doubles,
        st.none() | texts,
        longs,
        texts,
        st.none() | texts,
        longs,
        st.none() | texts,
        longs,
        key=2,
    )
    moments = st.none() | doubles
    return {
        "seen": draw(rows(texts, texts, doubles, st.none() | bodies, key=2)),
        "windows": draw(rows(texts, texts, longs, longs, moments, doubles, bodies, key=4)),
        "timers": draw(rows(texts, texts, longs, longs, moments, moments, key=4)),
        "groups": draw(rows(texts, texts, key=2)),
        "alerts": alerts,
        "alert_bodies": [(row[0], draw(bodies)) for row in alerts],
        "outbox": draw(outbox) if alerts else [],
        "positions": draw(rows(texts, texts, texts, doubles, key=2)),
        "quarantine": [
            (number, *row)
            for number, row in enumerate(
                draw(
                    rows(
                        *(bodies, texts, texts, st.none() | longs, texts, texts, moments),
                        *(longs, doubles, longs, bodies),
                        key=1,
                    )
                )
            )
        ],
    }


@given(states())
@examples(40)
def test_whatever_a_state_holds_comes_back_as_it_was(state: Dump) -> None:
    with TemporaryDirectory() as folder:
        path, file, new = (Path(folder) / name for name in ("old", "x.avro", "new"))
        with SQLiteStore.open(path) as store, store.writing() as connection:
            for table, content in state.items():
                marks = ", ".join("?" for _ in transfer._COLUMNS[table])
                insert = f"INSERT INTO {table} VALUES ({marks})"  # noqa: S608
                connection.executemany(insert, content)
        exported = export_state(path, file)
        assert exported.rows == {table: len(content) for table, content in state.items()}
        assert import_state(file, new) == exported
        assert dump(new) == dump(path)


def test_an_import_into_a_state_that_is_not_empty_changes_nothing(path: Path) -> None:
    file, other = path.with_name("x.avro"), path.with_name("other.sqlite3")
    export_state(path, file)
    with SQLiteStore.open(other) as store, store.transaction(0) as transaction:
        transaction.save_position(Position("a", "b", "c"))
    before = dump(other)
    said = refused("import", "--state", other, file)
    assert said.endswith(
        "is not empty: it has rows in positions; move it aside, or import into another state.path"
    )
    assert dump(other) == before


def test_an_export_overwrites_nothing(path: Path) -> None:
    file = path.with_name("x.avro")
    file.write_text("precious")
    assert "exists already; name a file that does not" in refused("export", "--state", path, file)
    assert file.read_text() == "precious"


def test_an_export_that_cannot_be_written_leaves_no_part_of_it(path: Path) -> None:
    before = sorted(item.name for item in path.parent.iterdir())
    said = refused("export", "--state", path, path.parent / "no" / "x.avro")
    assert "x.avro cannot be written: No such file or directory" in said
    after = {item.name for item in path.parent.iterdir()}
    assert after - {"state.sqlite3-wal", "state.sqlite3-shm"} == set(before)


Harm = Callable[[bytes], bytes]


@pytest.mark.parametrize(
    "harm",
    [
        lambda whole: b"",
        lambda whole: b"an ordinary file\n" * 20,
        lambda whole: whole[:40],
        lambda whole: whole[: len(whole) // 2],
        lambda whole: whole[:-1],
        lambda whole: whole + whole[-400:],
        lambda whole: whole[: len(whole) - 200] + b"\xff" * 100 + whole[-100:],
        lambda whole: whole.replace(b'"event_id"', b'"event_no"'),
        lambda whole: whole.replace(b"detector.schema_version", b"detector.schema_flavour"),
    ],
)
def test_a_file_that_is_no_export_or_damaged_fills_nothing(path: Path, harm: Harm) -> None:
    file, new = path.with_name("x.avro"), path.with_name("new.sqlite3")
    export_state(path, file)
    file.write_bytes(harm(file.read_bytes()))
    said = refused("import", "--state", new, file)
    assert "is not an export of a state, or damaged" in said or "is not whole" in said
    if new.exists():
        assert not any(dump(new).values())


def records(file: Path) -> list[Any]:
    with file.open("rb") as opened:
        return list(fastavro.reader(opened, return_record_name=True))


def rewrite(file: Path, kept: list[Any], version: int = len(MIGRATIONS)) -> None:
    with file.open("wb") as opened:
        metadata = {"detector.schema_version": str(version)}
        fastavro.writer(opened, transfer.SCHEMA, kept, metadata=metadata)


@pytest.mark.parametrize(
    ("change_records", "says"),
    [
        (lambda kept: kept[:-1], "is not whole: it was cut off, or changed; copy it again"),
        (lambda kept: kept[1:], "is not whole"),
        (lambda kept: [*kept, kept[0]], "is not whole"),
        (lambda kept: [*kept, kept[-1]], "is not whole"),
        (lambda kept: [kept[0], *kept], "UNIQUE constraint failed"),
    ],
)
def test_a_file_with_other_rows_than_it_counts_fills_nothing(
    path: Path, change_records: Callable[[list[Any]], list[Any]], says: str
) -> None:
    file, new = path.with_name("x.avro"), path.with_name("new.sqlite3")
    export_state(path, file)
    rewrite(file, change_records(records(file)))
    assert says in refused("import", "--state", new, file)
    assert not any(dump(new).values())


def test_an_export_of_a_newer_detector_is_refused(path: Path) -> None:
    file, new = path.with_name("x.avro"), path.with_name("new.sqlite3")
    export_state(path, file)
    rewrite(file, records(file), version=len(schema.MIGRATIONS) + 1)
    assert "import it with the newer detector" in refused("import", "--state", new, file)
    assert not new.exists()


def test_a_file_that_is_not_there_is_an_error(path: Path) -> None:
    said = refused("import", "--state", path.with_name("new"), path.with_name("no.avro"))
    assert "no.avro cannot be read: No such file or directory" in said


# What damage leaves.


def fill(path: Path) -> None:
    with SQLiteStore.open(path) as store, store.transaction(0) as transaction:
        for number in range(2_000):
            transaction.remember(Identity(f"{number:08}" * 4, "1"), b"digest")
        for number in range(40):
            transaction.quarantine(Quarantined("s", "o", number, "why", b"x" * 3_000))


def test_of_a_damaged_state_both_ends_of_a_table_are_saved(tmp_path: Path) -> None:
    path, file, new = (tmp_path / name for name in ("state.sqlite3", "x.avro", "new.sqlite3"))
    fill(path)
    before = dump(path)
    whole = path.read_bytes()
    at = whole.index(b"x" * 3_000, whole.index(b"x" * 3_000) + 60_000) // 4096 * 4096
    path.write_bytes(whole[:at] + b"\xff" * 4096 + whole[at + 4096 :])
    result = run("export", "--state", path, file)
    assert result.exit_code == 1
    assert "the state is damaged: of quarantine only a part was read" in result.stderr
    imported = run("import", "--state", new, file)
    assert imported.exit_code == 0
    assert "the export has gaps in quarantine" in imported.stderr
    after = dump(new)
    assert after["seen"] == before["seen"]
    saved = set(after["quarantine"])
    assert saved < set(before["quarantine"])
    assert len(saved) >= 35
    assert {before["quarantine"][0], before["quarantine"][-1]} < saved


def test_wherever_a_page_is_damaged_an_export_ends_in_order(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite3"
    fill(path)
    before = dump(path)
    whole = path.read_bytes()
    for number, at in enumerate(range(0, len(whole), 4096)):
        path.write_bytes(whole[:at] + b"\xff" * 4096 + whole[at + 4096 :])
        file, new = tmp_path / f"{number}.avro", tmp_path / f"{number}.sqlite3"
        result = run("export", "--state", path, file)
        if not file.exists():
            assert number == 0  # without the first page nothing can be told of the rest
            continue
        import_state(file, new)
        after = dump(new)
        assert all(set(after[table]) <= set(before[table]) for table in TABLES)
        assert after == before or result.exit_code == 1
        new.unlink()


def test_notifications_whose_alert_is_lost_are_left_out_and_counted(path: Path) -> None:
    file, new = path.with_name("x.avro"), path.with_name("new.sqlite3")
    export_state(path, file)
    *kept, (end, counts) = [
        (name, item)
        for name, item in records(file)
        if not (name == "detector.state.alerts" and item["id"] == "waiting")
    ]
    counts = {"rows": {**counts["rows"], "alerts": 2}, "incomplete": ["alerts"]}
    rewrite(file, [*kept, (end, counts)])
    said = run("import", "--state", new, file).stderr
    assert "the export has gaps in alerts; 1 notification left out" in said
    assert len(dump(new)["outbox"]) == 2
    SQLiteStore.open(new).close()


def test_a_row_of_other_types_than_we_write_is_damage(path: Path) -> None:
    change(path, "UPDATE seen SET seen_at = 'noon' WHERE event_id = 'e'")
    result = run("export", "--state", path, path.with_name("x.avro"))
    assert result.exit_code == 1
    assert "of seen only a part was read" in result.stderr
    assert "wrote seen 1, " in result.stdout


# Alerts.


def test_alerts_are_listed_with_how_they_stand_and_who_suppressed_them(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite3"
    silence = Silence(
        start=datetime(2026, 9, 16, 12, tzinfo=UTC),
        end=datetime(2026, 9, 16, 12, 5, tzinfo=UTC),
        author="ali\x1bce",
        reason="key rotation",
        rules="any",
    )
    with SQLiteStore.open(path) as store:
        pipeline = Pipeline(
            RuleSet([iam_rule()]), store, Settings(routing=Router.to("hook")), silences=[silence]
        )
        pipeline.process([delivery(record(at=0), record(at=1), record(at=300))], NOON + 400)
        pipeline.advance(NOON + 9_999)
    suppressed, sent = run("alerts", "--state", path).stdout.splitlines()
    assert suppressed.startswith("2026-09-16T12:00:00Z  resolved  medium  2 x IAM policy changed")
    assert "(not sent, by ali ce until 2026-09-16T12:05:00Z: key rotation)" in suppressed
    assert "1 x IAM policy changed" in sent
    assert run("alerts", "--state", path, "--suppressed").stdout.splitlines() == [suppressed]
    assert run("alerts", "--state", path, "--open").stdout == ""
    found = json.loads(run("alerts", "--state", path, "--format", "json").stdout)
    assert [alert["count"] for alert in found] == [2, 1]
    assert found[0]["suppressed"]["reason"] == "key rotation"
