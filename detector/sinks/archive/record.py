"""A notification as a datum of the archive's schema, `alert.avsc`. Pure.

Names are those of the alert's JSON, but for words that SQL reserves. All of an alert is in typed
fields, so that its JSON as a whole would say the same twice. `evidence` is JSON text, as CloudTrail
records have no schema of their own.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from typing import Any

import fastavro
import msgspec

from detector.alerts.alert import AlertEpisode, Digest, Suppressed
from detector.sinks.sink import message_id
from detector.state.store import Notification

SCHEMA_JSON = files(__package__).joinpath("alert.avsc").read_bytes()
"""The schema as it stands in the repository, with what each field means."""

SCHEMA = fastavro.parse_schema(json.loads(SCHEMA_JSON))

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_UNCHANGED = (
    *("id", "revision", "state", "rule_id", "rule_name", "title", "status", "level", "overflow"),
    *("counting", "notify", "dedup_key", "count", "statistic", "value", "threshold"),
    *("comparison_operator", "late", "beyond_retention", "reason", "event_names", "actors"),
    *("source_ips", "regions", "accounts", "event_ids", "truncated", "tags", "description"),
    *("runbook", "test", "max_delay_seconds", "period_seconds", "evaluation_periods"),
    *("datapoints_to_alarm", "treat_missing_data"),
)
"""Fields of an alert that are kept under their own name, as they are."""


def encoded(notification: Notification, now: float) -> bytes:
    """Return the record of a notification in Avro's encoding. `now` is in seconds.

    Half a surrogate pair, which no UTF-8 can hold, becomes U+FFFD.

    Raises:
        ValueError, OverflowError: a time is none, or a number has more than 64 bits.
    """
    record = datum(notification, now)
    try:
        return _encoded(record)
    except UnicodeEncodeError:
        return _encoded(_mended(record))


def datum(notification: Notification, now: float) -> dict[str, Any]:
    """Return the record of a notification, times in milliseconds.

    Raises:
        ValueError: a time is none.
    """
    alert = notification.alert
    return {
        "message_id": message_id(notification),
        "kind": notification.kind,
        "archived_at": int(now * 1000),
        **{name: getattr(alert, name) for name in _UNCHANGED},
        "group_values": {
            name: value if isinstance(value, str) else _json(value)
            for name, value in alert.group.items()
        },
        "group_json": _json(alert.group),
        "episode": _episode(alert.episode),
        "window_start": _milliseconds(alert.window.start),
        "window_end": _milliseconds(alert.window.end),
        "suppressed": _suppressed(alert.suppressed),
        "first_event_time": _milliseconds(alert.first_event_time),
        "last_event_time": _milliseconds(alert.last_event_time),
        "controls": list(_controls(alert.controls)),
        "evidence": [_json(record) for record in alert.evidence],
        "digest": _digest(alert.digest),
    }


def _encoded(record: dict[str, Any]) -> bytes:
    file = io.BytesIO()
    fastavro.schemaless_writer(file, SCHEMA, record)
    return file.getvalue()


def _mended(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {_mended(name): _mended(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_mended(item) for item in value]
    return value


def _episode(episode: AlertEpisode | None) -> dict[str, Any] | None:
    if episode is None:
        return None
    return {
        "id": episode.id,
        "start_time": _milliseconds(episode.start),
        "end_time": _milliseconds(episode.end),
        "windows": episode.windows,
        "count": episode.count,
    }


def _suppressed(silence: Suppressed | None) -> dict[str, Any] | None:
    if silence is None:
        return None
    return {
        "reason": silence.reason,
        "author": silence.author,
        "end_time": _milliseconds(silence.end),
    }


def _digest(digest: Digest | None) -> dict[str, Any] | None:
    return None if digest is None else dict(msgspec.to_builtins(digest))


def _controls(
    controls: Mapping[str, str | Mapping[str, str]],
) -> Iterator[dict[str, str | None]]:
    """Yield a control for each framework and version."""
    for framework, numbers in controls.items():
        versions: Iterable[tuple[str | None, str]] = (
            [(None, numbers)] if isinstance(numbers, str) else numbers.items()
        )
        for version, control in versions:
            yield {"framework": framework, "version": version, "control": control}


def _milliseconds(time: str) -> int:
    """Return an RFC 3339 time in milliseconds since the epoch."""
    return (datetime.fromisoformat(time) - _EPOCH) // _MILLISECOND


def _json(value: Any) -> str:
    """Return a value as JSON: what msgspec cannot write, a huge number for one, as Python does."""
    try:
        return msgspec.json.encode(value).decode()
    except (UnicodeEncodeError, OverflowError):
        return json.dumps(value, separators=(",", ":"))
