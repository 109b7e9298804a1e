"""Who did it, as far as a record tells.

Source: AWS CloudTrail User Guide, "CloudTrail userIdentity element".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

UNKNOWN = "unknown"


def actor(record: Mapping[str, Any]) -> str:
    """Return the caller's ARN where there is one, else the most telling name of the identity.

    The ARN of an assumed role ends with the session's name, which single sign-on sets to the
    person behind it.
    """
    identity = record.get("userIdentity")
    if not isinstance(identity, Mapping):
        return UNKNOWN
    behalf = identity.get("onBehalfOf")
    candidates = (
        identity.get("arn"),
        identity.get("userName"),
        identity.get("invokedBy"),
        behalf.get("userId") if isinstance(behalf, Mapping) else None,
        identity.get("principalId"),
        identity.get("accountId"),
        identity.get("type"),
    )
    return next((name for name in candidates if isinstance(name, str) and name), UNKNOWN)
