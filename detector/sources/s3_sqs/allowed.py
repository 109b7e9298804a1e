"""Which objects may be read: a message on the queue alone must not make us read a stranger's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from detector.config import BucketConfig
from detector.envelopes.types import ObjectReference
from detector.errors import PayloadError

PARENT = ".."
"""S3 takes it as any other name, but a proxy or another S3 may go up with it, out of a prefix."""


class AllowedObjects:
    """The buckets and prefixes that the configuration lists, and whose the buckets are.

    `owner` is the account of each bucket for which no other one is given.
    """

    def __init__(
        self, buckets: Sequence[BucketConfig] | Literal["any"], owner: str | None = None
    ) -> None:
        self._buckets = None if buckets == "any" else {item.bucket: item for item in buckets}
        self._owner = owner

    def check(self, reference: ObjectReference) -> None:
        """Return if the object may be read.

        Raises:
            PayloadError: `object_not_allowed`.
        """
        if self._buckets is None:
            return
        bucket = self._buckets.get(reference.bucket)
        if bucket is None:
            raise _not_allowed(f"the bucket {reference.bucket[:100]!r} is not among them")
        if not bucket.prefixes:
            return
        if PARENT in reference.key.split("/") or not reference.key.startswith(bucket.prefixes):
            raise _not_allowed(f"the key begins with none of the prefixes of {bucket.bucket}")

    def owner(self, bucket: str) -> str | None:
        """Return which account a bucket must be of; None where that is not said."""
        listed = None if self._buckets is None else self._buckets.get(bucket)
        return (listed.owner if listed else None) or self._owner


def _not_allowed(why: str) -> PayloadError:
    return PayloadError(
        "object_not_allowed",
        f"sources.buckets does not allow the object: {why}; add it if it is yours, or find out who"
        " can send to the queue",
    )
