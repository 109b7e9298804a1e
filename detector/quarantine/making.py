"""The quarantine's place from its configuration."""

from __future__ import annotations

from pathlib import Path

from detector.config import QuarantineConfig
from detector.quarantine.folder import FolderQuarantine
from detector.quarantine.store import QuarantineStore


def make_store(config: QuarantineConfig) -> QuarantineStore:
    """Return where entries are kept. Nothing is opened yet."""
    if config.is_in_s3:
        from detector.quarantine.s3 import S3Quarantine  # noqa: PLC0415 - AWS clients take a while

        return S3Quarantine(config.path, region=config.region, endpoint_url=config.endpoint_url)
    return FolderQuarantine(
        Path(config.path), max_bytes=config.max_bytes, retention=config.retention_seconds
    )
