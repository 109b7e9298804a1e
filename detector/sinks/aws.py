"""What sinks that are AWS services have in common: their client, and what its errors mean."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from aiobotocore.config import AioConfig
from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

from detector.alerts.plain import clean
from detector.aws import describe, error_code
from detector.sinks.http import MAX_SHOWN, retry_after_seconds
from detector.sinks.sink import Answer, Permanent, Retry

CLIENT_CONFIG = AioConfig(
    connect_timeout=5,
    read_timeout=15,
    retries={"mode": "standard", "total_max_attempts": 2},
)
"""One repetition at once, for a connection that was just closed; waiting is the outbox's part."""

REFUSED_CODES = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "AuthorizationError",
        "AuthorizationErrorException",
        "InvalidAccessException",
        "InvalidInputException",
        "InvalidParameter",
        "InvalidParameterException",
        "InvalidParameterValueException",
        "NotFound",
        "NotFoundException",
        "ParameterValueInvalid",
        "ValidationError",
        "ValidationException",
    }
)
"""The same message would be refused again: it is not well-formed, or the topic or the permission is
missing. A fallback gets it at once, and it waits among the dead letters.

Not here is what can get right while the detector runs on, after which nobody would think of dead
letters: throttling, a KMS key that is disabled, deleted or not permitted, credentials that have
expired, are not there yet or do not fit the clock, a region that is not enabled. Source: Amazon SNS
API Reference, "Publish"; AWS Security Hub API Reference, "BatchImportFindings".
"""

_URL = re.compile(r"[a-z][a-z0-9+.-]*://[^\s\"']+", re.IGNORECASE)


def answer_to(error: Exception) -> Answer:
    """Return what a failed call means for the message that it carried."""
    if isinstance(error, ParamValidationError):
        return Permanent(f"the request is not one of this service: {reason_of(error)}")
    if isinstance(error, ClientError):
        if error_code(error) in REFUSED_CODES:
            return Permanent(reason_of(error))
        headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        return Retry(reason_of(error), retry_after_seconds(headers.get("retry-after")))
    return Retry(reason_of(error))


def reason_of(error: Exception) -> str:
    """Return what went wrong, in the service's words: cut, on one line, and without addresses."""
    said = describe(error)
    if isinstance(error, ClientError):
        message = error.response.get("Error", {}).get("Message", "")
        said += f": {message}" if message else ""
    elif isinstance(error, BotoCoreError):
        said = str(error)
    return _URL.sub(_host, clean(said))[:MAX_SHOWN].strip()


def _host(url: re.Match[str]) -> str:
    try:
        return urlsplit(url.group()).hostname or "its address"
    except ValueError:
        return "its address"
