"""Log files below a prefix of an S3 bucket, for a replay: listed, chosen by time, fetched ahead."""

from detector.sources.s3_prefix.layout import S3Address, s3_address
from detector.sources.s3_prefix.reading import S3Objects

__all__ = ["S3Address", "S3Objects", "s3_address"]
