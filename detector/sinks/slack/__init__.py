"""A Slack channel, through an incoming webhook."""

from detector.sinks.slack.sink import SlackSink

__all__ = ["SlackSink"]
