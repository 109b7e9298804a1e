"""`detector test-metric-filter`."""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import click

from detector.alerts.plain import counted
from detector.alerts.text import clean
from detector.cli.inputs import read_messages
from detector.cli.shared import echo_json, existing_or_stdin
from detector.errors import PatternError
from detector.metric_filter import MetricFilter, MetricFilterMatch
from detector.rules.filter_pattern import repaired

CONTEXT = 38
"""Characters of a long pattern that are shown on either side of the fault, so that it fits."""


@click.command(
    "test-metric-filter",
    short_help="Show what a CloudWatch filter pattern matches.",
    epilog="""\b
Examples:
  detector test-metric-filter --filter-pattern '{ $.eventName = "DeleteTrail" }' log.json.gz
  detector test-metric-filter --filter-pattern '[ip, ..., status=4*, size]' access.log
  detector test-metric-filter --filter-pattern '?ERROR ?WARN' --log-event-messages 'ERROR 1'
  tail -100 app.log | detector test-metric-filter --filter-pattern ERROR --format text -

\b
Exit status: 0 also where nothing matches, as with AWS; 1 the pattern is malformed;
2 called wrongly.""",
)
@click.option("--filter-pattern", "pattern", required=True, help="The pattern, in one argument.")
@click.option(
    "--log-event-messages",
    "messages",
    metavar="MESSAGE",
    multiple=True,
    help="A message to test, any number of times; they come before those of FILES.",
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(["json", "text"]),
    default="json",
    help="AWS's JSON document, or text for people.  [default: json]",
)
@click.argument("paths", metavar="[FILE]...", type=existing_or_stdin, nargs=-1)
def test_metric_filter(
    pattern: str, messages: Sequence[str], format_: str, paths: Sequence[Path]
) -> None:
    """Show what a CloudWatch filter pattern matches, as `aws logs test-metric-filter`, offline.

    A FILE (or - for standard input) holds log messages, one a line; or it is a CloudTrail log
    file, a JSON array or one JSON document, whose records are the messages.
    """
    if not messages and not paths:
        raise click.UsageError("Name a FILE with messages, or give --log-event-messages.")
    try:
        metric_filter = MetricFilter(pattern)
    except PatternError as error:
        _explain_fault(pattern, error)
        sys.exit(1)
    everything = list(chain(messages, *map(read_messages, paths)))
    matches = list(metric_filter.matches(everything))
    if format_ == "json":
        echo_json({"matches": [match.as_json() for match in matches]})
        return
    for match in matches:
        _echo_match(match)
    click.echo(f"{len(matches)} of {counted(len(everything), 'message')} match")


def _echo_match(match: MetricFilterMatch) -> None:
    click.echo(f"{match.number}: {clean(match.message)}")
    for name, value in match.values.items():
        click.echo(clean(f"    {name}  {value}"))


def _explain_fault(pattern: str, error: PatternError) -> None:
    """Print the fault, a caret under the character that does not fit, and the repair if known."""
    click.echo(f"detector: {clean(str(error))}", err=True)
    for line in caret_lines(pattern, error.offset):
        click.echo(f"  {line}", err=True)
    repair = repaired(pattern)
    if repair is not None:
        click.echo(clean(f"the pattern was probably meant to be: {repair}"), err=True)


def caret_lines(text: str, offset: int) -> tuple[str, str]:
    """Return the part of a text around an offset, and a line with a caret under that character."""
    start = max(offset - CONTEXT, 0)
    before = ("…" if start else "") + clean(text[start:offset])
    after = clean(text[offset : offset + CONTEXT]) + "…" * (offset + CONTEXT < len(text))
    return before + after, " " * sum(map(_width, before)) + "^"


def _width(character: str) -> int:
    """Return how many places a character takes on a terminal."""
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1
