"""Events that come when their window is not retained any more: each is an alert of its own.

How many others there were is not known any more, so that the threshold cannot be asked; what
matters is that nobody misses the event. The first of a rule, group and window pages, the others
follow it in silence: an outage that ends must not become a thousand pages.
"""

from __future__ import annotations

import msgspec

from detector.alerts.alert import alert_id, build_single_alert
from detector.counting.alerting import Alerting
from detector.counting.context import Context, Told
from detector.rules.correlation import Correlation
from detector.rules.rule import Rule
from detector.state.store import Revision, Timer
from detector.windows.aligned import Observation, Verdict, WindowKey, gathered


class Single(msgspec.Struct):
    """What is kept of the events of one window that is not retained: the alert that paged."""

    paged: str


def is_single(key: WindowKey) -> bool:
    """Return whether a key is of what is kept here: a window's, with its period negative."""
    return key.period < 0


class Singles:
    """Makes an alert of each event that is older than the windows retained."""

    def __init__(self, context: Context, alerting: Alerting) -> None:
        self._context = context
        self._alerting = alerting

    def observe(self, rule: Rule | Correlation, key: WindowKey, observation: Observation) -> None:
        """Raise the alert of one event."""
        context = self._context
        context.beyond_retention += 1
        alert = build_single_alert(rule, key, gathered(None, [observation]))
        mark = msgspec.structs.replace(key, period=-key.period)
        kept = context.transaction.load(mark, Single)
        alert = msgspec.structs.replace(alert, dedup_key=alert_id(key))
        alert, sinks = self._alerting.silenced(rule, alert)
        context.transaction.save_alert(
            alert,
            sinks,
            context.settings.update_interval,
            pages=kept is None or rule.file.notify == "event",
            incident=alert.id if kept is None else kept.paged,
        )
        verdict = Verdict.SUPPRESSED if alert.suppressed else Verdict.RAISED
        context.told.append(Told(verdict, rule.id, rule.file.level, alert.id))
        if not sinks:
            return  # nobody has been paged: the next one may
        context.transaction.save(mark, kept or Single(alert.id))
        quiet = context.now + context.settings.quiet + context.settings.late_after
        context.transaction.set_timer(Timer(mark, None, quiet))

    def look(self, key: WindowKey) -> None:
        """Resolve what no more events have come to for the quiet time."""
        context = self._context
        kept = context.transaction.load(key, Single)
        context.transaction.drop(key)
        if kept is not None:
            context.transaction.revise_alert(
                Revision(kept.paged, "resolved"),
                context.settings.routing.names,
                context.settings.update_interval,
            )
