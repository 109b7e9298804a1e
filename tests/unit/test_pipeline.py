import gzip
import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector import matching
from detector import pipeline as pipeline_module
from detector.accounting import Accounting
from detector.alerts.routing import Router
from detector.counting.current import current_alerts
from detector.envelopes import payload as payload_module
from detector.envelopes.payload import Limits
from detector.pipeline import Pipeline, Processed, Settings
from detector.rules.ruleset import RuleSet
from detector.sources.delivery import Delivery, Payload
from detector.state.sqlite import SQLiteStore
from detector.state.store import Position
from detector.windows.aligned import Verdict
from tests.compressed import bomb
from tests.records import ACCOUNT, NOON, delivery, delivery_of, log_file, record
from tests.rules import iam_rule, rule
from tests.strategies import examples

RULES = RuleSet([iam_rule()])
SINKS = Settings(routing=Router.to("s"))


def process(
    store: SQLiteStore,
    *deliveries: Delivery,
    rules: RuleSet = RULES,
    settings: Settings = SINKS,
) -> Processed:
    """Process deliveries one after the other, and return what became of them together."""
    pipeline = Pipeline(rules, store, settings)
    total = Processed()
    for number, item in enumerate(deliveries):
        (processed,) = pipeline.process([item], now=NOON + number).deliveries
        assert processed.accounting.is_balanced
        total.accounting.add(processed.accounting)
        total.skipped += processed.skipped
        total.rejections += processed.rejections
        total.whole_rejections |= processed.whole_rejections
        total.ages += processed.ages
        total.late += processed.late
    return total


def reasons(processed: Processed) -> list[tuple[int | None, str]]:
    return [(item.index, item.reason) for item in processed.rejections]


def test_matches_are_counted_and_raise_one_alert_for_each_window_and_group(
    store: SQLiteStore,
) -> None:
    processed = process(
        store,
        delivery(record(at=0), record("GetUser", at=1), record(at=299)),
        delivery(record(at=300), record(at=2, recipientAccountId="444455556666")),
    )
    assert processed.accounting == Accounting(received=5, matched=4, unmatched=1)
    found = [(alert.window.start, alert.group, alert.count) for alert in current_alerts(store)]
    assert sorted(found, key=str) == [
        ("2026-09-16T12:00:00Z", {"recipientAccountId": ACCOUNT}, 2),
        ("2026-09-16T12:00:00Z", {"recipientAccountId": "444455556666"}, 1),
        ("2026-09-16T12:05:00Z", {"recipientAccountId": ACCOUNT}, 1),
    ]


def test_a_second_copy_of_an_event_is_a_duplicate_whichever_way_it_comes(
    store: SQLiteStore,
) -> None:
    event = record()
    other_account = {**event, "recipientAccountId": "444455556666"}
    processed = process(
        store,
        delivery(event, event),
        delivery(event, other_account),
        delivery_of(*[log_file(event)] * 2),
    )
    assert processed.accounting == Accounting(received=6, matched=2, duplicate=4)
    assert [alert.count for alert in current_alerts(store)] == [1, 1]


def test_an_event_that_two_rules_match_counts_for_both(store: SQLiteStore) -> None:
    rules = RuleSet([iam_rule(), rule(pattern="{ $.errorCode = AccessDenied }")])
    processed = process(store, delivery(record(errorCode="AccessDenied")), rules=rules)
    assert processed.accounting.matched == 1
    assert len(current_alerts(store)) == 2


def test_a_window_below_its_threshold_is_silent_until_it_is_crossed(store: SQLiteStore) -> None:
    rules = RuleSet([iam_rule(window={"threshold": 3})])
    deliveries = [delivery(record()) for _ in range(4)]
    pipeline = Pipeline(rules, store, SINKS)
    told = [item for made in deliveries for item in pipeline.process([made], now=NOON).told]
    assert [item.verdict for item in told] == [Verdict.RAISED, Verdict.UPDATED]
    assert [(alert.count, alert.revision) for alert in current_alerts(store)] == [(4, 2)]


def test_a_group_by_field_that_is_missing_is_a_group_of_its_own(store: SQLiteStore) -> None:
    events = [
        record(recipientAccountId=value)
        for value in (..., None, "x", 7, True, ["x", {"b": 1, "a": 2}], {"b": 1, "a": 2})
    ]
    process(store, delivery(*events))
    groups = [alert.group["recipientAccountId"] for alert in current_alerts(store)]
    assert sorted(groups, key=str) == sorted(
        [None, "x", 7, True, '["x",{"a":2,"b":1}]', '{"a":2,"b":1}'], key=str
    )


def test_a_rule_without_groups_counts_all_accounts_together(store: SQLiteStore) -> None:
    rules = RuleSet([iam_rule(window={"group_by": ()})])
    process(store, delivery(record(), record(recipientAccountId="444455556666")), rules=rules)
    assert [(alert.group, alert.count) for alert in current_alerts(store)] == [({}, 2)]


@pytest.mark.parametrize("status", ["test", "experimental"])
def test_a_staged_rule_matches_and_counts_and_notifies_nobody(
    store: SQLiteStore, status: str
) -> None:
    processed = process(store, delivery(record()), rules=RuleSet([iam_rule(status=status)]))
    assert processed.accounting.matched == 1
    assert len(current_alerts(store)) == 1
    assert store.outbox.next_due("s") is None


def test_late_events_are_counted_in_the_window_they_belong_to(store: SQLiteStore) -> None:
    processed = process(
        store,
        delivery(record(at=0), delivered_at=NOON + 1000),
        delivery(record(at=400), delivered_at=NOON + 500),
        delivery(record(at=401)),
    )
    assert [alert.late for alert in current_alerts(store)] == [True, False]
    assert (processed.late, processed.ages) == (1, [1000.0, 100.0])


def test_a_delivery_that_changes_nothing_opens_no_transaction(
    store: SQLiteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "transaction", pytest.fail)
    damaged = replace(delivery_of(b"damaged"), has_redrive=True)
    processed = process(store, delivery(record("GetUser")), damaged)
    assert processed.accounting == Accounting(received=2, unmatched=1, rejected=1)


def test_a_position_is_committed_with_what_its_delivery_caused(store: SQLiteStore) -> None:
    position = Position("files", "a.json", "7")
    made = delivery(record("GetUser"))
    process(store, Delivery("files", made.payloads, NOON, positions=[position]))
    assert store.positions("files") == {"a.json": "7"}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (gzip.compress(log_file(record()))[:-20], "truncated"),
        (gzip.compress(log_file(record()))[:-8] + b"\0" * 8, "corrupt"),
        (log_file(record())[:-5], "truncated"),
        (b'{"Records": {"eventName": "PutUserPolicy"}}', "not_a_log_file"),
        (b"", "empty"),
        (bomb(200 << 20), "malformed_json"),
        (b'{"Records": [' + b"[" * 99_999, "too_deep"),
    ],
)
def test_a_body_that_cannot_be_read_is_one_rejected_record_and_not_let_go(
    store: SQLiteStore, body: bytes, reason: str
) -> None:
    good = log_file(record())
    processed = process(store, delivery_of(good, body))
    assert processed.accounting == Accounting(received=2, matched=1, rejected=1)
    assert reasons(processed) == [(None, reason)]
    assert not processed.is_understood


def test_a_record_that_cannot_be_counted_is_rejected_alone_and_kept(store: SQLiteStore) -> None:
    timeless = record(eventTime=..., eventID="x")
    processed = process(store, delivery(record(), timeless, 7, None, record("GetUser")))
    assert processed.accounting == Accounting(received=5, matched=1, unmatched=1, rejected=3)
    assert sorted(reasons(processed), key=str) == [
        (1, "no_event_time"),
        (2, "not_an_object"),
        (3, "not_an_object"),
    ]
    assert processed.is_understood
    kept = {item.index: item.body for item in store.quarantined()}
    assert kept[2] == b"7"
    assert b'"eventID":"x"' in kept[1]


def test_records_without_an_id_are_counted_once_by_their_content(store: SQLiteStore) -> None:
    event = record(eventID=...)
    other = {**event, "sourceIPAddress": "198.51.100.9"}
    processed = process(store, delivery(event, event), delivery(other))
    assert processed.accounting == Accounting(received=3, matched=2, duplicate=1)


def test_a_user_agent_that_is_not_text_hides_nothing(store: SQLiteStore) -> None:
    body = log_file(record(), record(userAgent="@")).replace(b'"@"', rb'"\ud83d"')
    processed = process(store, delivery_of(body))
    assert processed.accounting == Accounting(received=2, matched=2)


def test_digest_and_insight_files_are_skipped_and_counted(store: SQLiteStore) -> None:
    insight = {
        "eventType": "AwsCloudTrailInsight",
        "eventTime": "2026-09-16T12:00:00Z",
        "insightDetails": {"eventName": "PutUserPolicy", "state": "Start"},
    }
    processed = process(
        store,
        delivery_of(b'{"awsAccountId": "1", "digestEndTime": "2026-09-16T12:00:00Z"}'),
        delivery(insight, record()),
    )
    assert processed.accounting == Accounting(received=3, matched=1, skipped=2)
    assert processed.skipped == {"digest": 1, "insight": 1}


def test_a_cap_that_is_hit_rejects_the_payload(store: SQLiteStore) -> None:
    settings = Settings(limits=Limits(max_values=10))
    processed = process(store, delivery(record()), settings=settings)
    assert reasons(processed) == [(None, "too_many_values")]


def test_the_list_of_an_alerts_names_is_bounded_whatever_an_attacker_does(
    store: SQLiteStore,
) -> None:
    events = [record(sourceIPAddress=f"{n}." + "9" * 5000) for n in range(300)]
    process(store, delivery(*events))
    (alert,) = current_alerts(store)
    assert alert.count == 300
    assert len(alert.source_ips) == 50
    assert len(alert.event_ids) == 100
    assert alert.truncated == ["source_ips", "event_ids"]


_world = st.lists(
    st.tuples(
        st.sampled_from(["PutUserPolicy", "CreatePolicy", "GetUser"]),
        st.integers(0, 1200),
        st.sampled_from([ACCOUNT, "444455556666"]),
    ),
    max_size=25,
)


def outcome(store: SQLiteStore) -> list[Any]:
    return sorted(
        (alert.id, alert.count, alert.event_ids, alert.late) for alert in current_alerts(store)
    )


def in_memory(deliveries: Sequence[Delivery], threshold: int) -> tuple[Processed, list[Any]]:
    rules = RuleSet([iam_rule(window={"threshold": threshold})])
    with SQLiteStore.in_memory() as store:
        return process(store, *deliveries, rules=rules), outcome(store)


@examples(1000)
@given(_world, st.integers(1, 4), st.data())
def test_the_same_events_in_any_order_split_and_repeated_give_the_same_alerts(
    world: list[tuple[str, int, str]], threshold: int, data: st.DataObject
) -> None:
    events = [
        record(name, at=at, recipientAccountId=account, eventID=f"e{number}")
        for number, (name, at, account) in enumerate(world)
    ]
    once, expected = in_memory([delivery(*events)], threshold)
    repeated = events + data.draw(st.lists(st.sampled_from(events), max_size=10)) if events else []
    shuffled = data.draw(st.permutations(repeated))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(shuffled)), max_size=5)))
    bounds = [0, *cuts, len(shuffled)]
    deliveries = [delivery(*shuffled[start:end]) for start, end in itertools.pairwise(bounds)]
    again, found = in_memory(deliveries, threshold)
    assert found == expected
    assert again.accounting.matched == once.accounting.matched
    assert again.accounting.duplicate + again.accounting.unmatched >= once.accounting.unmatched


@pytest.mark.parametrize("body", [b"<html>\n<body>\n</html>\n", b'{"a":1}\n{"b":2}'])
def test_a_payload_of_which_nothing_is_understood_is_not_let_go(
    store: SQLiteStore, body: bytes
) -> None:
    processed = process(store, delivery_of(body))
    assert not processed.is_understood
    assert {index for index, _ in reasons(processed)} == {None}
    # Beside something that is understood they are parts, and are kept apart.
    line = msgspec.json.encode(record("GetUser")) + b"\n"
    processed = process(store, delivery_of(line + body + b"\n" + line))
    assert None not in {index for index, _ in reasons(processed)}
    assert processed.is_understood
    assert processed.accounting.unmatched == 2


def test_what_is_rejected_is_counted_and_let_go_of_before_more_is_read(
    store: SQLiteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matching, "SLICE_REJECTIONS", 10)
    monkeypatch.setattr(pipeline_module, "MAX_TOLD_REJECTIONS", 15)
    most = 0
    count = Pipeline._count

    def counted(self: Pipeline, part: Any, *rest: Any) -> None:
        nonlocal most
        most = max(most, len(part.matches.rejections))
        count(self, part, *rest)

    monkeypatch.setattr(Pipeline, "_count", counted)
    lines = [msgspec.json.encode(record("GetUser")), *[b'{"a":1}'] * 40]
    made = delivery_of(b"\n".join(lines))
    (processed,) = Pipeline(RULES, store, SINKS).process([made], now=NOON).deliveries
    assert processed.rejected == {"unrecognised": 40}
    assert len(processed.rejections) == 15
    assert all(item.body == b"" for item in processed.rejections)
    assert most == 10
    assert processed.accounting == Accounting(received=41, unmatched=1, rejected=40)


def test_a_payload_of_many_matches_is_counted_slice_by_slice_and_its_position_comes_last(
    store: SQLiteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matching, "SLICE_MATCHES", 40)
    monkeypatch.setattr(payload_module, "BATCH_RECORDS", 30)
    seen: list[tuple[int, Mapping[str, str]]] = []
    transaction = store.transaction

    @contextmanager
    def noted(now: float) -> Iterator[Any]:
        with transaction(now) as opened:
            yield opened
        counts = sum(alert.count for alert in current_alerts(store))
        seen.append((counts, store.positions("files")))

    monkeypatch.setattr(store, "transaction", noted)
    events = [record(at=number) for number in range(100)]
    lines = b"\n".join(msgspec.json.encode(event) for event in [*events, events[0]])
    position = Position("files", "a.json", "7")
    made = Delivery("files", [Payload("a.json", lines)], NOON, positions=[position])
    processed = process(store, made)
    assert processed.accounting == Accounting(received=101, matched=100, duplicate=1)
    assert seen == [(60, {}), (100, {}), (100, {"a.json": "7"})]
    again = process(store, made)
    assert again.accounting == Accounting(received=101, duplicate=101)


@given(st.binary(max_size=300))
def test_any_bytes_at_all_are_accounted_for(body: bytes) -> None:
    processed, _ = in_memory([delivery_of(body, gzip.compress(body))], 1)
    is_log_file = b'"Records"' in body  # there may be none in it
    assert processed.accounting.received >= 2 or is_log_file


_junk = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["eventName", "eventTime", "eventID", "userIdentity", "arn"]), inner
        ),
    ),
    max_leaves=8,
)


@given(st.lists(_junk, max_size=8))
def test_any_json_among_the_records_is_accounted_for(records: list[Any]) -> None:
    strange = [{**item, "eventName": "PutUserPolicy"} for item in records if isinstance(item, dict)]
    processed, _ = in_memory([delivery(*records, *strange)], 1)
    assert processed.accounting.received == len(records) + len(strange)


LOG_FILE_NAME = "444455556666_CloudTrail_eu-west-1_20260916T1205Z_UeY8n7jYpsCAu8M9.json"


@pytest.mark.parametrize(
    ("origin", "body", "trails"),
    [
        (LOG_FILE_NAME, log_file(record("GetUser")), {("444455556666", "eu-west-1")}),
        (LOG_FILE_NAME, log_file(record()), {("444455556666", "eu-west-1")}),
        (LOG_FILE_NAME, log_file(), {("444455556666", "eu-west-1")}),
        ("a.json", log_file(record(), record()), {(ACCOUNT, "us-east-1")}),
        ("a.json", log_file(record(awsRegion=7), record(recipientAccountId="x")), set()),
        ("a.json", log_file(record("GetUser")), {(ACCOUNT, "us-east-1")}),
        (LOG_FILE_NAME, log_file(record())[:-9], set()),
        (LOG_FILE_NAME, b'{"digestEndTime": "2026-09-16T15:00:00Z"}', set()),
        (LOG_FILE_NAME.replace("CloudTrail", "CloudTrail-Digest"), b"", set()),
    ],
)
def test_a_delivery_shows_which_trails_are_alive(
    store: SQLiteStore, origin: str, body: bytes, trails: set[tuple[str, str]]
) -> None:
    item = Delivery("test", [Payload(origin, body)], received_at=NOON)
    (processed,) = Pipeline(RULES, store, Settings()).process([item], NOON).deliveries
    assert processed.trails == trails


def from_shard(at: float, *, arrived: float, until: float) -> Delivery:
    """Return a record of a stream whose shards are at different places."""
    payload = Payload("kinesis:trail/shard/1", log_file(record(at=at)), NOON + arrived)
    return Delivery("trail", [payload], received_at=NOON, delivered_until=NOON + until)


def test_the_watermark_goes_by_what_a_source_knows_to_be_all_that_was_delivered(
    store: SQLiteStore,
) -> None:
    pipeline = Pipeline(RULES, store, SINKS)
    pipeline.process([from_shard(0, arrived=300, until=-86_400)], NOON + 600)
    assert pipeline.watermark == NOON - 86_400 - SINKS.late_after
    pipeline.process([from_shard(0, arrived=300, until=200)], NOON + 600)
    assert pipeline.watermark == NOON + 200 - SINKS.late_after


@pytest.mark.parametrize("knows", [True, False])
def test_a_shard_that_is_far_behind_another_one_has_its_windows_still(
    store: SQLiteStore, knows: bool
) -> None:
    days = 86_400.0
    ahead = from_shard(0, arrived=300, until=-3 * days if knows else 300)
    behind = from_shard(-3 * days, arrived=-3 * days + 300, until=-3 * days if knows else 300)
    pipeline = Pipeline(RULES, store, SINKS)
    pipeline.process([ahead], NOON + 600)
    pipeline.retire(NOON + 600)
    (processed,) = pipeline.process([behind], NOON + 601).deliveries
    assert processed.beyond_retention == (0 if knows else 1)
