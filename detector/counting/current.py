"""An alert as it is now: the windows of event time go on after it was saved."""

from __future__ import annotations

import msgspec

from detector.alerts.alert import Alert, alert_id, refreshed, with_episode
from detector.counting.alerting import SeriesState
from detector.rules.values import epoch_seconds
from detector.state.store import Store
from detector.windows.aligned import WindowKey, WindowState
from detector.windows.episodes import Episode


class Current:
    """Reads alerts as they are now; what one reading has found out serves the others."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._series: dict[bytes, SeriesState | None] = {}
        self._counts: dict[tuple[bytes, int], int] = {}

    def alert(self, alert: Alert) -> Alert:
        """Return an alert with what its window and its episode hold now."""
        if alert.counting not in {"aligned", "correlation"}:
            return alert
        key = key_of(alert)
        if alert.counting == "aligned":
            state = self._store.load(key, WindowState)
            if state is not None:
                alert = refreshed(alert, state)
        series = self._series_of(key.series)
        episode = series.episode_of(key.start) if series is not None else None
        if episode is None:
            return alert
        told = episode.told if episode.told is not None else episode.first
        if alert.state == "resolved" and not episode.is_resolved:
            told = key.start  # its incident has become part of another, and ends alone
        return with_episode(alert, key, episode, self._count(key, episode), told)

    def _series_of(self, key: WindowKey) -> SeriesState | None:
        if key.identity not in self._series:
            self._series[key.identity] = self._store.load(key, SeriesState)
        return self._series[key.identity]

    def _count(self, key: WindowKey, episode: Episode) -> int:
        """Return the number of events in the windows of an episode that are retained."""
        known = key.series.identity, episode.windows[0]
        if known not in self._counts:
            windows = (msgspec.structs.replace(key, start=start) for start in episode.windows)
            self._counts[known] = self._store.counts([alert_id(window) for window in windows])
        return self._counts[known]


def current(store: Store, alert: Alert) -> Alert:
    """Return one alert with what its window and its episode hold now."""
    return Current(store).alert(alert)


def current_alerts(store: Store) -> list[Alert]:
    """Return all alerts kept, by the start of their window, as they are now."""
    return list(map(Current(store).alert, store.alerts()))


def key_of(alert: Alert) -> WindowKey:
    """Return the key of the window that an alert is about."""
    start = int(epoch_seconds(alert.window.start) or 0)
    end = int(epoch_seconds(alert.window.end) or 0)
    return WindowKey(alert.rule_id, tuple(alert.group.values()), start, end - start)
