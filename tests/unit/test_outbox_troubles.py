"""What the outbox does about sinks that refuse, choke, come and go; what others hear of it."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest

from detector.alerts.alert import Alert
from detector.alerts.digest import DIGEST
from detector.alerts.failing_sink import SINK_FAILING
from detector.alerts.routing import Receiver, Route, Router
from detector.config import RateConfig
from detector.sinks.health import PROBE_CAP_SECONDS
from detector.sinks.policy import Policy
from detector.sinks.sink import Answer, Delivered, Permanent, Retry
from detector.state.store import Notification, Revision
from tests.outbox import DAY, HOUR, INTERVAL, Make, Outboxes, ScriptedSink, down, numbered

RATE = RateConfig(burst=1, every_seconds=60)


def incidents(sink: ScriptedSink) -> dict[str, str]:
    """Return the last that a receiver heard of each incident."""
    return {item.alert.dedup_key: item.kind for item in sink.taken}


class ForgetfulSink(ScriptedSink):
    """A sink that must be reminded, and takes reminders as it takes alerts."""

    refresh_seconds = 60.0

    def __init__(self, name: str = "s") -> None:
        super().__init__(name)
        self.reminders: list[list[str]] = []

    async def refresh(self, notifications: Sequence[Notification]) -> Answer:
        answer = self.answer(notifications[0])
        if isinstance(answer, Delivered):
            self.reminders.append([item.alert.id for item in notifications])
        return answer


async def test_a_sink_that_must_be_reminded_is_asked_no_oftener_than_others_while_it_is_down(
    make: Make,
) -> None:
    sink = ForgetfulSink()
    box = make(sink)
    await box.start()
    await box.save(numbered(1))
    await box.wait(HOUR)
    assert 55 <= len(sink.reminders) <= 65
    sink.answer = down
    await box.save(numbered(2))
    await box.wait(3 * HOUR)
    assert len(sink.tried) < 2.5 * 3 * HOUR / PROBE_CAP_SECONDS
    # Its first success may be a reminder; what waits goes out all the same.
    sink.answer = lambda _: Delivered()
    await box.wait(PROBE_CAP_SECONDS + 60)
    assert (numbered(2).id, "raised") in sink.told
    await box.resolve(numbered(1))
    await box.wait(200)
    assert sink.reminders[-1] == [numbered(2).id]


async def test_an_alert_that_a_sink_chokes_on_holds_up_its_rule_and_group_for_a_while_only(
    make: Make,
) -> None:
    sink, other = ScriptedSink(), ScriptedSink("other")
    box = make(sink, other, s=Policy(fallback="other"))
    await box.start()
    poison = numbered(1)
    sink.answer = lambda item: Retry("500") if item.alert.id == poison.id else Delivered()
    await box.save(poison, sinks=["s"])
    await box.wait(5)
    later = msgspec.structs.replace(numbered(2), group=poison.group)
    await box.save(later, sinks=["s"])
    for number in range(3, 15):
        await box.save(numbered(number), sinks=["s"])
        await box.wait(300)
    assert (later.id, "raised") in sink.told
    assert other.told == [(poison.id, "raised")]


async def test_others_hear_of_a_failing_sink_even_if_routes_name_that_one_alone(
    make: Make,
) -> None:
    sink, other = ScriptedSink(), ScriptedSink("other")
    box = make(sink, other)
    routes = [Route(["s"], levels=["high", "critical"])]
    box.router = Router(map(Receiver, ("s", "other")), routes, default=["other"])
    await box.start()
    sink.answer = down
    await box.save(numbered(1), sinks=["s"])
    await box.wait(HOUR)
    assert [item.alert.rule_id for item in other.taken] == [SINK_FAILING]


async def test_one_refused_alert_is_told_of_once_however_often_it_is_tried_again(
    make: Make,
) -> None:
    sink, other = ScriptedSink(), ScriptedSink("other")
    box = make(sink, other)
    await box.start()
    too_large = numbered(2).id
    sink.answer = lambda item: Permanent("413") if item.alert.id == too_large else Delivered()
    await box.save(numbered(2), sinks=["s"])
    await box.wait(HOUR)
    for number in range(50, 53):
        await box.save(numbered(number), sinks=["s"])
        await box.wait(10)
        await box.start()
        await box.wait(HOUR)
    kinds = [item.kind for item in other.taken if item.alert.rule_id == SINK_FAILING]
    assert kinds == ["raised", "resolved"]


async def test_a_refused_update_does_not_keep_an_incident_from_its_end(make: Make) -> None:
    sink = ScriptedSink()
    box = make(sink, s=Policy(folds=True))
    await box.start()
    await box.save(numbered(1))
    await box.wait(1)
    sink.answer = lambda item: Permanent("400") if item.kind == "updated" else Delivered()
    await box.revise(Revision(numbered(1).id, count=5))
    await box.wait(100)
    await box.resolve(numbered(1))
    await box.wait(1)
    assert sink.told == [(numbered(1).id, "raised"), (numbered(1).id, "resolved")]
    assert not box.dead()


async def test_what_was_refused_is_tried_again_when_it_pages_anew(make: Make) -> None:
    sink = ScriptedSink()
    box = make(sink)
    await box.start()
    sink.answer = lambda _: Permanent("403")
    await box.save(numbered(1))
    await box.wait(1)
    sink.answer = lambda _: Delivered()
    await box.resolve(numbered(1))
    await box.wait(1)
    assert not sink.told
    await box.save(numbered(1))
    await box.wait(1)
    assert sink.told == [(numbered(1).id, "raised")]


async def test_a_fallback_hears_of_each_page_and_of_each_end(make: Make) -> None:
    sink, other = ScriptedSink(), ScriptedSink("other")
    box = make(sink, other, s=Policy(fallback="other"))
    await box.start()
    sink.answer = lambda _: Retry("503", 3600.0)
    await box.save(numbered(1), sinks=["s"])
    for _ in range(2):
        await box.wait(HOUR)
        await box.resolve(numbered(1))
        await box.wait(60)
        # At once, although the sink itself is tried once an hour.
        await box.save(numbered(1), sinks=["s"])
    await box.wait(60)
    told = [kind for id_, kind in other.told if id_ == numbered(1).id]
    assert told == ["raised", "resolved", "raised", "resolved", "raised"]


async def test_a_wait_that_a_sink_asks_for_holds_though_it_took_another_at_the_same_time(
    make: Make,
) -> None:
    sink = ScriptedSink(concurrency=2)
    box = make(sink)
    await box.start()
    answers: list[Answer] = [Retry("429", 1800.0)]
    sink.answer = lambda _: answers.pop() if answers else Delivered()
    await box.save(*(numbered(number) for number in range(10)))
    await box.wait(1799)
    assert len(sink.tried) == 2
    await box.wait(2)
    assert len(sink.taken) == 10


async def test_refusals_are_within_the_rate_also_those_of_the_next_start(make: Make) -> None:
    sink = ScriptedSink(concurrency=4)
    box = make(sink, s=Policy(rate=RateConfig(burst=10, every_seconds=60)))
    await box.start()
    sink.answer = lambda _: Permanent("404")
    for number in range(20):
        await box.save(*(numbered(100 * number + more) for more in range(9)))
        await box.wait(1)
    await box.start()
    await box.wait(1)
    assert len(sink.tried) <= 11


async def test_a_clock_set_back_over_a_restart_does_not_hold_an_allowance_back(
    make: Make,
) -> None:
    sink = ScriptedSink()
    box = make(sink, s=Policy(rate=RateConfig(burst=2, every_seconds=60)))
    await box.start()
    await box.save(numbered(1), numbered(2))
    await box.wait(1)
    box.now -= DAY
    box.store.outbox.mend_clock(box.now)
    await box.start()
    await box.save(numbered(3))
    await box.wait(HOUR)
    assert (numbered(3).id, "raised") in sink.told


# Digests, and incidents that a pager keeps.


async def save_window(box: Outboxes, alert: Alert, incident: str) -> None:
    """Keep the alert of a further window of an incident."""

    def write(_: object) -> None:
        with box.store.transaction(box.now) as transaction:
            transaction.save_alert(alert, ["s"], INTERVAL, pages=False, incident=incident)

    await box.state.call(write)


@pytest.mark.parametrize("wait", [0, 300])
async def test_a_window_of_an_incident_told_in_a_digest_opens_no_other_one(
    make: Make, wait: float
) -> None:
    sink = ScriptedSink()
    box = make(sink, s=Policy(rate=RATE, folds=True))
    await box.start()
    alerts = [numbered(number) for number in range(1, 6)]
    await box.save(*alerts)
    await box.wait(wait)
    window = numbered(99, group=alerts[0].group, dedup_key=alerts[0].dedup_key)
    await save_window(box, window, alerts[0].id)
    await box.wait(300)
    assert [item.alert.rule_id for item in sink.taken] == [DIGEST]
    await box.resolve(*alerts)
    await box.revise(Revision(window.id, "resolved", only_opened=True))
    await box.wait(HOUR)
    assert [kind for _, kind in sink.told if kind != "resolved"] == ["raised"]
    assert set(incidents(sink).values()) == {"resolved"}


async def test_a_digest_ends_also_when_the_last_of_it_left_by_a_page_of_its_own(
    make: Make,
) -> None:
    sink = ScriptedSink()
    box = make(sink, s=Policy(rate=RATE, folds=True))
    await box.start()
    await box.save(numbered(1), numbered(2))
    await box.wait(300)
    await box.resolve(numbered(2))
    await box.wait(300)
    await box.save(numbered(1))
    await box.wait(300)
    await box.resolve(numbered(1))
    await box.wait(HOUR)
    assert len(incidents(sink)) == 2
    assert set(incidents(sink).values()) == {"resolved"}


async def test_a_digest_that_went_to_the_fallback_ends_there(make: Make) -> None:
    sink, other = ScriptedSink(), ScriptedSink("other")
    box = make(sink, other, s=Policy(rate=RATE, fallback="other"))
    await box.start()
    sink.answer = lambda _: Permanent("400")
    await box.save(numbered(1), numbered(2), sinks=["s"])
    await box.wait(300)
    await box.resolve(numbered(1), numbered(2))
    await box.wait(300)
    assert [(item.alert.rule_id, item.kind) for item in other.taken] == [
        (DIGEST, "raised"),
        (DIGEST, "resolved"),
    ]


async def test_a_sink_without_updates_hears_of_ends_in_digests(make: Make) -> None:
    sink = ScriptedSink()
    box = make(sink, s=Policy(rate=RateConfig(burst=3, every_seconds=1), updates=False))
    await box.start()
    alerts = [numbered(number) for number in range(20)]
    for item in alerts:
        await box.save(item)
        await box.wait(10)
    await box.resolve(*alerts)
    await box.wait(HOUR)
    ends = sink.taken[20:]
    told = sum(item.alert.digest.resolved if item.alert.digest else 1 for item in ends)
    assert told == 20
    assert len(ends) == 3
