"""`detector run` and `detector replay`: the pipeline, live and over files."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import click

from detector.alerts.text import alert_text, clean
from detector.cli.shared import (
    any_path,
    counted,
    echo_json,
    existing,
    format_option,
    loaded_rules,
    placeholders_option,
    report,
    rules_option,
)
from detector.config_source import ConfigFile
from detector.errors import DetectorError
from detector.pipeline import Settings
from detector.replay import Replay, replay
from detector.rule_source import RuleSource
from detector.rules.ruleset import RuleSet
from detector.rules.window import Mode
from detector.telemetry.logs import configure_logs


@click.command(short_help="Run the service.")
@click.option("--config", "config_path", type=any_path, required=True, help="Configuration file.")
def run(config_path: Path) -> None:
    """Run the service until it is told to stop (SIGTERM, Ctrl-C)."""
    # Asks to read the rules again; until somebody listens, it must not end the process.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    from detector.service import run_service  # noqa: PLC0415 - AWS clients take a while to import

    config_file = ConfigFile(config_path)
    configure_logs(config_file.config.log)
    rules = RuleSource.of(config_file.config).read()
    _refuse(rules.errors)
    sys.exit(run_service(config_file, rules))


@click.command(
    "replay",
    epilog="""\b
Examples:
  detector replay logs/                            the shipped rules over a folder
  detector replay --rules mine.yml --format json logs/a.json.gz
  detector replay --window-mode sliding logs/      what CloudWatch alarms would have told""",
)
@rules_option
@placeholders_option
@format_option
@click.option(
    "--window-mode",
    type=click.Choice(get_args(Mode)),
    help="Count as if all rules' windows were aligned, or sliding as CloudWatch alarms are.",
)
@click.argument("paths", type=existing, nargs=-1, required=True)
def replay_command(
    rule_paths: Sequence[Path],
    placeholders_path: Path | None,
    format_: str,
    window_mode: Mode | None,
    paths: Sequence[Path],
) -> None:
    """Show what the rules make of log files, offline.

    PATHS are CloudTrail log files, or folders of them.
    """
    loaded = loaded_rules(rule_paths, placeholders_path)
    _refuse(loaded.errors)
    rules = RuleSet(loaded.rules, loaded.correlations)
    if window_mode is not None:
        rules = rules.in_mode(window_mode)
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
    if format_ == "json":
        echo_json(result.as_json())
    else:
        click.echo(_replay_text(result))


def _refuse(faults: Sequence[DetectorError]) -> None:
    """Go no further with rules of which one has a fault: a gap that nobody sees is the worst."""
    if faults:
        report(faults)
        sys.exit(1)


def _replay_text(result: Replay) -> str:
    account = ", ".join(f"{name} {count}" for name, count in result.accounting.as_json().items())
    alerts = [alert_text(alert) for alert in result.alerts]
    found = f"{counted(len(alerts), 'alert')} from {counted(result.files, 'file')}"
    return "\n\n".join([*alerts, f"{found}; records: {account}"])
