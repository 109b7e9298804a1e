"""The whole configuration as one typed tree."""

from __future__ import annotations

import re
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from detector.alerts.silence import Silence
from detector.config.routing import EgressConfig, OutboxConfig, RoutingConfig
from detector.config.section import Section, between, is_url, positive
from detector.config.sinks import SinkConfig, StdoutSinkConfig
from detector.config.sources import SourceConfig
from detector.counting.context import (
    LATE_AFTER_SECONDS,
    MAX_GROUPS_PER_RULE,
    QUIET_SECONDS,
    RETENTION_SECONDS,
)
from detector.envelopes.log_file import Trail, trail
from detector.envelopes.payload import MAX_INFLATED_BYTES, MAX_VALUES
from detector.quarantine.keeping import MAX_ENTRY_BYTES
from detector.rules.rule import Status

_DAY = 86_400.0
_ACCOUNT = re.compile(r"[0-9]{12}")

LINK_FIELDS = ("alert_id", "rule_id", "event_id", "account", "region", "start", "end")
"""What `alerts.siem_link` may name in braces; `start` and `end` are those of the window."""


class StateConfig(Section, frozen=True, kw_only=True):
    """Where the durable state lies, and how long what is done with is kept.

    That are the events seen, and alerts that were sent; for windows see `WindowsConfig`. The
    default of 14 days is SQS's longest retention: no queue can bring an event twice that lie
    further apart.
    """

    path: str = "state/detector.sqlite3"
    retention_seconds: float = 14 * _DAY

    def __post_init__(self) -> None:
        positive(self, "retention_seconds")


class QuarantineConfig(Section, frozen=True, kw_only=True):
    """Where what cannot be understood is kept, where no queue keeps it.

    `path` is a folder, or s3://bucket/prefix; without it the folder `quarantine` beside the state.
    Of one body `max_entry_bytes` are kept. The folder holds entries up to `max_bytes` and for
    `retention_seconds`, by default for long enough that a fix can be made and released; under a
    prefix that is a lifecycle rule's matter.
    """

    path: str = ""
    region: str | None = None
    endpoint_url: str | None = None
    max_bytes: int = 1 << 30
    max_entry_bytes: int = MAX_ENTRY_BYTES
    retention_seconds: float = 30 * _DAY

    def __post_init__(self) -> None:
        positive(self, "retention_seconds")
        between(self, "max_entry_bytes", 1, MAX_INFLATED_BYTES)
        if self.max_bytes < 2 * self.max_entry_bytes:
            raise ValueError("max_bytes must be at least twice max_entry_bytes")
        if self.is_in_s3 and not urlsplit(self.path).netloc:
            raise ValueError("path is a folder, or like s3://bucket/prefix")

    @property
    def is_in_s3(self) -> bool:
        """Whether entries are objects in a bucket, not files in a folder."""
        return self.path.startswith("s3://")


class AlertsConfig(Section, frozen=True, kw_only=True):
    """How alerts are made.

    An event that CloudTrail delivered more than `late_after_seconds` after it happened is late. An
    alert that was sent is sent again, with its later events, `update_interval_seconds` after the
    last time at the earliest. Windows over the threshold between which less than `quiet_seconds`
    pass are one episode; it is resolved when it has been quiet for so long.

    `account_names` say what people call accounts. `siem_link` is an address of the user's own, in
    which `{alert_id}`, `{rule_id}`, `{event_id}`, `{account}`, `{region}`, `{start}` and `{end}`
    stand for what they name.
    """

    late_after_seconds: float = LATE_AFTER_SECONDS
    update_interval_seconds: float = 60.0
    quiet_seconds: float = QUIET_SECONDS
    account_names: dict[str, str] = msgspec.field(default_factory=dict)
    siem_link: str | None = None

    def __post_init__(self) -> None:
        positive(self, "late_after_seconds", "update_interval_seconds", "quiet_seconds")
        for item in self.account_names:
            if not _ACCOUNT.fullmatch(item):
                raise ValueError(
                    f'account_names has {item}, and an account id has 12 digits, in quotes: "1..."'
                )
        if self.siem_link is not None:
            _check_link(self.siem_link)


class WindowsConfig(Section, frozen=True, kw_only=True):
    """How long windows wait for late events, by event time.

    A window is retained until events of so many seconds after its end have been delivered. What
    comes later still raises an alert of its own.
    """

    retention_seconds: float = RETENTION_SECONDS

    def __post_init__(self) -> None:
        positive(self, "retention_seconds")


class ExpectedTrail(Section, frozen=True, kw_only=True):
    """An account and a region of which log files are expected."""

    account: str
    region: str

    def __post_init__(self) -> None:
        if self.as_trail() is None:
            raise ValueError(
                'account and region are like {account: "111122223333", region: us-east-1}'
            )

    def as_trail(self) -> Trail | None:
        """Return the trail, None if there can be no such one."""
        return trail(self.account, self.region)


class SilentSourcesConfig(Section, frozen=True, kw_only=True):
    """When to say that nothing is heard: of `expected` trails, of those that are learned, at all.

    The default of two hours is twice the time between two digest files: where these are all that
    comes at night, one that is a little late is no alert.
    """

    enabled: bool = True
    after_seconds: float = 7200.0
    learn: bool = True
    expected: tuple[ExpectedTrail, ...] = ()

    def __post_init__(self) -> None:
        if not self.after_seconds >= 1:
            raise ValueError("after_seconds must be 1 or more")


class LimitsConfig(Section, frozen=True, kw_only=True):
    """Caps that bound memory; reaching one is counted, and a payload that does is rejected."""

    max_inflated_bytes: int = MAX_INFLATED_BYTES
    max_values: int = MAX_VALUES
    max_deliveries_in_hand: int = 64
    max_bytes_in_hand: int = 64 << 20
    max_groups_per_rule: int = MAX_GROUPS_PER_RULE
    """Groups of a rule that are counted apart; the others are counted together."""

    def __post_init__(self) -> None:
        names = ("max_inflated_bytes", "max_values", "max_deliveries_in_hand", "max_bytes_in_hand")
        positive(self, *names, "max_groups_per_rule")


class TelemetryConfig(Section, frozen=True, kw_only=True):
    """Where /metrics, /healthz and /readyz are served; port 0 takes a free one."""

    host: str = "127.0.0.1"
    port: int = 9464

    def __post_init__(self) -> None:
        between(self, "port", 0, 65_535)


class LogConfig(Section, frozen=True, kw_only=True):
    """The detector's own log, on standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "text", "json"] = "auto"


class Config(Section, frozen=True, kw_only=True):
    """The whole configuration. Without `rules` the shipped rule packs are used.

    `placeholders` is a file of the values that placeholders in Sigma rules stand for. `rule_status`
    gives rules, by their ids, another status than their files do: to promote a staged rule, or to
    silence one, without an edit of a pack that somebody else maintains. `silences` are of alerts
    that are expected: see `detector.alerts.silence`.
    """

    sources: tuple[SourceConfig, ...]
    sinks: tuple[SinkConfig, ...] = (StdoutSinkConfig(),)
    rules: tuple[str, ...] = ()
    rules_poll_seconds: float = 5.0
    """How often rule files are looked at. A change counts at the second look that finds it, so that
    an edit is in force after twice this time at most; smaller ones only cost looks."""
    placeholders: str | None = None
    rule_status: dict[str, Status] = msgspec.field(default_factory=dict)
    silences: tuple[Silence, ...] = ()
    state: StateConfig = StateConfig()
    quarantine: QuarantineConfig = QuarantineConfig()
    alerts: AlertsConfig = AlertsConfig()
    routing: RoutingConfig = RoutingConfig()
    outbox: OutboxConfig = OutboxConfig()
    egress: EgressConfig = EgressConfig()
    windows: WindowsConfig = WindowsConfig()
    silent_sources: SilentSourcesConfig = SilentSourcesConfig()
    limits: LimitsConfig = LimitsConfig()
    telemetry: TelemetryConfig = TelemetryConfig()
    log: LogConfig = LogConfig()
    drain_seconds: float = 25.0
    """Shorter than the 30 s that container runtimes wait between SIGTERM and SIGKILL."""

    def __post_init__(self) -> None:
        if not self.sources:
            raise ValueError("sources is empty: name at least one")
        positive(self, "drain_seconds", "rules_poll_seconds")


def _check_link(template: str) -> None:
    try:
        shown = template.format(**dict.fromkeys(LINK_FIELDS, "0"))
    except (KeyError, IndexError, ValueError, AttributeError, TypeError) as error:
        raise ValueError(
            "siem_link can name {" + "}, {".join(LINK_FIELDS) + "}; a brace of its own is doubled"
        ) from error
    if not is_url(shown):
        raise ValueError("siem_link must be an http:// or https:// address")
