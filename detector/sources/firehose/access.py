"""Who may deliver: the access key, and the stream that a request says it comes from."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Collection, Iterable

from detector.envelopes.firehose import RequestError


class Access:
    """Knows the digests of the keys, and not the keys: what it shows of itself is no secret.

    Without keys anybody may deliver; without stream ARNs, any stream.
    """

    def __init__(self, keys: Iterable[str], stream_arns: Collection[str]) -> None:
        self._digests = [_digest(key.encode()) for key in keys]
        self._stream_arns = frozenset(stream_arns)

    def check(self, key: bytes | None, stream_arn: str | None) -> None:
        """Return if a request with these headers may deliver.

        Raises:
            RequestError: 401 `no_access_key`, 403 `wrong_access_key` or `wrong_stream`.
        """
        # Digests are all of one length, and every one is compared, whatever came: the time that
        # it takes tells neither how long a key is nor how much of it was right.
        given = _digest(key or b"")
        matches = [hmac.compare_digest(digest, given) for digest in self._digests]
        if self._digests and key is None:
            raise RequestError(401, "no_access_key", "X-Amz-Firehose-Access-Key is missing")
        if self._digests and not any(matches):
            raise RequestError(403, "wrong_access_key", "the access key is not the one expected")
        if self._stream_arns and stream_arn not in self._stream_arns:
            raise RequestError(403, "wrong_stream", "this stream is not among those expected")


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()
