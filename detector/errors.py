"""Every error that the detector raises on purpose, under one root.

An error says what is wrong, where, and what to do about it. The command line prints it as one
sentence; nothing that derives from `DetectorError` ever reaches a user as a traceback.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """A position in something that a person wrote: a file, and the line and column in it.

    `line` and `column` count from 1; 0 means that the whole file (or line) is meant.
    """

    path: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        parts = [self.path]
        if self.line:
            parts.append(str(self.line))
            if self.column:
                parts.append(str(self.column))
        return ":".join(parts)


class DetectorError(Exception):
    """Root of the detector's own errors.

    `message` is one sentence without its place; `remedy` says what to do, where that is known.
    """

    def __init__(
        self, message: str, *, place: Place | None = None, remedy: str | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.place = place
        self.remedy = remedy

    def __str__(self) -> str:
        text = f"{self.place}: {self.message}" if self.place else self.message
        return f"{text}; {self.remedy}" if self.remedy else text


class ConfigError(DetectorError):
    """The configuration file, or a value in it, cannot be used."""


class RuleError(DetectorError):
    """A rule file, or a value in it, cannot be used."""


@dataclass(frozen=True, slots=True)
class Edit:
    """A change of a text: `length` characters at `offset` become `replacement`."""

    offset: int
    length: int
    replacement: str

    def apply(self, text: str) -> str:
        """Return the text with the change made."""
        return text[: self.offset] + self.replacement + text[self.offset + self.length :]


class PatternError(RuleError):
    """A filter pattern does not follow its language.

    `offset` counts characters from 0 within the pattern's own text; whoever knows where that text
    stands in a file turns it into a `Place`. `edit` is the change that was probably meant.
    """

    def __init__(
        self,
        message: str,
        *,
        offset: int,
        place: Place | None = None,
        remedy: str | None = None,
        edit: Edit | None = None,
    ) -> None:
        super().__init__(message, place=place, remedy=remedy)
        self.offset = offset
        self.edit = edit

    def at(self, place: Place) -> PatternError:
        """Return the same error with the place of the offending character."""
        return PatternError(
            self.message, offset=self.offset, place=place, remedy=self.remedy, edit=self.edit
        )

    def __str__(self) -> str:
        if self.place is not None:
            return super().__str__()
        return f"column {self.offset + 1}: {super().__str__()}"


class StateError(DetectorError):
    """The durable state cannot be opened, read or written."""


class SourceError(DetectorError):
    """A source has failed for good; what can pass by itself is retried inside the source."""


class QuarantineError(DetectorError):
    """The quarantine, or an entry of it, cannot be read or written."""


class SinkError(DetectorError):
    """A sink is configured so that it can never deliver."""


class PayloadError(DetectorError):
    """A payload, or one record of it, cannot be understood.

    `reason` is one of a fixed set of words, fit for a metric label.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
