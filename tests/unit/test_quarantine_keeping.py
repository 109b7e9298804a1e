"""What of a delivery goes into the quarantine, in the transaction of all the rest."""

from __future__ import annotations

import gzip
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.alerts.routing import Router
from detector.envelopes.payload import Limits
from detector.errors import PayloadError
from detector.matching import Rejection
from detector.pipeline import Pipeline, Settings
from detector.quarantine.entry import entry_of, payload_of
from detector.quarantine.keeping import MAX_APART, kept
from detector.rules.ruleset import RuleSet
from detector.sources.delivery import Delivery, Payload
from detector.state.sqlite import SQLiteStore
from detector.state.store import Quarantined
from tests.matched import all_matches
from tests.records import NOON, delivery, delivery_of, log_file, record
from tests.rules import iam_rule

BROKEN = gzip.compress(log_file(record()))[:-20]


def process(store: SQLiteStore, *deliveries: Delivery, max_bytes: int = 1 << 20) -> Pipeline:
    settings = Settings(routing=Router.to("s"), max_quarantined_bytes=max_bytes)
    pipeline = Pipeline(RuleSet([iam_rule()]), store, settings)
    pipeline.process(deliveries, NOON)
    return pipeline


def test_a_payload_as_a_whole_is_kept_where_there_is_no_redrive(store: SQLiteStore) -> None:
    process(store, delivery_of(log_file(record()), BROKEN, delivered_at=NOON + 3))
    (kept,) = store.quarantined()
    assert kept == Quarantined(
        source="test",
        origin="memory:1",
        index=None,
        reason="truncated",
        body=BROKEN,
        message="the gzip data ends in the middle",
        delivered_at=NOON + 3,
    )
    assert kept.kept_at == NOON


def test_a_payload_as_a_whole_stays_with_the_redrive_of_its_queue(store: SQLiteStore) -> None:
    body = log_file(record(), 7)
    process(store, replace(delivery_of(BROKEN, body), has_redrive=True))
    assert [(item.index, item.body) for item in store.quarantined()] == [(1, b"7")]


def test_of_a_payload_without_a_body_the_reason_is_kept(store: SQLiteStore) -> None:
    payload = Payload("a.json", PayloadError("too_large", "the file is too large"))
    process(store, Delivery("test", [payload], NOON))
    (kept,) = store.quarantined()
    assert (kept.reason, kept.body, kept.is_complete) == ("too_large", b"", False)


def test_a_part_of_a_payload_without_a_body_is_said_to_be_none() -> None:
    item = Rejection("a", 3, "unexpected_reference", "a notification among records")
    (made,) = kept(delivery(record()), Payload("a", b"x"), [item], 100)
    assert (made.index, made.body, made.is_complete) == (3, b"", False)


@pytest.mark.parametrize(("extra", "is_complete"), [(0, True), (1, False)])
def test_of_a_long_body_the_beginning_is_kept_and_said_to_be_one(
    store: SQLiteStore, extra: int, is_complete: bool
) -> None:
    process(store, delivery_of(b"x" * (100 + extra)), max_bytes=100)
    (kept,) = store.quarantined()
    assert (kept.body, kept.is_complete) == (b"x" * 100, is_complete)


def test_a_name_that_is_not_text_and_a_message_without_end_are_kept_all_the_same(
    store: SQLiteStore,
) -> None:
    payload = Payload("logs/\udcff.json" + "y" * 9_000, PayloadError("corrupt", "m" * 9_000))
    process(store, Delivery("test", [payload], NOON))
    (kept,) = store.quarantined()
    assert kept.origin.startswith("logs/\\udcff.jsony")
    assert len(kept.origin) < 4_200
    assert kept.message == "m" * 1_000


def test_the_same_place_with_another_content_is_another_one(store: SQLiteStore) -> None:
    process(store, delivery_of(b"one"), delivery_of(b"two"), delivery_of(b"one"))
    assert [item.body for item in store.quarantined()] == [b"two", b"one"]


def replayed(kept: Quarantined) -> Delivery:
    return Delivery("quarantine", [payload_of(entry_of(kept))], NOON)


@pytest.mark.parametrize(
    "item",
    [
        Quarantined("logs", "a", None, "why", BROKEN, "it ends", NOON + 9),
        Quarantined("logs", "a", 7, "why", b"7", "no object"),
        Quarantined("logs", "a", 7, "why", b'{"Records": 7', "a record that is no JSON"),
    ],
)
def test_what_is_rejected_again_is_back_as_what_it_was(
    store: SQLiteStore, item: Quarantined
) -> None:
    process(store, replayed(item))
    (kept,) = store.quarantined()
    assert kept.reason != item.reason
    assert kept == replace(item, reason=kept.reason, message=kept.message)


def test_a_record_of_a_replayed_file_is_kept_under_the_files_own_source(
    store: SQLiteStore,
) -> None:
    process(store, replayed(Quarantined("logs", "a", None, "why", log_file(record(), 7))))
    (kept,) = store.quarantined()
    assert (kept.source, kept.origin, kept.index, kept.body) == ("logs", "a", 1, b"7")


def test_a_replay_is_judged_by_the_time_of_its_first_delivery(store: SQLiteStore) -> None:
    body = log_file(record(at=0))
    process(store, replayed(Quarantined("logs", "a", None, "why", body, "", NOON + 9_000)))
    assert [alert.late for alert in store.alerts()] == [True]


def test_a_differing_copy_is_kept_with_its_place(store: SQLiteStore) -> None:
    first = record(eventID="x")
    second = {**first, "sourceIPAddress": "198.51.100.9"}
    pipeline = process(store, delivery(first))
    (outcome,) = pipeline.process([delivery(record("GetUser"), second)], NOON).deliveries
    (kept,) = store.quarantined()
    assert (kept.index, kept.reason) == (1, "differing_copy")
    assert outcome.quarantined == {"differing_copy": 1}
    assert outcome.unkept == 0


def test_what_had_to_make_room_in_the_state_is_counted(store: SQLiteStore) -> None:
    store._quarantine._max_rows = 2
    pipeline = process(store)
    outcome = pipeline.process([delivery_of(b"1", b"2"), delivery_of(b"3")], NOON)
    assert [item.unkept for item in outcome.deliveries] == [0, 1]
    assert [item.body for item in store.quarantined()] == [b"2", b"3"]


@pytest.mark.parametrize("has_redrive", [False, True])
def test_a_payload_of_which_many_records_are_rejected_is_kept_once_and_as_it_came(
    store: SQLiteStore, has_redrive: bool
) -> None:
    few, many = ([record(), *range(count)] for count in (MAX_APART, MAX_APART + 1))
    item = replace(delivery(*few), has_redrive=has_redrive)
    process(store, item)
    assert [kept.index for kept in store.quarantined()] == list(range(1, MAX_APART + 1))
    store.drop_quarantined(store.quarantined())
    item = replace(delivery_of(log_file(*many)), has_redrive=has_redrive)
    pipeline = process(store)
    (outcome,) = pipeline.process([item], NOON).deliveries
    (kept,) = store.quarantined()
    assert (kept.index, kept.body) == (None, log_file(*many))
    assert kept.message == (
        f"{MAX_APART + 1} records; the first, record 1: the record is not a JSON object"
    )
    assert outcome.quarantined == {"not_an_object": 1}
    process(store, replayed(kept))
    assert store.quarantined() == [kept]


def test_a_payload_that_could_not_be_kept_as_a_whole_is_kept_record_by_record(
    store: SQLiteStore,
) -> None:
    process(store, delivery(*range(MAX_APART + 1)), max_bytes=100)
    assert len(store.quarantined()) == MAX_APART + 1
    assert all(item.is_complete for item in store.quarantined())


_junk = st.lists(
    st.integers() | st.none() | st.builds(record, st.just("PutUserPolicy")), max_size=4
)
_bodies = st.binary(max_size=20) | _junk.map(lambda records: log_file(*records))


@given(st.lists(_bodies, max_size=5), st.booleans())
def test_nothing_that_is_rejected_is_lost(bodies: list[bytes], has_redrive: bool) -> None:
    with SQLiteStore.in_memory() as store:
        pipeline = process(store)
        made = replace(delivery_of(*bodies), has_redrive=has_redrive)
        (outcome,) = pipeline.process([made], NOON).deliveries
        found = {(kept.origin, kept.index): kept for kept in store.quarantined()}
        # A payload that is rejected as a whole for two reasons is kept once.
        rejected = {
            (item.origin, item.index): item
            for payload in made.payloads
            for item in all_matches(payload, pipeline.rules, Limits()).rejections
            if item.index is not None or not has_redrive
        }
        assert found.keys() == rejected.keys()
        for place, kept in found.items():
            whole = bodies[int(kept.origin.removeprefix("memory:"))]
            assert kept.body == (whole if kept.index is None else rejected[place].body)
            assert kept.is_complete
        assert outcome.quarantined.total() >= len(found)
