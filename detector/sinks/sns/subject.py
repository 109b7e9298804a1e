"""The subject of a message, by SNS's rules.

Source: Amazon SNS API Reference, "Publish": no line breaks or control characters, less than 100
characters. It speaks of UTF-8 now, and spoke of ASCII that begins with a letter, a number or a
punctuation mark until 2024: who gets a refusal for a subject sends `ascii_subject` of it.
"""

from __future__ import annotations

import unicodedata

from detector.alerts.plain import clean

MAX_UNITS = 99
"""UTF-16 units, as it is not said what a character is: Java's are these."""

_ELLIPSIS = "..."
_NAMELESS = "Alert"


def subject(text: str) -> str:
    """Return a text as a subject: on one line, cut, and with a beginning that SNS takes."""
    plain = " ".join(clean(text).split())
    while plain and unicodedata.category(plain[0])[0] not in "LNP":
        plain = plain[1:]
    return cut_units(plain, MAX_UNITS) or _NAMELESS


def ascii_subject(text: str) -> str:
    """Return a subject without what is not ASCII: letters without their accents, the rest as `?`.

    Signs of a category that looks the same in ASCII, as dashes and quotation marks, become that.
    """
    plain = "".join(map(_ascii, unicodedata.normalize("NFKD", text)))
    return subject(plain)


def cut_units(text: str, most: int) -> str:
    """Return at most so many UTF-16 units of a text; dots say that there were more."""
    content = text.encode("utf-16-le")
    if len(content) <= 2 * most:
        return text
    kept = content[: 2 * (most - len(_ELLIPSIS))].decode("utf-16-le", errors="ignore")
    return kept.rstrip() + _ELLIPSIS


def _ascii(character: str) -> str:
    if character.isascii():
        return character
    category = unicodedata.category(character)
    return {"Mn": "", "Pd": "-", "Pi": '"', "Pf": "'", "Zs": " "}.get(category, "?")
