"""What the document on chats and pagers shows is true."""

import re
from pathlib import Path

import pytest

from detector.config import PagerDutySinkConfig, SlackSinkConfig, TeamsSinkConfig, load_config
from tests.conftest import REPOSITORY
from tests.make_pictures import BODIES, PICTURES, shown
from tests.sample_messages import messages
from tests.servers import pagerduty, slack, teams

DOCUMENT = (REPOSITORY / "docs" / "sinks" / "chat.md").read_text()
MAX_PICTURE_BYTES = 60_000


def test_the_messages_in_the_document_are_those_that_are_sent() -> None:
    assert shown(DOCUMENT) == DOCUMENT


def test_the_services_would_take_them() -> None:
    made = messages()
    assert slack.fault_of(made["slack"]) == ""
    assert teams.fault_of(made["teams"]) == ""
    assert list(pagerduty.faults_of(made["pagerduty"])) == []


def test_the_example_configuration_is_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLACK_WEBHOOK_URL", "https://hooks.slack.example/services/T0/B0/x")
    monkeypatch.setenv("TEAMS_WORKFLOW_URL", "https://flow.example/invoke?sig=s3cret")
    monkeypatch.setenv("PAGERDUTY_ROUTING_KEY", "a" * 32)
    found = re.search(r"```yaml\n(# sinks for people\n.*?)```", DOCUMENT, re.DOTALL)
    assert found
    path = tmp_path / "shown.yaml"
    path.write_text("sources:\n  - type: stdin\n" + found[1])
    config = load_config(path)
    kinds = [SlackSinkConfig, TeamsSinkConfig, PagerDutySinkConfig]
    assert [type(sink) for sink in config.sinks] == kinds


def test_every_picture_is_there_and_small_and_can_be_drawn_again() -> None:
    named = set(re.findall(r"\(pictures/([a-z-]+\.png)\)", DOCUMENT))
    assert named == {f"{name}.png" for name in (*BODIES, "slack-resolved")}
    for name in named:
        assert (PICTURES / name).stat().st_size <= MAX_PICTURE_BYTES
    for name, message in messages().items():
        assert "AdministratorAccess" in BODIES[name](message)
