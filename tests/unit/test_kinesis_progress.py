"""Up to when all that arrived was handed on: what the slowest shard says."""

from detector.sources.kinesis.progress import HEARD_SECONDS, STALLED_SECONDS, Progress

NOW = 1_789_560_000.0
HOURS = 3600.0


def begun(*shards: str) -> Progress:
    progress = Progress()
    for shard in shards:
        progress.begin(shard)
    return progress


def listen(progress: Progress, shard: str, seconds: float) -> float:
    """Have one shard answer from the tip for so long; return when it did so last."""
    now = NOW
    while now < NOW + seconds:
        now += HEARD_SECONDS
        progress.answered(shard, now, 0.0)
    return now


def test_the_slowest_shard_decides() -> None:
    progress = begun("a", "b", "c")
    for shard, behind in (("a", 0.0), ("b", 7200.0), ("c", 60.0)):
        progress.answered(shard, NOW, behind)
    assert progress.behind == 7200
    assert progress.delivered_until() == NOW - 7200
    progress.answered("b", NOW + 10, 30.0)
    assert progress.behind == 60
    assert progress.delivered_until() == NOW - 60


def test_nothing_is_known_before_each_shard_has_answered() -> None:
    progress = begun()
    assert progress.delivered_until() == 0
    progress.begin("a")
    progress.begin("b")
    progress.answered("a", NOW, 0.0)
    assert progress.delivered_until() == 0
    progress.answered("b", NOW, 5.0)
    assert progress.delivered_until() == NOW - 5


def test_between_the_end_of_a_shard_and_its_children_nothing_new_is_known() -> None:
    progress = begun("a", "parent")
    progress.answered("a", NOW, 0.0)
    progress.answered("parent", NOW, 5 * HOURS)
    assert progress.delivered_until() == NOW - 5 * HOURS
    progress.ended("parent", NOW + 1)
    progress.answered("a", NOW + 2, 0.0)
    assert progress.delivered_until() == NOW - 5 * HOURS
    assert progress.behind == 5 * HOURS
    progress.begin("child")
    progress.forget(["parent"])
    progress.answered("a", NOW + 3, 0.0)
    assert progress.delivered_until() == NOW - 5 * HOURS
    progress.answered("child", NOW + 4, 4 * HOURS)
    assert progress.delivered_until() == NOW + 4 - 4 * HOURS


def test_a_shard_without_children_to_read_is_forgotten_and_holds_up_nothing() -> None:
    progress = begun("a", "parent")
    progress.answered("parent", NOW, 5 * HOURS)
    progress.ended("parent", NOW)
    progress.answered("a", NOW, 0.0)
    assert progress.delivered_until() == 0
    progress.forget(["parent"])
    assert progress.delivered_until() == NOW


def test_it_never_goes_back() -> None:
    progress = begun("a")
    progress.answered("a", NOW, 0.0)
    assert progress.delivered_until() == NOW
    progress.answered("a", NOW + 1, 3600.0)
    assert progress.delivered_until() == NOW


def test_a_shard_that_does_not_answer_any_more_is_waited_for_no_longer_than_that() -> None:
    progress = begun("dead", "a")
    progress.answered("a", NOW, 0.0)
    listen(progress, "a", STALLED_SECONDS - HEARD_SECONDS)
    assert progress.delivered_until() == 0
    later = listen(progress, "a", STALLED_SECONDS)
    assert progress.delivered_until() == later


def test_an_end_whose_children_are_never_listed_is_waited_for_no_longer_than_that() -> None:
    progress = begun("parent", "a")
    progress.ended("parent", NOW)
    later = listen(progress, "a", STALLED_SECONDS)
    assert progress.delivered_until() == later


def test_a_stall_of_all_shards_is_not_the_silence_of_one() -> None:
    progress = begun("busy", "quiet")
    progress.answered("busy", NOW, 5 * HOURS)
    progress.answered("quiet", NOW, 0.0)
    assert progress.delivered_until() == NOW - 5 * HOURS
    later = NOW + 2 * STALLED_SECONDS
    progress.answered("quiet", later, 0.0)
    assert progress.delivered_until() == NOW - 5 * HOURS
    progress.answered("busy", later + 1, 4 * HOURS)
    assert progress.delivered_until() == later + 1 - 4 * HOURS


def test_a_shard_that_waits_for_room_is_not_silent() -> None:
    progress = begun("busy", "quiet")
    progress.answered("busy", NOW, 5 * HOURS)
    progress.answered("quiet", NOW, 0.0)
    assert progress.delivered_until() == NOW - 5 * HOURS
    with progress.waiting("busy"):
        later = listen(progress, "quiet", 2 * STALLED_SECONDS)
        assert progress.delivered_until() == NOW - 5 * HOURS
    progress.answered("quiet", later + 1, 0.0)
    assert progress.delivered_until() == NOW - 5 * HOURS
