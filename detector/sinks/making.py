"""Sinks from their configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from detector.config import (
    AlertmanagerSinkConfig,
    ArchiveSinkConfig,
    PagerDutySinkConfig,
    SecurityHubSinkConfig,
    SinkConfig,
    SlackSinkConfig,
    SNSSinkConfig,
    SplunkSinkConfig,
    StdoutSinkConfig,
    TeamsSinkConfig,
    WebhookSinkConfig,
)
from detector.sinks.alertmanager import AlertmanagerSink
from detector.sinks.archive.sink import ArchiveSink
from detector.sinks.pagerduty import PagerDutySink
from detector.sinks.security_hub import SecurityHubSink
from detector.sinks.sink import Sink, SinkContext
from detector.sinks.slack import SlackSink
from detector.sinks.sns import SNSSink
from detector.sinks.splunk import SplunkSink
from detector.sinks.stdout import StdoutSink
from detector.sinks.teams import TeamsSink
from detector.sinks.webhook import WebhookSink

_KINDS: Mapping[type, Callable[[Any, SinkContext], Sink]] = {
    AlertmanagerSinkConfig: AlertmanagerSink,
    ArchiveSinkConfig: ArchiveSink,
    PagerDutySinkConfig: PagerDutySink,
    SecurityHubSinkConfig: SecurityHubSink,
    SlackSinkConfig: SlackSink,
    SNSSinkConfig: SNSSink,
    SplunkSinkConfig: SplunkSink,
    StdoutSinkConfig: StdoutSink,
    TeamsSinkConfig: TeamsSink,
    WebhookSinkConfig: WebhookSink,
}


def make_sink(config: SinkConfig, context: SinkContext) -> Sink:
    """Return the sink that a part of the configuration describes. Nothing is opened yet.

    Raises:
        ConfigError: a template of it is none.
        SinkError: it is configured so that it can never deliver.
    """
    return _KINDS[type(config)](config, context)
