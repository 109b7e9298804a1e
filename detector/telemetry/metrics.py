"""The detector's metrics. Labels are names from the configuration or words from fixed sets."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from detector import __version__
from detector.accounting import OUTCOMES
from detector.alerts.silence import SilenceState
from detector.counting.context import Told
from detector.pipeline import Outcome, Processed
from detector.rule_source import ReloadResult, all_rules
from detector.rules.expiry import FilterState
from detector.rules.rule import SILENT_STATUSES, Status
from detector.rules.ruleset import RuleSet
from detector.sources.budget import Share
from detector.sources.delivery import Delivery
from detector.sources.supervision import SourceState
from detector.state.store import OutboxCounts
from detector.telemetry.quarantine import QuarantineMetrics

_AGE_BUCKETS = (60, 120, 300, 600, 900, 1800, 3600, 7200, 21_600, 86_400, 604_800)
_DELAY_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_STATUSES = tuple(status for status in get_args(Status) if status not in SILENT_STATUSES)


class Metrics:
    """All metrics of one service, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)
        self.quarantine = QuarantineMetrics(registry)
        Info("detector_build", "The running detector.", registry=registry).info(
            {"version": __version__}
        )
        self._received = Counter(
            "detector_records_received",
            "CloudTrail records that came in; the sum of detector_records over its outcomes.",
            ["source"],
            registry=registry,
        )
        self._records = Counter(
            "detector_records",
            "CloudTrail records by what became of them.",
            ["source", "outcome"],
            registry=registry,
        )
        self._rejections = Counter(
            "detector_rejections",
            "Records, and payloads as a whole, that could not be understood.",
            ["source", "reason"],
            registry=registry,
        )
        self._skipped = Counter(
            "detector_skipped",
            "Payloads and records that hold no events for rules, by their kind.",
            ["source", "kind"],
            registry=registry,
        )
        self._deliveries = Counter(
            "detector_deliveries",
            "Deliveries by what the source was told of them.",
            ["source", "result"],
            registry=registry,
        )
        self._late = Counter(
            "detector_late_events",
            "Matched events that CloudTrail delivered later than alerts.late_after_seconds.",
            ["source"],
            registry=registry,
        )
        self._beyond_retention = Counter(
            "detector_events_beyond_retention",
            "Matched events older than windows.retention_seconds: each raises an alert of its own.",
            ["source"],
            registry=registry,
        )
        self._ahead = Counter(
            "detector_events_ahead",
            "Matched events that claim to be later than their arrival: a clock runs ahead.",
            ["source"],
            registry=registry,
        )
        self._differing = Counter(
            "detector_differing_copies",
            "Duplicates whose content is not that of the first copy; kept in the quarantine.",
            ["source"],
            registry=registry,
        )
        self._overflow = Counter(
            "detector_group_overflow_events",
            "Matches counted together as their rule has more groups than"
            " limits.max_groups_per_rule.",
            ["rule_id"],
            registry=registry,
        )
        self._watermark = Gauge(
            "detector_watermark_timestamp_seconds",
            "Up to when all events should be there, in event time.",
            registry=registry,
        )
        self._alerts = Counter(
            "detector_alerts",
            "What became of alerts: raised, updated, resolved, withdrawn, or suppressed by a"
            " silence.",
            ["rule_id", "level", "verdict"],
            registry=registry,
        )
        self._sends = Counter(
            "detector_sink_sends",
            "Attempts to send an alert, by the sink's answer.",
            ["sink", "result"],
            registry=registry,
        )
        self._send_seconds = Histogram(
            "detector_sink_send_seconds",
            "From the beginning of an attempt to the sink's answer.",
            ["sink"],
            buckets=(0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0),
            registry=registry,
        )
        self._digested = Counter(
            "detector_digested_notifications",
            "Notifications for which a digest stands, as they were too many or are grouped.",
            ["sink"],
            registry=registry,
        )
        self._sink_failing = Gauge(
            "detector_sink_failing_seconds",
            "For how long a sink has taken nothing that it was sent; 0 where it works.",
            ["sink"],
            registry=registry,
        )
        self._outbox = Gauge(
            "detector_outbox_notifications",
            "Notifications that wait, or that were refused for good.",
            ["sink", "state"],
            registry=registry,
        )
        self._outbox_age = Gauge(
            "detector_outbox_oldest_seconds",
            "Age of the oldest notification that waits; 0 where none does.",
            ["sink"],
            registry=registry,
        )
        self._lag = Gauge(
            "detector_source_lag_seconds",
            "From CloudTrail's delivery of the latest payload to the end of its processing.",
            ["source"],
            registry=registry,
        )
        self._last_delivery = Gauge(
            "detector_last_delivery_timestamp_seconds",
            "When a delivery of the source was last processed.",
            ["source"],
            registry=registry,
        )
        self._source_states = Gauge(
            "detector_source_state",
            "1 for the state in which the source is, 0 for the others.",
            ["source", "state"],
            registry=registry,
        )
        self._fetched = Counter(
            "detector_source_received_bytes",
            "Bytes that came in from the source, as they came: compressed as a rule.",
            ["source"],
            registry=registry,
        )
        self._source_errors = Counter(
            "detector_source_errors",
            "Errors between the source and what it reads, by their kind.",
            ["source", "kind"],
            registry=registry,
        )
        self._behind = Gauge(
            "detector_source_behind_seconds",
            "Age of the newest that is not fetched yet, where the transport tells.",
            ["source"],
            registry=registry,
        )
        self._source_deliveries = Gauge(
            "detector_source_in_hand_deliveries",
            "Deliveries of the source that were fetched and are not done with.",
            ["source"],
            registry=registry,
        )
        self._source_bytes = Gauge(
            "detector_source_in_hand_bytes",
            "Bytes of the source that were fetched and are not done with.",
            ["source"],
            registry=registry,
        )
        self._source_oldest = Gauge(
            "detector_source_oldest_unacknowledged_seconds",
            "Age of the oldest delivery in hand; 0 where none is.",
            ["source"],
            registry=registry,
        )
        self._trails = Gauge(
            "detector_trails",
            "Accounts and regions that are kept track of, by whether they are heard.",
            ["state"],
            registry=registry,
        )
        self._unheeded_trails = Counter(
            "detector_unheeded_trails",
            "Times that an account and region was heard that is not kept track of: too many are.",
            registry=registry,
        )
        self._event_age = Histogram(
            "detector_event_age_seconds",
            "From a matched event to CloudTrail's delivery of it.",
            ["source"],
            buckets=_AGE_BUCKETS,
            registry=registry,
        )
        self._alert_delay = Histogram(
            "detector_alert_delay_seconds",
            "From a delivery's arrival to its alerts in the outbox.",
            buckets=_DELAY_BUCKETS,
            registry=registry,
        )
        self._in_hand = Gauge(
            "detector_in_hand_bytes",
            "Bytes fetched and not done with; sources stop at limits.max_bytes_in_hand.",
            registry=registry,
        )
        self._rules = Gauge(
            "detector_rules",
            "Rules and correlations in force, by status; what is not stable notifies nobody.",
            ["status"],
            registry=registry,
        )
        self._reloads = Counter(
            "detector_rules_reloads",
            "Times that the rules were read again while the service ran, by the result.",
            ["result"],
            registry=registry,
        )
        self._reload_successful = Gauge(
            "detector_rules_last_reload_successful",
            "1 if the rules could be used when they were last read, else 0: older ones are in"
            " force.",
            registry=registry,
        )
        self._reload_time = Gauge(
            "detector_rules_last_reload_timestamp_seconds",
            "When the rules were last read, at the start or again, with or without success.",
            registry=registry,
        )
        self._config_reloads = Counter(
            "detector_config_reloads",
            "Times that the configuration was read again while the service ran, by the result.",
            ["result"],
            registry=registry,
        )
        self._config_successful = Gauge(
            "detector_config_last_reload_successful",
            "1 if the configuration file was good when it was last read, else 0: an older one is in"
            " force.",
            registry=registry,
        )
        self._config_successful.set(1)  # a service does not start with a faulty one
        self._silences = Gauge(
            "detector_silences",
            "Silences by how they stand now; one that repeats is pending until its next turn.",
            ["state"],
            registry=registry,
        )
        self._filters = Gauge(
            "detector_filters",
            "Exceptions from rules by how they stand today; expiring: they end within a week.",
            ["state"],
            registry=registry,
        )

    def declare(self, sources: list[str], sinks: list[str]) -> None:
        """Create each source's and sink's series at zero, so that rates see the first increase."""
        for source in sources:
            self._received.labels(source)
            self._late.labels(source)
            self._beyond_retention.labels(source)
            self._ahead.labels(source)
            self._differing.labels(source)
            for outcome in OUTCOMES:
                self._records.labels(source, outcome)
            for result in ("acked", "nacked"):
                self._deliveries.labels(source, result)
        for sink in sinks:
            for result in ("delivered", "retry", "permanent"):
                self._sends.labels(sink, result)
        for result in get_args(ReloadResult):
            self._reloads.labels(result)
            self._config_reloads.labels(result)

    def source_meter(self, source: str, share: Share) -> SourceMeter:
        """Return where a source tells of its work; what is in hand is read when scraped."""
        self._source_deliveries.labels(source).set_function(lambda: share.deliveries)
        self._source_bytes.labels(source).set_function(lambda: share.bytes)
        self._source_oldest.labels(source).set_function(lambda: _age(share.oldest))
        return SourceMeter(
            self._fetched.labels(source),
            lambda kind: self._source_errors.labels(source, kind).inc(),
            self._behind.labels(source),
        )

    def source_state(self, source: str, state: SourceState) -> None:
        """Record the state in which a source is now."""
        for each in get_args(SourceState):
            self._source_states.labels(source, each).set(each == state)

    def rules_loaded(self, rules: RuleSet, now: float) -> None:
        """Record the rules with which the service starts."""
        self._rules_read(rules, now, successful=True)

    def rules_reloaded(self, result: ReloadResult, rules: RuleSet, now: float) -> None:
        """Record that the rules were read again, and which are in force since."""
        self._reloads.labels(result).inc()
        self._rules_read(rules, now, successful=result != "failed")

    def _rules_read(self, rules: RuleSet, now: float, *, successful: bool) -> None:
        statuses = [rule.file.status for rule in all_rules(rules)]
        for status in _STATUSES:
            self._rules.labels(status).set(statuses.count(status))
        self._reload_successful.set(successful)
        self._reload_time.set(now)

    def config_reloaded(self, result: ReloadResult) -> None:
        """Record that the configuration was read again."""
        self._config_reloads.labels(result).inc()
        self._config_successful.set(result != "failed")

    def endings(
        self, silences: Mapping[SilenceState, int], filters: Mapping[FilterState, int]
    ) -> None:
        """Record how many silences and exceptions stand how."""
        for silence_state, count in silences.items():
            self._silences.labels(silence_state).set(count)
        for filter_state, count in filters.items():
            self._filters.labels(filter_state).set(count)

    def processed(self, delivery: Delivery, processed: Processed, now: float) -> None:
        """Record what became of a delivery."""
        source = delivery.source
        account = processed.accounting
        self._received.labels(source).inc(account.received)
        for outcome in OUTCOMES:
            self._records.labels(source, outcome).inc(getattr(account, outcome))
        for reason, count in processed.rejected.items():
            self._rejections.labels(source, reason).inc(count)
        for kind, count in processed.skipped.items():
            self._skipped.labels(source, kind).inc(count)
        for age in processed.ages:
            self._event_age.labels(source).observe(age)
        self._late.labels(source).inc(processed.late)
        self._beyond_retention.labels(source).inc(processed.beyond_retention)
        self._ahead.labels(source).inc(processed.ahead)
        self._differing.labels(source).inc(processed.differing)
        times = [item.delivered_at for item in delivery.payloads if item.delivered_at is not None]
        if times:
            self._lag.labels(source).set(max(0.0, now - max(times)))

        self._last_delivery.labels(source).set(now)

    def counted(self, outcome: Outcome, received_at: float, now: float) -> None:
        """Record what became of alerts; `received_at` is when the oldest delivery came in."""
        self.told(outcome.told)
        for rule_id, count in outcome.overflowed.items():
            self._overflow.labels(rule_id).inc(count)
        for _ in outcome.told:
            self._alert_delay.observe(max(0.0, now - received_at))

    def told(self, told: Iterable[Told]) -> None:
        """Record what became of alerts."""
        for item in told:
            self._alerts.labels(item.rule_id, item.level, item.verdict.value).inc()

    def watermark(self, seconds: float) -> None:
        """Record how far event time has come."""
        self._watermark.set(seconds)

    def trails(self, *, heard: int, silent: int) -> None:
        """Record how many trails are heard, and how many are silent."""
        self._trails.labels("heard").set(heard)
        self._trails.labels("silent").set(silent)

    def unheeded_trails(self, count: int) -> None:
        """Record that so many trails were heard that are not kept track of."""
        self._unheeded_trails.inc(count)

    def acknowledged(self, source: str, result: str) -> None:
        """Record what a source was told of a delivery: `acked` or `nacked`."""
        self._deliveries.labels(source, result).inc()

    def in_hand(self, size: int) -> None:
        """Record the bytes in hand."""
        self._in_hand.set(size)

    def sent(self, sink: str, result: str, seconds: float) -> None:
        """Record an attempt to send: `delivered`, `retry` or `permanent`, and how long it took."""
        self._sends.labels(sink, result).inc()
        self._send_seconds.labels(sink).observe(seconds)

    def digested(self, sink: str, notifications: int) -> None:
        """Record that one message was made that stands for so many notifications."""
        self._digested.labels(sink).inc(notifications)

    def sink_health(self, sink: str, failing_since: float | None, now: float) -> None:
        """Record since when a sink has taken nothing; None where it works."""
        failing = 0.0 if failing_since is None else max(0.0, now - failing_since)
        self._sink_failing.labels(sink).set(failing)

    def outbox(self, sink: str, counts: OutboxCounts, now: float) -> None:
        """Record how a sink's outbox stands."""
        self._outbox.labels(sink, "pending").set(counts.pending)
        self._outbox.labels(sink, "dead").set(counts.dead)
        age = 0.0 if counts.oldest is None else max(0.0, now - counts.oldest)
        self._outbox_age.labels(sink).set(age)


class SourceMeter:
    """One source's counters; a `detector.sources.source.SourceMeter`."""

    def __init__(self, fetched: Counter, failed: Callable[[str], None], behind: Gauge) -> None:
        self._fetched = fetched
        self._failed = failed
        self._behind = behind

    def fetched(self, size: int) -> None:
        """Record that so many bytes came in."""
        self._fetched.inc(size)

    def failed(self, kind: str) -> None:
        """Record an error of a kind."""
        self._failed(kind)

    def behind(self, seconds: float) -> None:
        """Record how old the newest is that was not fetched yet."""
        self._behind.set(seconds)


def _age(since: float | None) -> float:
    return 0.0 if since is None else time.monotonic() - since
