"""The page on operating the ways out: its template says what it shows, and no name is left out."""

import re
from pathlib import Path

import click
import pytest

from detector.alerts.alert import Digest
from detector.alerts.samples import sample_alert
from detector.alerts.template_sandbox import FILTERS, MAX_STEPS, METHODS
from detector.alerts.templates import MAX_TEXT_CHARACTERS, ROW_LABELS, values_of
from detector.cli import detector
from detector.config import load_config
from detector.sinks.outbox import IDLE_SECONDS
from detector.state.store import Notification
from tests.conftest import REPOSITORY
from tests.records import NOON
from tests.sinks import answers
from tests.unit.test_templates import SAMPLES, story_of

PAGE = (REPOSITORY / "docs" / "sinks" / "operating.md").read_text()
IDENTITY = "0123456789abcdef0123456789abcdef"


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    return found[1]


async def test_the_template_says_what_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "detector.yaml"
    path.write_text(block("yaml"))
    (sink,) = load_config(path).sinks
    await answers(sink, Notification(sample_alert(IDENTITY, NOON)))
    assert capsys.readouterr().out.strip() == block("text").strip()


def test_every_name_that_a_template_has_is_explained() -> None:
    for names in (FILTERS, METHODS, ROW_LABELS, Digest.__struct_fields__):
        for name in names:
            assert f"`{name}`" in PAGE
    (first, *_) = SAMPLES
    values = values_of(first.alert, story_of(first))
    for name in values["story"]:
        assert f"`story.{name}`" in PAGE
    for name in re.findall(r"`alert\.(\w+)", PAGE):
        assert name in values["alert"]
    assert f"{MAX_TEXT_CHARACTERS:,} characters" in PAGE
    assert f"{MAX_STEPS:,} steps" in PAGE


def test_every_command_and_option_is_there() -> None:
    for name in ("outbox", "notify-test"):
        command = detector.commands[name]
        parts = list(command.commands.values()) if isinstance(command, click.Group) else [command]
        for part in parts:
            if isinstance(command, click.Group):
                assert f"detector {name} {part.name}" in PAGE
            for option in part.params:
                assert any(word in PAGE for word in option.opts) or option.name in {
                    "state_path",
                    "limit",
                }
    assert f"every {IDLE_SECONDS:g} seconds" in PAGE
