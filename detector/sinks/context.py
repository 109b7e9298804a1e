"""What sinks get to work with, from the configuration."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from detector.alerts.story import Reading
from detector.config import Config
from detector.sinks.egress import Egress
from detector.sinks.sink import SinkContext


def make_context(config: Config, now: Callable[[], float], spool: Path) -> SinkContext:
    """Return the context of a sink that keeps what it has to in `spool`."""
    return SinkContext(
        reading=Reading(config.alerts.account_names, config.alerts.siem_link),
        egress=Egress(config.egress.allow),
        now=now,
        spool=spool,
    )
