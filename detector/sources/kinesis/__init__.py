"""Records of a Kinesis data stream, polled or pushed."""

from detector.sources.kinesis.source import KinesisSource

__all__ = ["KinesisSource"]
