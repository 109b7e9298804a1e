"""Why S3 gives no object: its errors as our reasons, each with what to do about it.

Pure. Sources: Amazon S3 API Reference, "Error responses"; Amazon S3 User Guide, "Troubleshoot
access denied (403 Forbidden) errors"; AWS KMS Developer Guide, "Key states of AWS KMS keys".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from botocore.exceptions import ClientError

from detector.aws import describe, error_code
from detector.errors import PayloadError

ObjectReason = Literal[
    "object_missing",
    "object_denied",
    "object_key_denied",
    "object_key_unusable",
    "object_owner_differs",
    "object_requester_pays",
    "object_archived",
    "object_other_region",
    "object_name_invalid",
    "object_unavailable",
    "object_incomplete",
    "no_space",
]
"""Why an object could not be read. Words for a metric's label."""

OURS: frozenset[ObjectReason] = frozenset(
    {
        "object_denied",
        "object_key_denied",
        "object_key_unusable",
        "object_owner_differs",
        "object_requester_pays",
        "object_other_region",
        "object_unavailable",
        "no_space",
    }
)
"""Reasons that lie with permissions, settings, the way to S3 or our own disk, and so meet other
objects too."""

_BY_CODE: dict[str, ObjectReason] = {
    "NoSuchBucket": "object_missing",
    "NoSuchKey": "object_missing",
    "NoSuchVersion": "object_missing",
    "MethodNotAllowed": "object_missing",  # what the version of a deletion answers
    "404": "object_missing",
    "InvalidObjectState": "object_archived",
    "PermanentRedirect": "object_other_region",
    "TemporaryRedirect": "object_other_region",
    "AuthorizationHeaderMalformed": "object_other_region",
    "IllegalLocationConstraintException": "object_other_region",
    "301": "object_other_region",
    "307": "object_other_region",
}
_DENIED = frozenset({"AccessDenied", "403", "AllAccessDisabled", "AccountProblem"})
_REMEDIES: dict[ObjectReason, str] = {
    "object_missing": (
        "the object or its bucket was deleted since it was announced, by hand or by a lifecycle"
        " rule: what it held is lost here, unless it is restored before the queue gives up"
    ),
    "object_denied": (
        "check s3:GetObject in the role's and the bucket's policies, and request_payer if the"
        " bucket has its readers pay; it may as well be missing: S3 says so only to a role with"
        " s3:ListBucket"
    ),
    "object_key_denied": (
        "allow the role kms:Decrypt on the object's KMS key, in the key's policy too if the key is"
        " another account's"
    ),
    "object_key_unusable": (
        "the object's KMS key is disabled, to be deleted or gone: enable it, or cancel its deletion"
    ),
    "object_owner_differs": (
        "the bucket is not of the account that owner or bucket_owner names, or the role may not"
        " read it: check the account, then s3:GetObject in the role's and the bucket's policies"
    ),
    "object_requester_pays": "the bucket has its readers pay: set request_payer",
    "object_archived": (
        "the object is in an archive tier: restore it, and have the lifecycle rule move objects"
        " later than they are read"
    ),
    "object_other_region": (
        "the bucket is in another region than sources.region and endpoint_url say"
    ),
}
_TRY_AGAIN_STATUSES = frozenset({408, 429})
_SERVER_ERRORS = 500


@dataclass(frozen=True, slots=True)
class Asked:
    """What a call asked for beside the object: whose the bucket must be, and that we pay."""

    owner: str | None = None
    request_payer: bool = False


def passes_by_itself(error: ClientError) -> bool:
    """Return whether the same call may succeed in a moment: S3 is slow, overloaded or failing."""
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return status >= _SERVER_ERRORS or status in _TRY_AGAIN_STATUSES


def explain(error: ClientError, asked: Asked) -> PayloadError:
    """Return why there is no object, in our words.

    S3's own text decides where its code does not, but is not shown: it names keys and roles.
    """
    text = str(error.response.get("Error", {}).get("Message", "")).lower()
    reason = _reason(error_code(error), text, asked)
    remedy = _REMEDIES.get(reason)
    return PayloadError(reason, f"{describe(error)}; {remedy}" if remedy else describe(error))


def _reason(code: str, text: str, asked: Asked) -> ObjectReason:
    if code.startswith("KMS."):
        return "object_key_denied" if "accessdenied" in code.lower() else "object_key_unusable"
    if code in _DENIED:
        return _denied(text, asked)
    return _BY_CODE.get(code, "object_unavailable")


def _denied(text: str, asked: Asked) -> ObjectReason:
    if "kms" in text or "ciphertext" in text:
        return "object_key_denied"
    if "requester pays" in text or "requester-pays" in text:
        return "object_requester_pays"
    if asked.owner and "not authorized to perform" not in text:
        # S3 says no more than "Access Denied" where the owner differs.
        return "object_owner_differs"
    return "object_denied"
