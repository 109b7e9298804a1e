"""Amazon Data Firehose streams that deliver to us as their HTTP endpoint."""

from detector.sources.firehose.source import FirehoseSource

__all__ = ["FirehoseSource"]
