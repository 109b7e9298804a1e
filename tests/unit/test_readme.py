"""What the README shows is true."""

import re
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from detector.config import (
    Config,
    RouteConfig,
    S3SQSSourceConfig,
    SlackSinkConfig,
    load_config,
)
from detector.document import parse
from detector.errors import RuleError
from detector.rules.loader import rule_of
from detector.rules.ruleset import RuleSet
from detector.sources.s3_sqs.object_errors import ObjectReason
from detector.telemetry.metrics import Metrics
from tests.conftest import REPOSITORY

README = (REPOSITORY / "README.md").read_text()
SOURCES = (REPOSITORY / "docs" / "sources.md").read_text()


def example(first_line: str, document: str = README) -> str:
    blocks = re.findall(r"```yaml\n(.*?)```", document, re.DOTALL)
    (block,) = [block for block in blocks if block.startswith(f"# {first_line}\n")]
    return str(block)


@pytest.fixture
def shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    monkeypatch.setenv("ALERT_WEBHOOK_URL", "https://hooks.example/x")
    monkeypatch.setenv("ALERT_WEBHOOK_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    monkeypatch.setenv("SLACK_WEBHOOK_URL", "https://hooks.slack.example/x")
    monkeypatch.setenv("FIREHOSE_ACCESS_KEY", "s3cret")
    path = tmp_path / "shown.yaml"
    path.write_text(example("configuration"))
    return load_config(path)


def test_the_example_configuration_is_good(shown: Config) -> None:
    names = ["s3_sqs", "kinesis", "directory", "firehose"]
    assert [source.name for source in shown.sources] == names
    assert [sink.name for sink in shown.sinks] == ["stdout", "slack", "webhook", "sns", "archive"]


def test_the_values_shown_are_the_defaults_and_none_is_left_out(
    shown: Config, tmp_path: Path
) -> None:
    path = tmp_path / "least.yaml"
    path.write_text("sources: [{type: directory, path: x}]")
    least = load_config(path)
    sections = ("limits", "alerts", "outbox", "egress", "windows", "telemetry", "log")
    for name in (*sections, "drain_seconds", "rules_poll_seconds"):
        assert getattr(shown, name) == getattr(least, name)
        for field in getattr(getattr(shown, name), "__struct_fields__", ()):
            assert f"{field}: " in example("configuration")
    assert msgspec.structs.replace(shown.silent_sources, expected=()) == least.silent_sources
    for field in shown.silent_sources.__struct_fields__:
        assert f"{field}: " in example("configuration")
    assert shown.state.retention_seconds == least.state.retention_seconds
    beside = msgspec.structs.replace(shown.quarantine, path=least.quarantine.path)
    assert beside == least.quarantine
    assert Path(shown.quarantine.path).parent == Path(shown.state.path).parent


def test_the_example_of_a_queue_shows_all_of_its_keys_and_their_defaults(tmp_path: Path) -> None:
    path = tmp_path / "shown.yaml"
    path.write_text(example("queue", SOURCES))
    (source,) = load_config(path).sources
    assert isinstance(source, S3SQSSourceConfig)
    for field in source.__struct_fields__:
        assert re.search(rf"\b{field}:", example("queue", SOURCES))
    least = S3SQSSourceConfig(queue_url=source.queue_url, buckets="any")
    shown = ("name", "queue_url", "region", "buckets", "bucket_owner")
    for field in set(source.__struct_fields__) - set(shown):
        assert getattr(source, field) == getattr(least, field)


def test_the_example_of_sinks_shows_all_that_every_sink_may_be_told(
    tmp_path: Path, shown: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "sinks.yaml"
    text = example("every sink", (REPOSITORY / "docs" / "sinks.md").read_text())
    path.write_text(f"sources: [{{type: directory, path: x}}]\n{text}")
    config = load_config(path)
    for field in (*SlackSinkConfig.__struct_fields__, *RouteConfig.__struct_fields__):
        assert re.search(rf"\b{field}:", text)
    least = SlackSinkConfig(url="https://hooks.example/x")
    for field in ("staged", "updates", "resolved", "rate", "alert_after_seconds"):
        assert getattr(config.sinks[0], field) == getattr(least, field)
    assert config.outbox == shown.outbox


def test_every_reason_for_which_an_object_is_not_read_is_explained() -> None:
    for reason in (*get_args(ObjectReason), "object_not_allowed"):
        assert f"`{reason}`" in SOURCES


def test_the_example_of_a_silence_shows_all_of_its_keys(shown: Config) -> None:
    (silence,) = shown.silences
    for field in silence.__struct_fields__:
        assert getattr(silence, field) is not None
    assert (silence.start.strftime("%A"), silence.every_days) == ("Thursday", 7)


def test_the_example_rule_passes_its_own_tests() -> None:
    rule = rule_of(parse(example("rule"), "README.md", RuleError))
    rules = RuleSet([rule])
    assert rule.file.tests
    for case in rule.file.tests:
        assert bool(rules.match(case.event)) is case.fires


def test_the_metrics_named_are_those_that_exist() -> None:
    named = set(re.findall(r"`(detector_[a-z_]+?)(?:_total)?[`{]", README))
    metrics = Metrics()
    exist = {family.name for family in metrics.registry.collect()}
    assert named == {name for name in exist if name.startswith("detector_")} - {"detector_build"}
