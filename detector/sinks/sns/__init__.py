"""An SNS topic: as JSON for machines, as text for people, or as a CloudWatch alarm."""

from detector.sinks.sns.sink import SNSSink

__all__ = ["SNSSink"]
