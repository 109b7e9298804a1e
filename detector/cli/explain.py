"""`detector explain`: why a rule matches a record, or does not."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import msgspec

from detector import lenient_json
from detector.alerts.plain import counted
from detector.alerts.text import clean
from detector.cli.inputs import STANDARD_INPUT, read_messages
from detector.cli.shared import (
    WrongCall,
    echo_json,
    existing_or_stdin,
    format_option,
    loaded_rules,
    placeholders_option,
    report,
    rules_option,
)
from detector.cli.tree import terminal_mark, tree_lines
from detector.rules.explain import Explanation, exceptions_of, explain, explanation_json, reason
from detector.rules.loader import RULE_SUFFIXES, LoadedRules
from detector.rules.rule import Rule

MAX_RECORDS = 20
"""Explained at a time, unless one is chosen: nobody reads more trees in a row."""

Record = tuple[int, dict[str, Any], str]
"""A record's number in its file, from 1, its content, and its text as it was delivered."""


@click.command(
    "explain",
    short_help="Show why a rule matches a record, or not.",
    epilog="""\b
Examples:
  detector explain "IAM policy changed" event.json
  detector explain --rules rules/ my_rule_id log.json.gz --record 3
  jq -c '.Records[]' log.json | detector explain my_rule.yml -

\b
Exit status: 0 the rule matches (one of several records is enough), 1 it does not,
2 there is no answer: no such rule, a faulty one, or no record.""",
)
@rules_option
@placeholders_option
@format_option
@click.option(
    "--record",
    "number",
    type=click.IntRange(min=1),
    help=f"Which record of EVENT, from 1; without it the first {MAX_RECORDS}.",
)
@click.argument("rule_name", metavar="RULE")
@click.argument("path", metavar="EVENT", type=existing_or_stdin)
def explain_command(
    rule_paths: Sequence[Path],
    placeholders_path: Path | None,
    format_: str,
    number: int | None,
    rule_name: str,
    path: Path,
) -> None:
    """Show why a rule matches a record, or the first condition that failed.

    RULE is a rule file; or the id, name or title of a shipped rule or of one of those that --rules
    names. EVENT is a file (or - for standard input) that holds one CloudTrail record as JSON, one
    a line, or a log file. Windows are not looked at: a rule that matches raises an alert only when
    its window crosses the threshold.
    """
    rule, loaded = _chosen(rule_name, rule_paths, placeholders_path)
    exceptions = exceptions_of(rule, loaded.filters)
    records = _records(path)
    if number is not None:
        if number > len(records):
            raise WrongCall(f"{_name(path)} holds only {counted(len(records), 'record')}")
        records = records[number - 1 : number]
    shown = records[:MAX_RECORDS]
    explained = [(record, explain(rule.tree, record[1], record[2], exceptions)) for record in shown]
    if format_ == "json":
        _echo_json(rule, explained)
    else:
        _echo_text(rule, explained, alone=len(records) == 1)
    if len(records) > len(shown):
        left = counted(len(records) - len(shown), "more record")
        click.echo(f"detector: {left} not explained; choose one with --record", err=True)
    sys.exit(0 if any(explanation.holds for _, explanation in explained) else 1)


def _echo_text(rule: Rule, explained: Sequence[tuple[Record, Explanation]], *, alone: bool) -> None:
    mark = terminal_mark()
    for (number, record, _), explanation in explained:
        event = ", ".join(str(record[key]) for key in ("eventName", "eventID") if key in record)
        which = "" if alone else f"record {number}{f' ({event})' if event else ''} "
        verdict = "matches" if explanation.holds else "does not match"
        click.echo(clean(f'{which}{verdict} "{rule.file.title}": {reason(explanation)}'))
        for line in tree_lines(explanation, mark):
            click.echo(line)


def _echo_json(rule: Rule, explained: Sequence[tuple[Record, Explanation]]) -> None:
    echo_json(
        {
            "rule": {"id": rule.id, "title": rule.file.title, "path": rule.path},
            "records": [
                {
                    "record": number,
                    "event_id": record.get("eventID"),
                    "matches": explanation.holds,
                    "reason": reason(explanation),
                    "explanation": explanation_json(explanation),
                }
                for (number, record, _), explanation in explained
            ],
        }
    )


def _name(path: Path) -> str:
    return "standard input" if path == STANDARD_INPUT else str(path)


def _records(path: Path) -> list[Record]:
    records = []
    for number, text in enumerate(read_messages(path), 1):
        try:
            record = lenient_json.decode(_OBJECT, text.encode("utf-8", "replace"))
        except (msgspec.DecodeError, RecursionError) as error:
            raise WrongCall(
                f"{_name(path)}: record {number} is not a JSON object: {error}; EVENT holds one"
                " record, one a line, or a CloudTrail log file"
            ) from error
        records.append((number, record, text))
    if not records:
        raise WrongCall(f"{_name(path)} holds no record")
    return records


_OBJECT = msgspec.json.Decoder(dict[str, Any])


def _chosen(
    name: str, rule_paths: Sequence[Path], placeholders_path: Path | None
) -> tuple[Rule, LoadedRules]:
    """Return the one rule that is meant, and all that was loaded with it."""
    path = Path(name)
    try:
        is_file, is_folder = path.is_file(), path.is_dir()
    except OSError:  # too long for a path: a title, then
        is_file = is_folder = False
    if not is_file and (path.suffix in RULE_SUFFIXES or is_folder):
        raise WrongCall(f"{name}: no such rule file; name a file, or a rule's id, name or title")
    if is_file and not _is_among(path, rule_paths):
        rule_paths = [path, *rule_paths]
    loaded = loaded_rules(rule_paths, placeholders_path)
    report(loaded.errors)
    found = [rule for rule in loaded.rules if _is_meant(rule, name, is_file=is_file)]
    if len(found) == 1:
        return found[0], loaded
    if found:
        ids = ", ".join(rule.id for rule in found)
        raise WrongCall(f"{name} means several rules: {ids}; name one by its id, with --rules")
    raise WrongCall(_why_not(name, loaded, is_file=is_file))


def _is_among(path: Path, rule_paths: Sequence[Path]) -> bool:
    return any(path.resolve().is_relative_to(folder.resolve()) for folder in rule_paths)


def _is_meant(rule: Rule, name: str, *, is_file: bool) -> bool:
    if is_file:
        return Path(rule.path).resolve() == Path(name).resolve()
    return name in _names(rule) or name.casefold() == rule.file.title.casefold()


def _names(item: Any) -> set[str]:
    return {item.id, item.file.name, item.file.title} - {""}


def _why_not(name: str, loaded: LoadedRules, *, is_file: bool) -> str:
    """Say why no rule could be found."""
    for correlation in loaded.correlations:
        if name in {*_names(correlation), correlation.path}:
            members = ", ".join(correlation.members)
            return f"{name} is a correlation; explain the rules that it is about: {members}"
    for rule in loaded.foreign:
        if _is_meant(rule, name, is_file=is_file):
            return f"{name} is about other logs than CloudTrail's, so that no record matches it"
    if is_file:
        return f"{name} holds no good rule that is in force"
    known: Mapping[str, None] = dict.fromkeys(
        spelling for rule in loaded.rules for spelling in sorted(_names(rule))
    )
    nearest = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {nearest[0]}?" if nearest else "name a file, or a rule's id or title"
    return f"no rule has the id, name or title {name}; {hint}"
