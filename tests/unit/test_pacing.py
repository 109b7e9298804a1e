"""How much a sink is sent, for any arrivals at any times."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.alerts.alert import Alert
from detector.alerts.digest import MAX_ALERT_IDS, MAX_RULES, Mention, digest_alert, resolved_digest
from detector.alerts.routing import LEVELS
from detector.config import GroupConfig, RateConfig
from detector.sinks.pacing import Bucket, Step, one_by_one, put_together
from tests.records import NOON

KINDS = ("raised", "updated", "resolved")

rates = st.builds(
    RateConfig, burst=st.integers(1, 12), every_seconds=st.sampled_from([0.25, 1.0, 7.0, 60.0])
)
gaps = st.one_of(st.just(0.0), st.floats(0, 90))
groups = st.builds(
    GroupConfig,
    seconds=st.sampled_from([0.5, 5.0, 300.0]),
    by=st.lists(st.sampled_from(["rule", "level", "account"]), unique=True).map(tuple),
)


@st.composite
def arrivals(draw: st.DrawFn) -> list[Mention]:
    """Notifications in the order in which they come."""
    now, made = NOON, []
    for number, gap in enumerate(draw(st.lists(gaps, max_size=80))):
        now += gap
        made.append(
            mention(
                number,
                now,
                rule_id=f"rule {draw(st.integers(0, 3))}",
                kind=draw(st.sampled_from(KINDS)),
                level=draw(st.sampled_from(LEVELS)),
                count=draw(st.integers(1, 1000)),
                accounts=[f"{draw(st.integers(0, 2)):012d}"],
            )
        )
    return made


def mention(number: int, made_at: float = NOON, **fields: object) -> Mention:
    rule_id = fields.pop("rule_id", "rule")
    made = {
        "id": f"{number:032x}",
        "rule_id": rule_id,
        "title": f"Title of {rule_id}",
        "level": "low",
        "count": 1,
        "first_event_time": "2026-09-16T12:00:00Z",
        "last_event_time": "2026-09-16T12:00:01Z",
        "made_at": made_at,
    }
    return Mention(**{**made, **fields})  # type: ignore[arg-type]


class Sent:
    """What a sink gets that takes everything at once, as its desk goes by the steps."""

    def __init__(
        self, coming: Sequence[Mention], rate: RateConfig | None, group: GroupConfig | None
    ) -> None:
        self.singles: list[Mention] = []
        self.digests: list[tuple[Alert, Sequence[Mention]]] = []
        self.times: list[float] = []
        self.told_at: dict[str, float] = {}
        self._rate, self._group = rate, group
        self._bucket = Bucket(float(rate.burst) if rate else 0.0, NOON)
        self._own: list[tuple[Alert, Sequence[Mention]]] = []
        self._pass(list(coming))

    def _pass(self, coming: list[Mention]) -> None:
        now = NOON
        due: list[Mention] = []
        while coming or due or self._own:
            while coming and coming[0].made_at <= now:
                due.append(coming.pop(0))
            step = self._step(due, now)
            if step.single:
                self.singles += step.single
                self._note(step.single, now)
                due = [item for item in due if item not in step.single]
            elif step.digests:
                # The desk makes one of a single notification no digest, and no step asks for that.
                assert all(len(told) > 1 for told in step.digests)
                self._own += [(digest_alert("s", told, now), told) for told in step.digests]
                gone = {item.id for told in step.digests for item in told}
                due = [item for item in due if item.id not in gone]
            else:
                moments = [item.made_at for item in coming[:1]]
                # A time that a float cannot tell from now would be waited for in vain.
                moments += [now + max(step.wait, 1e-3)] if step.wait is not None else []
                assert moments or not (due or self._own)
                now = min(moments, default=now)

    def _step(self, due: Sequence[Mention], now: float) -> Step:
        rate = self._rate
        bucket = self._bucket = self._bucket.filled(rate, now) if rate else self._bucket
        if self._own:
            own = one_by_one([mention(0)], rate, bucket)
            if own.single:
                alert, told = self._own.pop(0)
                self.digests.append((alert, told))
                self._note(told, now, messages=1)
                return self._step(due, now)
            return own
        return put_together(due, now, rate=rate, bucket=bucket, group=self._group)

    def _note(self, told: Sequence[Mention], now: float, messages: int | None = None) -> None:
        number = len(told) if messages is None else messages
        self.times += [now] * number
        if self._rate is not None:
            self._bucket = self._bucket.less(number)
        for item in told:
            assert item.id not in self.told_at, "told twice"
            self.told_at[item.id] = now


@given(arrivals(), rates, st.none() | groups)
def test_no_stretch_of_time_has_more_messages_than_the_rate_allows(
    coming: list[Mention], rate: RateConfig, group: GroupConfig | None
) -> None:
    times = Sent(coming, rate, group).times
    for first, last in itertools.combinations(range(len(times)), 2):
        elapsed = times[last] - times[first]
        assert last - first + 1 <= rate.burst + elapsed / rate.every_seconds + 1e-6


@given(arrivals(), st.none() | rates, st.none() | groups)
def test_everything_is_told_once_and_the_totals_are_exact(
    coming: list[Mention], rate: RateConfig | None, group: GroupConfig | None
) -> None:
    sent = Sent(coming, rate, group)
    assert set(sent.told_at) == {item.id for item in coming}
    events: Counter[str] = Counter()
    kinds: Counter[tuple[str, str]] = Counter()
    for item in sent.singles:
        events[item.rule_id] += item.count
        kinds[item.rule_id, item.kind] += 1
    for alert, told in sent.digests:
        digest = alert.digest
        assert digest is not None
        assert digest.notifications == len(told) == digest.raised + digest.updated + digest.resolved
        assert digest.events == sum(entry.events for entry in digest.entries) == alert.count
        for entry in digest.entries:
            events[entry.rule_id] += entry.events
            for kind in KINDS:
                kinds[entry.rule_id, kind] += getattr(entry, kind)
    expected = Counter[str]()
    for item in coming:
        expected[item.rule_id] += item.count
    assert events == expected
    assert +kinds == Counter((item.rule_id, item.kind) for item in coming)


@given(arrivals())
def test_without_a_rate_and_groups_all_go_at_once_and_by_themselves(coming: list[Mention]) -> None:
    sent = Sent(coming, None, None)
    assert sent.singles == coming
    assert all(sent.told_at[item.id] == item.made_at for item in coming)


@given(arrivals(), groups)
def test_grouped_ones_have_what_they_are_grouped_by_in_common_and_wait_no_longer(
    coming: list[Mention], group: GroupConfig
) -> None:
    sent = Sent(coming, None, group)
    for _, told in sent.digests:
        if "rule" in group.by:
            assert len({item.rule_id for item in told}) == 1
        if "level" in group.by:
            assert len({item.level for item in told}) == 1
        if "account" in group.by:
            assert len({tuple(item.accounts) for item in told}) == 1
    for told in [*([item] for item in sent.singles), *(told for _, told in sent.digests)]:
        waited = sent.told_at[told[0].id] - min(item.made_at for item in told)
        assert group.seconds - 1e-6 <= waited <= group.seconds + 2e-3


@given(arrivals(), rates)
def test_what_waits_for_the_rate_waits_for_one_message_and_no_longer(
    coming: list[Mention], rate: RateConfig
) -> None:
    sent = Sent(coming, rate, None)
    for item in coming:
        # The next message may be a digest that was made a moment before; then it is the one after.
        assert sent.told_at[item.id] - item.made_at <= 2 * rate.every_seconds + 5e-3


@given(rates, st.integers(1, 60))
def test_what_comes_at_once_is_told_at_once_the_last_message_being_a_digest(
    rate: RateConfig, number: int
) -> None:
    sent = Sent([mention(item) for item in range(number)], rate, None)
    assert set(sent.times) == {NOON}
    assert len(sent.times) == min(number, rate.burst)
    assert [len(told) for _, told in sent.digests] == (
        [number - rate.burst + 1] if number > rate.burst else []
    )


@given(rates, st.lists(st.tuples(st.floats(-1e5, 1e5), st.integers(0, 12))))
def test_a_bucket_is_never_fuller_than_a_burst_and_gains_by_time_that_passes_alone(
    rate: RateConfig, steps: list[tuple[float, int]]
) -> None:
    bucket, now = Bucket(float(rate.burst), NOON), NOON
    forward = spent = 0.0
    for moved, wanted in steps:
        now += moved
        forward += max(moved, 0.0)
        before = bucket.messages
        bucket = bucket.filled(rate, now)
        assert before <= bucket.messages <= rate.burst
        if moved <= 0:
            assert bucket.messages == before
        taken = min(wanted, int(bucket.messages))
        bucket = bucket.less(taken)
        spent += taken
        assert bucket.messages >= 0
        assert spent <= rate.burst + forward / rate.every_seconds + 1e-6


@given(rates, st.floats(0, 12))
def test_after_its_wait_a_bucket_has_a_message(rate: RateConfig, messages: float) -> None:
    bucket = Bucket(min(messages, float(rate.burst)), NOON)
    wait = bucket.wait(rate)
    assert 0 <= wait <= rate.every_seconds
    assert bucket.filled(rate, NOON + wait + 1e-3).messages >= 1


def test_a_clock_that_is_set_back_holds_up_a_sink_no_longer_than_its_rate() -> None:
    rate = RateConfig(burst=1, every_seconds=60.0)
    empty = Bucket(0.0, NOON).filled(rate, NOON - 86_400)
    assert empty.messages == 0
    assert empty.filled(rate, NOON - 86_400 + 60).messages == 1


@given(arrivals().filter(bool), st.randoms())
def test_a_digest_is_the_same_whatever_the_order_of_what_it_tells(
    told: list[Mention], chance: Random
) -> None:
    one = digest_alert("s", told, NOON)
    assert one.level == max((item.level for item in told), key=LEVELS.index)
    chance.shuffle(told)
    assert digest_alert("s", told, NOON) == one
    assert digest_alert("other", told, NOON).id != one.id
    assert resolved_digest(one).state == "resolved"


@pytest.mark.parametrize("rules", [MAX_RULES, MAX_RULES + 7])
def test_rules_that_a_digest_does_not_name_are_those_of_the_lowest_levels_and_in_its_numbers(
    rules: int,
) -> None:
    told = [
        mention(number, rule_id=f"rule {number % rules}", level=LEVELS[number % rules % 5])
        for number in range(3 * MAX_ALERT_IDS)
    ]
    digest = digest_alert("s", told, NOON).digest
    assert digest is not None
    assert (digest.notifications, digest.events) == (len(told), len(told))
    assert (len(digest.entries), digest.more_rules) == (MAX_RULES, rules - MAX_RULES)
    assert len(digest.alert_ids) == MAX_ALERT_IDS
    levels = [LEVELS.index(entry.level) for entry in digest.entries]
    assert levels == sorted(levels, reverse=True)
