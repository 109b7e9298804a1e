"""`detector notify-test`: what each sink says to one marked alert, and what is left alone."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from detector.cli import detector
from detector.config import ArchiveSinkConfig
from detector.errors import DetectorError
from detector.state.sqlite import SQLiteStore
from detector.state.store import Notification
from tests.alerts import alert
from tests.archived import archive_files, read
from tests.servers.checking import Answer, CheckingServer, Fault, Received
from tests.servers.pagerduty import ROUTING_KEY, PagerDutyServer
from tests.servers.slack import SlackServer
from tests.servers.standard_webhooks import StandardWebhooksServer
from tests.sinks import opened, sink_context
from tests.waiting import wait_for

Sinks = Sequence[dict[str, Any]]


class Taking(CheckingServer):
    """Takes whatever comes."""

    def check(self, request: Received) -> Answer:
        return Answer()


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the log of the tests' own process as it is."""
    monkeypatch.setattr("detector.cli.notify_test.configure_logs", lambda _: None)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")


def run(folder: Path, sinks: Sinks, *arguments: str, **config: Any) -> Result:
    """Run the command; what fails must fail with one of our own errors."""
    path = folder / "detector.yaml"
    whole = {"sources": [{"type": "stdin"}], "sinks": list(sinks), **config}
    path.write_text(yaml.safe_dump({"egress": {"allow": ["127.0.0.0/8"]}, **whole}))
    result = CliRunner().invoke(detector, ["notify-test", "--config", str(path), *arguments])
    assert result.exception is None or isinstance(result.exception, (SystemExit, DetectorError)), (
        result.exception
    )
    return result


def lines(result: Result) -> dict[str, str]:
    """Return what is said of each sink, by its name."""
    return dict(line.split(": ", 1) for line in result.stdout.splitlines())


def hook(server: StandardWebhooksServer, name: str = "hook", **settings: Any) -> dict[str, Any]:
    return {"type": "webhook", "name": name, "url": server.address, **settings}


def pager(server: PagerDutyServer, **settings: Any) -> dict[str, Any]:
    return {
        "type": "pagerduty",
        "name": "pager",
        "routing_key": ROUTING_KEY,
        "url": server.url,
        **settings,
    }


def test_each_sink_gets_one_alert_that_is_marked(tmp_path: Path) -> None:
    receiver = StandardWebhooksServer(is_payload_checked=False)
    with SlackServer() as slack, receiver, PagerDutyServer() as duty:
        chat = {"type": "slack", "url": slack.url}
        result = run(tmp_path, [chat, hook(receiver, format="alert"), pager(duty)])
        assert result.exit_code == 0
        said = lines(result)
        assert said.keys() == {"slack", "hook", "pager"}
        assert said["slack"].startswith("delivered in 0.")
        assert ", and its end delivered in 0." in said["pager"]
        (message,) = slack.messages
        assert "[TEST] [MEDIUM] IAM policy changed" in message["text"]
        (posted,) = receiver.accepted
        assert posted.json["test"] is True
        assert posted.json["rule_id"] == "detector.test"
        assert posted.json["evidence"][0]["requestParameters"] == {
            "userName": "bob",
            "policyArn": "arn:aws:iam::aws:policy/AdministratorAccess",
        }
        # Where somebody would be called, nothing is left open.
        trigger, end = [request.json for request in duty.accepted]
        assert trigger["payload"]["summary"].startswith("[TEST] ")
        assert (trigger["event_action"], end["event_action"]) == ("trigger", "resolve")
        assert trigger["dedup_key"] == end["dedup_key"]
        assert duty.open_incidents == []


def test_no_receiver_takes_a_second_test_for_a_repetition(tmp_path: Path) -> None:
    with StandardWebhooksServer() as receiver:
        for _ in range(2):
            assert run(tmp_path, [hook(receiver)]).exit_code == 0
        assert len(set(receiver.ids)) == 2


def test_an_alertmanager_is_told_of_the_end(tmp_path: Path) -> None:
    with Taking() as receiver:
        sink = {"type": "alertmanager", "name": "am", "urls": [receiver.address]}
        result = run(tmp_path, [sink])
        assert ", and its end delivered" in lines(result)["am"]
        (firing,), (over,) = [request.json for request in receiver.accepted]
        assert firing["labels"] == over["labels"]
        assert firing["labels"]["test"] == "true"
        assert firing["endsAt"] > over["endsAt"]


def test_who_wants_no_ends_is_told_of_the_incident_that_is_left(tmp_path: Path) -> None:
    with PagerDutyServer() as duty:
        result = run(tmp_path, [pager(duty, resolved=False)])
        assert result.exit_code == 0
        assert "close the incident by hand, as the sink has resolved: false" in result.stdout
        assert len(duty.accepted) == 1


def test_an_end_that_is_not_taken_is_told(tmp_path: Path) -> None:
    with PagerDutyServer() as duty:
        judge = duty.check

        def check(request: Any) -> Answer:
            answer = judge(request)
            duty.always = Fault(answer=Answer(500, "later"))
            return answer

        duty.check = check  # type: ignore[method-assign]
        result = run(tmp_path, [pager(duty)])
    assert result.exit_code == 1
    assert "but its end not now: 127.0.0.1 answered 500" in result.stdout
    assert "close the incident by hand" in result.stdout


def test_each_answer_is_told_and_one_that_is_bad_fails_the_test(tmp_path: Path) -> None:
    busy = Fault(answer=Answer(429, "slow down", {"Retry-After": "17"}))
    bad = Fault(answer=Answer(400, "what \x1b[2J\nis this"))
    good = StandardWebhooksServer()
    with StandardWebhooksServer(busy) as one, StandardWebhooksServer(bad) as other, good:
        sinks = [hook(one, "busy"), hook(other, "strict"), hook(good, "good")]
        sinks.append(hook(good, "no-ca", ca_file="nothing.pem"))
        result = run(tmp_path, sinks)
        assert result.exit_code == 1
        said = lines(result)
        assert said.pop("good").startswith("delivered in ")
        assert said.pop("no-ca").startswith("cannot be opened: ca_file cannot be read: ")
        assert said == {
            "busy": "not now: 127.0.0.1 answered 429: slow down, asks for 17 s",
            "strict": "refused for good: 127.0.0.1 answered 400: what  [2J is this",
        }


def test_an_address_that_is_not_allowed_is_told_with_what_to_do(tmp_path: Path) -> None:
    with StandardWebhooksServer() as receiver:
        receiver.address = receiver.address.replace("127.0.0.1", "localhost")
        result = run(tmp_path, [hook(receiver)], egress={"allow": []})
        assert result.exit_code == 1
        assert "add its network to egress.allow" in result.stdout
        assert receiver.accepted == []


def test_one_that_hangs_holds_up_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("detector.sinks.trial.STEP_SECONDS", 0.5)
    with StandardWebhooksServer(Fault(slow=True)) as slow, StandardWebhooksServer() as quick:
        slow.is_open.clear()
        result = run(tmp_path, [hook(slow, "slow"), hook(quick, "quick")])
    assert result.exit_code == 1
    first, second = result.stdout.splitlines()
    assert first.startswith("quick: delivered in 0.")
    assert second == "slow: not now: no answer in 0.5 s"


def test_an_answer_is_told_as_it_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr("detector.cli.notify_test.click.echo", told.append)
    with StandardWebhooksServer(Fault(slow=True)) as slow, StandardWebhooksServer() as quick:
        slow.is_open.clear()
        sinks = [hook(slow, "slow"), hook(quick, "quick")]
        caller = threading.Thread(target=run, args=(tmp_path, sinks))
        caller.start()
        wait_for(lambda: told)
        assert told[0].startswith("quick: ")
        slow.is_open.set()
        caller.join(30)
    assert [line.partition(":")[0] for line in told] == ["quick", "slow"]


def test_a_sink_with_a_bug_fails_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def send(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("detector.sinks.stdout.StdoutSink.send", send)
    with StandardWebhooksServer() as receiver:
        said = lines(run(tmp_path, [{"type": "stdout"}, hook(receiver)]))
    assert said["stdout"] == "refused for good: unexpected ZeroDivisionError: this is a bug"
    assert said["hook"].startswith("delivered")


def test_json_is_one_document_whatever_a_sink_prints(tmp_path: Path) -> None:
    busy = Fault(answer=Answer(503, "", {"Retry-After": "3"}))
    with StandardWebhooksServer(busy) as receiver:
        sinks = [{"type": "stdout", "format": "json"}, hook(receiver)]
        result = run(tmp_path, sinks, "--format", "json", "--level", "critical")
    assert result.exit_code == 1
    document = json.loads(result.stdout)
    assert json.loads(result.stderr)["id"] == document["alert_id"]
    assert document["level"] == "critical"
    screen, posted = document["sinks"]
    assert screen["raised"].pop("seconds") < 10
    assert screen == {
        "sink": "stdout",
        "type": "stdout",
        "raised": {"result": "delivered", "why": None, "after": None},
        "resolved": None,
        "stays_open": False,
    }
    assert posted["raised"]["result"] == "retry"
    assert posted["raised"]["after"] == 3


def test_the_sinks_that_are_named_are_tested_alone(tmp_path: Path) -> None:
    with StandardWebhooksServer() as receiver:
        sinks = [hook(receiver, name) for name in ("one", "two", "three")]
        result = run(tmp_path, sinks, "--sink", "three", "--sink", "one")
        assert lines(result).keys() == {"one", "three"}
        wrong = run(tmp_path, sinks, "--sink", "thre")
        assert wrong.exit_code == 2
        assert "did you mean three? Known here: one, two, three" in wrong.stderr
        assert len(receiver.accepted) == 2


def test_it_goes_past_levels_and_routes(tmp_path: Path) -> None:
    routing = {"routes": [{"levels": ["low"], "sinks": []}]}
    with StandardWebhooksServer() as receiver:
        sink = hook(receiver, min_level="critical")
        assert run(tmp_path, [sink], "--level", "low", routing=routing).exit_code == 0
        assert len(receiver.accepted) == 1


def test_the_state_of_a_running_service_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite3"
    with SQLiteStore.open(path), StandardWebhooksServer() as receiver:
        before = {item.name: item.stat().st_mtime_ns for item in tmp_path.iterdir()}
        assert run(tmp_path, [hook(receiver)], state={"path": str(path)}).exit_code == 0
        after = {item.name: item.stat().st_mtime_ns for item in tmp_path.iterdir()}
        assert {name: after[name] for name in before} == before
        assert after.keys() - before.keys() == {"detector.yaml"}


# The archive.


async def test_the_archive_gets_a_file_of_its_own_beside_that_of_a_running_service(
    tmp_path: Path,
) -> None:
    root = tmp_path / "archive"
    sink = {"type": "archive", "path": str(root)}
    async with opened(ArchiveSinkConfig(name="archive", path=str(root)), sink_context()) as running:
        await running.send(Notification(alert()))
        (part,) = (root / ".open").iterdir()
        before = part.read_bytes()
        result = await asyncio.to_thread(run, tmp_path, [sink])
        assert result.exit_code == 0
        assert part.read_bytes() == before
        (record,) = read(archive_files(root))
        assert record["test"] is True
        await running.send(Notification(alert()))
    assert [record["test"] for record in read(archive_files(root))].count(False) == 2


def test_an_archive_in_s3_has_it_only_once_it_is_uploaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("detector.sinks.archive.sink.CLOSE_SECONDS", 0.2)
    state = tmp_path / "state.sqlite3"
    spool = tmp_path / "state.sqlite3.sinks" / "archive"
    spool.mkdir(parents=True)
    waiting = spool / "alerts-20260916T165231Z-3f9a0c5d81e24b67.avro"
    waiting.write_bytes(b"of the service")
    sink = {"type": "archive", "path": "s3://bucket/prefix", "region": "us-east-1"}
    with StandardWebhooksServer() as bucket:  # which takes no PUT
        refused = run(
            tmp_path, [{**sink, "endpoint_url": bucket.address}], state={"path": str(state)}
        )
    with Taking() as bucket:
        taken = run(
            tmp_path, [{**sink, "endpoint_url": bucket.address}], state={"path": str(state)}
        )
        (put,) = bucket.accepted
    assert refused.exit_code == 1
    assert lines(refused)["archive"].startswith("not now: ")
    assert taken.exit_code == 0
    assert put.path.startswith("/bucket/prefix/day")
    assert waiting.read_bytes() == b"of the service"


def test_an_archives_folder_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = run(tmp_path, [{"type": "archive", "path": str(tmp_path / "file" / "below")}])
    assert result.exit_code == 1
    assert lines(result)["archive"].startswith("cannot be opened: the folder of the archive")
