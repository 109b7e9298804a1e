"""The service on a directory, as `make run` starts it, and how it ends."""

import json
import math
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from detector.state.sqlite import SQLiteStore
from tests.hook import Hook
from tests.records import log_file, record, zipped_log_file
from tests.sample_logs import SAMPLE_ALERTS, SAMPLE_LOGS, SAMPLE_RECORDS, SAMPLE_STAGED
from tests.service_process import Service, running

pytestmark = pytest.mark.integration

SENT = len(SAMPLE_ALERTS)
"""Alerts that the shipped rules send for the sample logs."""


def config(**changes: Any) -> dict[str, Any]:
    source = {"type": "directory", "name": "logs", "path": "logs", "settle_seconds": 0.01}
    source["poll_seconds"] = 0.05
    return {"sources": [source], **changes}


@contextmanager
def on_sample(tmp_path: Path, **changes: Any) -> Iterator[Service]:
    shutil.copytree(SAMPLE_LOGS, tmp_path / "logs")
    with running(tmp_path, config(**changes)) as service:
        yield service


def test_the_sample_logs_become_the_alerts_of_their_readme_and_a_balanced_account(
    tmp_path: Path,
) -> None:
    with on_sample(tmp_path) as service:
        service.wait_until(lambda: service.records("logs")["in"] == SAMPLE_RECORDS["in"])
        service.wait_until(lambda: len(service.alerts) >= SENT)
        assert service.records("logs") == SAMPLE_RECORDS
        found = {
            (item["title"], item["group"]["recipientAccountId"], item["window"]["start"][11:16])
            for item in service.alerts
        }
        assert found == {(item.title, item.account, item.start) for item in SAMPLE_ALERTS}
        assert len({item["id"] for item in service.alerts}) == len(service.alerts) == SENT
        metrics = service.metrics()
        assert metrics["detector_skipped_total{kind=digest}{source=logs}"] == 1
        assert metrics["detector_rejections_total{reason=truncated}{source=logs}"] == 1
        assert metrics["detector_sink_sends_total{result=delivered}{sink=stdout}"] == SENT
        assert metrics["detector_late_events_total{source=logs}"] == 3
        assert metrics["detector_event_age_seconds_count{source=logs}"] == SAMPLE_RECORDS["matched"]
        raised = [
            value for key, value in metrics.items() if "verdict=raised" in key and "_total" in key
        ]
        assert sum(raised) == SENT + SAMPLE_STAGED
        assert service.stop() == 0
        assert service.log[-1]["event"] == "stopped"


def test_a_restart_repeats_nothing_and_reads_what_came_meanwhile(tmp_path: Path) -> None:
    with on_sample(tmp_path) as service:
        service.wait_until(lambda: len(service.alerts) >= SENT)
        service.wait_until(lambda: service.records("logs")["in"] == SAMPLE_RECORDS["in"])
        assert service.stop() == 0
    (tmp_path / "logs" / "new.json").write_bytes(log_file(record("CreatePolicy")))
    with running(tmp_path, config()) as service:
        service.wait_until(lambda: service.alerts)
        assert service.records("logs")["in"] == 1
        assert [alert["event_names"] for alert in service.alerts] == [["CreatePolicy"]]
        assert service.stop() == 0


def test_a_delayed_second_half_of_a_window_updates_its_alert_under_the_same_id(
    tmp_path: Path,
) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    (logs / "a.json").write_bytes(log_file(record()))
    with running(tmp_path, config(alerts={"update_interval_seconds": 0.2})) as service:
        service.wait_until(lambda: service.alerts)
        (logs / "b.json.gz").write_bytes(zipped_log_file(record()))
        service.wait_until(lambda: len(service.alerts) == 2)
        first, second = service.alerts
        assert (first["id"], first["count"], first["revision"]) == (second["id"], 1, 1)
        assert (second["count"], second["revision"]) == (2, 2)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_in_order(tmp_path: Path, number: signal.Signals) -> None:
    (tmp_path / "logs").mkdir()
    with running(tmp_path, config()) as service:
        service.wait_until(lambda: service.get("/readyz")[0] == 200)
        assert service.get("/healthz") == (200, "ok\n")
        assert service.stop(number) == 0
        assert [line["event"] for line in service.log] == ["started", "stopping", "stopped"]


def test_a_webhook_that_fails_and_then_answers_gets_every_alert_once(tmp_path: Path) -> None:
    with Hook(500, 503) as hook:
        sinks = [{"type": "webhook", "url": hook.url}]
        with on_sample(tmp_path, sinks=sinks) as service:
            sends = "detector_sink_sends_total{result=%s}{sink=webhook}"
            service.wait_until(lambda: service.metrics()[sends % "delivered"] == SENT)
            assert service.metrics()[sends % "retry"] == 2
            assert service.stop() == 0
    assert len(set(hook.ids(200))) == len(hook.ids(200)) == SENT
    assert len(hook.ids(500) + hook.ids(503)) == 2


def test_alerts_that_a_receiver_refused_are_sent_by_the_next_process(tmp_path: Path) -> None:
    with Hook(*[404] * SENT) as hook:
        sinks = [{"type": "webhook", "url": hook.url}]
        dead = "detector_outbox_notifications{sink=webhook}{state=dead}"
        with on_sample(tmp_path, sinks=sinks) as service:
            service.wait_until(lambda: service.metrics().get(dead) == SENT)
            assert service.stop() == 0
        with running(tmp_path, config(sinks=sinks)) as service:
            service.wait_until(lambda: len(hook.ids(200)) == SENT)
            assert service.stop() == 0
    assert set(hook.ids(200)) == set(hook.ids(404))


def test_alerts_that_a_receiver_puts_off_wait_for_the_next_start(tmp_path: Path) -> None:
    with Hook(then=429) as hook:
        sinks = [{"type": "webhook", "url": hook.url}, {"type": "stdout"}]
        with on_sample(tmp_path, sinks=sinks) as service:
            service.wait_until(lambda: hook.ids(429) and len(service.alerts) == SENT)
            assert service.stop() == 0
    with SQLiteStore.open(tmp_path / "state" / "detector.sqlite3") as store:
        assert store.outbox.counts("webhook").pending == SENT
        # An alert that an event joined after it was sent may wait to say so.
        assert all(item.kind != "raised" for item in store.outbox.due("stdout", math.inf, SENT))


def test_a_sink_that_hangs_holds_up_neither_the_others_nor_the_end(tmp_path: Path) -> None:
    with Hook() as hook:
        hook.is_open.clear()
        sinks = [{"type": "webhook", "url": hook.url}, {"type": "stdout"}]
        with on_sample(tmp_path, sinks=sinks, drain_seconds=0.5) as service:
            service.wait_until(lambda: len(hook.received) >= 1 and len(service.alerts) >= SENT)
            assert service.stop() == 0
            assert "not finished in time, the next start goes on" in service.errors
        hook.is_open.set()
        with running(tmp_path, config(sinks=sinks)) as service:
            service.wait_until(lambda: len(set(hook.ids(200))) == SENT)
            assert service.stop() == 0


def test_standard_output_that_is_closed_ends_the_service_with_a_failure(tmp_path: Path) -> None:
    shutil.copytree(SAMPLE_LOGS, tmp_path / "logs")
    path = tmp_path / "detector.yaml"
    path.write_text("sources: [{type: directory, path: logs}]\ntelemetry: {port: 0}\n")
    command = f"{sys.executable} -m detector run --config {path} | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "1\n"
    assert "standard output cannot be written" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_in_use_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    with Hook() as hook:
        telemetry = {"port": hook.server_port}
        with running(tmp_path, config(telemetry=telemetry)) as service:
            assert service.process.wait(60) == 1
            assert "cannot listen on" in service.errors
            assert "set telemetry.port to a free port" in service.errors


def test_a_second_service_on_the_same_state_is_kept_out(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    with running(tmp_path, config()) as first:
        first.wait_until(lambda: first.get("/readyz")[0] == 200)
        other = config(state={"path": str(tmp_path / "state" / "detector.sqlite3")})
        (tmp_path / "second" / "logs").mkdir(parents=True)
        with running(tmp_path / "second", other) as second:
            assert second.process.wait(60) == 1
            assert "is in use by another detector" in second.errors


def test_a_record_that_cannot_be_counted_is_quarantined(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "a.json").write_bytes(log_file(record(eventTime="soon"), record()))
    with running(tmp_path, config()) as service:
        service.wait_until(lambda: service.alerts)
        assert service.records("logs") | {"in": 2} == service.records("logs")
        rejected = service.metrics()["detector_rejections_total{reason=no_event_time}{source=logs}"]
        assert rejected == 1
        assert service.stop() == 0
    (kept,) = (tmp_path / "state" / "quarantine").glob("*.json")
    entry = json.loads(kept.read_bytes())
    assert (entry["reason"], entry["index"]) == ("no_event_time", 0)
