"""The metrics of the quarantine."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge

from detector.quarantine.store import Usage
from detector.state.store import QuarantineCounts

CAUSES = ("waiting", "full", "retention")
"""Why something was dropped: too much waited in the state, the folder was full, or it was old."""


class QuarantineMetrics:
    """What comes into the quarantine, what is in it, and what was dropped."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._quarantined = Counter(
            "detector_quarantined",
            "Payloads and records that were put into the quarantine.",
            ["source", "reason"],
            registry=registry,
        )
        self._waiting = Gauge(
            "detector_quarantine_waiting",
            "What waits in the state until the quarantine's folder or bucket can be written.",
            registry=registry,
        )
        self._entries = Gauge(
            "detector_quarantine_entries",
            "Entries in the quarantine's folder; of a bucket those written by this process.",
            registry=registry,
        )
        self._bytes = Gauge(
            "detector_quarantine_bytes",
            "What the entries in the quarantine's folder take; of a bucket those written by this"
            " process.",
            registry=registry,
        )
        self._dropped = Counter(
            "detector_quarantine_dropped",
            "What was dropped from the quarantine to keep it within its bounds, by the cause.",
            ["cause"],
            registry=registry,
        )
        for cause in CAUSES:
            self._dropped.labels(cause)

    def quarantined(self, source: str, reasons: Mapping[str, int], dropped: int) -> None:
        """Record what a delivery has put in, and how many had to make room in the state."""
        for reason, count in reasons.items():
            self._quarantined.labels(source, reason).inc(count)
        self._dropped.labels("waiting").inc(dropped)

    def waiting(self, counts: QuarantineCounts) -> None:
        """Record how much waits in the state."""
        self._waiting.set(counts.rows)

    def used(self, usage: Usage) -> None:
        """Record what there is, and what was dropped since the last time."""
        self._entries.set(usage.entries)
        self._bytes.set(usage.bytes)
        self._dropped.labels("full").inc(usage.full)
        self._dropped.labels("retention").inc(usage.expired)
