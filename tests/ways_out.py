"""Every sink that has a service behind it, and how a test reads what the service was told.

This is the one place that knows, of each sink, how it is configured, what its service answers to
what it will not take, and what a repetition has in common with the message that it repeats.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import msgspec

from detector.alerts.text import NotificationKind
from detector.config import (
    AlertmanagerSinkConfig,
    ArchiveSinkConfig,
    PagerDutySinkConfig,
    SecurityHubSinkConfig,
    SinkConfig,
    SlackSinkConfig,
    SNSSinkConfig,
    SplunkSinkConfig,
    TeamsSinkConfig,
    WebhookSinkConfig,
)
from tests.archived import archive_files, read
from tests.aws import REGION
from tests.servers import pagerduty, slack, sns, splunk, teams
from tests.servers.alertmanager_api import AlertmanagerServer, is_over
from tests.servers.checking import Answer, CheckingServer, Received
from tests.servers.pagerduty import PagerDutyServer
from tests.servers.security_hub import SecurityHubServer
from tests.servers.slack import SlackServer
from tests.servers.sns import SNSServer
from tests.servers.splunk import SplunkServer
from tests.servers.standard_webhooks import StandardWebhooksServer
from tests.servers.teams import TeamsServer

ACCOUNT = "111122223333"
TOPIC = f"arn:aws:sns:{REGION}:{ACCOUNT}:alerts.fifo"
SIGNING_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

RETRY_AFTER = 1800
"""Seconds that a service asks for which is asked too often: longer than its failing is borne."""

RESEND_SECONDS = 900.0
"""Until Alertmanager is reminded: none is among a few messages, and many are in a long outage."""

_MESSAGE = re.compile(r"message (([0-9a-f]+)\.[0-9]+\.(raised|updated|resolved))")


@dataclass(frozen=True, slots=True)
class Told:
    """One message as its receiver took it.

    `message` is what a repetition has in common with it, and no other news has.
    """

    message: str
    alert: str
    kind: NotificationKind


@dataclass(frozen=True, kw_only=True)
class WayOut:
    """A sink and its service.

    `config` takes the service's address and, where it is HTTP of our own, what `HTTPSink` may be
    told. `busy`, `broken` and `refused` are the service's answers of these kinds, `says` a part of
    the reason that the last one must leave. Where it `has_updates`, what it is told tells an update
    from what it updates. With `forgets` it is reminded of what is open.
    """

    name: str
    serve: Callable[[], CheckingServer]
    config: Callable[..., SinkConfig]
    read: Callable[[Received], Iterable[Told]]
    busy: Answer
    broken: Answer
    refused: Answer
    says: str
    has_updates: bool = True
    forgets: bool = False
    is_aws: bool = False


def _busy(body: str = "", headers: Mapping[str, str] | None = None) -> Answer:
    return Answer(429, body, {**(headers or {}), "Retry-After": str(RETRY_AFTER)})


def _of_webhook(request: Received) -> Iterator[Told]:
    alert = request.json["data"]
    yield Told(request.headers["webhook-id"], alert["id"], alert["kind"])


def _of_chat(request: Received) -> Iterator[Told]:
    """Read the line by which a message is known, once: chats show it below everything else."""
    found = {match.groups() for match in _MESSAGE.finditer(request.body.decode())}
    ((message, alert, kind),) = found
    yield Told(message, alert, msgspec.convert(kind, NotificationKind))


def _of_pagerduty(request: Received) -> Iterator[Told]:
    event = request.json
    if event["event_action"] == "resolve":
        yield Told(f"{event['dedup_key']}.resolve", event["dedup_key"], "resolved")
        return
    alert = event["payload"]["custom_details"]["alert"]
    yield Told(alert["message_id"], alert["id"], alert["kind"])


def _of_alertmanager(request: Received) -> Iterator[Told]:
    for alert in request.json:
        said, kind = alert["annotations"], _state(has_ended=is_over(alert))
        incident = msgspec.json.encode(alert["labels"]).decode()
        yield Told(f"{incident} {said['count']} {kind}", said["alert_id"], kind)


def _of_splunk(request: Received) -> Iterator[Told]:
    fields = request.json["fields"]
    yield Told(fields["message_id"], fields["alert_id"], fields["kind"])


def _of_sns(request: Received) -> Iterator[Told]:
    fields = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
    alert = msgspec.json.decode(fields["Message"])
    yield Told(fields["MessageDeduplicationId"], alert["id"], alert["kind"])


def _of_security_hub(request: Received) -> Iterator[Told]:
    for finding in request.json["Findings"]:
        fields = finding["ProductFields"]
        kind = _state(has_ended=finding["RecordState"] == "ARCHIVED")
        count = fields["cloudtrail-detector/count"]
        yield Told(f"{finding['Id']} {count} {kind}", fields["cloudtrail-detector/alert_id"], kind)


def _state(*, has_ended: bool) -> NotificationKind:
    return "resolved" if has_ended else "raised"


def _aws(status: int, code: str, headers: Mapping[str, str] | None = None) -> Answer:
    said = {"Content-Type": "application/json", "x-amzn-ErrorType": code}
    return Answer(status, '{"Message":"no"}', {**said, **(headers or {})})


def _logic_app(status: int, code: str) -> Answer:
    return Answer(status, f'{{"error":{{"code":"{code}","message":"no"}}}}')


SERVICES = (
    WayOut(
        name="webhook",
        serve=lambda: StandardWebhooksServer(secrets=(SIGNING_SECRET,)),
        config=lambda address, **settings: WebhookSinkConfig(
            name="webhook",
            url=f"{address}/in",
            signing_secrets=(SIGNING_SECRET,),
            **settings,
        ),
        read=_of_webhook,
        busy=_busy(),
        broken=Answer(500, "oops"),
        refused=Answer(400, "no such thing"),
        says="answered 400: no such thing",
    ),
    WayOut(
        name="slack",
        serve=SlackServer,
        config=lambda address, **settings: SlackSinkConfig(
            name="slack", url=address + slack.PATH, **settings
        ),
        read=_of_chat,
        busy=_busy("rate_limited"),
        broken=Answer(500, "rollup_error"),
        refused=Answer(400, "invalid_blocks"),
        says="answered 400: invalid_blocks",
    ),
    WayOut(
        name="teams",
        serve=TeamsServer,
        config=lambda address, **settings: TeamsSinkConfig(
            name="teams", url=address + teams.PATH + teams.SIGNATURE, **settings
        ),
        read=_of_chat,
        busy=_busy('{"error":{"code":"TooManyRequests","message":"Rate limit is exceeded."}}'),
        broken=_logic_app(500, "InternalServerError"),
        refused=_logic_app(400, "TriggerInputSchemaMismatch"),
        says="answered 400: TriggerInputSchemaMismatch: no",
    ),
    WayOut(
        name="pagerduty",
        serve=PagerDutyServer,
        config=lambda address, **settings: PagerDutySinkConfig(
            name="pagerduty",
            url=address + pagerduty.PATH,
            routing_key=pagerduty.ROUTING_KEY,
            **settings,
        ),
        read=_of_pagerduty,
        busy=_busy('{"status":"throttle exceeded"}'),
        broken=Answer(500, '{"status":"error"}'),
        refused=Answer(400, '{"status":"invalid event","message":"no","errors":["wrong"]}'),
        says="answered 400: no: wrong",
    ),
    WayOut(
        name="alertmanager",
        serve=AlertmanagerServer,
        config=lambda address, **settings: AlertmanagerSinkConfig(
            name="alertmanager", urls=(address,), resend_seconds=RESEND_SECONDS, **settings
        ),
        read=_of_alertmanager,
        busy=_busy(),
        broken=Answer(500, '"oops"'),
        refused=Answer(400, '"invalid label set"'),
        says='answered 400: "invalid label set"',
        has_updates=False,
        forgets=True,
    ),
    WayOut(
        name="splunk",
        serve=SplunkServer,
        config=lambda address, **settings: SplunkSinkConfig(
            name="splunk", url=address, token=splunk.TOKEN, **settings
        ),
        read=_of_splunk,
        busy=_busy(),
        broken=splunk.said(8),
        refused=splunk.said(7),
        says="Incorrect index (code 7); set index",
    ),
    WayOut(
        name="sns",
        serve=SNSServer,
        config=lambda address, **_: SNSSinkConfig(
            name="sns", topic_arn=TOPIC, endpoint_url=address
        ),
        read=_of_sns,
        busy=_busy(str(sns.error_answer(429, "Throttled").body), {"Content-Type": "text/xml"}),
        broken=sns.error_answer(500, "InternalError"),
        refused=sns.error_answer(400, "InvalidParameter", "Invalid parameter: no"),
        says="InvalidParameter: Invalid parameter: no",
        is_aws=True,
    ),
    WayOut(
        name="security_hub",
        serve=SecurityHubServer,
        config=lambda address, **_: SecurityHubSinkConfig(
            name="security_hub", account=ACCOUNT, region=REGION, endpoint_url=address
        ),
        read=_of_security_hub,
        busy=_aws(429, "LimitExceededException", {"Retry-After": str(RETRY_AFTER)}),
        broken=_aws(500, "InternalException"),
        refused=SecurityHubServer.failed("InvalidInput", "finding should NOT be so"),
        says="InvalidInput: finding should NOT be so",
        has_updates=False,
        is_aws=True,
    ),
)


def archive_config(folder: Path) -> ArchiveSinkConfig:
    """Return an archive whose files are full with each alert of some thousand bytes."""
    return ArchiveSinkConfig(name="archive", path=str(folder), codec="null", max_bytes=4096)


def archived(folder: Path) -> list[Told]:
    """Return what an archive that is closed was told, in order."""
    records: list[dict[str, Any]] = read(archive_files(folder))
    records.sort(key=lambda item: item["archived_at"])
    return [Told(item["message_id"], item["id"], item["kind"]) for item in records]
