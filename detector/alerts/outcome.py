"""Whether what was asked for was done.

Source: AWS CloudTrail User Guide, "CloudTrail record contents" (errorCode, errorMessage) and "AWS
Management Console sign-in events".
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from detector.alerts.fields import text_at
from detector.alerts.plain import plain

_MAX_CODE = 80
_MAX_MESSAGE = 300
_DENIED = re.compile(r"AccessDenied|Unauthorized|NotAuthorized|Forbidden", re.IGNORECASE)


class Outcome(NamedTuple):
    """How a request ended: `code` is why it failed, empty if it did not."""

    code: str
    message: str

    @property
    def failed(self) -> bool:
        """Whether nothing was done."""
        return bool(self.code)

    @property
    def word(self) -> str:
        """Return `denied`, `failed: CODE`, or nothing."""
        if not self.code:
            return ""
        return "denied" if _DENIED.search(self.code) else f"failed: {self.code}"


def outcome_of(record: Mapping[str, Any]) -> Outcome:
    """Return how a request ended.

    A failed sign-in has no error code, but says so in its answer, and in its message.
    """
    code = text_at(record, "errorCode")
    message = text_at(record, "errorMessage")
    if not code and text_at(record, "responseElements", text_at(record, "eventName")) == "Failure":
        code = message or "Failure"
    if not code and message:
        code = message
    return Outcome(plain(code, _MAX_CODE), plain(message, _MAX_MESSAGE))


def result_of(outcomes: Sequence[Outcome]) -> str:
    """Return how many of some requests ended in which way, and what was said to the first."""
    failed = [outcome for outcome in outcomes if outcome.failed]
    if not failed:
        return "succeeded" if outcomes else ""
    codes = Counter(outcome.code for outcome in failed)
    said = ", ".join(code if n == 1 else f"{code} ({n})" for code, n in codes.most_common())
    kind = "denied" if all(outcome.word == "denied" for outcome in failed) else "failed"
    message = next((o.message for o in failed if o.message and o.message != o.code), "")
    told = f"{kind}: {said}" + (f": {message}" if message else "")
    done = len(outcomes) - len(failed)
    return f"{done} succeeded, {len(failed)} {told}" if done else told
