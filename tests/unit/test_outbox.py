"""What the outbox does for one sink, over hours of a clock that the test moves."""

from __future__ import annotations

import msgspec

from detector.alerts.alert import Alert
from detector.alerts.digest import DIGEST
from detector.alerts.failing_sink import SINK_FAILING
from detector.config import GroupConfig, RateConfig
from detector.sinks.desk import MAX_PASSED_OVER
from detector.sinks.health import ALERT_CAP_SECONDS, PROBE_CAP_SECONDS
from detector.sinks.outbox import SENDING_SECONDS
from detector.sinks.policy import Policy
from detector.sinks.sink import Answer, Delivered, Permanent, Retry
from detector.state.store import Notification, Revision
from tests.outbox import DAY, HOUR, Make, ScriptedSink, down, numbered


async def test_a_sink_that_is_back_after_a_day_gets_everything_once_and_soon(make: Make) -> None:
    sink, other = ScriptedSink(concurrency=4), ScriptedSink("other")
    box = make(sink, other)
    sink.answer = down
    await box.start()
    alerts = [numbered(number) for number in range(48)]
    for item in alerts:
        await box.save(item)
        await box.wait(DAY / 48)
    assert [id_ for id_, _ in other.told if id_ in {item.id for item in alerts}] == [
        item.id for item in alerts
    ]
    assert not sink.taken
    # It is asked now and then, whatever waits for it.
    assert 200 < len(sink.tried) < 2.2 * DAY / PROBE_CAP_SECONDS
    sink.answer = lambda _: Delivered()
    await box.wait(PROBE_CAP_SECONDS)
    assert sorted(sink.told) == sorted((item.id, "raised") for item in alerts)
    assert not box.pending()


async def test_alerts_of_a_rule_and_group_keep_their_order_and_hold_up_no_others(
    make: Make,
) -> None:
    sink = ScriptedSink(concurrency=4)
    box = make(sink)
    await box.start()
    first = numbered(1)
    second = msgspec.structs.replace(first, id="second", dedup_key=first.id)
    sink.answer = lambda item: Retry("500") if item.alert.id == first.id else Delivered()
    await box.save(first, numbered(2))
    await box.wait(1)
    await box.save(second, numbered(3))
    await box.wait(HOUR)
    assert {id_ for id_, _ in sink.told} == {numbered(2).id, numbered(3).id}
    sink.answer = lambda _: Delivered()
    await box.wait(ALERT_CAP_SECONDS)
    assert sink.told[2:] == [(first.id, "raised"), ("second", "raised")]


async def test_an_alert_that_a_sink_chokes_on_is_tried_for_ever_and_ever_less_often(
    make: Make,
) -> None:
    sink = ScriptedSink()
    box = make(sink)
    await box.start()
    poison = numbered(1)
    sink.answer = lambda item: Retry("500") if item.alert.id == poison.id else Delivered()
    await box.save(poison)
    for number in range(2, 2 + 24 * 6):
        await box.save(numbered(number))
        await box.wait(600)
    tries = [item for item in sink.tried if item.alert.id == poison.id]
    assert 15 < len(tries) < 60
    assert len(sink.taken) == 24 * 6
    assert box.pending() == 1


async def test_a_wait_that_a_sink_asks_for_holds_for_all_alerts(make: Make) -> None:
    sink = ScriptedSink()
    box = make(sink)
    await box.start()
    answers = [Retry("429", 1800.0)]
    sink.answer = lambda _: answers.pop() if answers else Delivered()
    await box.save(numbered(1), numbered(2))
    await box.wait(1799)
    assert len(sink.tried) == 1
    await box.wait(2)
    assert len(sink.taken) == 2


async def test_what_is_refused_is_kept_with_its_reason_and_goes_to_the_fallback(
    make: Make,
) -> None:
    sink, other = ScriptedSink(), ScriptedSink("other")
    box = make(sink, other, s=Policy(fallback="other"))
    await box.start()
    sink.answer = lambda _: Permanent("400: no such channel")
    refused = numbered(1)
    await box.save(refused, sinks=["s"])
    await box.wait(1)
    assert box.dead() == 1
    assert other.told == [(refused.id, "raised")]
    await box.resolve(refused)
    await box.wait(1)
    assert other.told == [(refused.id, "raised"), (refused.id, "resolved")]
    # The next start tries it once more.
    sink.answer = lambda _: Delivered()
    await box.start()
    await box.wait(1)
    assert sink.told == [(refused.id, "raised"), (refused.id, "resolved")]


async def test_others_are_told_of_a_sink_that_fails_for_a_stated_time_and_of_its_return(
    make: Make,
) -> None:
    sink, other, third = ScriptedSink(), ScriptedSink("other"), ScriptedSink("third")
    box = make(sink, other, third, s=Policy(alert_after=900, fallback="other"))
    await box.start()
    sink.answer = down
    await box.save(numbered(1), sinks=["s"])
    await box.wait(899)
    assert not other.taken
    await box.wait(2)
    assert {(item.alert.rule_id, item.kind) for item in other.taken} == {
        (SINK_FAILING, "raised"),
        (numbered(1).rule_id, "raised"),
    }
    (told,) = third.taken
    assert told.alert.group == {"sink": "s"}
    assert "no connection" in told.alert.description
    # What comes while it lasts goes to the fallback too.
    await box.save(numbered(2), sinks=["s"])
    await box.wait(PROBE_CAP_SECONDS)
    assert (numbered(2).id, "raised") in other.told
    await box.start()
    await box.wait(HOUR)
    assert len(third.taken) == 1
    sink.answer = lambda _: Delivered()
    await box.wait(PROBE_CAP_SECONDS)
    assert {item.alert.id for item in sink.taken} == {numbered(1).id, numbered(2).id}
    assert third.told == [(told.alert.id, "raised"), (told.alert.id, "resolved")]


RATE = RateConfig(burst=5, every_seconds=60)


def of_digests(sink: ScriptedSink) -> list[Alert]:
    return [item.alert for item in sink.taken if item.alert.rule_id == DIGEST]


def told_of_digests(sink: ScriptedSink) -> list[tuple[str, str]]:
    return [(item.alert.id, item.kind) for item in sink.taken if item.alert.rule_id == DIGEST]


async def test_a_storm_is_a_burst_and_then_digests_with_exact_totals(make: Make) -> None:
    sink, archive = ScriptedSink(), ScriptedSink("archive", concurrency=8)
    box = make(sink, archive, s=Policy(rate=RATE), archive=Policy(has_digests=False))
    await box.start()
    alerts = [
        numbered(number, rule_id=f"rule {number % 7}", title=f"Rule {number % 7}", level=level)
        for number, level in enumerate(["low"] * 499 + ["critical"])
    ]
    for begin in range(0, 500, 50):
        await box.save(*alerts[begin : begin + 50])
        await box.wait(6)
    await box.wait(60)
    assert len(sink.taken) <= RATE.burst + 2
    digests = [item.digest for item in of_digests(sink) if item.digest is not None]
    assert len(sink.taken) - len(digests) + sum(item.raised for item in digests) == 500
    assert sum(entry.raised for item in digests for entry in item.entries) == 500 - (
        len(sink.taken) - len(digests)
    )
    assert max(digests, key=lambda item: item.notifications).entries[0].level in {"low", "critical"}
    assert [item.level for item in of_digests(sink)][-1] == "critical"
    assert len(archive.taken) == 500
    assert not box.pending()


async def test_what_was_told_in_a_digest_ends_with_the_digest(make: Make) -> None:
    sink = ScriptedSink()
    box = make(sink, s=Policy(rate=RATE))
    await box.start()
    alerts = [numbered(number) for number in range(30)]
    await box.save(*alerts)
    await box.wait(1)
    (digest,) = of_digests(sink)
    singles = [id_ for id_, _ in sink.told if id_ != digest.id]
    assert len(singles) == RATE.burst - 1
    await box.wait(HOUR)
    hidden = [item for item in alerts if item.id not in singles]
    await box.resolve(*hidden[:-1])
    await box.wait(HOUR)
    assert len(sink.taken) == RATE.burst
    await box.resolve(hidden[-1])
    await box.wait(HOUR)
    assert sink.told[RATE.burst :] == [(digest.id, "resolved")]
    assert not box.pending()


async def test_the_end_of_a_digest_is_told_once_whatever_was_told_of_its_alerts_since(
    make: Make,
) -> None:
    sink = ScriptedSink()
    box = make(sink, s=Policy(rate=RATE))
    await box.start()
    alerts = [numbered(number) for number in range(MAX_PASSED_OVER + RATE.burst)]
    await box.save(*alerts)
    await box.wait(HOUR)
    (digest,) = of_digests(sink)
    singles = [id_ for id_, _ in sink.told if id_ != digest.id]
    await box.revise(*(Revision(item.id, count=2) for item in alerts))
    await box.wait(HOUR)
    assert any(item.digest.updated for item in of_digests(sink) if item.digest is not None)
    await box.resolve(*alerts)
    await box.wait(HOUR)
    assert told_of_digests(sink).count((digest.id, "resolved")) == 1
    assert {id_ for id_, kind in told_of_digests(sink) if kind == "resolved"} == {digest.id}
    ends = sum(item.digest.resolved for item in of_digests(sink) if item.digest)
    ends += sum(kind == "resolved" for id_, kind in sink.told if id_ in singles)
    assert ends == len(singles)
    assert not box.pending()


async def test_a_digest_ends_with_the_last_alert_that_is_told_by_it_alone(make: Make) -> None:
    sink = ScriptedSink()
    box = make(sink, s=Policy(rate=RATE))
    await box.start()
    alerts = [numbered(number) for number in range(30)]
    await box.save(*alerts)
    await box.wait(HOUR)
    (digest,) = of_digests(sink)
    told = {id_ for id_, _ in sink.told}
    last, *others = (item for item in alerts if item.id not in told)
    await box.resolve(*others)
    await box.wait(HOUR)
    # It is told by itself since: the digest has nothing more to say.
    await box.revise(Revision(last.id, count=2))
    await box.wait(HOUR)
    assert sink.told[-2:] == [(last.id, "updated"), (digest.id, "resolved")]
    await box.resolve(last)
    await box.wait(HOUR)
    assert sink.told[-1] == (last.id, "resolved")
    assert not box.pending()


async def test_a_pager_gets_the_ends_of_incidents_that_it_knows_one_by_one(make: Make) -> None:
    sink = ScriptedSink()
    box = make(sink, s=Policy(rate=RATE, folds=True))
    await box.start()
    alerts = [numbered(number) for number in range(30)]
    await box.save(*alerts)
    await box.wait(HOUR)
    (digest,) = of_digests(sink)
    known = {id_ for id_, _ in sink.told} - {digest.id}
    # An update of an alert that it was told of in a digest would open an incident of its own.
    await box.revise(*(Revision(item.id, count=2) for item in alerts))
    await box.wait(HOUR)
    updated = {id_ for id_, kind in sink.told if kind == "updated"}
    assert updated == known
    await box.resolve(*alerts)
    await box.wait(HOUR)
    resolved = [id_ for id_, kind in sink.told if kind == "resolved"]
    assert sorted(resolved) == sorted([*known, digest.id])
    assert not box.pending()


async def test_an_allowance_is_not_renewed_by_a_restart(make: Make) -> None:
    sink = ScriptedSink()
    box = make(sink, s=Policy(rate=RATE))
    await box.start()
    await box.save(*(numbered(number) for number in range(RATE.burst)))
    await box.wait(1)
    assert len(sink.taken) == RATE.burst
    await box.start()
    await box.save(numbered(99))
    await box.wait(50)
    assert len(sink.taken) == RATE.burst
    await box.wait(20)
    assert sink.told[-1] == (numbered(99).id, "raised")


async def test_grouped_alerts_wait_for_each_other_and_go_together(make: Make) -> None:
    sink = ScriptedSink()
    group = GroupConfig(seconds=30, by=("rule",))
    box = make(sink, s=Policy(group=group))
    await box.start()
    await box.save(numbered(1), numbered(2, rule_id="alone"))
    await box.wait(20)
    await box.save(numbered(3))
    await box.wait(9)
    assert not sink.taken
    await box.wait(2)
    assert sink.told[0] in {(numbered(2).id, "raised"), (of_digests(sink)[0].id, "raised")}
    (digest,) = of_digests(sink)
    assert digest.digest is not None
    assert digest.digest.alert_ids == sorted([numbered(1).id, numbered(3).id])
    assert len(sink.taken) == 2


async def test_a_sink_may_do_without_updates_and_ends(make: Make) -> None:
    sink = ScriptedSink()
    box = make(sink, s=Policy(updates=False, resolved=False))
    await box.start()
    await box.save(numbered(1))
    await box.wait(1)
    await box.revise(Revision(numbered(1).id, count=2))
    await box.wait(HOUR)
    await box.resolve(numbered(1))
    await box.wait(HOUR)
    assert sink.told == [(numbered(1).id, "raised")]
    assert not box.pending()


async def test_what_has_waited_for_too_long_is_a_dead_letter_that_can_be_retried(
    make: Make,
) -> None:
    sink = ScriptedSink()
    box = make(sink, s=Policy(retention=HOUR))
    sink.answer = down
    await box.start()
    await box.save(numbered(1))
    await box.wait(2 * HOUR)
    assert (box.pending(), box.dead()) == (0, 1)


async def test_an_outbox_that_is_too_full_is_put_together_while_its_sink_is_down(
    make: Make,
) -> None:
    sink = ScriptedSink()
    box = make(sink, s=Policy(max_pending=100))
    sink.answer = down
    await box.start()
    await box.save(*(numbered(number) for number in range(250)))
    await box.wait(HOUR)
    assert box.pending() <= 100
    sink.answer = lambda _: Delivered()
    await box.wait(HOUR)
    digests = [item.digest for item in of_digests(sink) if item.digest is not None]
    assert len(sink.taken) - len(digests) + sum(item.raised for item in digests) == 250


async def test_a_sink_that_cannot_write_an_alert_does_not_take_the_others_with_it(
    make: Make,
) -> None:
    sink = ScriptedSink()
    box = make(sink)
    await box.start()

    def answer(item: Notification) -> Answer:
        if item.alert.id == numbered(1).id:
            raise KeyError("bug")
        return Delivered()

    sink.answer = answer
    await box.save(numbered(1), numbered(2))
    await box.wait(1)
    assert box.dead() == 1
    assert sink.told == [(numbered(2).id, "raised")]


async def test_ever_more_is_sent_between_two_commits_as_long_as_it_is_taken_fast(
    make: Make,
) -> None:
    sink = ScriptedSink(concurrency=4)
    box = make(sink)
    await box.start()
    await box.save(*(numbered(number) for number in range(400)))
    sizes = []
    while (work := await box.workers["s"].step()).has_more:
        sizes.append(len(work.send))
    assert sizes == [4, 8, 16, 32, 64, 128, 128, 20]
    assert len({id_ for id_, _ in sink.told}) == len(sink.taken) == 400


async def test_a_slow_sink_is_sent_few_alerts_between_two_commits(make: Make) -> None:
    sink = ScriptedSink(concurrency=4)
    box = make(sink)
    await box.start()
    await box.save(*(numbered(number) for number in range(40)))
    await box.workers["s"].step()

    def slow(_: Notification) -> Answer:
        box.now += SENDING_SECONDS / 4
        return Delivered()

    sink.answer = slow
    # One sends until the time is up, and each of the three others one alert.
    assert [len((await box.workers["s"].step()).send) for _ in range(3)] == [7, 7, 7]
    assert box.pending() == 40 - len(sink.taken) == 15


async def test_no_more_is_sent_when_one_alert_is_not_taken(make: Make) -> None:
    sink = ScriptedSink(concurrency=2)
    box = make(sink)
    await box.start()
    await box.save(*(numbered(number) for number in range(20)))
    await box.workers["s"].step()
    sink.answer = lambda item: Delivered() if len(sink.tried) < 5 else Retry(item.alert.id)
    assert len((await box.workers["s"].step()).send) == 4
    assert box.pending() == 20 - len(sink.taken) == 16
