"""What the commands have in common: options, rules, and how faults and counts are shown."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, Any

import click
import msgspec

from detector.alerts.plain import clean
from detector.errors import DetectorError
from detector.lenient_json import repair
from detector.rule_source import RuleSource
from detector.rules.loader import LoadedRules, shipped_rules

existing = click.Path(exists=True, path_type=Path)
existing_or_stdin = click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path)
any_path = click.Path(path_type=Path)

rules_option = click.option(
    "--rules",
    "rule_paths",
    type=any_path,
    multiple=True,
    help="Rule file or folder, any number of times; the shipped rules without it.",
)
placeholders_option = click.option(
    "--placeholders",
    "placeholders_path",
    type=any_path,
    help="YAML file of the values that each %placeholder% in Sigma rules stands for.",
)
format_option = click.option(
    "--format",
    "format_",
    type=click.Choice(["text", "json"]),
    default="text",
    help="Text for people, or one JSON document.  [default: text]",
)
rules_argument = click.argument("rule_paths", metavar="[RULES]...", type=any_path, nargs=-1)


class WrongCall(click.ClickException):
    """What was given cannot be answered at all: neither yes nor no."""

    exit_code = 2

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the one sentence as all errors are printed."""
        click.echo(f"detector: {clean(self.message)}", file=file, err=file is None)


def loaded_rules(paths: Sequence[Path], placeholders_path: Path | None) -> LoadedRules:
    """Load the rules named, or the shipped ones; faults are left in what was loaded."""
    return RuleSource(list(paths) or [shipped_rules()], placeholders_path).load()


def report(faults: Iterable[DetectorError]) -> None:
    """Print one line for each fault on standard error."""
    for fault in faults:
        click.echo(f"detector: {clean(str(fault))}", err=True)


def echo_json(data: object) -> None:
    """Print one JSON document."""
    try:
        document = msgspec.json.encode(data)
    except UnicodeEncodeError:  # an argument or a file's name that is not UTF-8
        document = repair(json.dumps(data).encode())
    click.echo(msgspec.json.format(document, indent=2).decode())
