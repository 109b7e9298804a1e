"""PagerDuty, through the Events API v2."""

from detector.sinks.pagerduty.sink import PagerDutySink

__all__ = ["PagerDutySink"]
