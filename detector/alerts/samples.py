"""Alerts that no event has caused: to see that one arrives, and that templates can tell every kind.

Accounts, names and addresses are those that AWS and the IETF set aside for documentation.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from detector.alerts.alert import Alert, AlertEpisode, AlertWindow, NotificationKind, utc
from detector.alerts.digest import Mention, digest_alert
from detector.alerts.failing_sink import failing_sink_alert
from detector.alerts.own import silence_alert
from detector.envelopes.log_file import Trail
from detector.rules.rule import Level
from detector.windows.hearing import Silence

TEST_RULE = "detector.test"
"""The rule id of test alerts. No file has this rule, so that no count of a rule's alerts is wrong
for them where a form of message has no place for `test`."""

ACCOUNT = "111122223333"
REGION = "us-east-1"

_PERIOD = 300
_ACTOR = f"arn:aws:sts::{ACCOUNT}:assumed-role/Admin/alice"
_ADDRESS = "192.0.2.44"
_DELAY_SECONDS = 90.0
"""CloudTrail delivers some minutes after an event; so late a test alert's event has come."""

_RUNBOOK = (
    "This is a test: nothing has happened, and nothing is to be done. Of a real alert the first"
    " steps of its rule's runbook stand here."
)
_HOSTILE = (
    "<!channel> <https://192.0.2.1|click> [click](https://192.0.2.1) *bold* `code` <b>&amp;</b>"
    " \"quoted' {{ alert }} {% raw %} \\ \x1b[2J\u202e\u2028\ud83d \U0001f600\r\nSECOND LINE"
)
_LONG = 10_000


class Sample(NamedTuple):
    """An alert, what a receiver is told to do with it, and what is special about it."""

    what: str
    alert: Alert
    kind: NotificationKind


def sample_alert(identity: str, now: float, level: Level = "medium") -> Alert:
    """Return an alert that is marked as a test: an administrator's policy was attached to a user.

    `identity` is its id, of 32 hexadecimal digits, which no two tests have in common: a receiver
    would take the second for a repetition. It is as of `now`, in seconds.
    """
    happened = now - _DELAY_SECONDS
    start = math.floor(happened / _PERIOD) * _PERIOD
    record = _record(identity, happened)
    window = AlertWindow(utc(start), utc(start + _PERIOD))
    return Alert(
        id=identity,
        revision=1,
        rule_id=TEST_RULE,
        rule_name="test",
        title="IAM policy changed",
        status="stable",
        level=level,
        group={"recipientAccountId": ACCOUNT},
        dedup_key=identity,
        episode=AlertEpisode(id=identity, start=window.start, end=window.end, windows=1, count=1),
        window=window,
        count=1,
        value=1,
        threshold=1,
        comparison_operator="GreaterThanOrEqualToThreshold",
        late=False,
        first_event_time=record["eventTime"],
        last_event_time=record["eventTime"],
        event_names=["AttachUserPolicy"],
        actors=[_ACTOR],
        source_ips=[_ADDRESS],
        regions=[REGION],
        accounts=[ACCOUNT],
        event_ids=[record["eventID"]],
        controls={"cis-aws-foundations": {"v5.0.0": "4.4", "v6.0.0": "5.4"}},
        tags=["attack.persistence", "attack.t1098.003"],
        description="A test of the ways that alerts go, made by `detector notify-test`.",
        runbook=_RUNBOOK,
        evidence=[record],
        test=True,
    )


def resolved(alert: Alert) -> Alert:
    """Return an alert as it is once it is over."""
    return msgspec.structs.replace(alert, revision=alert.revision + 1, state="resolved")


def samples(now: float) -> Iterator[Sample]:
    """Yield an alert of every shape that a template may have to tell."""
    plain = msgspec.structs.replace(sample_alert("0" * 32, now), test=False)
    yield Sample("one event", plain, "raised")
    yield Sample("a test", sample_alert("1" * 32, now), "raised")
    yield Sample("an update", _many(plain), "updated")
    yield Sample("an alert that is over", resolved(plain), "resolved")
    yield Sample("an alert that was undone", _as(plain, state="withdrawn"), "resolved")
    yield Sample("hostile names", _hostile(plain), "raised")
    yield Sample("an event that came late", _late(plain), "raised")
    yield Sample("groups beyond the limit", _as(plain, group={}, overflow=True), "raised")
    yield Sample("a staged rule", _as(plain, status="experimental"), "raised")
    yield Sample("a correlation", _bare(plain, counting="correlation", value=3), "raised")
    yield Sample(
        "an alarm without any event",
        _bare(plain, counting="sliding", count=0, reason="no datapoint was received", group={}),
        "raised",
    )
    trail = Trail(ACCOUNT, REGION)
    silence = Silence(now - 7200, 3600, now)
    yield Sample("a trail that is silent", silence_alert(trail, silence), "raised")
    yield Sample("a detector that hears nothing", silence_alert(None, silence), "raised")
    for kind, has_ended in (("raised", False), ("resolved", True)):
        failing = failing_sink_alert(
            "pager", "503", now - 900, now, limit=900.0, has_ended=has_ended
        )
        yield Sample("a sink that fails", failing, kind)  # type: ignore[arg-type]
    for number in (1, 60):
        yield Sample("a digest", _digest(plain, number, now), "raised")


def _record(identity: str, happened: float) -> dict[str, Any]:
    """Return the record of a policy that was attached, by alice, who came in through a role."""
    identifier = f"{identity[:8]}-{identity[8:12]}-4{identity[13:16]}-8{identity[17:20]}"
    return {
        "eventVersion": "1.11",
        "userIdentity": {
            "type": "AssumedRole",
            "principalId": "AROAEXAMPLEEXAMPLE123:alice",
            "arn": _ACTOR,
            "accountId": ACCOUNT,
            "accessKeyId": "ASIAEXAMPLEEXAMPLE12",
            "sessionContext": {
                "sessionIssuer": {
                    "type": "Role",
                    "principalId": "AROAEXAMPLEEXAMPLE123",
                    "arn": f"arn:aws:iam::{ACCOUNT}:role/Admin",
                    "accountId": ACCOUNT,
                    "userName": "Admin",
                },
                "attributes": {
                    "creationDate": utc(math.floor(happened - 600)),
                    "mfaAuthenticated": "true",
                },
                "sourceIdentity": "alice@example.com",
            },
        },
        "eventTime": utc(math.floor(happened)),
        "eventSource": "iam.amazonaws.com",
        "eventName": "AttachUserPolicy",
        "awsRegion": REGION,
        "sourceIPAddress": _ADDRESS,
        "userAgent": "aws-cli/2.31.0 md/awscrt#0.27.6 ua/2.1 os/linux#6.8.0 md/arch#x86_64",
        "requestParameters": {
            "userName": "bob",
            "policyArn": "arn:aws:iam::aws:policy/AdministratorAccess",
        },
        "responseElements": None,
        "requestID": f"{identifier}-{identity[:12][::-1]}",
        "eventID": f"{identifier}-{identity[20:32]}",
        "readOnly": False,
        "eventType": "AwsApiCall",
        "managementEvent": True,
        "recipientAccountId": ACCOUNT,
        "eventCategory": "Management",
    }


def _as(alert: Alert, **fields: Any) -> Alert:
    return msgspec.structs.replace(alert, **fields)


def _many(alert: Alert) -> Alert:
    """Return the alert of many events by many people in many places, some of them denied."""
    denied = {**alert.evidence[0], "errorCode": "AccessDenied", "errorMessage": "not authorized"}
    assert alert.episode is not None  # noqa: S101 - sample_alert gives it one
    return _as(
        alert,
        count=12_345,
        value=12_345,
        episode=msgspec.structs.replace(alert.episode, windows=7, count=54_321),
        actors=[f"{_ACTOR}{number}" for number in range(50)],
        source_ips=[f"192.0.2.{number}" for number in range(50)],
        regions=["eu-central-1", REGION],
        accounts=[ACCOUNT, "444455556666"],
        event_names=["AttachUserPolicy", "PutUserPolicy"],
        truncated=["actors", "source_ips", "event_ids"],
        evidence=[*alert.evidence, denied] * 5,
    )


def _hostile(alert: Alert) -> Alert:
    record = dict(alert.evidence[0])
    record["userAgent"] = _HOSTILE * (_LONG // len(_HOSTILE))
    record["requestParameters"] = {"userName": _HOSTILE, "policyArn": _HOSTILE}
    record["userIdentity"] = {"type": "IAMUser", "userName": _HOSTILE, "arn": _HOSTILE}
    names = [_HOSTILE, "x" * _LONG]
    return _as(
        alert,
        title=_HOSTILE,
        group={_HOSTILE: _HOSTILE, "userIdentity.arn": "x" * _LONG},
        actors=names,
        source_ips=names,
        event_names=names,
        regions=names,
        evidence=[record, {"eventName": 7, "userIdentity": [], "requestParameters": "text"}],
    )


def _late(alert: Alert) -> Alert:
    return _as(
        alert,
        counting="single",
        late=True,
        beyond_retention=True,
        episode=None,
        reason="The event came when its window was not retained any more",
    )


def _bare(alert: Alert, **fields: Any) -> Alert:
    """Return an alert that has no evidence, and nothing that is told of events."""
    nothing: dict[str, list[str]] = {
        name: []
        for name in (
            *("event_names", "actors", "source_ips", "regions", "accounts", "event_ids"),
            *("evidence", "tags"),
        )
    }
    bare: dict[str, Any] = {
        "episode": None,
        "controls": {},
        "description": "",
        "runbook": "",
        "rule_name": "",
    }
    return _as(alert, **{**nothing, **bare, **fields})


def _digest(alert: Alert, rules: int, now: float) -> Alert:
    return digest_alert(
        "sample",
        [
            Mention(
                id=f"{number:032x}",
                kind="raised" if number % 3 else "resolved",
                rule_id=f"rule-{number % rules}",
                title=alert.title,
                level=alert.level,
                count=alert.count,
                first_event_time=alert.first_event_time,
                last_event_time=alert.last_event_time,
                actors=alert.actors,
                accounts=alert.accounts,
                made_at=now,
            )
            for number in range(120)
        ],
        now,
    )
