"""The whole way on AWS's interfaces: S3 objects announced on SQS in, alerts on SNS out."""

import json
import os
from pathlib import Path

import pytest

from detector.pipeline import Settings
from detector.replay import replay
from detector.rules.loader import shipped_rules
from detector.rules.ruleset import RuleSet
from tests.aws import CREDENTIALS, Trail
from tests.records import log_file, record, zipped_log_file
from tests.servers.fault_proxy import delayed, fault_proxy
from tests.service_process import Service, running
from tests.sqs_ways import asks

pytestmark = pytest.mark.integration

IAM_RULE = shipped_rules() / "cis" / "iam_policy_changes.yml"


def is_idle(service: Service, trail: Trail, received: int) -> bool:
    """Whether all records came in, and the queue has nothing more, waiting or in flight."""
    return service.records("trail")["in"] == received and trail.queue_counts() == (0, 0)


def test_the_real_logs_give_the_same_alerts_as_a_replay(
    trail: Trail, tmp_path: Path, reference: Path
) -> None:
    logs = reference / "data" / "real-logs" / "CloudTrail"
    offline = replay(RuleSet.load(IAM_RULE), [logs], Settings())
    expected = {alert.id: alert.count for alert in offline.alerts}
    assert sorted(expected.values()) == [1, 2, 2, 2, 2, 4, 13]
    config = {**trail.config(), "rules": [str(IAM_RULE)]}
    with running(tmp_path, config, CREDENTIALS) as service:
        service.wait_until(lambda: service.get("/readyz")[0] == 200)
        for path in logs.glob("*.json"):
            trail.put(path.name, path.read_bytes())
        service.wait_until(lambda: is_idle(service, trail, 2900))
        assert service.records("trail") == {
            "in": 2900,
            "matched": 26,
            "unmatched": 2874,
            "duplicate": 0,
            "skipped": 0,
            "rejected": 0,
        }
        assert service.stop() == 0
    published = trail.published()
    assert {alert["id"] for alert in published} == expected.keys()
    # Updates may still wait for their interval, so no count is higher than the final one.
    assert all(alert["count"] <= expected[alert["id"]] for alert in published)
    assert trail.queue_counts() == (0, 0)


def test_updates_that_were_still_waiting_at_the_end_go_out_at_the_next_start(
    trail: Trail, tmp_path: Path
) -> None:
    config = {**trail.config(), "alerts": {"update_interval_seconds": 1}}
    with running(tmp_path, config, CREDENTIALS) as service:
        trail.put("a.json.gz", zipped_log_file(record()))
        service.wait_until(lambda: service.records("trail")["in"] == 1)
        trail.put("b.json.gz", zipped_log_file(record()))
        service.wait_until(lambda: service.records("trail")["in"] == 2)
        assert service.stop() == 0
    with running(tmp_path, config, CREDENTIALS) as service:
        sent = "detector_sink_sends_total{result=delivered}{sink=sns}"
        pending = "detector_outbox_notifications{sink=sns}{state=pending}"
        service.wait_until(lambda: service.metrics().get(pending) == 0)
        assert service.metrics()[sent] <= 1
        assert service.stop() == 0
    published = trail.published()
    assert len({alert["id"] for alert in published}) == 1
    assert max(alert["count"] for alert in published) == 2


def test_a_message_that_cannot_be_understood_is_left_to_the_queues_redrive(
    trail: Trail, tmp_path: Path
) -> None:
    with running(tmp_path, trail.config(), CREDENTIALS) as service:
        trail.put("damaged.json.gz", zipped_log_file(record())[:-20])
        trail.send("hello")
        trail.put("good.json.gz", zipped_log_file(record()))
        service.wait_until(lambda: service.records("trail")["rejected"] == 2)
        service.wait_until(lambda: service.records("trail")["matched"] == 1)
        nacked = "detector_deliveries_total{result=nacked}{source=trail}"
        service.wait_until(lambda: service.metrics()[nacked] == 2)
        service.wait_until(lambda: trail.queue_counts() == (0, 2))
        reasons = {line["reason"] for line in service.log if line["event"] == "rejected"}
        assert reasons == {"truncated", "malformed_json"}
        assert service.stop() == 0
    # They stay hidden until their time is up, and then count towards maxReceiveCount.
    assert sum(trail.queue_counts()) == 2


def test_an_object_that_is_gone_is_rejected_and_its_message_kept(
    trail: Trail, tmp_path: Path
) -> None:
    trail.put("gone.json", log_file(record()))
    for item in trail.s3.list_objects_v2(Bucket=trail.bucket)["Contents"]:
        trail.s3.delete_object(Bucket=trail.bucket, Key=item["Key"])
    with running(tmp_path, trail.config(), CREDENTIALS) as service:
        service.wait_until(lambda: service.records("trail")["rejected"] == 1)
        (rejected,) = [line for line in service.log if line["event"] == "rejected"]
        assert rejected["reason"] == "object_missing"
        assert rejected["origin"].endswith("gone.json")


def test_an_object_over_the_cap_is_rejected_without_being_fetched(
    trail: Trail, tmp_path: Path
) -> None:
    trail.put("large.json", log_file(record(padding="x" * 5000)))
    with running(tmp_path, trail.config(max_object_bytes=1000), CREDENTIALS) as service:
        service.wait_until(lambda: service.records("trail")["rejected"] == 1)
        (rejected,) = [line for line in service.log if line["event"] == "rejected"]
        assert rejected["reason"] == "too_large"


def test_a_large_object_lies_on_disk_while_it_is_in_hand(trail: Trail, tmp_path: Path) -> None:
    padded = [record(at=0, padding=os.urandom(5000).hex()) for _ in range(1000)]
    trail.put("large.json", log_file(*padded, record(at=300)))
    trail.put("damaged.json", log_file(*padded, record(at=600))[:-1])
    spool = tmp_path / "state" / "detector.sqlite3.spool" / "trail"
    with running(tmp_path, trail.config(), CREDENTIALS) as service:
        service.wait_until(lambda: service.records("trail")["in"] >= 2003)
        service.wait_until(lambda: trail.queue_counts() == (0, 1))
        # The damaged one was fetched twice, found the same, and is left to the queue.
        assert service.records("trail")["rejected"] == 1
        assert spool.is_dir()
        service.wait_until(lambda: list(spool.iterdir()) == [])
        assert service.stop() == 0


def test_keys_of_every_spelling_are_found(trail: Trail, tmp_path: Path) -> None:
    for number, name in enumerate(("a b+c&d=e%20f.json", "ключ — 鍵.json", "plus+plus.json")):
        trail.put(name, log_file(record(at=number * 300)))
    with running(tmp_path, trail.config(), CREDENTIALS) as service:
        service.wait_until(lambda: is_idle(service, trail, 3))
        assert service.records("trail")["matched"] == 3


def test_digest_files_are_skipped_without_being_fetched(trail: Trail, tmp_path: Path) -> None:
    trail.put("1_CloudTrail-Digest_us-east-1_t_us-east-1_20260916T150000Z.json.gz", b"not read")
    with running(tmp_path, trail.config(), CREDENTIALS) as service:
        service.wait_until(lambda: is_idle(service, trail, 1))
        assert service.records("trail")["skipped"] == 1


def test_a_notification_of_several_objects_is_acknowledged_as_one(
    trail: Trail, tmp_path: Path
) -> None:
    for number in range(3):
        trail.put(f"{number}.json", log_file(record(at=number)))
    records: list[object] = []
    while len(records) < 3:
        for message in trail.sqs.receive_message(QueueUrl=trail.queue, MaxNumberOfMessages=10)[
            "Messages"
        ]:
            records += json.loads(message["Body"]).get("Records", [])
            trail.sqs.delete_message(QueueUrl=trail.queue, ReceiptHandle=message["ReceiptHandle"])
    trail.send(json.dumps({"Records": records}))
    with running(tmp_path, trail.config(), CREDENTIALS) as service:
        service.wait_until(lambda: is_idle(service, trail, 3))
        acked = "detector_deliveries_total{result=acked}{source=trail}"
        assert service.metrics()[acked] == 1


def test_messages_that_wait_for_longer_than_their_visibility_timeout_are_not_received_twice(
    trail: Trail, tmp_path: Path
) -> None:
    # One delivery may be in hand, so all wait behind objects that take some seconds each to come.
    for number in range(2):
        trail.put(f"slow{number}.json", log_file(record(at=number * 300)))
    for number in range(2, 22):
        trail.put(f"{number}.json", log_file(record(at=number * 300)))
    with fault_proxy(trail.endpoint) as proxy:
        proxy.inject(delayed(8), asks("slow"), times=None)
        config = trail.config(visibility_timeout_seconds=6, endpoint_url=proxy.address)
        config["limits"] = {"max_deliveries_in_hand": 1}
        with running(tmp_path, config, CREDENTIALS) as service:
            service.wait_until(lambda: is_idle(service, trail, 22))
            assert service.records("trail")["matched"] == 22
            # Each object was asked for once: no message came a second time while it waited.
            assert proxy.seen["GET"] == 22
            assert service.stop() == 0


def test_a_stop_gives_back_at_once_what_was_not_worked_on(trail: Trail, tmp_path: Path) -> None:
    for number in range(60):
        trail.put(f"{number}.json", log_file(record(at=number * 300)))
    config = trail.config(visibility_timeout_seconds=3600)
    with running(tmp_path, config, CREDENTIALS) as service:
        service.wait_until(lambda: service.records("trail")["in"] > 0)
        assert service.stop() == 0
        assert service.log[-1]["in_hand"] == 0
    assert trail.queue_counts()[1] == 0
    with running(tmp_path, config, CREDENTIALS) as service:
        service.wait_until(lambda: trail.queue_counts() == (0, 0))
        assert service.records("trail")["duplicate"] == 0
        assert service.stop() == 0
    published = trail.published()
    assert len({alert["id"] for alert in published}) == 60
    # Where a late window made one incident of two, the end of one of them was told too.
    told = [(alert["id"], alert["kind"]) for alert in published]
    assert len(set(told)) == len(told)
    assert {kind for _, kind in told} <= {"raised", "updated", "resolved"}


def test_a_queue_that_does_not_exist_ends_the_service_with_a_failure(
    trail: Trail, tmp_path: Path
) -> None:
    config = trail.config(queue_url=trail.queue + "-nope")
    with running(tmp_path, config, CREDENTIALS) as service:
        assert service.process.wait(120) == 1
        failed = service.logged("source failed, it is tried again")[0]
        assert "the queue cannot be read" in failed["error"]
        assert "check sources.queue_url" in failed["error"]
        assert service.logged("stopping")[0]["reason"] == "failure"


def test_a_topic_that_does_not_exist_makes_dead_letters_and_nothing_is_lost(
    trail: Trail, tmp_path: Path
) -> None:
    config = trail.config()
    good = config["sinks"][0]
    config["sinks"] = [{**good, "topic_arn": good["topic_arn"] + "-nope"}]
    trail.put("a.json", log_file(record()))
    with running(tmp_path, config, CREDENTIALS) as service:
        dead = "detector_outbox_notifications{sink=sns}{state=dead}"
        service.wait_until(lambda: service.metrics().get(dead) == 1)
        assert service.stop() == 0
    config["sinks"] = [good]
    with running(tmp_path, config, CREDENTIALS) as service:
        delivered = "detector_sink_sends_total{result=delivered}{sink=sns}"
        service.wait_until(lambda: service.metrics()[delivered] == 1)
        assert service.stop() == 0
    assert len(trail.published()) == 1


def test_without_credentials_the_service_ends_and_says_so(trail: Trail, tmp_path: Path) -> None:
    nothing = dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "")
    env = {**CREDENTIALS, **nothing, "AWS_CONFIG_FILE": "/dev/null"}
    env["AWS_SHARED_CREDENTIALS_FILE"] = "/dev/null"
    with running(tmp_path, trail.config(), env) as service:
        assert service.process.wait(120) == 1
        assert "Unable to locate credentials" in service.errors
