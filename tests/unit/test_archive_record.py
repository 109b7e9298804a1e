"""What the archive keeps of an alert: all of it, in types that other programs read."""

from __future__ import annotations

import json
from copy import deepcopy
from io import BytesIO
from pathlib import Path
from typing import Any

import fastavro
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.alerts.alert import (
    Alert,
    AlertEpisode,
    AlertWindow,
    Digest,
    DigestEntry,
    Suppressed,
)
from detector.sinks.archive.container import Codec, block, header
from detector.sinks.archive.record import SCHEMA_JSON, encoded
from detector.state.store import Notification
from tests.alerts import alert
from tests.archived import (
    ALERT,
    DIGEST,
    DIGEST_ENTRY,
    EPISODE,
    SUPPRESSED,
    alert_of,
    any_alerts,
    as_kept,
    read_by_avro,
    read_bytes,
)
from tests.strategies import examples

SCHEMA: dict[str, Any] = json.loads(SCHEMA_JSON)
FIRST: dict[str, Any] = json.loads(
    (Path(__file__).parent.parent / "archive_schemas" / "first.avsc").read_bytes()
)
"""The schema that the first archives were written with. It never changes."""

SYNC = bytes(range(16))
CODECS: list[Codec] = ["zstandard", "deflate", "null"]
OTHER_NAMES = {
    (Alert, "group"): {"group_values", "group_json"},
    (Alert, "window"): {"window_start", "window_end"},
    (AlertEpisode, "start"): {"start_time"},
    (AlertEpisode, "end"): {"end_time"},
    (Suppressed, "end"): {"end_time"},
}
"""What is not called as in an alert: SQL reserves the words."""


def file_of(*notifications: Notification, codec: Codec = "null", at: float = 1.5) -> bytes:
    records = [encoded(notification, at) for notification in notifications]
    return header(codec, SYNC) + block(codec, records, SYNC)


def record_schemas(schema: Any) -> dict[str, dict[str, Any]]:
    """Return the records in a schema by their names."""
    found: dict[str, dict[str, Any]] = {}
    if isinstance(schema, list):
        for item in schema:
            found |= record_schemas(item)
    elif isinstance(schema, dict):
        if schema.get("type") == "record":
            found[schema["name"]] = schema
        for item in schema.values():
            found |= record_schemas(item)
    return found


@pytest.mark.parametrize(
    ("struct", "record", "strategy"),
    [
        (Alert, "Alert", ALERT),
        (AlertEpisode, "Episode", EPISODE),
        (Suppressed, "Suppressed", SUPPRESSED),
        (Digest, "Digest", DIGEST),
        (DigestEntry, "DigestEntry", DIGEST_ENTRY),
    ],
)
def test_every_field_of_an_alert_has_its_place_in_the_schema(
    struct: type[msgspec.Struct], record: str, strategy: dict[str, Any]
) -> None:
    kept = {field["name"] for field in record_schemas(SCHEMA)[record]["fields"]}
    if struct is Alert:
        kept -= {"message_id", "kind", "archived_at"}
    places = [OTHER_NAMES.get((struct, name), {name}) for name in struct.__struct_fields__]
    assert kept == set().union(*places)
    assert set(strategy) == set(struct.__struct_fields__), "the property below leaves it out"


def test_a_window_has_a_start_and_an_end_alone() -> None:
    assert AlertWindow.__struct_fields__ == ("start", "end")


def test_every_field_says_what_it_means() -> None:
    for schema in record_schemas(SCHEMA).values():
        assert schema["doc"]
        for field in schema["fields"]:
            assert field["doc"].endswith("."), field["name"]


@examples(200)
@given(any_alerts, st.sampled_from(["raised", "updated", "resolved"]))
def test_any_alert_is_read_back_as_it_was(made: Alert, kind: Any) -> None:
    (record,) = read_bytes(file_of(Notification(made, kind)))
    expected = as_kept(msgspec.to_builtins(made))
    expected["evidence"] = [json.loads(json.dumps(item)) for item in made.evidence]
    assert alert_of(record) == expected
    assert record["kind"] == kind
    assert record["message_id"] == as_kept(f"{made.id}.{made.revision}.{kind}")
    assert record["archived_at"].timestamp() == 1.5
    for name, value in made.group.items():
        text = record["group_values"][name]
        assert text == as_kept(value) if isinstance(value, str) else json.loads(text) == value


@pytest.mark.parametrize("codec", CODECS)
def test_apaches_own_library_reads_the_same(codec: Codec) -> None:
    data = file_of(Notification(alert()), Notification(alert("bob", 3), "resolved"), codec=codec)
    records = read_by_avro(data)
    assert records == read_bytes(data)
    assert [record["kind"] for record in records] == ["raised", "resolved"]
    assert [alert_of(record)["actors"] for record in records] == [
        ["alice"],
        ["bob", "bob1", "bob2"],
    ]


@examples(25)
@given(any_alerts)
def test_apaches_own_library_reads_any_alert(made: Alert) -> None:
    data = file_of(Notification(made), codec="deflate")
    assert read_by_avro(data) == read_bytes(data)


def test_a_control_is_one_row_for_each_framework_and_version() -> None:
    controls: dict[str, str | dict[str, str]] = {
        "cis": {"v1.4.0": "4.4", "v6.0.0": "5.4"},
        "hub": "CloudWatch.4",
    }
    made = msgspec.structs.replace(alert(), controls=controls)
    (record,) = read_bytes(file_of(Notification(made)))
    assert [tuple(row.values()) for row in record["controls"]] == [
        ("cis", "v1.4.0", "4.4"),
        ("cis", "v6.0.0", "5.4"),
        ("hub", None, "CloudWatch.4"),
    ]


@pytest.mark.parametrize("fields", [{"count": 2**63}, {"first_event_time": "yesterday"}])
def test_what_the_schema_cannot_hold_is_refused(fields: dict[str, Any]) -> None:
    made = msgspec.structs.replace(alert(), **fields)
    with pytest.raises((ValueError, OverflowError)):
        encoded(Notification(made), 0)


# The schema's life.


def read_as(data: bytes, schema: Any) -> list[dict[str, Any]]:
    return list(fastavro.reader(BytesIO(data), reader_schema=schema))  # type: ignore[arg-type]


def without_docs(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {name: without_docs(item) for name, item in schema.items() if name != "doc"}
    return [without_docs(item) for item in schema] if isinstance(schema, list) else schema


def test_who_knows_the_first_schema_reads_the_files_of_today() -> None:
    data = file_of(Notification(alert()))
    (record,) = read_as(data, FIRST)
    (now,) = read_bytes(data)
    assert record == {name: now[name] for name in record}
    assert [field["name"] for field in FIRST["fields"]] == list(record)


def test_no_field_of_the_first_schema_is_gone_or_of_another_type() -> None:
    today = record_schemas(without_docs(SCHEMA))
    for name, schema in record_schemas(FIRST).items():
        fields = {field["name"]: field for field in today[name]["fields"]}
        for field in schema["fields"]:
            if not record_schemas(field):
                assert fields[field["name"]] == field


def test_the_files_of_the_first_schema_are_read_with_the_one_of_today() -> None:
    (record,) = read_bytes(file_of(Notification(alert())))
    first = BytesIO()
    fastavro.writer(first, FIRST, [record])
    (again,) = read_as(first.getvalue(), SCHEMA)
    assert alert_of(again) == alert_of(record)


def test_a_field_that_is_added_is_seen_by_those_alone_who_know_it() -> None:
    newer = deepcopy(SCHEMA)
    newer["fields"].append({"name": "assignee", "type": ["null", "string"], "default": None})
    data = file_of(Notification(alert()))
    (record,) = read_as(data, newer)
    assert record["assignee"] is None
    newer_file = BytesIO()
    fastavro.writer(newer_file, newer, [{**record, "assignee": "carol"}])
    assert "assignee" not in read_as(newer_file.getvalue(), SCHEMA)[0]
