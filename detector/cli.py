"""The command line. Results on standard output, progress and logs on standard error.

Exit status: 0 fine, 1 the answer is no or the work failed, 2 called wrongly.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NoReturn

import click
import msgspec

from detector import __version__
from detector.alerts.text import alert_text, clean
from detector.config import load_config
from detector.errors import DetectorError
from detector.pipeline import Settings
from detector.replay import Replay, replay
from detector.rules.loader import load_rules, shipped_rules
from detector.rules.rule import Rule
from detector.rules.ruleset import RuleSet
from detector.telemetry.logs import configure_logs

DEBUG_VARIABLE = "DETECTOR_DEBUG"

_existing = click.Path(exists=True, path_type=Path)
_any_path = click.Path(path_type=Path)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="detector")
def detector() -> None:
    """Detect what matters in AWS CloudTrail: rules, counted windows, alerts."""


@detector.command()
@click.option("--config", "config_path", type=_any_path, required=True, help="Configuration file.")
def run(config_path: Path) -> None:
    """Run the service until it is told to stop (SIGTERM, Ctrl-C)."""
    from detector.service import run_service  # noqa: PLC0415 - AWS clients take a while to import

    config = load_config(config_path)
    configure_logs(config.log)
    rules = _rule_set([Path(path) for path in config.rules])
    sys.exit(run_service(config, rules))


@detector.command("replay")
@click.option("--rules", "rule_paths", type=_any_path, multiple=True, help="Rule file or folder.")
@click.option("--format", "format_", type=click.Choice(["text", "json"]), default="text")
@click.argument("paths", type=_existing, nargs=-1, required=True)
def replay_command(rule_paths: Sequence[Path], format_: str, paths: Sequence[Path]) -> None:
    """Show what the rules make of log files, offline.

    PATHS are CloudTrail log files, or folders of them.
    """
    rules = _rule_set(rule_paths)
    try:
        result = replay(rules, paths, Settings())
    except OSError as error:
        raise DetectorError(f"{error.filename}: {error.strerror}") from error
    for rejection in result.rejections:
        record = "" if rejection.index is None else f", record {rejection.index}"
        click.echo(
            clean(f"{rejection.origin}{record}: rejected, {rejection.reason}: {rejection.message}"),
            err=True,
        )
    click.echo(_replay_json(result) if format_ == "json" else _replay_text(result))


@detector.command()
@click.option("--config", "config_path", type=_any_path, help="Configuration file.")
@click.argument("rule_paths", metavar="[RULES]...", type=_any_path, nargs=-1)
def check(config_path: Path | None, rule_paths: Sequence[Path]) -> None:
    """Check a configuration and rules; without RULES those that it names, or the shipped ones."""
    faults: list[DetectorError] = []
    paths = list(rule_paths)
    if config_path is not None:
        try:
            config = load_config(config_path)
            paths = paths or [Path(path) for path in config.rules]
        except DetectorError as error:
            faults.append(error)
    loaded = load_rules(paths or [shipped_rules()])
    faults += loaded.errors
    _report(faults)
    click.echo(f"{_counted(len(loaded.rules), 'rule')}, {_counted(len(faults), 'fault')}")
    sys.exit(1 if faults else 0)


@detector.command()
@click.argument("rule_paths", metavar="[RULES]...", type=_any_path, nargs=-1)
def test(rule_paths: Sequence[Path]) -> None:
    """Run the tests inside rules; without RULES those of the shipped ones."""
    loaded = load_rules(list(rule_paths) or [shipped_rules()])
    _report(loaded.errors)
    passed = 0
    failures = 0
    for rule in loaded.rules:
        failed = _failed_tests(rule)
        failures += len(failed)
        passed += len(rule.file.tests) - len(failed)
        for name in failed:
            click.echo(name)
    failures += len(loaded.errors)
    click.echo(f"{_counted(len(loaded.rules), 'rule')}: {passed} passed, {failures} failed")
    sys.exit(1 if failures else 0)


def entry_point() -> NoReturn:
    """Run the command line; whatever goes wrong becomes one sentence and an exit status."""
    try:
        detector(standalone_mode=False)
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except click.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except DetectorError as error:
        _report([error])
        sys.exit(1)
    except BrokenPipeError:
        # Whoever read our output has gone; Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        if os.environ.get(DEBUG_VARIABLE):
            raise
        kind = type(error).__name__
        click.echo(
            f"detector: unexpected {kind}: {clean(str(error))}; this is a bug, please report it"
            f" with what {DEBUG_VARIABLE}=1 shows",
            err=True,
        )
        sys.exit(1)
    sys.exit(0)


def _rule_set(paths: Sequence[Path]) -> RuleSet:
    loaded = load_rules(list(paths) or [shipped_rules()])
    if loaded.errors:
        _report(loaded.errors)
        sys.exit(1)
    return RuleSet(loaded.rules)


def _failed_tests(rule: Rule) -> list[str]:
    rule_set = RuleSet([rule])
    return [
        f"{rule.path}: {test.name}: {'fires' if not test.fires else 'does not fire'}"
        for test in rule.file.tests
        if bool(rule_set.match(test.event)) != test.fires
    ]


def _report(faults: Iterable[DetectorError]) -> None:
    for fault in faults:
        click.echo(f"detector: {clean(str(fault))}", err=True)


def _replay_json(result: Replay) -> str:
    return msgspec.json.format(msgspec.json.encode(result.as_json()), indent=2).decode()


def _replay_text(result: Replay) -> str:
    account = ", ".join(f"{name} {count}" for name, count in result.accounting.as_json().items())
    alerts = [alert_text(alert) for alert in result.alerts]
    found = f"{_counted(len(alerts), 'alert')} from {_counted(result.files, 'file')}"
    return "\n\n".join([*alerts, f"{found}; records: {account}"])


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
