"""AWS Security Hub: each incident is a finding."""

from detector.sinks.security_hub.sink import SecurityHubSink

__all__ = ["SecurityHubSink"]
