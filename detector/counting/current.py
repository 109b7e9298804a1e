"""An alert as it is now: the windows of event time go on after it was saved."""

from __future__ import annotations

import msgspec

from detector.alerts.alert import Alert, alert_id, refreshed, with_episode
from detector.counting.alerting import SeriesState
from detector.rules.values import epoch_seconds
from detector.state.store import Store
from detector.windows.aligned import WindowKey, WindowState


def current(store: Store, alert: Alert) -> Alert:
    """Return an alert with what its window and its episode hold now."""
    if alert.counting not in {"aligned", "correlation"}:
        return alert
    key = key_of(alert)
    if alert.counting == "aligned":
        state = store.load(key, WindowState)
        if state is not None:
            alert = refreshed(alert, state)
    series = store.load(key.series, SeriesState)
    episode = series.episode_of(key.start) if series is not None else None
    if episode is None:
        return alert
    ids = [alert_id(msgspec.structs.replace(key, start=start)) for start in episode.windows]
    told = episode.told if episode.told is not None else episode.first
    if alert.state == "resolved" and not episode.is_resolved:
        told = key.start  # the incident of this alert has become part of another, and ends alone
    return with_episode(alert, key, episode, store.counts(ids), told)


def key_of(alert: Alert) -> WindowKey:
    """Return the key of the window that an alert is about."""
    start = int(epoch_seconds(alert.window.start) or 0)
    end = int(epoch_seconds(alert.window.end) or 0)
    return WindowKey(alert.rule_id, tuple(alert.group.values()), start, end - start)


def current_alerts(store: Store) -> list[Alert]:
    """Return all alerts kept, by the start of their window, as they are now."""
    return [current(store, alert) for alert in store.alerts()]
