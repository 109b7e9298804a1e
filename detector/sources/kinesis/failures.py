"""What errors of Kinesis calls are to a source: their kind, and whether they pass by themselves."""

from __future__ import annotations

from botocore.eventstream import ParserError
from botocore.exceptions import ClientError, EventStreamError
from botocore.parsers import ResponseParserError

from detector.aws import AWSCallError, describe, error_code, is_permanent
from detector.errors import SourceError

EXPIRED_ITERATOR = "expired_iterator"
THROTTLED = "throttled"
IN_USE = "in_use"

_KINDS = {
    "ExpiredIteratorException": EXPIRED_ITERATOR,
    "ProvisionedThroughputExceededException": THROTTLED,
    "LimitExceededException": THROTTLED,
    "KMSThrottlingException": THROTTLED,
    "ThrottlingException": THROTTLED,
    "Throttling": THROTTLED,
    "RequestLimitExceeded": THROTTLED,
    "ResourceInUseException": IN_USE,
    "ResourceNotFoundException": "not_found",
    "AccessDeniedException": "denied",
    "AccessDenied": "denied",
    "UnrecognizedClientException": "denied",
    "InvalidClientTokenId": "denied",
    "InvalidSignatureException": "denied",
    "OptInRequired": "denied",
    "ExpiredTokenException": "expired_token",
    "ExpiredToken": "expired_token",
    "KMSAccessDeniedException": "kms",
    "KMSDisabledException": "kms",
    "KMSInvalidStateException": "kms",
    "KMSNotFoundException": "kms",
    "KMSOptInRequired": "kms",
    "InvalidArgumentException": "invalid",
    "ValidationException": "invalid",
}

_REMEDIES = {
    "not_found": "check sources.stream and sources.region: there is no such stream or consumer",
    "denied": "allow the role {operation} on the stream",
    "expired_token": "give the detector credentials that are renewed, such as a role's",
    "kms": "let the role use the key that the stream is encrypted with, and have it enabled",
    "invalid": "check the source's settings; to begin anew, give the source another name",
    "credentials": "set sources.region, and give the detector credentials",
}
"""What to do about errors that do not pass by themselves, by their kind."""


class DamagedAnswerError(Exception):
    """An answer that is not what Kinesis sends: cut off, changed on the way, not its own."""


PARSER_ERRORS = (
    ResponseParserError,
    ParserError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
)
"""What botocore's parsers raise of a body that is not what it should be: they trust its shape."""

CallError = (*AWSCallError, DamagedAnswerError)
"""What a call can raise when Kinesis or the way to it fails."""


def kind_of(error: Exception) -> str:
    """Return the kind of an error: one of a small fixed set of words, fit for a label."""
    if isinstance(error, ClientError):
        return _KINDS.get(error_code(error), "unavailable")
    if isinstance(error, DamagedAnswerError):
        return "damaged"
    return "credentials" if is_permanent(error) else "unreachable"


def passes(error: Exception) -> bool:
    """Return whether the same call may succeed without anybody changing something."""
    return kind_of(error) not in _REMEDIES


def told(error: Exception) -> str:
    """Return one line on an error, without the values of the request or of the answer."""
    if isinstance(error, EventStreamError):
        return f"{error.operation_name}: {error_code(error)}, in the stream of events"
    if isinstance(error, DamagedAnswerError):
        return str(error)
    return describe(error)


def source_error(source: str, error: Exception) -> SourceError:
    """Return an error that does not pass by itself, with what to do about it."""
    operation = error.operation_name if isinstance(error, ClientError) else ""
    remedy = _REMEDIES.get(kind_of(error), "check the source's settings")
    return SourceError(
        f"source {source}: {told(error)}", remedy=remedy.format(operation=f"kinesis:{operation}")
    )
