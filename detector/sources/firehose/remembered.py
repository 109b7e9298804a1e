"""Requests that are done with, so that one that Firehose sends again is answered at once.

Pure: time comes in as an argument. A request is known by its id and the length of its body. The id
alone is only as good as Firehose's promise to keep it for the same request; a request taken for
another one would be lost, while one that is taken twice is found to be a duplicate, event by event.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from detector.envelopes.firehose import CLOCK_SLACK_SECONDS, MAX_RETRY_SECONDS, plain_name
from detector.state.store import Position

REMEMBER_SECONDS = MAX_RETRY_SECONDS + CLOCK_SLACK_SECONDS
"""How long a request is remembered: Firehose tries none for longer."""

MAX_REMEMBERED = 50_000
"""Requests that are remembered: six a second for as long as they are, and some 15 MB. Of more, the
oldest are forgotten, and their events, if they come again, are duplicates."""

_PREFIX = "request:"


@dataclass(frozen=True, slots=True)
class RequestKey:
    """What a request is known by."""

    request_id: str
    length: int


class Remembered:
    """Requests whose events are committed, the oldest first."""

    def __init__(self, positions: Mapping[str, str]) -> None:
        """Begin with what the state holds of the source; what is not ours there is left alone."""
        self._done: dict[str, tuple[float, int]] = {}
        for key, value in sorted(positions.items(), key=lambda item: _parsed(item[1])):
            if key.startswith(_PREFIX):
                self._done[key] = _parsed(value)

    def __len__(self) -> int:
        return len(self._done)

    def __contains__(self, request: RequestKey) -> bool:
        found = self._done.get(_key(request))
        return found is not None and found[1] == request.length

    def add(self, request: RequestKey, now: float) -> None:
        """Remember a request whose events are committed."""
        key = _key(request)
        self._done.pop(key, None)
        self._done[key] = (now, request.length)

    def take_old(self, now: float) -> list[str]:
        """Forget what need not be remembered any more; return its keys in the state."""
        excess = len(self._done) - MAX_REMEMBERED
        old = [
            key
            for index, (key, (time, _)) in enumerate(self._done.items())
            if index < excess or time < now - REMEMBER_SECONDS
        ]
        for key in old:
            del self._done[key]
        return old


def remembered_position(source: str, request: RequestKey, now: float) -> Position:
    """Return what is committed together with a request's events."""
    return Position(source, _key(request), f"{now:.3f} {request.length}")


def _key(request: RequestKey) -> str:
    return _PREFIX + plain_name(request.request_id)


def _parsed(value: str) -> tuple[float, int]:
    """Return a position's time and length; of one that cannot be read, those of a very old one."""
    time, _, length = value.partition(" ")
    try:
        return float(time), int(length)
    except ValueError:
        return 0.0, -1
