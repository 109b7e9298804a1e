"""Where alerts go: one section for each kind of sink, and what all of them have in common."""

from __future__ import annotations

import re
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from detector.config.section import Named, Section, account, between, is_url, positive, url
from detector.rules.rule import Level
from detector.sinks.signing import key_of

Staged = Literal["never", "also", "only"]
GroupLabel = Literal["rule", "level", "account"]
BodyFormat = Literal["standard", "alert", "cloudevents", "ocsf"]
"""How a machine gets an alert; see `detector.alerts.formats`."""

_TOPIC_ARN = re.compile(r"arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]{1,256}(?:\.fifo)?")
_PRODUCT_ARN = re.compile(r"arn:aws[a-z-]*:securityhub:[a-z0-9-]+:[0-9]{0,12}:product/\S+/\S+")
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
RESERVED_LABELS = frozenset(
    {"account", "alertname", "incident", "region", "rule_id", "severity", "test"}
)
"""What the detector itself says of an alert at Alertmanager."""

_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")

_WEBHOOK_HEADERS = frozenset(
    {
        "content-length",
        "content-type",
        "transfer-encoding",
        "webhook-id",
        "webhook-signature",
        "webhook-timestamp",
    }
)

_TOKEN = re.compile(r"[!-~]+")

PAGERDUTY_URL = "https://events.pagerduty.com/v2/enqueue"


class RateConfig(Section, frozen=True, kw_only=True):
    """How many messages a sink gets: `burst` at once, then one each `every_seconds`.

    What has to wait is put together into one message, a digest, when the next one may go out.
    """

    burst: int = 10
    every_seconds: float = 60.0

    def __post_init__(self) -> None:
        positive(self, "burst", "every_seconds")


class GroupConfig(Section, frozen=True, kw_only=True):
    """Alerts that come within `seconds` of the first one, and have the same `by`, are one message.

    It delays each page by so long.
    """

    seconds: float
    by: tuple[GroupLabel, ...] = ("rule", "account")

    def __post_init__(self) -> None:
        if not 0 < self.seconds <= 3600:  # noqa: PLR2004 - an hour
            raise ValueError("seconds must be more than 0, and 3600 at most")


class TemplatesConfig(Section, frozen=True, kw_only=True):
    """Jinja templates, in place of the texts that a sink shows: of its heading, and of the rest."""

    title: str | None = None
    text: str | None = None

    def __post_init__(self) -> None:
        if self.title is None and self.text is None:
            raise ValueError("templates has neither a title nor a text")


class Sink(Named, frozen=True, kw_only=True):
    """What every sink may be told.

    Of alerts below `min_level` it gets none. It hears of staged rules `never`, `also` or `only`. It
    may do without `updates` of alerts that it has, and without hearing that they are `resolved`.
    When it has failed for `alert_after_seconds` the other sinks get an alert of that, and what
    waits for it goes to its `fallback`, as does what it refuses.
    """

    min_level: Level = "informational"
    staged: Staged = "never"
    updates: bool = True
    resolved: bool = True
    rate: RateConfig | None = None
    group: GroupConfig | None = None
    fallback: str | None = None
    alert_after_seconds: float = 900.0

    def __post_init__(self) -> None:
        super().__post_init__()
        positive(self, "alert_after_seconds")


class HTTPSink(Sink, frozen=True, kw_only=True):
    """What every sink may be told that is an HTTP service.

    A request must be answered within `timeout_seconds`. `ca_file` has the certificates, in PEM, of
    the authorities to trust instead of the system's.
    """

    timeout_seconds: float = 15.0
    ca_file: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        positive(self, "timeout_seconds")


class StdoutSinkConfig(Sink, frozen=True, kw_only=True, tag_field="type", tag="stdout"):
    """Standard output: text on a terminal, one JSON document a line otherwise."""

    format: Literal["auto", "text", "json"] = "auto"
    templates: TemplatesConfig | None = None


class WebhookSinkConfig(HTTPSink, frozen=True, kw_only=True, tag_field="type", tag="webhook"):
    """An HTTP endpoint that takes each alert as a JSON POST, by Standard Webhooks.

    Each of `signing_secrets` signs, so that a new one can be brought in before the old one goes.
    `format` is that of the body: `standard` is what Standard Webhooks has, with the alert as data.
    """

    secrets = ("url", "headers", "signing_secrets")

    url: str
    headers: dict[str, str] = msgspec.field(default_factory=dict)
    signing_secrets: tuple[str, ...] = ()
    format: BodyFormat = "standard"

    def __post_init__(self) -> None:
        super().__post_init__()
        url(self, "url")
        check_headers(self.headers)
        for name in self.headers:
            if name.lower() in _WEBHOOK_HEADERS:
                raise ValueError(f"the header {name} is the sink's own; leave it out of headers")
        for number, secret in enumerate(self.signing_secrets):
            try:
                key_of(secret)
            except ValueError as error:
                raise ValueError(f"signing_secrets[{number}] {error}") from None


class ChatSink(HTTPSink, frozen=True, kw_only=True):
    """What every chat may be told. Its address is the credential."""

    secrets = ("url",)

    url: str
    rate: RateConfig | None = RateConfig(burst=10, every_seconds=30.0)
    templates: TemplatesConfig | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        url(self, "url")


class SlackSinkConfig(ChatSink, frozen=True, kw_only=True, tag_field="type", tag="slack"):
    """An incoming webhook of a Slack channel."""


class TeamsSinkConfig(ChatSink, frozen=True, kw_only=True, tag_field="type", tag="teams"):
    """A workflow of Microsoft Teams that posts what a webhook receives."""


class PagerDutySinkConfig(HTTPSink, frozen=True, kw_only=True, tag_field="type", tag="pagerduty"):
    """A PagerDuty service's integration for the Events API v2."""

    secrets = ("routing_key",)

    routing_key: str
    url: str = PAGERDUTY_URL
    rate: RateConfig | None = RateConfig(burst=10, every_seconds=60.0)
    templates: TemplatesConfig | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        url(self, "url")
        if not re.fullmatch(r"[0-9a-zA-Z]{32}", self.routing_key):
            raise ValueError("routing_key is an integration key: 32 letters and digits")


class AlertmanagerSinkConfig(
    HTTPSink, frozen=True, kw_only=True, tag_field="type", tag="alertmanager"
):
    """Prometheus Alertmanagers, each by its address without /api/v2: all members of a cluster.

    What fires is sent again each `resend_seconds`, as Alertmanager resolves what it does not hear
    of. `labels` are added to those of each alert.
    """

    secrets = ("urls", "headers")

    urls: tuple[str, ...]
    headers: dict[str, str] = msgspec.field(default_factory=dict)
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    resend_seconds: float = 60.0

    def __post_init__(self) -> None:
        super().__post_init__()
        positive(self, "resend_seconds")
        if not self.urls or not all(map(is_url, self.urls)):
            raise ValueError("urls are http:// or https:// addresses, one at least")
        check_headers(self.headers)
        for label in self.labels:
            if not _LABEL.fullmatch(label):
                raise ValueError(f"labels has {label}, and a name is letters, digits and '_'")
            if label in RESERVED_LABELS:
                raise ValueError(f"labels has {label}, which the detector sets itself")


class SplunkSinkConfig(HTTPSink, frozen=True, kw_only=True, tag_field="type", tag="splunk"):
    """A Splunk HTTP Event Collector, by its address without /services/collector."""

    secrets = ("token",)

    url: str
    token: str
    index: str | None = None
    source: str = "cloudtrail-detector"
    sourcetype: str = "cloudtrail:alert"
    host: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        url(self, "url")
        if urlsplit(self.url).path.rstrip("/").endswith("/services/collector"):
            raise ValueError("url is the address alone, like https://splunk.example:8088")
        if not _TOKEN.fullmatch(self.token):
            raise ValueError("token is the token alone: no spaces, and not the word Splunk")


class CloudWatchAlarmConfig(Section, frozen=True, kw_only=True):
    """What messages in the form of a CloudWatch alarm's say that no rule does.

    An alarm is called `name_prefix` and the rule's name. Account and region are the topic's where
    they are not given.
    """

    name_prefix: str = ""
    namespace: str = "CISBenchmark"
    account: str | None = None
    region: str | None = None

    def __post_init__(self) -> None:
        account(self, "account")


class SNSSinkConfig(Sink, frozen=True, kw_only=True, tag_field="type", tag="sns"):
    """An SNS topic, standard or FIFO.

    `alert` is JSON, with attributes for filter policies; `text` is for people who read e-mail;
    `cloudwatch-alarm` is what CloudWatch publishes when an alarm changes its state.
    """

    topic_arn: str
    region: str | None = None
    endpoint_url: str | None = None
    format: Literal["alert", "text", "cloudwatch-alarm", "cloudevents", "ocsf"] = "alert"
    alarm: CloudWatchAlarmConfig = CloudWatchAlarmConfig()
    templates: TemplatesConfig | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        url(self, "endpoint_url")
        if not _TOPIC_ARN.fullmatch(self.topic_arn):
            raise ValueError("topic_arn is like arn:aws:sns:us-east-1:111122223333:alerts")
        if self.format == "cloudwatch-alarm" and (self.rate or self.group):
            raise ValueError("an alarm's messages cannot be put together: leave out rate and group")
        if self.format == "cloudwatch-alarm" and self.templates:
            raise ValueError("an alarm's messages are CloudWatch's: leave out templates")
        if self.format != "text" and self.templates and self.templates.text is not None:
            raise ValueError("templates.text is for format: text; the others are for machines")


class SecurityHubSinkConfig(Sink, frozen=True, kw_only=True, tag_field="type", tag="security_hub"):
    """AWS Security Hub: each incident is a finding in `account`, which must be the caller's own."""

    account: str
    region: str
    product_arn: str | None = None
    endpoint_url: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        url(self, "endpoint_url")
        account(self, "account")
        if self.product_arn is not None and not _PRODUCT_ARN.fullmatch(self.product_arn):
            raise ValueError(
                "product_arn is like arn:aws:securityhub:us-east-1:111122223333:product/NAME/NAME"
            )


class ArchiveSinkConfig(Sink, frozen=True, kw_only=True, tag_field="type", tag="archive"):
    """Avro files of all alerts, in a folder or below s3://bucket/prefix.

    A file is closed when it has `max_bytes`, or `max_seconds` after its first alert.
    """

    path: str
    codec: Literal["zstandard", "deflate", "null"] = "zstandard"
    max_bytes: int = 64 << 20
    max_seconds: float = 3600.0
    region: str | None = None
    endpoint_url: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        positive(self, "max_seconds")
        between(self, "max_bytes", 4096, 1 << 30)
        url(self, "endpoint_url")
        if not self.path or (self.is_in_s3 and not urlsplit(self.path).netloc):
            raise ValueError("path is a folder, or like s3://bucket/prefix")
        if self.rate or self.group:
            raise ValueError("an archive holds every alert: leave out rate and group")

    @property
    def is_in_s3(self) -> bool:
        """Whether files become objects in a bucket."""
        return self.path.startswith("s3://")


SinkConfig = (
    StdoutSinkConfig
    | WebhookSinkConfig
    | SlackSinkConfig
    | TeamsSinkConfig
    | PagerDutySinkConfig
    | AlertmanagerSinkConfig
    | SplunkSinkConfig
    | SNSSinkConfig
    | SecurityHubSinkConfig
    | ArchiveSinkConfig
)


def check_headers(headers: dict[str, str]) -> None:
    """Refuse headers that no request can carry."""
    for name, value in headers.items():
        if not _HEADER.fullmatch(name):
            raise ValueError(f"headers has the name {name!r}, which no header can have")
        if not value.isprintable() or not value.isascii():
            raise ValueError(f"the header {name} has signs that none can carry")
