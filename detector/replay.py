"""The same rules and windows over files, offline: what would have been raised."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from detector.accounting import Accounting
from detector.alerts.alert import Alert
from detector.matching import Rejection
from detector.pipeline import Pipeline, Settings
from detector.rules.ruleset import RuleSet
from detector.sources.delivery import Delivery
from detector.sources.files import log_files, read_payload
from detector.state.sqlite import SQLiteStore


@dataclass(slots=True)
class Replay:
    """What a replay found. `alerts` are final: each with all the events of its window."""

    accounting: Accounting = field(default_factory=Accounting)
    skipped: Counter[str] = field(default_factory=Counter)
    rejections: list[Rejection] = field(default_factory=list)
    alerts: list[Alert] = field(default_factory=list)
    files: int = 0

    def as_json(self) -> dict[str, Any]:
        """Return the document that `detector replay --format json` prints."""
        return {
            "records": self.accounting.as_json(),
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


def replay(
    rules: RuleSet,
    paths: Sequence[Path],
    settings: Settings,
    on_file: Callable[[Path], None] = lambda _: None,
) -> Replay:
    """Run files, and the log files of folders, through the pipeline with a state in memory.

    `on_file` is called before each file is read.
    """
    result = Replay()
    with SQLiteStore.in_memory() as store:
        pipeline = Pipeline(rules, store, settings)
        for path in files_of(paths):
            on_file(path)
            payload = read_payload(path, settings.limits.max_inflated_bytes)
            processed = pipeline.process(Delivery("replay", [payload], received_at=0.0), now=0.0)
            result.files += 1
            result.accounting.add(processed.accounting)
            result.skipped += processed.skipped
            result.rejections += processed.rejections
        result.alerts = store.alerts()
    return result


def files_of(paths: Sequence[Path]) -> Iterator[Path]:
    """Yield the files named, and the log files in the folders named.

    Raises:
        OSError: a folder cannot be read.
    """
    for path in paths:
        if path.is_dir():
            for entry in log_files(path):
                yield Path(entry.path)
        else:
            yield path
