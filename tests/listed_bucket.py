"""A bucket of nothing but keys, which notes what it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

from detector.envelopes.types import ObjectReference

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

REGIONS = ("eu-central-1", "us-east-1")
ACCOUNTS = ("111122223333", "444455556666")


def trail_key(
    delivered_at: float,
    *,
    account: str = ACCOUNTS[0],
    region: str = REGIONS[1],
    before: str = "",
    kind: str = "CloudTrail",
) -> str:
    """Return the key under which CloudTrail delivers a log file, or a file of another kind."""
    moment = datetime.fromtimestamp(delivered_at, UTC)
    name = f"{account}_{kind}_{region}_{moment:%Y%m%dT%H%MZ}_Mu0KsOhtH1ar15ZZ.json.gz"
    return f"{before}AWSLogs/{account}/{kind}/{region}/{moment:%Y/%m/%d}/{name}"


def firehose_key(begun_at: float, *, before: str = "") -> str:
    """Return the key under which Firehose writes an object."""
    moment = datetime.fromtimestamp(begun_at, UTC)
    unique = "0b9bd1f5-5e3c-4b8e-9f5a-2f1d0c9e8a77"
    return f"{before}{moment:%Y/%m/%d/%H}/trail-1-{moment:%Y-%m-%d-%H-%M-%S}-{unique}"


class ListedBucket:
    """Stands for a client; `written` are the keys and when they were written, in seconds."""

    def __init__(self, written: Mapping[str, float], page_keys: int = 1000) -> None:
        self._written = dict(sorted(written.items(), key=lambda item: item[0].encode()))
        self._page_keys = page_keys
        self.calls: list[dict[str, Any]] = []
        self.shown: set[str] = set()
        """The keys that it has told."""

    @property
    def client(self) -> S3Client:
        return cast("S3Client", self)

    async def list_objects_v2(
        self,
        *,
        Bucket: str,  # noqa: N803
        Prefix: str,  # noqa: N803
        Delimiter: str = "",  # noqa: N803
        StartAfter: str = "",  # noqa: N803
        ContinuationToken: str = "",  # noqa: N803
    ) -> dict[str, Any]:
        assert Bucket == "bucket"
        self.calls.append({"Prefix": Prefix, "Delimiter": Delimiter, "StartAfter": StartAfter})
        last = max(StartAfter, ContinuationToken)
        found: list[str] = []
        for key in self._written:
            if not key.startswith(Prefix):
                continue
            folder, slash, _ = key[len(Prefix) :].partition(Delimiter or "\0")
            item = f"{Prefix}{folder}{slash}"
            if item > last and item not in found[-1:]:
                found.append(item)
        page, rest = found[: self._page_keys], found[self._page_keys :]
        keys = [item for item in page if item in self._written]
        self.shown.update(keys)
        return {
            "Contents": [
                {
                    "Key": key,
                    "Size": 17,
                    "LastModified": datetime.fromtimestamp(self._written[key], UTC),
                }
                for key in keys
            ],
            "CommonPrefixes": [{"Prefix": item} for item in page if item not in self._written],
            "IsTruncated": bool(rest),
            **({"NextContinuationToken": page[-1]} if rest else {}),
        }


def reference(key: str) -> ObjectReference:
    """Return what is found of a key."""
    return ObjectReference("bucket", key, 17)
