"""When it was, how late it came, and how many events there are in which window."""

from __future__ import annotations

from collections.abc import Iterator

from detector.alerts.alert import Alert, Comparison
from detector.alerts.fields import text_at
from detector.alerts.plain import counted, listed, plain

_MAX_NAMES = 8
_MAX_NAME = 64

_COMPARED: dict[Comparison, str] = {
    "GreaterThanThreshold": "more than {}",
    "GreaterThanOrEqualToThreshold": "{} or more",
    "LessThanThreshold": "less than {}",
    "LessThanOrEqualToThreshold": "{} or less",
    "EqualToThreshold": "exactly {}",
    "NotEqualToThreshold": "any but {}",
}


def count_rows(alert: Alert) -> Iterator[tuple[str, str]]:
    """Return the rows on time and number."""
    if alert.count and alert.digest is None:
        yield "when", _when(alert)
        yield "count", _count(alert)
    yield "window", _window(alert)
    yield "episode", _episode(alert)


def _when(alert: Alert) -> str:
    first, last = alert.first_event_time, alert.last_event_time
    when = first if first == last else f"{first} to {last}"
    if alert.max_delay_seconds is not None:
        upto = "" if alert.count == 1 else "up to "
        when += f", delivered {upto}{_duration(alert.max_delay_seconds)} later"
    if alert.beyond_retention:
        return f"{when}, so late that its window was not retained any more"
    if alert.late:
        why = [text_at(record, "addendum", "reason") for record in alert.evidence]
        said = listed(sorted({plain(reason, _MAX_NAME) for reason in why if reason}), 3)
        return f"{when}, which is late" + (f" ({said})" if said else "")
    return when


def _duration(seconds: float) -> str:
    """Return a time as a person says it, rounded to two of its units."""
    rest = max(round(seconds), 0)
    parts = []
    for unit, name in ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")):
        number, rest = divmod(rest, unit)
        if number:
            parts.append(f"{number} {name}")
    return " ".join(parts[:2]) or "0 s"


def _count(alert: Alert) -> str:
    """Return how many events there are of each name, as far as that is known."""
    names = [plain(name, _MAX_NAME) for name in alert.event_names]
    are_all = "event_names" not in alert.truncated
    if len(names) == 1 and are_all:
        return f"{alert.count} x {names[0]}"
    in_evidence = [plain(text_at(record, "eventName"), _MAX_NAME) for record in alert.evidence]
    if len(in_evidence) == alert.count:
        numbers = {name: in_evidence.count(name) for name in sorted(in_evidence)}
        told = [f"{number} x {name}" for name, number in numbers.items()]
        return listed(told, _MAX_NAMES)
    shown = listed(names, _MAX_NAMES, are_all=are_all)
    return f"{counted(alert.count, 'event')}: {shown}" if shown else counted(alert.count, "event")


def _window(alert: Alert) -> str:
    span = f"{alert.window.start} to {alert.window.end}"
    if alert.digest is not None or alert.counting == "single":
        return span
    if alert.counting == "own":
        return f"{span}, limit {alert.threshold:g} s"
    limit = _COMPARED[alert.comparison_operator].format(f"{alert.threshold:g}")
    value = "" if alert.value == alert.count else f", {alert.statistic} {alert.value:g}"
    return f"{span}{value}, threshold {limit}"


def _episode(alert: Alert) -> str:
    episode = alert.episode
    if episode is None or episode.windows == 1:
        return ""
    return (
        f"{counted(episode.windows, 'window')} since {episode.start}, "
        f"{counted(episode.count, 'event')}, {plain(episode.id, _MAX_NAME)}"
    )
