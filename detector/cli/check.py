"""`detector check`: faults in a configuration and in rules, and what the linter has to say."""

from __future__ import annotations

import difflib
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import click
import msgspec

from detector.alerts.plain import counted
from detector.alerts.text import clean
from detector.cli.shared import (
    any_path,
    echo_json,
    format_option,
    placeholders_option,
    report,
    rules_argument,
)
from detector.config import Config, load_config
from detector.document import read
from detector.errors import ConfigError, DetectorError, Place
from detector.rule_source import RuleSource
from detector.rules.expiry import day_of, expiry_findings
from detector.rules.finding import Finding
from detector.rules.loader import LoadedRules, shipped_rules

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"

MAX_ROUNDS = 10
"""Fixes of which each makes room for the next; more of them have no end."""


@dataclass(slots=True)
class _Checked:
    """What was checked, and what came of it."""

    rules: int = 0
    faults: list[DetectorError] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    accepted: list[Finding] = field(default_factory=list)

    @property
    def summary(self) -> str:
        parts = [counted(self.rules, "rule"), counted(len(self.faults), "fault")]
        if self.findings:
            parts.append(counted(len(self.findings), "finding"))
        if self.accepted:
            parts.append(f"{counted(len(self.accepted), 'finding')} accepted")
        return ", ".join(parts)


@click.command(
    short_help="Check a configuration and rules.",
    epilog="""\b
Examples:
  detector check                        the shipped rules
  detector check --strict my_rules/     for CI: a finding fails it too
  detector check --fix my_rules/        put right what can be, without changing a meaning
  detector check --config detector.yml  the configuration, and the rules that it names

\b
A finding is accepted in the rule file, with a reason:
  lint_exceptions: {shared-event-name: "a policy of another service interests us too"}

\b
Exit status: 0 no fault (with --strict: no finding either), 1 otherwise, 2 called wrongly.""",
)
@click.option("--config", "config_path", type=any_path, help="Configuration file.")
@placeholders_option
@format_option
@click.option("--all", "show_all", is_flag=True, help="Show accepted findings too, and why.")
@click.option("--fix", is_flag=True, help="Rewrite the files where a fix keeps the meaning.")
@click.option("--strict", is_flag=True, help="Let findings fail the check, not only faults.")
@rules_argument
def check(
    config_path: Path | None,
    placeholders_path: Path | None,
    format_: str,
    show_all: bool,
    fix: bool,
    strict: bool,
    rule_paths: Sequence[Path],
) -> None:
    """Check a configuration and rules; without RULES those that it names, or the shipped ones.

    Faults are what makes a rule unusable; findings are what is probably not meant. Accepted
    findings are only counted.
    """
    faults: list[DetectorError] = []
    silences: list[Finding] = []
    now = time.time()
    source = RuleSource(list(rule_paths) or [shipped_rules()], placeholders_path)
    if config_path is not None:
        try:
            config = load_config(config_path)
            source = _configured(config, rule_paths, placeholders_path)
            silences += _ended_silences(config, config_path, now)
        except DetectorError as error:
            faults.append(error)
    checked = _checked(source.load(), day_of(now))
    changes: list[str] = []
    if fix:
        changes, undone = _fix(checked, source, day_of(now))
        if changes or undone:
            checked = _checked(source.load(), day_of(now))
            checked.faults += undone
    checked.faults[:0] = faults
    checked.findings[:0] = silences
    if format_ == "json":
        echo_json(_as_json(checked, changes))
    else:
        _echo_text(checked, changes, show_all=show_all)
    sys.exit(1 if checked.faults or (strict and checked.findings) else 0)


def _configured(
    config: Config, rule_paths: Sequence[Path], placeholders_path: Path | None
) -> RuleSource:
    """Return the source of the rules to check: those named, and else the configuration's.

    The statuses that a configuration gives are for its own rules.
    """
    if placeholders_path is not None:
        config = msgspec.structs.replace(config, placeholders=str(placeholders_path))
    if rule_paths:
        rules = tuple(map(str, rule_paths))
        config = msgspec.structs.replace(config, rules=rules, rule_status={})
    return RuleSource.of(config)


def _ended_silences(config: Config, path: Path, now: float) -> Iterator[Finding]:
    """Yield the silences that are over, each with its place."""
    document = read(path, ConfigError)
    for index, silence in enumerate(config.silences):
        if silence.state(now) == "expired":
            yield Finding(
                "ended-silence",
                f"silences[{index}] of {silence.author} ended at {silence.end.isoformat()}",
                document.place(["silences", index]),
                "remove it once no late event of that time can come in",
            )


def _checked(loaded: LoadedRules, today: date) -> _Checked:
    from detector.rules.lint import lint  # noqa: PLC0415 - it reads a long list of names

    checked = _Checked(
        len(loaded.rules) + len(loaded.correlations) + len(loaded.foreign), [*loaded.errors]
    )
    for finding in lint(loaded):
        target = checked.findings if finding.accepted is None else checked.accepted
        target.append(finding)
    checked.findings += expiry_findings(loaded.filters, today)
    return checked


def _echo_text(checked: _Checked, changes: Sequence[str], *, show_all: bool) -> None:
    report(checked.faults)
    for change in changes:
        for line in change.splitlines():
            click.echo(clean(line))
    for finding in checked.findings:
        click.echo(clean(str(finding)))
    for finding in checked.accepted if show_all else ():
        click.echo(clean(f"{finding.place}: accepted [{finding.code}]: {finding.accepted}"))
    click.echo(checked.summary)


def _as_json(checked: _Checked, changes: Sequence[str]) -> dict[str, object]:
    return {
        "rules": checked.rules,
        "faults": [
            {**_place_json(fault.place), "message": fault.message, "remedy": fault.remedy}
            for fault in checked.faults
        ],
        "findings": [
            {
                **_place_json(finding.place),
                "code": finding.code,
                "message": finding.message,
                "remedy": finding.remedy,
                "can_be_fixed": finding.fix is not None,
                "accepted": finding.accepted,
            }
            for finding in [*checked.findings, *checked.accepted]
        ],
        "changes": list(changes),
    }


def _place_json(place: Place | None) -> dict[str, object]:
    if place is None:
        return {"path": None, "line": None, "column": None}
    return {"path": place.path, "line": place.line or None, "column": place.column or None}


def _fix(
    checked: _Checked, source: RuleSource, today: date
) -> tuple[list[str], list[DetectorError]]:
    """Rewrite files; return what was changed, and what had to be undone.

    Fixes that overlap are made one after the other. A file that has faults only since it was
    rewritten gets its old content back.
    """
    faulty = {error.place.path for error in checked.faults if error.place}
    before: dict[str, bytes] = {}
    for _ in range(MAX_ROUNDS):
        if not _rewrite(checked.findings, before):
            break
        checked = _checked(source.load(), today)
    undone = []
    for error in checked.faults:
        path = error.place.path if error.place else ""
        if path in before and path not in faulty:
            _write(path, before.pop(path))
            message = f"the fixes would break the rule ({error.message}): nothing was changed"
            undone.append(DetectorError(message, place=Place(path), remedy="report this bug"))
    return [_difference(path, content) for path, content in before.items()], undone


def _rewrite(findings: Sequence[Finding], before: dict[str, bytes]) -> bool:
    """Make the fixes that findings offer; keep in `before` how each file was at first."""
    from detector.rules.lint import apply_fixes  # noqa: PLC0415 - see above

    fixable: defaultdict[str, list[Finding]] = defaultdict(list)
    for finding in findings:
        if finding.fix is not None:
            fixable[finding.place.path].append(finding)
    has_changed = False
    for path, of_file in fixable.items():
        content = _read(path)
        text = content.decode("utf-8-sig")
        fixed = apply_fixes(text, of_file)
        if fixed != text:
            mark = _BYTE_ORDER_MARK if content.startswith(_BYTE_ORDER_MARK) else b""
            _write(path, mark + fixed.encode())
            before.setdefault(path, content)
            has_changed = True
    return has_changed


def _difference(path: str, before: bytes) -> str:
    """Return the lines that a file lost and got."""
    old, new = (text.decode("utf-8-sig").splitlines() for text in (before, _read(path)))
    lines = difflib.unified_diff(old, new, path, f"{path}, fixed", n=0, lineterm="")
    return "\n".join(lines)


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise DetectorError(f"{path} cannot be read: {error.strerror}") from error


def _write(path: str, content: bytes) -> None:
    try:
        Path(path).write_bytes(content)
    except OSError as error:
        raise DetectorError(f"{path} cannot be written: {error.strerror}") from error
