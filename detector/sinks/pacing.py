"""How much a sink is sent at a time: alerts one by one, a digest of them, or nothing yet.

Everything here is pure; times are in seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

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
    """What to do next for a sink: send alerts one by one, or one digest of them, or wait.

    `wait` is in seconds, None where nothing has to be waited for.
    """

    single: Sequence[Mention] = ()
    digest: Sequence[Mention] = ()
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
    that is left. Grouped ones wait for others, and then go together.
    """
    wait = None
    if group is not None:
        due, wait = _grouped(due, now, group)
    step = one_by_one(due, rate, bucket)
    if not step.single:
        return Step(wait=step.wait if wait is None else wait)
    if group is not None:
        return step if len(due) == 1 else Step(digest=due)
    if len(step.single) == len(due):
        return step
    return Step(single=step.single[:-1]) if len(step.single) > 1 else Step(digest=due)


def _grouped(
    due: Sequence[Mention], now: float, group: GroupConfig
) -> tuple[Sequence[Mention], float | None]:
    """Return the group that has waited for the longest if it need wait no more, else how long."""
    groups: dict[Collection[str], list[Mention]] = {}
    for item in due:
        groups.setdefault(_key(item, group.by), []).append(item)
    wait: float | None = None
    for items in groups.values():
        rest = min(item.made_at for item in items) + group.seconds - now
        if rest <= 0:
            return items, None
        wait = rest if wait is None else min(wait, rest)
    return (), wait


_LABELS: Mapping[GroupLabel, Callable[[Mention], Iterable[str]]] = {
    "rule": lambda item: [item.rule_id],
    "level": lambda item: [item.level],
    "account": lambda item: item.accounts,
}


def _key(item: Mention, by: Iterable[GroupLabel]) -> Collection[str]:
    return tuple(f"{label}:{value}" for label in by for value in _LABELS[label](item))
