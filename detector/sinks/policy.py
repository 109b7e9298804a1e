"""How the outbox treats a sink, as its configuration says and its kind allows."""

from __future__ import annotations

from dataclasses import dataclass

from detector.alerts.text import NotificationKind
from detector.config import (
    AlertmanagerSinkConfig,
    ArchiveSinkConfig,
    Config,
    GroupConfig,
    PagerDutySinkConfig,
    RateConfig,
    SecurityHubSinkConfig,
    SinkConfig,
    SNSSinkConfig,
)


@dataclass(frozen=True, slots=True)
class Policy:
    """How the outbox treats one sink; times are in seconds.

    `folds` says that the receiver has incidents of its own, which updates and ends belong to: only
    alerts that it does not know yet can be put together for it. `has_digests` is false where each
    alert must arrive as itself.
    """

    rate: RateConfig | None = None
    group: GroupConfig | None = None
    updates: bool = True
    resolved: bool = True
    fallback: str | None = None
    alert_after: float = 900.0
    folds: bool = False
    has_digests: bool = True
    max_pending: int = 50_000
    retention: float = 14 * 86_400.0
    update_interval: float = 60.0

    def wants(self, kind: NotificationKind) -> bool:
        """Return whether the sink is to hear of such news at all."""
        return {"raised": True, "updated": self.updates, "resolved": self.resolved}[kind]


def policy_of(sink: SinkConfig, config: Config) -> Policy:
    """Return how a sink of a configuration is treated."""
    is_alarm = isinstance(sink, SNSSinkConfig) and sink.format == "cloudwatch-alarm"
    folding = (PagerDutySinkConfig, AlertmanagerSinkConfig, SecurityHubSinkConfig)
    return Policy(
        rate=sink.rate,
        group=sink.group,
        # An alarm that is on tells nothing more: CloudWatch knows no updates.
        updates=sink.updates and not is_alarm,
        resolved=sink.resolved,
        fallback=sink.fallback,
        alert_after=sink.alert_after_seconds,
        folds=isinstance(sink, folding),
        has_digests=not is_alarm and not isinstance(sink, ArchiveSinkConfig),
        max_pending=config.outbox.max_pending,
        retention=config.outbox.retention_seconds,
        update_interval=config.alerts.update_interval_seconds,
    )
