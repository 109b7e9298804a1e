"""The alert on a sink that cannot be reached, for those that can."""

from __future__ import annotations

import math

from detector.alerts.alert import Alert, AlertWindow, alert_id, utc
from detector.windows.aligned import WindowKey

SINK_FAILING = "detector.sink-failing"
"""The rule id of alerts on sinks. No file has this rule."""

_RUNBOOK = """\
1. See why: {why}
   The detector's log and detector_sink_sends_total say since when and how often;
   `detector notify-test --sink {sink}` tries it now.
2. Nothing is lost: what is for it waits in the outbox (detector_outbox_notifications), and goes out
   by itself once it works. `detector outbox list --sink {sink}` shows each alert, and those that it
   has refused for good; after a mend of those, `detector outbox retry --sink {sink}`.
3. Until then read its alerts elsewhere: at its fallback, or `detector state alerts --open`."""


def failing_sink_alert(
    sink: str, why: str, since: float, now: float, *, limit: float, has_ended: bool
) -> Alert:
    """Return the alert on a sink that has failed since a time, resolved once it has ended.

    The id is made from the sink and the second in which it began, so that one failure has one
    alert however often it is found.
    """
    key = WindowKey(SINK_FAILING, (sink,), math.floor(since), 0)
    began = utc(math.floor(since))
    return Alert(
        id=alert_id(key),
        revision=0,
        state="resolved" if has_ended else "open",
        counting="own",
        dedup_key=alert_id(key),
        rule_id=SINK_FAILING,
        rule_name="sink_failing",
        title=f"Alerts reach the sink {sink} again" if has_ended else f"No alert reaches {sink}",
        status="stable",
        level="high",
        group={"sink": sink},
        window=AlertWindow(began, utc(now)),
        count=0,
        value=max(round(now - since, 3), limit),
        threshold=limit,
        comparison_operator="GreaterThanOrEqualToThreshold",
        late=False,
        first_event_time=began,
        last_event_time=began,
        event_names=[],
        actors=[],
        source_ips=[],
        regions=[],
        accounts=[],
        event_ids=[],
        controls={},
        tags=[],
        description=(
            f"The sink {sink} has taken an alert again, after it had failed since {began}."
            if has_ended
            else f"The sink {sink} has taken no alert since {began}. The last attempt: {why}"
        ),
        runbook=_RUNBOOK.format(sink=sink, why=why),
        evidence=[],
    )
