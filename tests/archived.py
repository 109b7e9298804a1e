"""Any alerts, and an archive's files read back, for tests."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any, cast, get_args

import avro.datafile
import avro.io
import fastavro
from hypothesis import strategies as st

from detector.alerts.alert import (
    Alert,
    AlertEpisode,
    AlertState,
    AlertWindow,
    Counting,
    Digest,
    DigestEntry,
    Suppressed,
    utc,
)
from detector.rules.rule import Level, Notify, Status

_LONE = re.compile("[\ud800-\udfff]")


def in_utc(time: datetime) -> str:
    """Return a time as alerts have it, without the rounding that seconds as floats bring."""
    has_fraction = time.microsecond >= 1000
    precision = "milliseconds" if has_fraction else "seconds"
    return time.isoformat(timespec=precision).replace("+00:00", "Z")


# With surrogates, which Python's strings can hold and UTF-8 cannot.
texts = st.one_of(
    st.text(max_size=8),
    st.text(st.characters(exclude_categories=()), max_size=8),
    st.sampled_from(["\ud83d", "\ude00\ud83d", "\ud83d\ude00", "\x00", "\u202e", "é" * 9]),
)
names = st.text(max_size=4)
numbers = st.integers(-(2**63), 2**63 - 1)
floats = st.floats(allow_nan=False, allow_infinity=False)
lists = st.lists(texts, max_size=3)
times = st.one_of(
    st.integers(-62_135_596_800, 253_402_300_799).map(utc),
    st.datetimes(timezones=st.just(UTC)).map(in_utc),
)
values = st.recursive(
    st.one_of(texts, st.none(), st.booleans(), floats, st.integers(-(2**80), 2**80)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(names, inner, max_size=3)),
    max_leaves=5,
)

DIGEST_ENTRY: dict[str, st.SearchStrategy[Any]] = {
    **dict.fromkeys(("rule_id", "title"), texts),
    "level": st.sampled_from(get_args(Level)),
    **dict.fromkeys(("raised", "updated", "resolved", "events"), numbers),
    **dict.fromkeys(("accounts", "actors"), lists),
}
DIGEST: dict[str, st.SearchStrategy[Any]] = {
    **dict.fromkeys(("notifications", "raised", "updated", "resolved", "events"), numbers),
    "entries": st.lists(st.builds(DigestEntry, **DIGEST_ENTRY), max_size=2),
    "more_rules": numbers,
    "alert_ids": lists,
}
EPISODE: dict[str, st.SearchStrategy[Any]] = {
    "id": texts,
    "start": times,
    "end": times,
    "windows": numbers,
    "count": numbers,
}
SUPPRESSED: dict[str, st.SearchStrategy[Any]] = {"reason": texts, "author": texts, "end": times}
ALERT: dict[str, st.SearchStrategy[Any]] = {
    **dict.fromkeys(("id", "rule_id", "rule_name", "title", "dedup_key", "statistic"), texts),
    **dict.fromkeys(("comparison_operator", "reason", "description", "runbook"), texts),
    **dict.fromkeys(("revision", "count", "period_seconds"), numbers),
    **dict.fromkeys(("evaluation_periods", "datapoints_to_alarm"), numbers),
    "treat_missing_data": texts,
    **dict.fromkeys(("value", "threshold"), floats),
    **dict.fromkeys(("overflow", "late", "beyond_retention", "test"), st.booleans()),
    **dict.fromkeys(("first_event_time", "last_event_time"), times),
    "max_delay_seconds": st.none() | st.floats(0, 1e9),
    **dict.fromkeys(("event_names", "actors", "source_ips", "regions", "accounts"), lists),
    **dict.fromkeys(("event_ids", "truncated", "tags"), lists),
    "state": st.sampled_from(get_args(AlertState)),
    "status": st.sampled_from(get_args(Status)),
    "level": st.sampled_from(get_args(Level)),
    "counting": st.sampled_from(get_args(Counting)),
    "notify": st.sampled_from(get_args(Notify)),
    "group": st.dictionaries(
        names,
        st.one_of(texts, st.none(), st.booleans(), floats, st.integers(-(2**80), 2**80)),
        max_size=3,
    ),
    "episode": st.none() | st.builds(AlertEpisode, **EPISODE),
    "window": st.builds(AlertWindow, times, times),
    "suppressed": st.none() | st.builds(Suppressed, **SUPPRESSED),
    "controls": st.dictionaries(
        names, st.one_of(texts, st.dictionaries(names, texts, min_size=1, max_size=2)), max_size=3
    ),
    "evidence": st.lists(st.dictionaries(names, values, max_size=3), max_size=2),
    "digest": st.none() | st.builds(Digest, **DIGEST),
}
"""A value of every kind for each field of an alert; a field that is missing here fails a test."""

any_alerts = st.builds(Alert, **ALERT)


def as_kept(value: Any) -> Any:
    """Return what is left of a value in UTF-8: lone surrogates are replaced."""
    if isinstance(value, str):
        return _LONE.sub("\ufffd", json.loads(json.dumps(value)))
    if isinstance(value, dict):
        return {name: as_kept(item) for name, item in value.items()}
    if isinstance(value, list):
        return [as_kept(item) for item in value]
    return value


def alert_of(record: dict[str, Any]) -> dict[str, Any]:
    """Return the alert, as builtins, that a record of the archive says."""
    fields = dict(record)
    for name in ("message_id", "kind", "archived_at", "group_values"):
        del fields[name]
    controls: dict[str, Any] = {}
    for control in fields["controls"]:
        if control["version"] is None:
            controls[control["framework"]] = control["control"]
        else:
            versions = controls.setdefault(control["framework"], {})
            versions[control["version"]] = control["control"]
    for part in ("episode", "suppressed"):
        for name in ("start", "end"):
            if fields[part] is not None and f"{name}_time" in fields[part]:
                fields[part][name] = in_utc(fields[part].pop(f"{name}_time"))
    group = as_kept(json.loads(fields.pop("group_json")))
    window = {name: in_utc(fields.pop(f"window_{name}")) for name in ("start", "end")}
    return {
        **fields,
        "group": group,
        "window": window,
        "controls": controls,
        "first_event_time": in_utc(fields["first_event_time"]),
        "last_event_time": in_utc(fields["last_event_time"]),
        "evidence": [json.loads(item) for item in fields["evidence"]],
    }


def archive_files(folder: Path) -> list[Path]:
    """Return the whole files of an archive, the oldest first."""
    return sorted(folder.glob("**/*.avro"))


def read(files: Iterable[Path]) -> list[dict[str, Any]]:
    """Return the records of files; each must be whole."""
    return [record for path in files for record in read_bytes(path.read_bytes())]


def read_bytes(data: bytes) -> list[dict[str, Any]]:
    """Return the records of a file, as fastavro reads them."""
    return cast("list[dict[str, Any]]", list(fastavro.reader(BytesIO(data))))


def read_by_avro(data: bytes) -> list[dict[str, Any]]:
    """Return the records of a file, as Apache's own library reads them."""
    with avro.datafile.DataFileReader(BytesIO(data), avro.io.DatumReader()) as reader:
        return [cast("dict[str, Any]", record) for record in reader]
