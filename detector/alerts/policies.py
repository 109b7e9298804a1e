"""What a policy allows, in a few words: enough to see the one that gives everything to everyone.

Source: IAM User Guide, "IAM JSON policy elements reference".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from detector.alerts.fields import items_of, scalar
from detector.alerts.plain import listed, plain

MAX_STATEMENTS = 3
"""Told of one policy. The whole one is in the evidence."""

MAX_DOCUMENT_CHARACTERS = 32_768
"""A longer document is not looked into: the longest that AWS takes are 20 KB."""

_MAX_NAMES = 3
_MAX_NAME = 60
_DANGER = ("*", "iam:*", "*:*")


def policy_in_words(document: Any) -> str:
    """Return what a policy's statements allow; nothing for what is no policy.

    Documents are logged as JSON within a string, or as an object. Broad statements come first.
    """
    if isinstance(document, str):
        document = _parsed(document)
    if not isinstance(document, Mapping):
        return ""
    statements = [item for item in items_of(_statements(document)) if isinstance(item, Mapping)]
    said = sorted(map(_said, statements), key=lambda pair: pair[0])
    words = list(dict.fromkeys(text for _, text in said if text))
    more = len(words) - MAX_STATEMENTS
    return "; ".join(words[:MAX_STATEMENTS]) + (f" and {more} more" if more > 0 else "")


def _parsed(text: str) -> Any:
    if len(text) > MAX_DOCUMENT_CHARACTERS:
        return None
    try:
        return msgspec.json.decode(text.encode(errors="replace"))
    except (msgspec.DecodeError, RecursionError):
        return None


def _statements(document: Mapping[str, Any]) -> Any:
    value = document.get("Statement")
    return [value] if isinstance(value, Mapping) else value


def _said(statement: Mapping[str, Any]) -> tuple[int, str]:
    """Return a statement in words, and how far back it stands."""
    effect = scalar(statement.get("Effect")).lower()
    if effect not in {"allow", "deny"}:
        return 3, ""
    actions = [*_names(statement.get("Action"))]
    if "NotAction" in statement:
        actions = [f"all but {name}" for name in _names(statement.get("NotAction"))] or ["*"]
    whom = [*_principals(statement.get("Principal"))]
    if "NotPrincipal" in statement:
        whom = ["all others"]
    on = [*_names(statement.get("Resource"))]
    words = [f"{effect}s" if effect == "allow" else "denies", listed(actions, _MAX_NAMES)]
    if on and not whom:
        words.append(f"on {listed(on, _MAX_NAMES)}")
    if whom:
        words.append(f"to {listed(whom, _MAX_NAMES)}")
    if statement.get("Condition"):
        words.append("on conditions")
    is_broad = effect == "allow" and (
        any(action in _DANGER for action in actions) or "everyone" in whom
    )
    return 0 if is_broad else 1 if effect == "allow" else 2, " ".join(filter(None, words))


def _names(value: Any) -> Iterator[str]:
    for item in items_of(value):
        name = plain(scalar(item), _MAX_NAME)
        if name:
            yield name


def _principals(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for names in list(value.values())[:5]:
            for name in _names(names):
                yield "everyone" if name == "*" else name
    else:
        for name in _names(value):
            yield "everyone" if name == "*" else name
