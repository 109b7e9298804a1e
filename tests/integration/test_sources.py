"""Several sources at once: each with its own pause, its own failures, its own end."""

from __future__ import annotations

import gzip
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from tests.records import log_file, record
from tests.rules import rule_text
from tests.service_process import DEFAULTS, Service, running

pytestmark = pytest.mark.integration


def config(folder: Path, **paused: bool) -> dict[str, Any]:
    """Return a configuration of two folders."""
    (folder / "puts.yml").write_text(rule_text(id="puts"))
    sources = []
    for name in ("one", "other"):
        (folder / name).mkdir(exist_ok=True)
        source = {"type": "directory", "name": name, "path": name, "settle_seconds": 0}
        sources.append({**source, "poll_seconds": 0.05, "paused": paused.get(name, False)})
    return {"sources": sources, "rules": ["puts.yml"], "rules_poll_seconds": 3600}


def reload(service: Service, folder: Path, changed: dict[str, Any]) -> None:
    """Put a changed configuration into force."""
    changed = {**DEFAULTS, **changed}
    before = sum(line["event"] == "configuration reloaded" for line in service.log)
    (folder / "detector.yaml").write_text(yaml.safe_dump(changed))
    service.process.send_signal(signal.SIGHUP)
    service.wait_until(
        lambda: sum(line["event"] == "configuration reloaded" for line in service.log) > before
    )


def state(service: Service, source: str) -> str:
    """Return the state in which the metrics say that a source is."""
    (found,) = (
        name.split("{state=")[1].rstrip("}")
        for name, value in service.metrics().items()
        if name.startswith(f"detector_source_state{{source={source}}}") and value == 1
    )
    return found


def test_a_source_is_paused_and_resumed_by_a_reload_and_the_others_go_on(tmp_path: Path) -> None:
    with running(tmp_path, config(tmp_path)) as service:
        service.wait_until(lambda: service.get("/readyz")[0] == 200)
        reload(service, tmp_path, config(tmp_path, one=True))
        service.wait_until(lambda: state(service, "one") == "paused")
        (tmp_path / "one" / "a.json").write_bytes(log_file(record(at=0)))
        (tmp_path / "other" / "b.json").write_bytes(log_file(record(at=300)))
        service.wait_until(lambda: service.records("other")["matched"] == 1)
        assert service.records("one")["in"] == 0
        assert service.get("/readyz")[0] == 200
        reload(service, tmp_path, config(tmp_path))
        service.wait_until(lambda: service.records("one")["matched"] == 1)
        assert state(service, "one") == "running"
        assert service.stop() == 0
    assert "configuration differs in what needs a restart" not in service.errors


def test_a_source_may_begin_paused_and_its_pause_outlives_a_change_elsewhere(
    tmp_path: Path,
) -> None:
    with running(tmp_path, config(tmp_path, other=True)) as service:
        service.wait_until(lambda: state(service, "other") == "paused")
        changed = config(tmp_path, other=True)
        changed["rule_status"] = {"puts": "test"}
        reload(service, tmp_path, changed)
        assert state(service, "other") == "paused"
        assert service.stop() == 0


def test_a_source_that_fails_comes_back_and_the_others_go_on(tmp_path: Path) -> None:
    with running(tmp_path, config(tmp_path)) as service:
        service.wait_until(lambda: service.get("/readyz")[0] == 200)
        (tmp_path / "one").rmdir()
        service.wait_until(lambda: state(service, "one") == "failing")
        status, text = service.get("/readyz")
        assert (status, text) == (503, "source one is not read\n")
        (tmp_path / "other" / "b.json").write_bytes(log_file(record()))
        service.wait_until(lambda: service.records("other")["matched"] == 1)
        (tmp_path / "one").mkdir()
        (tmp_path / "one" / "a.json").write_bytes(log_file(record(at=600)))
        service.wait_until(lambda: service.records("one")["matched"] == 1)
        assert service.get("/readyz")[0] == 200
        assert service.metrics()["detector_source_errors_total{kind=source}{source=one}"] >= 1
        assert service.stop() == 0


def test_a_source_that_never_works_does_not_end_the_service_while_another_one_does(
    tmp_path: Path,
) -> None:
    settings = config(tmp_path)
    (tmp_path / "one").rmdir()
    with running(tmp_path, settings) as service:
        service.wait_until(lambda: state(service, "one") == "failing")
        (tmp_path / "other" / "b.json").write_bytes(log_file(record()))
        service.wait_until(lambda: service.records("other")["matched"] == 1)
        assert service.stop() == 0


def test_a_service_without_any_source_that_works_ends_with_a_failure(tmp_path: Path) -> None:
    settings = config(tmp_path)
    for name in ("one", "other"):
        (tmp_path / name).rmdir()
    with running(tmp_path, settings) as service:
        assert service.process.wait(60) == 1
        assert service.log[-2]["event"] == "stopping"
        assert service.log[-2]["reason"] == "failure"
        failed = [line for line in service.log if line["event"].startswith("source failed")]
        assert {line["source"] for line in failed} == {"one", "other"}
        assert all("create it, or correct sources.path" in line["error"] for line in failed)


def test_what_is_piped_in_is_counted_and_the_end_of_the_pipe_is_the_end(tmp_path: Path) -> None:
    (tmp_path / "puts.yml").write_text(rule_text(id="puts"))
    path = tmp_path / "detector.yaml"
    path.write_text("sources: [{type: stdin}]\nrules: [puts.yml]\ntelemetry: {port: 0}\n")
    lines = [msgspec.json.encode(record(at=number * 300)) for number in range(3)]
    done = subprocess.run(
        [sys.executable, "-m", "detector", "run", "--config", str(path)],
        input=gzip.compress(b"\n".join(lines)) + gzip.compress(log_file(record(at=900))),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    alerts = [msgspec.json.decode(line) for line in done.stdout.splitlines()]
    assert len({alert["window"]["start"] for alert in alerts}) == 4
    assert b'"reason":"end"' in done.stderr.replace(b" ", b"")


def test_a_pipe_cannot_be_paused(tmp_path: Path) -> None:
    path = tmp_path / "detector.yaml"
    path.write_text("sources: [{type: stdin, paused: true}]\n")
    done = subprocess.run(
        [sys.executable, "-m", "detector", "check", "--config", str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "what is in a pipe cannot wait" in done.stdout + done.stderr
