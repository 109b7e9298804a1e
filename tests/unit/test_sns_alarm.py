import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.alerts.alert import Alert, AlertWindow
from detector.alerts.text import NotificationKind
from detector.config import CloudWatchAlarmConfig, SNSSinkConfig
from detector.sinks.sns.alarm import AlarmSettings, alarm_message, alarm_name, alarm_subject
from detector.sinks.sns.message import Messages
from detector.sinks.sns.regions import region_name
from detector.state.store import Notification
from tests.alerts import alert
from tests.sinks import sink_context

TOPIC = "arn:aws:sns:us-east-1:111122223333:cis-alerts"
CONFIGURED = datetime(2026, 9, 16, 16, 54, 41, 676_000, UTC)
CHANGED = datetime(2026, 9, 16, 16, 58, 17, 131_000, UTC)


def settings(topic: str = TOPIC, *, resolved: bool = True, **alarm: Any) -> AlarmSettings:
    config = SNSSinkConfig(
        name="sns", topic_arn=topic, resolved=resolved, alarm=CloudWatchAlarmConfig(**alarm)
    )
    return AlarmSettings.of(config, CONFIGURED)


def cis_alert(**changes: Any) -> Alert:
    """Return the alert of the benchmark's alarm, as its account's own."""
    made = msgspec.structs.replace(
        alert(),
        rule_name="cis-iam-policy-changes",
        description="",
        group={},
        window=AlertWindow("2026-09-16T16:53:00Z", "2026-09-16T16:58:00Z"),
    )
    return msgspec.structs.replace(made, **changes)


def told(made: Alert, kind: NotificationKind = "raised", **changes: Any) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(alarm_message(made, kind, settings(**changes), CHANGED))
    return message


def test_the_message_is_cloudwatchs_key_by_key() -> None:
    # The order of keys and the forms of values are those of real notifications.
    expected: dict[str, Any] = {
        "AlarmName": "cis-iam-policy-changes",
        "AlarmDescription": None,
        "AWSAccountId": "111122223333",
        "AlarmConfigurationUpdatedTimestamp": "2026-09-16T16:54:41.676+0000",
        "NewStateValue": "ALARM",
        "NewStateReason": "Threshold Crossed: 1 datapoint [1.0 (16/09/26 16:53:00)] was greater"
        " than or equal to the threshold (1.0).",
        "StateChangeTime": "2026-09-16T16:58:17.131+0000",
        "Region": "US East (N. Virginia)",
        "AlarmArn": "arn:aws:cloudwatch:us-east-1:111122223333:alarm:cis-iam-policy-changes",
        "OldStateValue": "OK",
        "OKActions": [TOPIC],
        "AlarmActions": [TOPIC],
        "InsufficientDataActions": [],
        "Trigger": {
            "MetricName": "CisIamPolicyChanges",
            "Namespace": "CISBenchmark",
            "StatisticType": "Statistic",
            "Statistic": "SUM",
            "Unit": None,
            "Dimensions": [],
            "Period": 300,
            "EvaluationPeriods": 1,
            "ComparisonOperator": "GreaterThanOrEqualToThreshold",
            "Threshold": 1.0,
            "TreatMissingData": "notBreaching",
            "EvaluateLowSampleCountPercentile": "",
        },
    }
    message = alarm_message(cis_alert(), "raised", settings(), CHANGED).decode()
    assert message == json.dumps(expected, separators=(",", ":"))
    assert '"Threshold":1.0,' in message


def test_the_end_is_a_change_to_ok() -> None:
    over = told(cis_alert(state="resolved"), "resolved")
    assert (over["OldStateValue"], over["NewStateValue"]) == ("ALARM", "OK")
    assert over["NewStateReason"] == (
        "Threshold Crossed: no datapoints were received for 1 period and 1 missing datapoint was"
        " treated as [NonBreaching]."
    )


def test_what_later_events_have_undone_is_a_datapoint_that_does_not_breach() -> None:
    over = told(cis_alert(state="withdrawn", value=2, threshold=5.0), "resolved")
    assert over["NewStateReason"] == (
        "Threshold Crossed: 1 datapoint [2.0 (16/09/26 16:53:00)] was not greater than or equal to"
        " the threshold (5.0)."
    )


def test_a_sliding_windows_reason_is_its_own() -> None:
    reason = "Threshold Crossed: 2 out of the last 3 datapoints [...] were greater than ..."
    assert told(cis_alert(counting="sliding", reason=reason))["NewStateReason"] == reason


def test_without_resolutions_there_are_no_ok_actions() -> None:
    assert told(cis_alert(), resolved=False)["OKActions"] == []


def test_account_region_and_names_can_be_others() -> None:
    message = told(
        cis_alert(description="  What\nit is. "),
        name_prefix="prod-",
        namespace="Trail",
        account="444455556666",
        region="eu-central-1",
    )
    assert message["AWSAccountId"] == "444455556666"
    assert message["Region"] == "EU (Frankfurt)"
    assert message["AlarmName"] == "prod-cis-iam-policy-changes"
    assert message["AlarmDescription"] == "What it is."
    assert message["Trigger"]["Namespace"] == "Trail"
    assert message["AlarmArn"].startswith("arn:aws:cloudwatch:eu-central-1:444455556666:alarm:")
    assert message["AlarmActions"] == [TOPIC]


def test_the_partition_is_the_topics() -> None:
    made = settings("arn:aws-us-gov:sns:us-gov-west-1:111122223333:t")
    message = json.loads(alarm_message(cis_alert(), "raised", made, CHANGED))
    assert message["AlarmArn"].startswith("arn:aws-us-gov:cloudwatch:us-gov-west-1:")
    assert message["Region"] == "AWS GovCloud (US-West)"


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("us-east-1", "US East (N. Virginia)"),
        ("eu-west-1", "EU (Ireland)"),
        ("eu-north-1", "EU (Stockholm)"),
        ("ap-southeast-2", "Asia Pacific (Sydney)"),
        ("sa-east-1", "South America (Sao Paulo)"),
        ("cn-north-1", "China (Beijing)"),
        ("xx-nowhere-1", "xx-nowhere-1"),
    ],
)
def test_regions_have_the_names_that_cloudwatch_shows(code: str, name: str) -> None:
    assert region_name(code) == name


def test_alarms_of_other_groups_have_other_names_so_that_none_ends_another() -> None:
    own = cis_alert(group={"recipientAccountId": "111122223333"})
    assert alarm_name(own, settings()) == "cis-iam-policy-changes"
    assert told(own)["Trigger"]["Dimensions"] == []
    other = cis_alert(group={"recipientAccountId": "444455556666"})
    assert alarm_name(other, settings()) == "cis-iam-policy-changes (444455556666)"
    assert told(other)["Trigger"]["Dimensions"] == [
        {"value": "444455556666", "name": "recipientAccountId"}
    ]
    rest = cis_alert(overflow=True)
    assert alarm_name(rest, settings()) == "cis-iam-policy-changes (other groups)"
    long = {alarm_name(cis_alert(group={"x": "y" * 400 + end}), settings()) for end in "ab"}
    assert len(long) == 2
    assert all(len(name) == 255 for name in long)


def test_a_test_message_is_seen_to_be_one_and_a_title_stands_for_a_missing_name() -> None:
    made = cis_alert(rule_name="", test=True)
    assert alarm_name(made, settings()) == "[TEST] IAM policy changed"
    assert told(made)["Trigger"]["MetricName"] == "IAMPolicyChanged"


def test_the_subject_names_alarm_and_region_however_long_the_name_is() -> None:
    subject = 'ALARM: "cis-iam-policy-changes" in US East (N. Virginia)'
    assert alarm_subject(cis_alert(), "raised", settings()) == subject
    assert alarm_subject(cis_alert(), "resolved", settings()).startswith('OK: "cis-')
    cut = alarm_subject(cis_alert(rule_name="x" * 300), "raised", settings())
    assert len(cut) == 99
    assert cut.endswith('x..." in US East (N. Virginia)')


@pytest.mark.parametrize(
    ("operator", "value", "shown"),
    [
        ("EqualToThreshold", 3, "GreaterThanOrEqualToThreshold"),
        ("NotEqualToThreshold", 2, "LessThanThreshold"),
        ("NotEqualToThreshold", 4, "GreaterThanThreshold"),
        ("LessThanOrEqualToThreshold", 3, "LessThanOrEqualToThreshold"),
    ],
)
def test_an_operator_that_cloudwatch_has_not_is_told_by_one_that_is_true(
    operator: Any, value: float, shown: str
) -> None:
    made = cis_alert(
        comparison_operator=operator, value=value, threshold=3.0, statistic="value_count"
    )
    message = told(made)
    assert message["Trigger"]["ComparisonOperator"] == shown
    assert message["Trigger"]["Statistic"] == "SUM"
    assert message["NewStateReason"].startswith(f"Threshold Crossed: 1 datapoint [{value}.0 (")


def test_a_change_is_as_old_as_its_notification_on_every_attempt() -> None:
    config = SNSSinkConfig(name="sns", topic_arn=TOPIC, format="cloudwatch-alarm")
    made = Messages(config, sink_context())
    requests = [
        made.request(Notification(cis_alert(), made_at=CHANGED.timestamp(), attempts=attempts))
        for attempts in (0, 5)
    ]
    assert requests[0] == requests[1]
    assert requests[0] is not None
    message = json.loads(requests[0]["Message"])
    assert message["StateChangeTime"] == "2026-09-16T16:58:17.131+0000"
    attributes = requests[0]["MessageAttributes"]
    assert attributes["level"]["StringValue"] == "medium"


_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)


@given(
    name=_TEXTS,
    description=_TEXTS.map(lambda text: text * 10),
    group=st.dictionaries(_TEXTS, _TEXTS | st.integers() | st.none() | st.booleans(), max_size=40),
    value=st.floats(allow_nan=False, allow_infinity=False),
)
def test_every_message_is_within_cloudwatchs_bounds(
    name: str, description: str, group: dict[str, Any], value: float
) -> None:
    message = told(
        cis_alert(rule_name=name, title="x", description=description, group=group, value=value)
    )
    assert 1 <= len(message["AlarmName"]) <= 255
    assert message["AlarmDescription"] is None or len(message["AlarmDescription"]) <= 1024
    assert len(message["NewStateReason"]) <= 1023
    trigger = message["Trigger"]
    assert 1 <= len(trigger["MetricName"]) <= 255
    assert len(trigger["Dimensions"]) <= 30
    for dimension in trigger["Dimensions"]:
        assert 1 <= len(dimension["value"]) <= 1024
        assert 0 <= len(dimension["name"]) <= 255


def test_a_rule_of_several_datapoints_says_of_how_many() -> None:
    made = msgspec.structs.replace(
        alert(),
        period_seconds=60,
        evaluation_periods=5,
        datapoints_to_alarm=3,
        treat_missing_data="breaching",
    )
    trigger = told(made)["Trigger"]
    assert (trigger["Period"], trigger["EvaluationPeriods"]) == (60, 5)
    assert list(trigger)[list(trigger).index("EvaluationPeriods") + 1] == "DatapointsToAlarm"
    assert trigger["DatapointsToAlarm"] == 3
    assert trigger["TreatMissingData"] == "breaching"
