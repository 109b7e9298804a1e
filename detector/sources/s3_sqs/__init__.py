"""S3 objects that an SQS queue announces."""

from detector.sources.s3_sqs.source import S3SQSSource

__all__ = ["S3SQSSource"]
