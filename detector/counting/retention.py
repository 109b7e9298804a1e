"""How far event time has come, and what goes when it is past its retention."""

from __future__ import annotations

from collections.abc import Iterable

from detector.alerts.alert import alert_id, refreshed
from detector.counting.alerting import SeriesState
from detector.counting.context import Clock, Settings
from detector.state.store import Transaction
from detector.windows.aligned import WindowKey, WindowState
from detector.windows.episodes import forget, retire

CLOCK = WindowKey("detector.clock", (), 0, 0)
"""The key under which the clock is kept."""


def moved(clock: Clock, seen: Iterable[float], now: float, late_after: float) -> Clock:
    """Return the clock after deliveries of these times; what lies ahead of `now` is cut to it."""
    latest = min(max(seen, default=0.0), now)
    return Clock(max(clock.watermark, latest - late_after), clock.horizon)


def retained(clock: Clock, settings: Settings) -> Clock:
    """Return the clock with its horizon as far as the watermark and the retention take it."""
    return Clock(clock.watermark, max(clock.horizon, clock.watermark - settings.retention))


def expire(transaction: Transaction, keys: Iterable[WindowKey], settings: Settings) -> None:
    """Drop states that are past their retention; the alerts of windows keep what they say."""
    for key in keys:
        alert = transaction.alert(alert_id(key))
        if alert is not None and alert.counting == "aligned":
            state = transaction.load(key, WindowState)
            if state is not None:
                alert = refreshed(alert, state)
                transaction.save_alert(alert, (), 0.0, pages=False)
        series = transaction.load(key.series, SeriesState) if alert is not None else None
        if series is not None and series.period == key.period:
            retire(series, key.start, 0 if alert is None else alert.count)
            forget(series, key.end, settings.quiet)
            if series.episodes or series.breaching:
                transaction.save(key.series, series)
            else:
                transaction.drop(key.series)
        transaction.drop(key)
