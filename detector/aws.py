"""What AWS errors mean to us: pass by themselves, or need a person."""

from __future__ import annotations

import asyncio

from aiohttp import ClientError as HTTPClientError
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
)

AWSCallError = (ClientError, BotoCoreError, HTTPClientError, asyncio.TimeoutError)
"""What a call through aiobotocore can raise when AWS or the way to it fails."""

PERMANENT_CODES = frozenset(
    {
        "AWS.SimpleQueueService.NonExistentQueue",
        "AccessDenied",
        "AccessDeniedException",
        "AuthorizationError",
        "AuthorizationErrorException",
        "InvalidAddress",
        "InvalidClientTokenId",
        "InvalidParameter",
        "InvalidParameterException",
        "InvalidParameterValue",
        "NotFound",
        "NotFoundException",
        "OptInRequired",
        "QueueDoesNotExist",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
"""Error codes that the same call will get again until somebody changes something."""


def is_permanent(error: Exception) -> bool:
    """Return whether the same call would fail in the same way until somebody changes something."""
    if isinstance(error, ClientError):
        return error_code(error) in PERMANENT_CODES
    return isinstance(error, (NoCredentialsError, NoRegionError, PartialCredentialsError))


def error_code(error: ClientError) -> str:
    """Return the code that AWS gave."""
    return str(error.response.get("Error", {}).get("Code", "Unknown"))


def describe(error: Exception) -> str:
    """Return one line on an error of an AWS call, without the request's own values."""
    if isinstance(error, ClientError):
        return f"{error.operation_name}: {error_code(error)}"
    if isinstance(error, BotoCoreError):
        return str(error).splitlines()[0]
    return f"{type(error).__name__}: {error}".removesuffix(": ")
