from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from detector.alerts.routing import Receiver, Route, Routed, Router
from detector.config import load_config
from detector.errors import ConfigError
from detector.sinks.routes import make_router
from detector.state.sqlite import SQLiteStore
from tests.records import record
from tests.rules import iam_rule
from tests.unit.test_alert_life import HOUR, Life

ALL = tuple(map(Receiver, ("pager", "chat", "archive")))


def routed(**fields: object) -> Routed:
    values = {
        "rule_id": "b6a2",
        "rule_name": "iam_policy_changes",
        "title": "IAM policy changed",
        "level": "medium",
        "tags": ("attack.persistence", "attack.t1098"),
        "is_staged": False,
        "accounts": frozenset({"111122223333"}),
        **fields,
    }
    return Routed(**values)  # type: ignore[arg-type]


def test_without_routes_all_sinks_get_all_alerts() -> None:
    assert Router(ALL).sinks(routed()) == ("pager", "chat", "archive")


@pytest.mark.parametrize(
    ("route", "matches"),
    [
        (Route(["chat"], levels=["high", "medium"]), True),
        (Route(["chat"], levels=["high"]), False),
        (Route(["chat"], rules=["b6a2"]), True),
        (Route(["chat"], rules=["iam_*"]), True),
        (Route(["chat"], rules=["IAM policy*"]), True),
        (Route(["chat"], rules=["iam"]), False),
        (Route(["chat"], tags=["attack.t1098*"]), True),
        (Route(["chat"], tags=["attack.t1078"]), False),
        (Route(["chat"], accounts=["444455556666", "111122223333"]), True),
        (Route(["chat"], accounts=["444455556666"]), False),
        (Route(["chat"], levels=["medium"], rules=["other"]), False),
    ],
)
def test_a_route_is_for_alerts_that_all_that_it_asks_for_matches(
    route: Route, matches: bool
) -> None:
    assert Router(ALL, [route], default=()).sinks(routed()) == (("chat",) if matches else ())


def test_the_first_route_that_matches_decides_or_all_do() -> None:
    routes = [
        Route(["pager"], levels=["critical"]),
        Route(["chat"], rules=["iam*"]),
        Route(["archive"], tags=["attack.*"]),
    ]
    assert Router(ALL, routes).sinks(routed()) == ("chat",)
    assert Router(ALL, routes, match="all").sinks(routed()) == ("chat", "archive")
    other = routed(rule_name="x", title="x", tags=())
    assert Router(ALL, routes, default=["archive"]).sinks(other) == ("archive",)


def test_a_route_without_sinks_keeps_alerts_from_everybody() -> None:
    assert Router(ALL, [Route([], rules=["iam*"])]).sinks(routed()) == ()


def test_a_sink_has_a_lowest_level_and_says_whether_it_is_for_staged_rules() -> None:
    receivers = [
        Receiver("pager", "high"),
        Receiver("chat"),
        Receiver("lab", staged="only"),
        Receiver("archive", staged="also"),
    ]
    router = Router(receivers)
    assert router.sinks(routed()) == ("chat", "archive")
    assert router.sinks(routed(level="critical")) == ("pager", "chat", "archive")
    assert router.sinks(routed(level="critical", is_staged=True)) == ("lab", "archive")


ONE, TWO = "111122223333", "444455556666"

BY_ACCOUNT = Router(
    map(Receiver, ("a", "b")),
    [Route(["a"], accounts=[ONE]), Route(["b"], accounts=[TWO])],
    match="all",
    default=(),
)


def test_a_window_that_comes_to_be_about_another_account_pages_whom_that_concerns(
    store: SQLiteStore,
) -> None:
    life = Life(store, iam_rule(window={"group_by": ()}), routing=BY_ACCOUNT)
    life.deliver(record(at=0, recipientAccountId=ONE))
    assert [item.kind for item in life.send("a")] == ["raised"]
    assert not life.send("b")
    life.deliver(record(at=1, recipientAccountId=TWO))
    assert [item.kind for item in life.send("b")] == ["raised"]
    life.deliver(record(at=2, recipientAccountId=TWO))
    life.wait(60)
    assert [item.kind for item in life.send("a")] == ["updated"]
    assert [item.kind for item in life.send("b")] == ["updated"]
    life.wait(HOUR)
    assert [item.kind for item in life.send("a")] == ["resolved"]
    assert [item.kind for item in life.send("b")] == ["resolved"]


def test_who_comes_to_know_an_episode_by_its_second_window_hears_of_its_end_once(
    store: SQLiteStore,
) -> None:
    life = Life(store, iam_rule(window={"group_by": ()}), routing=BY_ACCOUNT)
    life.deliver(record(at=0, recipientAccountId=ONE))
    life.deliver(record(at=310, recipientAccountId=TWO))
    life.deliver(record(at=610, recipientAccountId=TWO))
    (first,) = life.send("a")
    second, third = life.send("b")
    assert [item.kind for item in (first, second, third)] == ["raised", "raised", "updated"]
    assert life.now_of(second).dedup_key == life.now_of(third).dedup_key == first.alert.id
    life.wait(2 * HOUR)
    assert [(item.kind, item.alert.id) for item in life.send("a")] == [("resolved", first.alert.id)]
    (ended,) = life.send("b")
    assert (ended.kind, ended.alert.id) == ("resolved", second.alert.id)
    assert life.now_of(ended).dedup_key == first.alert.id


def test_a_sink_that_is_new_is_paged_by_the_next_window_of_an_episode(store: SQLiteStore) -> None:
    before = Life(store, iam_rule(), routing=Router.to("a"))
    before.deliver(record(at=0))
    assert [item.kind for item in before.send("a")] == ["raised"]
    life = Life(store, iam_rule(), routing=Router.to("a", "b"))
    life.now = before.now
    life.deliver(record(at=310))
    assert [item.kind for item in life.send("a")] == ["updated"]
    assert [item.kind for item in life.send("b")] == ["raised"]


def test_a_staged_rule_notifies_those_that_ask_for_it(store: SQLiteStore) -> None:
    router = Router([Receiver("s"), Receiver("lab", staged="only")])
    life = Life(store, iam_rule(status="test"), routing=router)
    life.deliver(record(at=0))
    assert not life.send("s")
    assert [item.kind for item in life.send("lab")] == ["raised"]


CONFIG = {
    "sources": [{"type": "directory", "path": "logs"}],
    "sinks": [
        {"type": "stdout", "name": "screen", "staged": "also"},
        {"type": "stdout", "name": "other", "fallback": "screen", "min_level": "high"},
    ],
    "routing": {
        "match": "all",
        "routes": [{"accounts": ["111122223333"], "sinks": ["other"]}],
        "default": ["screen"],
    },
}


def test_routes_are_read_from_the_configuration(tmp_path: Path) -> None:
    path = tmp_path / "detector.yaml"
    path.write_text(yaml.safe_dump(CONFIG))
    router = make_router(load_config(path))
    assert router.asks_accounts
    assert router.sinks(routed(level="high")) == ("other",)
    assert router.sinks(routed(level="high", accounts=frozenset())) == ("screen",)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"routing": {"default": ["scren"]}}, "there is no sink of the name scren; did you mean"),
        (
            {"routing": {"routes": [{"sinks": ["screen"]}]}},
            "the route is for every alert: give at least one of levels",
        ),
        (
            {"routing": {"routes": [{"levels": [], "sinks": ["screen"]}]}},
            "levels is empty, and nothing could match it",
        ),
        (
            {"sinks": [{"type": "stdout", "fallback": "stdout"}], "routing": {}},
            "the fallback of the sink stdout leads back to stdout",
        ),
        (
            {"sinks": [{"type": "webhook", "url": "http://[::1]:9/x"}], "routing": {}},
            "::1 is no public address; add its network to egress.allow",
        ),
        (
            {
                "sinks": [{"type": "alertmanager", "urls": ["http://10.0.0.1:9093"]}],
                "routing": {},
                "egress": {"allow": ["192.168.0.0/16"]},
            },
            "10.0.0.1 is no public address",
        ),
    ],
)
def test_what_cannot_be_meant_is_an_error(
    tmp_path: Path, change: dict[str, object], said: str
) -> None:
    path = tmp_path / "detector.yaml"
    path.write_text(yaml.safe_dump({**CONFIG, **change}))
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert said in str(caught.value)
    assert "detector.yaml:" in str(caught.value)
