"""How far the shards of a stream have been read, all of them together. Reads no clock."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

STALLED_SECONDS = 900.0
"""A shard that has not answered for so long is waited for no more: what the others bring must not
stay undecided for its sake. As long as an event may take before it is late, by default."""

HEARD_SECONDS = 60.0
"""The most that one answer adds to how long the other shards have been silent. Where none answered
for longer, the stream or the way to it was gone, and what each shard has to say is still to come.
Some shard of a stream that is read answers far more often."""


@dataclass(slots=True)
class _Shard:
    heard_at: float
    """When it answered last, or was begun, by the time that `Progress` listens."""
    until: float | None = None
    behind: float = 0.0
    is_waiting: bool = False


class Progress:
    """What the shards that are being read have said last.

    One shard may be at the tip of the stream while another one is hours behind. Up to when all that
    arrived has been handed on is what the slowest one says.

    A shard that was read to its end stays until its children have been begun: what they hold is not
    known, and may be all of a backlog.
    """

    def __init__(self) -> None:
        self._shards: dict[str, _Shard] = {}
        self._until = 0.0
        self._listened = 0.0
        """For how long any shard has answered, in seconds. It stands still while none does: a stall
        of all is not the silence of one."""
        self._answered_at: float | None = None

    def begin(self, shard_id: str) -> None:
        """Take note that a shard is being read."""
        self._shards[shard_id] = _Shard(self._listened)

    def answered(self, shard_id: str, now: float, behind: float) -> None:
        """Take note of how far behind the tip of the stream an answer is, in seconds."""
        shard = self._heard(shard_id, now)
        shard.until = now - behind
        shard.behind = behind

    def ended(self, shard_id: str, now: float) -> None:
        """Take note of the answer at the end of a shard.

        How far behind that says it is means nothing: the stream goes on in the shard's children.
        """
        self._heard(shard_id, now).until = None

    def forget(self, shard_ids: Collection[str]) -> None:
        """Let go of shards that are gone, or of which all children that can be read have begun."""
        for shard_id in shard_ids:
            self._shards.pop(shard_id, None)

    @contextmanager
    def waiting(self, shard_id: str) -> Iterator[None]:
        """Take note that a shard is not asked as long as this lasts, so that it is not silent."""
        shard = self._shards[shard_id]
        since = self._listened
        shard.is_waiting = True
        try:
            yield
        finally:
            shard.is_waiting = False
            shard.heard_at += self._listened - since

    @property
    def behind(self) -> float:
        """The most that a shard is behind, in seconds."""
        return max((shard.behind for shard in self._shards.values()), default=0.0)

    def delivered_until(self) -> float:
        """Return up to when all that arrived has been handed on; 0 while that is not known.

        It never goes back.
        """
        untils = [shard.until for shard in self._shards.values() if not self._is_stalled(shard)]
        known = [until for until in untils if until is not None]
        if known and len(known) == len(untils):
            self._until = max(self._until, min(known))
        return self._until

    def _heard(self, shard_id: str, now: float) -> _Shard:
        if self._answered_at is not None:
            self._listened += min(max(0.0, now - self._answered_at), HEARD_SECONDS)
        self._answered_at = now
        shard = self._shards[shard_id]
        shard.heard_at = self._listened
        return shard

    def _is_stalled(self, shard: _Shard) -> bool:
        return not shard.is_waiting and self._listened - shard.heard_at >= STALLED_SECONDS
