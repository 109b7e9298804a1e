"""How far event time has come, and what goes when it is past its retention."""

from __future__ import annotations

from collections.abc import Iterable

from detector.alerts.alert import Alert, alert_id, refreshed
from detector.counting.alerting import SeriesState
from detector.counting.context import Clock, Settings
from detector.state.store import Revision, Transaction
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
        series = transaction.load(key.series, SeriesState)
        if series is not None and series.period == key.period:
            if alert is not None:
                _leave(transaction, key, alert, series, settings)
            retire(series, key.start, 0 if alert is None else alert.count)
            forget(series, key.end, settings.quiet)
            if series.episodes or series.breaching:
                transaction.save(key.series, series)
            else:
                transaction.drop(key.series)
        transaction.drop(key)


def _leave(
    transaction: Transaction, key: WindowKey, alert: Alert, series: SeriesState, settings: Settings
) -> None:
    """End the alert of a window that an episode goes on without.

    The alert by which receivers know the episode stays, however long that goes on.
    """
    episode = series.episode_of(key.start)
    if episode is None or episode.is_resolved or key.start == episode.windows[-1]:
        return
    each = alert.notify != "episode"
    if each or key.start != episode.told:
        sinks = settings.routing.names if each else ()
        transaction.revise_alert(Revision(alert.id, "resolved"), sinks, settings.update_interval)
    if episode.told is not None and not each:
        told = alert_id(key.window(episode.told, key.period))
        transaction.revise_alert(Revision(told), (), settings.update_interval)
