"""Sinks from their configuration."""

from __future__ import annotations

from detector.config import SinkConfig, SNSSinkConfig, StdoutSinkConfig, WebhookSinkConfig
from detector.errors import SinkError
from detector.sinks.sink import Sink, SinkContext
from detector.sinks.sns import SNSSink
from detector.sinks.stdout import StdoutSink
from detector.sinks.webhook import WebhookSink


def make_sink(config: SinkConfig, context: SinkContext) -> Sink:
    """Return the sink that a part of the configuration describes. Nothing is opened yet."""
    if isinstance(config, StdoutSinkConfig):
        return StdoutSink(config, context)
    if isinstance(config, WebhookSinkConfig):
        return WebhookSink(config, context)
    if isinstance(config, SNSSinkConfig):
        return SNSSink(config, context)
    raise SinkError(f"sink {config.name}: this kind of sink is not there yet")
