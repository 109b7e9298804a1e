"""How much a sink is sent at a time: alerts one by one, a digest of them, or nothing yet.

Everything here is pure; times are in seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec

from detector.alerts.digest import Mention
from detector.config import GroupConfig, RateConfig
from detector.config.sinks import GroupLabel


class Bucket(msgspec.Struct, frozen=True):
    """What is left of a sink's allowance: so many messages, as of a time.

    It is kept, so that a restart is no new allowance.
    """

    messages: float
    at: float

    def filled(self, rate: RateConfig, now: float) -> Bucket:
        """Return it as it is at a time; a clock that was set back fills nothing."""
        gained = max(now - self.at, 0.0) / rate.every_seconds
        return Bucket(min(self.messages + gained, float(rate.burst)), now)

    def wait(self, rate: RateConfig) -> float:
        """Return in how many seconds there is one message more."""
        return max(1.0 - self.messages, 0.0) * rate.every_seconds

    def less(self, messages: int) -> Bucket:
        """Return what is left after so many messages."""
        return Bucket(self.messages - messages, self.at)


@dataclass(frozen=True, slots=True)
class Step:
    """What to do next for a sink: send alerts one by one, or digests of them, or wait.

    `wait` is in seconds, None where nothing has to be waited for.
    """

    single: Sequence[Mention] = ()
    digests: Sequence[Sequence[Mention]] = ()
    wait: float | None = None


def one_by_one(due: Sequence[Mention], rate: RateConfig | None, bucket: Bucket) -> Step:
    """Return what to do about notifications that are not put together, in their order.

    `bucket` is filled as of now.
    """
    if not due:
        return Step()
    if rate is None:
        return Step(single=due)
    if bucket.messages < 1:
        return Step(wait=bucket.wait(rate))
    return Step(single=due[: int(bucket.messages)])


def put_together(
    due: Sequence[Mention],
    now: float,
    *,
    rate: RateConfig | None,
    bucket: Bucket,
    group: GroupConfig | None,
) -> Step:
    """Return what to do about notifications of which several may be one message, in their order.

    While there is enough of the allowance they go one by one; its last message is a digest of all
    that is left. Grouped ones wait for others, and then go together. Digests come first, and are
    due at once themselves: they take of the allowance when they are sent.
    """
    if group is not None:
        return _groups(due, now, rate, bucket, group)
    step = one_by_one(due, rate, bucket)
    if len(step.single) == len(due):
        return step
    if len(step.single) == 1:
        return Step(digests=[due])
    return replace(step, single=step.single[:-1])


def _groups(
    due: Sequence[Mention],
    now: float,
    rate: RateConfig | None,
    bucket: Bucket,
    group: GroupConfig,
) -> Step:
    """Return what to do about the groups that need wait no more, or how long the others have to.

    As many as there may be messages now: of hundreds, all notifications are read but once.
    """
    groups: dict[Collection[str], list[Mention]] = {}
    for item in due:
        groups.setdefault(_key(item, group.by), []).append(item)
    waits: list[float] = []
    ready: list[list[Mention]] = []
    for items in groups.values():
        rest = min(item.made_at for item in items) + group.seconds - now
        if rest > 0:
            waits.append(rest)
        else:
            ready.append(items)
    if not ready:
        return Step(wait=min(waits, default=None))
    if rate is not None and bucket.messages < 1:
        return Step(wait=bucket.wait(rate))
    if rate is not None:
        ready = ready[: int(bucket.messages)]
    digests = [items for items in ready if len(items) > 1]
    return Step(digests=digests) if digests else Step(single=[items[0] for items in ready])


_LABELS: Mapping[GroupLabel, Callable[[Mention], Iterable[str]]] = {
    "rule": lambda item: [item.rule_id],
    "level": lambda item: [item.level],
    "account": lambda item: item.accounts,
}


def _key(item: Mention, by: Iterable[GroupLabel]) -> Collection[str]:
    return tuple(f"{label}:{value}" for label in by for value in _LABELS[label](item))
