"""Up to when all that arrived was handed on: what the slowest shard says."""

from detector.sources.kinesis.progress import STALLED_SECONDS, Progress

NOW = 1_789_560_000.0


def test_the_slowest_shard_decides() -> None:
    progress = Progress()
    for shard, behind in (("a", 0.0), ("b", 7200.0), ("c", 60.0)):
        progress.begin(shard, NOW)
        progress.answered(shard, NOW, behind)
    assert progress.behind == 7200
    assert progress.delivered_until(NOW) == NOW - 7200
    progress.answered("b", NOW + 10, 30.0)
    assert progress.behind == 60
    assert progress.delivered_until(NOW + 10) == NOW - 60


def test_nothing_is_known_before_each_shard_has_answered() -> None:
    progress = Progress()
    assert progress.delivered_until(NOW) == 0
    progress.begin("a", NOW)
    progress.begin("b", NOW)
    progress.answered("a", NOW, 0.0)
    assert progress.delivered_until(NOW) == 0
    progress.answered("b", NOW, 5.0)
    assert progress.delivered_until(NOW) == NOW - 5


def test_a_child_that_has_not_answered_keeps_what_is_known_where_it_is() -> None:
    progress = Progress()
    progress.begin("parent", NOW)
    progress.answered("parent", NOW, 0.0)
    assert progress.delivered_until(NOW) == NOW
    progress.end("parent")
    progress.begin("child", NOW + 1)
    assert progress.delivered_until(NOW + 1) == NOW
    progress.answered("child", NOW + 2, 0.0)
    assert progress.delivered_until(NOW + 2) == NOW + 2


def test_it_never_goes_back() -> None:
    progress = Progress()
    progress.begin("a", NOW)
    progress.answered("a", NOW, 0.0)
    assert progress.delivered_until(NOW) == NOW
    progress.answered("a", NOW + 1, 3600.0)
    assert progress.delivered_until(NOW + 1) == NOW


def test_a_shard_that_does_not_answer_any_more_is_waited_for_no_longer_than_that() -> None:
    progress = Progress()
    progress.begin("dead", NOW)
    progress.begin("a", NOW)
    later = NOW + STALLED_SECONDS
    progress.answered("a", later - 1, 0.0)
    assert progress.delivered_until(later - 1) == 0
    assert progress.delivered_until(later) == later - 1
