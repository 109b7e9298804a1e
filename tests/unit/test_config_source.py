"""A configuration file that changes under a running service."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from structlog.testing import capture_logs

from detector.config import Config
from detector.config_source import ConfigFile, differing, log_config_reload
from detector.errors import ConfigError
from detector.telemetry.metrics import Metrics

SILENCE = {
    "rules": "any",
    "start": "2026-12-31T22:00:00Z",
    "end": "2027-01-01T02:00:00Z",
    "author": "alice",
    "reason": "work",
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write(tmp_path / "detector.yaml")


def write(path: Path, **changes: Any) -> Path:
    """Write a small configuration in place of the old one, as editors do."""
    new = path.with_suffix(".new")
    config = {"sources": [{"type": "directory", "path": "logs"}], **changes}
    new.write_text(yaml.safe_dump(config))
    return new.rename(path)


def test_silences_and_statuses_come_into_force_and_nothing_else(path: Path) -> None:
    file = ConfigFile(path)
    started = file.config
    write(path, silences=[SILENCE], rule_status={"a": "test"}, drain_seconds=3)
    done = file.reload()
    assert (done.result, done.error) == ("applied", None)
    assert list(done.changed) == ["rule_status", "silences"]
    assert list(done.waiting) == ["drain_seconds"]
    assert file.config is done.config
    assert len(done.config.silences) == 1
    assert done.config.rule_status == {"a": "test"}
    assert differing(started, done.config) == ["rule_status", "silences"]


def test_every_other_section_is_named_for_a_restart_again_and_again_until_it_is_as_before(
    path: Path,
) -> None:
    file = ConfigFile(path)
    # One change of each section, so that a new section must be thought of here.
    changes: dict[str, Any] = {
        "sources": [{"type": "directory", "path": "others"}],
        "sinks": [{"type": "stdout", "format": "json"}],
        "rules": ["mine"],
        "rules_poll_seconds": 1,
        "placeholders": "values.yml",
        "state": {"path": "elsewhere"},
        "quarantine": {"max_bytes": 1 << 40},
        "alerts": {"late_after_seconds": 1},
        "routing": {"default": []},
        "outbox": {"max_pending": 1},
        "egress": {"allow": ["10.0.0.0/8"]},
        "windows": {"retention_seconds": 1},
        "silent_sources": {"after_seconds": 1},
        "limits": {"max_values": 1},
        "telemetry": {"port": 1},
        "log": {"level": "debug"},
        "drain_seconds": 1,
    }
    write(path, **changes)
    for _ in range(2):
        done = file.reload()
        assert done.result == "unchanged"
        assert list(done.waiting) == list(changes)
    assert {*changes, "silences", "rule_status"} == set(Config.__struct_fields__)
    write(path)
    assert list(file.reload().waiting) == []


def test_a_faulty_file_changes_nothing_and_is_named_with_its_place(path: Path) -> None:
    write(path, silences=[SILENCE])
    file = ConfigFile(path)
    before = file.config
    path.write_text("sources: [{type: directory, path: x}]\nsilences: [{rules: any}]\n")
    done = file.reload()
    assert (done.result, list(done.changed), list(done.waiting)) == ("failed", [], [])
    assert done.config is file.config is before
    assert str(done.error).startswith(f"{path}:2:12: silences[0].start is missing")
    path.unlink()
    assert "the file cannot be read" in str(file.reload().error)
    write(path, silences=[])
    assert file.reload().result == "applied"
    assert file.config.silences == ()


def test_a_fault_that_nobody_foresaw_changes_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> Config:
        raise RecursionError("too deep")

    file = ConfigFile(path)
    before = file.config
    monkeypatch.setattr("detector.config_source.load_config", fail)
    done = file.reload()
    assert (done.result, done.config) == ("failed", before)
    assert "unexpected RecursionError: too deep; this is a bug" in str(done.error)


def test_a_faulty_file_is_refused_at_the_start(path: Path) -> None:
    path.write_text("sources: []")
    with pytest.raises(ConfigError):
        ConfigFile(path)


def test_a_file_is_read_again_once_it_has_changed_and_come_to_rest(path: Path) -> None:
    file = ConfigFile(path)
    assert [file.is_due(), file.is_due()] == [False, False]
    write(path, silences=[SILENCE])
    assert not file.is_due()
    write(path, silences=[])
    assert not file.is_due()
    assert file.is_due()
    file.reload()
    assert [file.is_due(), file.is_due()] == [False, False]


def test_a_change_while_the_file_is_read_is_not_overlooked(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from detector.config import load_config  # noqa: PLC0415 - the one that is replaced

    def changing(at: Path) -> Config:
        config = load_config(at)
        write(path, silences=[SILENCE])
        return config

    monkeypatch.setattr("detector.config_source.load_config", changing)
    file = ConfigFile(path)
    assert [file.is_due(), file.is_due()] == [False, True]
    file.reload()
    assert [file.is_due(), file.is_due()] == [False, True]


def test_what_is_logged_names_sections_and_never_values(path: Path) -> None:
    file = ConfigFile(path)
    hook = {"type": "webhook", "url": "https://hooks.example/s3cret"}
    write(path, silences=[SILENCE], sinks=[hook])
    with capture_logs() as lines:
        log_config_reload(file.reload(), "change")
        log_config_reload(file.reload(), "signal")
        write(path, sinks=3)
        log_config_reload(file.reload(), "signal")
    assert [(line["log_level"], line["event"]) for line in lines] == [
        ("info", "configuration reloaded"),
        ("warning", "configuration differs in what needs a restart"),
        ("info", "configuration unchanged"),
        ("warning", "configuration differs in what needs a restart"),
        ("error", "configuration not reloaded, the old one stays in force"),
    ]
    assert lines[0]["changed"] == ["silences"]
    assert lines[1]["sections"] == ["sinks"]
    assert lines[4]["error"].startswith(f"{path}:")
    assert {line["silences"] for line in lines if "silences" in line} == {1}
    assert "s3cret" not in str(lines)


def test_the_metrics_show_how_the_last_reading_went() -> None:
    metrics = Metrics()
    metrics.declare([], [])

    def shown() -> list[float | None]:
        name = "detector_config_reloads_total"
        counts = [
            metrics.registry.get_sample_value(name, {"result": result})
            for result in ("applied", "unchanged", "failed")
        ]
        successful = metrics.registry.get_sample_value("detector_config_last_reload_successful")
        return [*counts, successful]

    assert shown() == [0, 0, 0, 1]
    metrics.config_reloaded("failed")
    assert shown() == [0, 0, 1, 0]
    metrics.config_reloaded("unchanged")
    metrics.config_reloaded("applied")
    assert shown() == [1, 1, 1, 1]
