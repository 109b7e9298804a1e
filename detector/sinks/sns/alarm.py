"""An alert as the message that CloudWatch publishes when an alarm changes its state.

AWS publishes no schema of it. Names, their order and the forms of values are those of real
notifications since 2022, so that whoever reads these reads ours.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from detector.alerts.alert import Alert, Comparison
from detector.alerts.incident import moment, name_of
from detector.alerts.plain import clean, cut, plain
from detector.alerts.text import NotificationKind
from detector.config import SNSSinkConfig
from detector.rules.window import ComparisonOperator, WindowSettings
from detector.sinks.sns.regions import region_name
from detector.sinks.sns.subject import MAX_UNITS, cut_units
from detector.windows.reason import state_reason

MAX_NAME_CHARACTERS = 255
MAX_DESCRIPTION_CHARACTERS = 1_024
MAX_REASON_CHARACTERS = 1_023
MAX_DIMENSIONS = 30
MAX_DIMENSION_NAME_CHARACTERS = 255
MAX_DIMENSION_VALUE_CHARACTERS = 1_024
"""What CloudWatch allows. Source: Amazon CloudWatch API Reference, "PutMetricAlarm", "Dimension";
"MetricAlarm" for the reason."""

_STATISTICS = {
    "Sum": "SUM",
    "SampleCount": "SAMPLECOUNT",
    "Minimum": "MINIMUM",
    "Maximum": "MAXIMUM",
    "Average": "AVERAGE",
}
_WORD = re.compile(r"[^A-Za-z0-9]+")


@dataclass(frozen=True, slots=True)
class AlarmSettings:
    """What the messages of one topic's alarms have in common.

    `tells_ok` says whether subscribers hear that an alarm is over. `configured` is since when the
    alarms are as they are: no file says when a rule was changed.
    """

    topic_arn: str
    name_prefix: str
    namespace: str
    account: str
    region: str
    tells_ok: bool
    configured: datetime

    @classmethod
    def of(cls, config: SNSSinkConfig, configured: datetime) -> AlarmSettings:
        """Return the settings of a sink; account and region are the topic's if it has no others."""
        _, _, _, region, account, _ = config.topic_arn.split(":")
        alarm = config.alarm
        return cls(
            config.topic_arn,
            alarm.name_prefix,
            alarm.namespace,
            alarm.account or account,
            alarm.region or region,
            config.resolved,
            configured,
        )

    @property
    def partition(self) -> str:
        """The topic's."""
        return self.topic_arn.split(":")[1]


def alarm_subject(alert: Alert, kind: NotificationKind, settings: AlarmSettings) -> str:
    """Return the subject that CloudWatch gives; a long name is cut, so that the rest stays."""
    start, end = f'{_state(kind)}: "', f'" in {region_name(settings.region)}'
    room = MAX_UNITS - len(start) - len(end)
    return start + cut_units(alarm_name(alert, settings), room) + end


def alarm_message(
    alert: Alert, kind: NotificationKind, settings: AlarmSettings, changed: datetime
) -> bytes:
    """Return the message on a change of state at a time: to ALARM, or, when resolved, to OK."""
    name = alarm_name(alert, settings)
    state = _state(kind)
    told = [settings.topic_arn]
    message = {
        "AlarmName": name,
        "AlarmDescription": plain(alert.description, MAX_DESCRIPTION_CHARACTERS) or None,
        "AWSAccountId": settings.account,
        "AlarmConfigurationUpdatedTimestamp": _time(settings.configured),
        "NewStateValue": state,
        "NewStateReason": _reason(alert, kind),
        "StateChangeTime": _time(changed),
        "Region": region_name(settings.region),
        "AlarmArn": f"arn:{settings.partition}:cloudwatch:{settings.region}:{settings.account}"
        f":alarm:{name}",
        "OldStateValue": "OK" if state == "ALARM" else "ALARM",
        "OKActions": told if settings.tells_ok else [],
        "AlarmActions": told,
        "InsufficientDataActions": [],
        "Trigger": _trigger(alert, settings),
    }
    return msgspec.json.encode(message)


def alarm_name(alert: Alert, settings: AlarmSettings) -> str:
    """Return what the alarm is called: the prefix and the rule's name, or else its title.

    An alarm has one state, and subscribers know it by its name. So those of other groups than the
    alarms' own account have names of their own: one that ends must not end another.
    """
    test = "[TEST] " if alert.test else ""
    name = f"{test}{settings.name_prefix}{name_of(alert, MAX_NAME_CHARACTERS)}"
    if not _is_own(alert, settings):
        name += f" ({', '.join(map(_value, alert.group.values()))})"
    elif alert.overflow:
        name += " (other groups)"
    name = " ".join(clean(name).split())
    if len(name) <= MAX_NAME_CHARACTERS:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{name[: MAX_NAME_CHARACTERS - len(digest) - 1]} {digest}"


def _is_own(alert: Alert, settings: AlarmSettings) -> bool:
    """Return whether it is of the alarms' own account as a whole, as the benchmark's alarms are."""
    return [_value(value) for value in alert.group.values()] in ([], [settings.account])


def _state(kind: NotificationKind) -> str:
    return "OK" if kind == "resolved" else "ALARM"


def _reason(alert: Alert, kind: NotificationKind) -> str:
    """Return CloudWatch's reason: a sliding window has it already, as it is such an alarm."""
    settings = WindowSettings(
        mode="sliding",
        threshold=alert.threshold,
        comparison_operator=_operator(alert),
        treat_missing_data="notBreaching",
    )
    points = [(int(moment(alert.window.start).timestamp()), alert.value)]
    if kind == "resolved":
        breaches = settings.is_breached_by(alert.value)
        return state_reason("OK", [] if breaches else points, settings)
    if alert.counting == "sliding" and alert.reason:
        return cut(clean(alert.reason), MAX_REASON_CHARACTERS)
    return state_reason("ALARM", points, settings)


def _trigger(alert: Alert, settings: AlarmSettings) -> dict[str, Any]:
    group = {} if _is_own(alert, settings) else alert.group
    return {
        "MetricName": _metric_name(name_of(alert, MAX_NAME_CHARACTERS)),
        "Namespace": settings.namespace,
        "StatisticType": "Statistic",
        "Statistic": _STATISTICS.get(alert.statistic, "SUM"),
        "Unit": None,
        "Dimensions": [
            {
                "value": cut(_value(value), MAX_DIMENSION_VALUE_CHARACTERS),
                "name": plain(name, MAX_DIMENSION_NAME_CHARACTERS),
            }
            for name, value in list(group.items())[:MAX_DIMENSIONS]
        ],
        "Period": alert.period_seconds,
        "EvaluationPeriods": alert.evaluation_periods,
        **(
            {}
            if alert.datapoints_to_alarm == alert.evaluation_periods
            else {"DatapointsToAlarm": alert.datapoints_to_alarm}
        ),
        "ComparisonOperator": _operator(alert),
        "Threshold": float(alert.threshold),
        "TreatMissingData": alert.treat_missing_data or "notBreaching",
        "EvaluateLowSampleCountPercentile": "",
    }


def _operator(alert: Alert) -> ComparisonOperator:
    """Return CloudWatch's operator; for what only a correlation can ask, one that is true too."""
    comparison: Comparison = alert.comparison_operator
    if comparison == "EqualToThreshold":
        return "GreaterThanOrEqualToThreshold"
    if comparison == "NotEqualToThreshold":
        return "LessThanThreshold" if alert.value < alert.threshold else "GreaterThanThreshold"
    return comparison


def _metric_name(name: str) -> str:
    """Return a name as metric filters of the benchmark have them: IamPolicyChanged."""
    words = [word for word in _WORD.split(name) if word]
    return "".join(word[0].upper() + word[1:] for word in words)[:MAX_NAME_CHARACTERS] or "Matches"


def _value(value: object) -> str:
    """Return a group's value as CloudWatch takes it from a record's field."""
    if isinstance(value, bool):
        return str(value).lower()
    return "-" if value is None else plain(str(value), MAX_DIMENSION_VALUE_CHARACTERS) or "-"


def _time(time: datetime) -> str:
    milliseconds = time.astimezone(UTC).isoformat(timespec="milliseconds")
    return milliseconds.replace("+00:00", "+0000")
