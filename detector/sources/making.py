"""Sources from their configuration."""

from __future__ import annotations

from detector.config import (
    DirectorySourceConfig,
    FirehoseSourceConfig,
    KinesisSourceConfig,
    SourceConfig,
    StdinSourceConfig,
)
from detector.sources.directory import DirectorySource
from detector.sources.firehose import FirehoseSource
from detector.sources.kinesis import KinesisSource
from detector.sources.s3_sqs import S3SQSSource
from detector.sources.source import Source, SourceContext
from detector.sources.stdin import StdinSource


def make_source(config: SourceConfig, context: SourceContext) -> Source:
    """Return the source that a part of the configuration describes."""
    if isinstance(config, DirectorySourceConfig):
        return DirectorySource(config, context)
    if isinstance(config, KinesisSourceConfig):
        return KinesisSource(config, context)
    if isinstance(config, StdinSourceConfig):
        return StdinSource(config, context)
    if isinstance(config, FirehoseSourceConfig):
        return FirehoseSource(config, context)
    return S3SQSSource(config, context)
