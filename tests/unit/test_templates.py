"""Templates: what they can do, what they cannot, and that a fault is found before an alert."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from detector.alerts.samples import Sample, samples
from detector.alerts.story import MAX_ROWS, Reading, Story, tell
from detector.alerts.template_sandbox import MAX_STEPS
from detector.alerts.templates import MAX_TEXT_CHARACTERS, ROW_LABELS, Templates
from detector.config import load_config
from detector.config_source import ConfigFile
from detector.errors import ConfigError
from tests.alerts import alert
from tests.records import NOON
from tests.strategies import examples

SAMPLES = list(samples(NOON))


def story_of(sample: Sample) -> Story:
    return tell(sample.alert, sample.kind, Reading())


def made(text: str, sample: Sample = SAMPLES[0], escape: Any = str) -> str | None:
    templates = Templates(None, text, escape)
    return templates.strict_text(sample.alert, story_of(sample))


def refused(text: str) -> ConfigError:
    """Return why a template is refused, at the latest with some sample."""
    for sample in SAMPLES:
        try:
            made(text, sample)
        except ConfigError as error:
            return error
    raise AssertionError(f"{text} is not refused")


# What they can do.


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{ alert.title }} ({{ alert.level | upper }})", "IAM policy changed (MEDIUM)"),
        ("{{ story.rows.where }}", "111122223333, us-east-1"),
        ("{{ story.rows['from'].split(';')[0] }}", "192.0.2.44"),
        ("{{ story.rows.silence }}{{ story.rows['rule 1'] }}", ""),
        ("{{ alert.window.start }}", "2026-09-16T11:55:00Z"),
        ("{{ alert.evidence[0].requestParameters.userName }}", "bob"),
        ("{{ alert.evidence[9].requestParameters.userName }}", ""),
        ("{{ alert.evidence[0].no.such.thing }}", ""),
        ("{{ alert.digest.notifications }}", ""),
        ("{% for name in alert.actors %}{{ loop.index }} {{ name[-5:] }}{% endfor %}", "1 alice"),
        ("{% if alert.digest %}many{% else %}one{% endif %}", "one"),
        ("{{ alert.group }}", '{"recipientAccountId":"111122223333"}'),
        ("{{ alert.group.items() | list }}", '[["recipientAccountId","111122223333"]]'),
        ("{{ alert.count * 3 % 2 }}", "1"),
        ("{{ alert.suppressed }}", ""),
        (
            "{% macro times(number) %}{{ number }} times{% endmacro %}{{ times(alert.count) }}",
            "1 times",
        ),
        ("{% for link in story.links %}{{ link.text }}{% endfor %}", "CloudTrail event"),
    ],
)
def test_a_template_shows_the_alert_and_its_story(text: str, expected: str) -> None:
    assert made(text) == expected


def test_every_row_of_every_sample_has_a_known_label() -> None:
    found = {label for sample in SAMPLES for label, _ in story_of(sample).rows}
    assert {label for label in found if not label.startswith("rule ")} <= set(ROW_LABELS)


def test_each_value_is_escaped_and_the_templates_own_signs_are_not() -> None:
    assert made("<b>{{ alert.title }}</b>", escape=lambda text: f"<{text}>") == (
        "<b><IAM policy changed></b>"
    )


def test_no_value_can_move_a_terminal_or_be_a_template() -> None:
    (hostile,) = [sample for sample in SAMPLES if sample.what == "hostile names"]
    text = made("{{ alert.title }}|{{ alert.evidence }}|{{ alert.actors | join }}", hostile)
    assert text is not None
    assert "{{ alert }}" in text
    assert not set(text) & set("\x1b\u202e\u2028\ud83d\r")
    text.encode()


def test_a_heading_has_one_line() -> None:
    templates = Templates("a\n  {{ kind }}\n", None, str)
    assert templates.title(alert(), story_of(SAMPLES[0])) == "a raised"


def test_what_is_not_given_is_not_made() -> None:
    assert Templates(None, None, str).title(alert(), story_of(SAMPLES[0])) is None


def test_the_heading_of_a_test_says_so_whatever_the_template_says() -> None:
    (test,) = [sample for sample in SAMPLES if sample.what == "a test"]
    for source in ("{{ alert.title }}", "[TEST] {{ alert.title }}"):
        made_of = Templates(source, None, str).title(test.alert, story_of(test))
        assert made_of == "[TEST] IAM policy changed"


# What they cannot do.


@pytest.mark.parametrize(
    "text",
    [
        "{{ ''.__class__ }}",
        "{{ ''['__class__'] }}",
        "{{ alert.title.__class__.__mro__ }}",
        "{{ alert.tags | map(attribute='__class__') | list }}",
        "{{ alert.tags | groupby('__class__') }}",
        "{{ alert.tags | sort(attribute='__class__.__name__') }}",
        "{{ alert.tags | selectattr('__class__') | list }}",
        "{{ ['x'] | map('attr', '__class__') | list }}",
        "{{ '' | attr('__class__') }}",
        "{{ '{0.__class__}'.format(1) }}",
        "{{ '%s' % alert }}",
        "{{ self.__init__ }}",
        "{{ self._TemplateReference__context }}",
        "{% for x in alert.tags %}{{ loop.__class__ }}{% endfor %}",
        "{% macro m() %}{% endmacro %}{{ m.__globals__ }}",
        "{% macro m() %}{% endmacro %}{{ m._func.__globals__ }}",
        "{{ alert.__class__ }}",
        "{{ story.rows.__missing__ }}",
        "{{ alert.update({'title': 'x'}) }}",
        "{{ alert.tags.append('x') }}",
        "{{ alert.clear() }}",
        "{% include 'x' %}",
        "{% extends 'x' %}",
        "{% import 'x' as x %}",
        "{% from 'x' import y %}",
        "{% do alert.tags %}",
        "{{ cycler('a') }}",
        "{{ lipsum() }}",
        "{{ namespace() }}",
        "{{ dict() }}",
        "{{ config }}",
        "{{ request }}",
        "{{ _steps }}",
    ],
)
def test_nothing_leads_out_of_the_sandbox(text: str) -> None:
    assert "cannot be" in refused(text).message


@pytest.mark.parametrize(
    "text",
    [
        "{{ 'x' * 1000000000 }}",
        "{{ [1] * 1000000000 }}",
        "{{ 9 ** 9 ** 9 }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ 'x'.ljust(1000000000) }}",
        "{{ 'x' | center(1000000000) }}",
        "{{ 'x\\ny' | indent(1000000000) }}",
        "{{ '%1000000000d' | format(1) }}",
        "{% for a in range(1000000000) %}{% endfor %}",
        "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
        "{% macro f(n) %}{{ f(n - 1) }}{{ f(n - 1) }}{% endmacro %}{{ f(9) }}",
        "{% macro f(n) %}{% if n %}{{ f(n-1) }}{{ f(n-1) }}{% endif %}{% endmacro %}{{ f(60) }}",
        "{% set _steps = [-1000000] %}{% macro f() %}{% for a in 'x' %}{{ f() }}{% endfor %}"
        "{% endmacro %}{{ f() }}",
        "{% set x = story.runbook %}" + 5 * "{% for a in x %}" + 5 * "{% endfor %}",
        "{{ " + 2000 * "(" + "1" + 2000 * ")" + " }}",
    ],
)
def test_nothing_takes_for_ever(text: str) -> None:
    began = time.monotonic()
    refused(text)
    assert time.monotonic() - began < 10


def test_as_many_steps_as_an_alert_can_need_are_to_be_had() -> None:
    assert MAX_STEPS > 1_000 + 10 * MAX_ROWS
    text = "{% for a in alert.event_ids %}{{ a }}{% endfor %}"
    (update,) = [sample for sample in SAMPLES if sample.what == "an update"]
    many = update._replace(
        alert=msgspec.structs.replace(update.alert, event_ids=["x"] * 1_000),
    )
    assert made(text, many) == "x" * 1_000


@pytest.mark.parametrize(
    "text",
    ["x" * 200_000, "{{ alert.title | replace('a', story.runbook * 1) }}" * 0 + "y" * 99_999],
)
def test_what_a_template_makes_is_cut(text: str) -> None:
    assert len(made(text) or "") == MAX_TEXT_CHARACTERS


def test_output_without_end_is_cut_before_it_is_made() -> None:
    (hostile,) = [sample for sample in SAMPLES if sample.what == "hostile names"]
    loop = "{% for a in alert.actors[1] %}{{ alert.actors[1] }}{% endfor %}"  # 100 MB
    text = made(loop, hostile)
    assert text is not None
    assert len(text) == MAX_TEXT_CHARACTERS


@given(st.text(alphabet="{}%-#| ._()[]'\"abcdefghiklmnorstuxy0123456789*+~=,", max_size=60))
@examples(300)
def test_whatever_is_written_is_a_text_or_an_error_of_ours(text: str) -> None:
    for sample in SAMPLES[:5]:
        try:
            result = made(text, sample)
        except ConfigError as error:
            assert error.message.startswith("the template text cannot be")
        else:
            assert result is not None
            assert len(result) <= MAX_TEXT_CHARACTERS


# When one fails.


def test_an_alert_is_told_in_the_sinks_own_words_if_its_template_fails_and_one_is_told_of_it() -> (
    None
):
    templates = Templates("{{ 1 / (alert.count - 1) }}", "{{ alert.count }}", str)
    story = story_of(SAMPLES[0])
    with capture_logs() as logs:
        for _ in range(3):
            assert templates.title(SAMPLES[0].alert, story) is None
        assert templates.text(SAMPLES[0].alert, story) == "1"
    assert [(line["log_level"], line["template"]) for line in logs] == [("warning", "title")]
    assert "division by zero" in logs[0]["why"]


# At load.


def configured(folder: Path, templates: dict[str, str], **sink: Any) -> Path:
    path = folder / "detector.yaml"
    config = {
        "sources": [{"type": "stdin"}],
        "sinks": [
            {"type": "stdout", "name": "screen"},
            {"type": "stdout", "name": "own", "templates": templates, **sink},
        ],
    }
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    return path


@pytest.mark.parametrize("name", ["title", "text"])
@pytest.mark.parametrize(
    ("text", "message", "remedy"),
    [
        ("{{ story.headlin }}", "there is no field headlin", "did you mean headline?"),
        ("{{ storry.headline }}", "nothing is called storry", "did you mean story?"),
        ("{{ story.rows.whoo }}", "there is no field whoo", "did you mean who?"),
        ("{{ alert.title | upcase }}", "there is no filter upcase", "Known here: abs"),
        ("{{ alert.title is odde }}", "there is no test odde", "did you mean odd?"),
        ("{% if alert.digest %}{{ alert.digest.raized }}{% endif %}", "(tried with a digest)", "?"),
        ("{{ 1 / alert.count }}", "(tried with an alarm without any event)", None),
        ("{% if %}", "cannot be read in its line 1", None),
    ],
)
def test_a_fault_is_found_with_its_place_and_what_to_do(
    tmp_path: Path, name: str, text: str, message: str, remedy: str | None
) -> None:
    path = configured(tmp_path, {name: text})
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    error = caught.value
    assert error.message.startswith(f"sink own: the template {name} cannot be ")
    assert message in error.message
    assert remedy is None or remedy in (error.remedy or "")
    assert error.place is not None
    line = path.read_text().splitlines()[error.place.line - 1]
    assert line[error.place.column - 1 :].startswith(("'", '"'))
    assert line.lstrip().startswith(f"{name}: ")


def test_good_templates_are_taken(tmp_path: Path) -> None:
    text = "{% for label, value in story.rows.items() %}{{ label }}={{ value }} {% endfor %}"
    (_, own) = load_config(configured(tmp_path, {"title": "{{ alert.id }}", "text": text})).sinks
    assert own.name == "own"


def test_a_fault_that_is_brought_in_later_leaves_the_configuration_as_it_was(
    tmp_path: Path,
) -> None:
    config_file = ConfigFile(configured(tmp_path, {"text": "{{ alert.id }}"}))
    before = config_file.config
    configured(tmp_path, {"text": "{{ alert.idd }}"})
    assert config_file.reload().config == before


# The samples themselves.


def test_there_is_a_sample_of_every_shape() -> None:
    alerts = [sample.alert for sample in SAMPLES]
    assert {made.counting for made in alerts} == {
        "aligned",
        "sliding",
        "correlation",
        "single",
        "own",
    }
    assert {sample.kind for sample in SAMPLES} == {"raised", "updated", "resolved"}
    assert {made.state for made in alerts} == {"open", "resolved", "withdrawn"}
    assert any(made.digest for made in alerts)
    assert any(made.digest.more_rules for made in alerts if made.digest)
    assert any(made.late for made in alerts)
    assert any(made.overflow for made in alerts)
    assert any(not made.evidence for made in alerts)
    assert any(made.status != "stable" for made in alerts)
    assert [made.test for made in alerts].count(True) == 1
    assert len({sample.what for sample in SAMPLES}) >= len(SAMPLES) - 2
