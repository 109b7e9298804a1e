"""How far the shards of a stream have been read, all of them together. Reads no clock."""

from __future__ import annotations

from dataclasses import dataclass

STALLED_SECONDS = 900.0
"""A shard that has not answered for so long is waited for no more: what the others bring must not
stay undecided for its sake. As long as an event may take before it is late, by default."""


@dataclass(slots=True)
class _Shard:
    since: float
    behind: float | None = None


class Progress:
    """What the shards that are being read have said last.

    One shard may be at the tip of the stream while another one is hours behind. Up to when all that
    arrived has been handed on is what the slowest one says.
    """

    def __init__(self) -> None:
        self._shards: dict[str, _Shard] = {}
        self._until = 0.0

    def begin(self, shard_id: str, now: float) -> None:
        """Take note that a shard is being read."""
        self._shards[shard_id] = _Shard(now)

    def answered(self, shard_id: str, now: float, behind: float) -> None:
        """Take note of how far behind the tip of the stream an answer is, in seconds."""
        self._shards[shard_id] = _Shard(now, behind)

    def end(self, shard_id: str) -> None:
        """Take note that a shard is not read any more."""
        self._shards.pop(shard_id, None)

    @property
    def behind(self) -> float:
        """The most that a shard is behind, in seconds."""
        return max((shard.behind or 0.0 for shard in self._shards.values()), default=0.0)

    def delivered_until(self, now: float) -> float:
        """Return up to when all that arrived has been handed on; 0 while that is not known.

        It never goes back.
        """
        live = [shard for shard in self._shards.values() if now - shard.since < STALLED_SECONDS]
        if live and all(shard.behind is not None for shard in live):
            slowest = min(shard.since - (shard.behind or 0.0) for shard in live)
            self._until = max(self._until, slowest)
        return self._until
