"""The same rules and windows over files, offline: what would have been raised.

But for silent sources: a replay has no time at which something should have come.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from detector.accounting import Accounting
from detector.alerts.alert import Alert
from detector.counting.current import current_alerts
from detector.matching import Rejection
from detector.pipeline import Pipeline, Settings
from detector.rules.ruleset import RuleSet
from detector.sources.delivery import Delivery
from detector.sources.files import stored_files
from detector.sources.stored import Stored, in_order
from detector.state.sqlite import SQLiteStore


@dataclass(slots=True)
class Replay:
    """What a replay found. `alerts` are final: each with all the events of its window."""

    accounting: Accounting = field(default_factory=Accounting)
    skipped: Counter[str] = field(default_factory=Counter)
    rejections: list[Rejection] = field(default_factory=list)
    alerts: list[Alert] = field(default_factory=list)
    files: int = 0
    differing: int = 0
    """Second copies of events whose content is not that of the first."""

    def as_json(self) -> dict[str, Any]:
        """Return the document that `detector replay --format json` prints."""
        return {
            "records": self.accounting.as_json(),
            "differing_copies": self.differing,
            "skipped": dict(sorted(self.skipped.items())),
            "rejected": [
                {
                    "origin": item.origin,
                    "record": item.index,
                    "reason": item.reason,
                    "message": item.message,
                }
                for item in self.rejections
            ],
            "alerts": msgspec.to_builtins(self.alerts),
        }


def replay(rules: RuleSet, paths: Sequence[Path], settings: Settings) -> Replay:
    """Run files, and the log files of folders, through the pipeline; see `replay_stored`.

    Files are taken in the order of the delivery times in their names.

    Raises:
        OSError: a folder cannot be read.
    """
    files = stored_files(paths, settings.limits.max_inflated_bytes)
    return replay_stored(rules, in_order(files), settings)


def replay_stored(rules: RuleSet, items: Iterable[Stored], settings: Settings) -> Replay:
    """Run what is stored somewhere through the pipeline with a state in memory, in this order.

    The times of delivery are the clock by which sliding windows are evaluated; a payload that has
    none arrives with its latest event. All windows are retained.
    """
    result = Replay()
    with SQLiteStore.in_memory() as store:
        pipeline = Pipeline(rules, store, settings)
        for item in items:
            payload = item.read()
            if payload.delivered_at is not None:
                pipeline.advance(payload.delivered_at)
            outcome = pipeline.process(
                # A file stays where it is: no need for a copy in the quarantine.
                [Delivery("replay", [payload], received_at=0.0, has_redrive=True)],
                payload.delivered_at,
            )
            (processed,) = outcome.deliveries
            result.files += 1
            result.accounting.add(processed.accounting)
            result.skipped += processed.skipped
            result.rejections += processed.rejections
            result.differing += processed.differing
        pipeline.close()
        result.alerts = [item for item in current_alerts(store) if item.state != "withdrawn"]
    return result
