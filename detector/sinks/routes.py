"""The routes of a configuration."""

from __future__ import annotations

from detector.alerts.routing import Receiver, Route, Router
from detector.config import Config, RouteConfig


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
