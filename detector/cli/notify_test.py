"""`detector notify-test`: whether alerts arrive, before one has to."""

from __future__ import annotations

import asyncio
import difflib
import secrets
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

import click

from detector.alerts.routing import LEVELS
from detector.alerts.samples import sample_alert
from detector.cli.shared import any_path, echo_json, format_option
from detector.config import Config, SinkConfig, load_config
from detector.rules.rule import Level
from detector.telemetry.logs import configure_logs

if TYPE_CHECKING:
    from detector.sinks.trial import Heard, Trial

_FAILURES = {
    "retry": "not now",
    "permanent": "refused for good",
    "not_opened": "cannot be opened",
}


@click.command(
    "notify-test",
    short_help="Send one test alert through each sink.",
    epilog="""\b
Examples:
  detector notify-test --config detector.yaml
  detector notify-test --config detector.yaml --sink pager --level critical
  detector notify-test --config detector.yaml --format json | jq '.sinks[].raised'

\b
Exit status: 0 each sink has delivered it, 1 one has not, 2 called wrongly.""",
)
@click.option("--config", "config_path", type=any_path, required=True, help="Configuration file.")
@click.option(
    "--sink", "names", metavar="NAME", multiple=True, help="This sink alone, any number of times."
)
@click.option(
    "--level",
    type=click.Choice(LEVELS),
    default="medium",
    help="The alert's level.  [default: medium]",
)
@format_option
def notify_test_command(
    config_path: Path, names: Sequence[str], level: Level, format_: str
) -> None:
    """Send one alert that is marked as a test through each sink, and show what it answers.

    It goes to the sinks themselves, past routes, rates and the outbox, also while the service runs.
    Where a receiver keeps incidents, the end of this one is sent right after.
    """
    from detector.sinks.trial import try_sinks  # noqa: PLC0415 - AWS clients take long to import

    config = load_config(config_path)
    configure_logs(config.log)
    sinks = _named(config, names)
    alert = sample_alert(secrets.token_hex(16), time.time(), level)
    is_json = format_ == "json"

    def tell(trial: Trial) -> None:
        if not is_json:
            click.echo(_line(trial))

    with ExitStack() as printing:
        if is_json:
            # What a sink prints that is standard output must not come into the document.
            printing.enter_context(redirect_stdout(sys.stderr))
        trials = asyncio.run(try_sinks(config, sinks, alert, tell))
    if is_json:
        echo_json({"alert_id": alert.id, "level": alert.level, "sinks": trials})
    sys.exit(0 if all(trial.is_good for trial in trials) else 1)


def _named(config: Config, names: Sequence[str]) -> list[SinkConfig]:
    known = {sink.name: sink for sink in config.sinks}
    for name in names:
        if name not in known:
            nearest = difflib.get_close_matches(name, known, n=1)
            meant = f"did you mean {nearest[0]}? " if nearest else ""
            raise click.BadParameter(
                f"there is no sink {name}; {meant}Known here: {', '.join(known)}",
                param_hint="'--sink'",
            )
    return [sink for name, sink in known.items() if not names or name in names]


def _line(trial: Trial) -> str:
    words = f"{trial.sink}: {_said(trial.raised)}"
    if trial.resolved is not None:
        if trial.resolved.result == "delivered":
            return f"{words}, and its end {_said(trial.resolved)}"
        return f"{words}, but its end {_said(trial.resolved)}; close the incident by hand"
    if trial.stays_open:
        words += "; close the incident by hand, as the sink has resolved: false"
    return words


def _said(heard: Heard) -> str:
    if heard.result == "delivered":
        return f"delivered in {heard.seconds:.1f} s"
    asks = "" if heard.after is None else f", asks for {heard.after:g} s"
    return f"{_FAILURES[heard.result]}: {heard.why}{asks}"
