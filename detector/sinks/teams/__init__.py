"""Microsoft Teams, through a workflow that a webhook request starts."""

from detector.sinks.teams.sink import TeamsSink

__all__ = ["TeamsSink"]
