"""`detector run` and `detector replay`: the pipeline, live and over files."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click

from detector.alerts.plain import clean, counted
from detector.alerts.text import alert_text
from detector.cli.replay_items import (
    S3Options,
    end_moment,
    progress,
    replay_paths,
    start_moment,
    stored_items,
)
from detector.cli.shared import (
    any_path,
    echo_json,
    format_option,
    loaded_rules,
    placeholders_option,
    report,
    rules_option,
)
from detector.config_source import ConfigFile
from detector.errors import DetectorError
from detector.pipeline import Settings
from detector.replay import Replay, replay_stored
from detector.rule_source import RuleSource
from detector.rules.ruleset import RuleSet
from detector.rules.window import Mode
from detector.sources.stored import Period
from detector.telemetry.logs import configure_logs

if TYPE_CHECKING:
    from detector.sources.s3_prefix import S3Address


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
  detector replay --window-mode sliding logs/      what CloudWatch alarms would have told
  detector replay s3://trail-bucket/AWSLogs/ --from 2026-09-15 --to 2026-09-16
  zcat a.json.gz | detector replay -               standard input

\b
A period is that of delivery, some minutes after the events: by the time in the name of a file,
or when the object was written. A file on disk whose name tells none is taken. Times are UTC.""",
)
@rules_option
@placeholders_option
@format_option
@click.option(
    "--window-mode",
    type=click.Choice(get_args(Mode)),
    help="Count as if all rules' windows were aligned, or sliding as CloudWatch alarms are.",
)
@click.option(
    "--from",
    "start",
    metavar="TIME",
    callback=start_moment,
    help="Only what was delivered then or later.",
)
@click.option(
    "--to",
    "end",
    metavar="TIME",
    callback=end_moment,
    help="Only what was delivered before this time, or up to the end of this date.",
)
@click.option("--region", help="Region of the S3 buckets.  [default: AWS's own settings]")
@click.option("--endpoint-url", help="Address of another S3 than AWS's.")
@click.argument("paths", callback=replay_paths, nargs=-1, required=True)
def replay_command(
    rule_paths: Sequence[Path],
    placeholders_path: Path | None,
    format_: str,
    window_mode: Mode | None,
    start: float | None,
    end: float | None,
    paths: Sequence[Path | S3Address],
    **s3: str | None,
) -> None:
    """Show what the rules make of log files.

    PATHS are CloudTrail log files, folders of them, s3://bucket/prefix, or - for standard input.
    """
    if start is not None and end is not None and start >= end:
        raise click.BadParameter("it is not after --from.", param_hint="'--to'")
    loaded = loaded_rules(rule_paths, placeholders_path)
    _refuse(loaded.errors)
    rules = RuleSet(loaded.rules, loaded.correlations)
    if window_mode is not None:
        rules = rules.in_mode(window_mode)
    settings = Settings()
    try:
        with (
            stored_items(
                paths,
                Period(start, end),
                S3Options(**s3),
                settings.limits.max_inflated_bytes,
            ) as items,
            progress(items) as shown,
        ):
            result = replay_stored(rules, shown, settings)
    except OSError as error:
        if error.filename is None:
            raise
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
