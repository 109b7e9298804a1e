"""Alerts of the detector's own: what no event tells, because none comes."""

from __future__ import annotations

import math

from detector.alerts.alert import Alert, AlertWindow, alert_id, utc
from detector.envelopes.log_file import Trail
from detector.windows.aligned import WindowKey
from detector.windows.hearing import Silence

SILENT_SOURCE = "detector.silent-source"
"""The rule id of alerts on silences. No file has this rule."""

_TRAIL_RUNBOOK = """\
1. See what was last heard of the account: alerts cloudtrail_config_changes and
   logging_stopped_or_narrowed, and event history, which keeps 90 days whatever a trail does:
   aws cloudtrail lookup-events --region {region}
   --lookup-attributes AttributeKey=EventName,AttributeValue=StopLogging (then DeleteTrail,
   UpdateTrail, PutEventSelectors). A change that no ticket explains is an incident: contain it.
2. See the trail: aws cloudtrail describe-trails --region {region}, then get-trail-status --name
   TRAIL. IsLogging false and StopLoggingTime: it was stopped. LatestDeliveryError: the bucket is
   gone, or its policy or the KMS key's policy refuses CloudTrail. get-event-selectors: no
   management events are selected any more.
3. LatestDeliveryTime is recent: the files are in the bucket below
   AWSLogs/.../{account}/CloudTrail/{region}/ and do not get here. See the bucket's notification,
   the policies of the SNS topic and the SQS queue, the queue's dead-letter queue, and this
   detector's log and detector_rejections_total.
4. The account is closed, or the region is quiet at such times: harmless. Take a listed trail out of
   silent_sources.expected, or raise silent_sources.after_seconds; one that was learned is forgotten
   after a week."""

_WHOLE_RUNBOOK = """\
1. See whether this detector is at fault: its log, /readyz (a source that is not read),
   detector_last_delivery_timestamp_seconds and detector_rejections_total.
2. See the queue: ApproximateNumberOfMessagesVisible and ApproximateAgeOfOldestMessage. Messages
   wait: the detector may not receive them (sqs:ReceiveMessage, s3:GetObject, kms:Decrypt), or
   cannot read them. None come: the bucket's notification, or the policies of the SNS topic and the
   SQS queue, were changed.
3. See the bucket: are there files of the last hour below AWSLogs/? If not: aws cloudtrail
   get-trail-status --name TRAIL. IsLogging false and StopLoggingTime: it was stopped.
   LatestDeliveryError: the bucket is gone, or its policy or the KMS key's policy refuses
   CloudTrail.
4. See who did it: aws cloudtrail lookup-events --lookup-attributes
   AttributeKey=EventName,AttributeValue=StopLogging (then DeleteTrail, UpdateTrail,
   PutEventSelectors, PutBucketPolicy, SetQueueAttributes). Event history keeps 90 days whatever a
   trail does.
5. Until it is mended nothing is detected. Files that reach the bucket late are still read, and
   their events counted by their own time."""


def silence_alert(trail: Trail | None, silence: Silence) -> Alert:
    """Return the alert on a silence, resolved once the silence has ended.

    `trail` is None for the detector as a whole. The id is made from the trail and the second in
    which it was last heard, so that one silence has one alert however often it is found.
    """
    key = WindowKey(SILENT_SOURCE, trail or (), math.floor(silence.since), 0)
    end = silence.found if silence.ended is None else silence.ended
    since = utc(silence.since)
    return Alert(
        id=alert_id(key),
        revision=0,
        state="open" if silence.ended is None else "resolved",
        counting="own",
        dedup_key=alert_id(key),
        rule_id=SILENT_SOURCE,
        title=_title(trail, silence),
        status="stable",
        level="high",
        group=dict(zip(("recipientAccountId", "awsRegion"), trail or (), strict=False)),
        window=AlertWindow(since, utc(end)),
        count=0,
        value=max(round(end - silence.since, 3), silence.limit),
        threshold=silence.limit,
        comparison_operator="GreaterThanOrEqualToThreshold",
        late=False,
        first_event_time=since,
        last_event_time=since,
        event_names=[],
        actors=[],
        source_ips=[],
        regions=[trail.region] if trail else [],
        accounts=[trail.account] if trail else [],
        event_ids=[],
        controls={},
        tags=["attack.defense-impairment", "attack.t1685.002"],
        description=_description(trail, silence),
        runbook=_runbook(trail),
        evidence=[],
    )


def _title(trail: Trail | None, silence: Silence) -> str:
    is_over = silence.ended is not None
    if trail is None:
        return "The detector hears again" if is_over else "The detector hears nothing"
    return "CloudTrail is heard again" if is_over else "CloudTrail has fallen silent"


def _description(trail: Trail | None, silence: Silence) -> str:
    of_what = f"of account {trail.account} in {trail.region}" if trail else "from any source"
    since = utc(silence.since)
    if silence.ended is not None:
        return (
            f"Deliveries {of_what} have come again since {utc(silence.ended)}, after a silence"
            f" since {since}. See what happened in between: late files are still read, but what was"
            " not logged never comes."
        )
    others = " while others came" if trail else ""
    return (
        f"Nothing {of_what} has been delivered since {since}{others}. What is not delivered no rule"
        " can find: the logging was stopped or narrowed, or the way from the trail to this detector"
        " is broken, or nothing happens there."
    )


def _runbook(trail: Trail | None) -> str:
    if trail is None:
        return _WHOLE_RUNBOOK
    return _TRAIL_RUNBOOK.format(account=trail.account, region=trail.region)
