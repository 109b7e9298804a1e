"""Sinks from their configuration."""

from __future__ import annotations

from detector.alerts.routing import Receiver, Route, Router
from detector.config import (
    Config,
    RouteConfig,
    SinkConfig,
    SNSSinkConfig,
    StdoutSinkConfig,
    WebhookSinkConfig,
)
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


def make_router(config: Config) -> Router:
    """Return what decides which of the configured sinks get an alert."""
    return Router(
        [Receiver(sink.name, sink.min_level, sink.staged) for sink in config.sinks],
        map(_route, config.routing.routes),
        match=config.routing.match,
        default=config.routing.default,
    )


def _route(config: RouteConfig) -> Route:
    accounts = None if config.accounts is None else frozenset(map(str, config.accounts))
    return Route(config.sinks, config.levels, config.rules, config.tags, accounts)
