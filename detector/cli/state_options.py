"""Where the state is: what the commands that look at it have in common."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from detector.cli.shared import any_path
from detector.config import load_config

Command = Callable[..., None]


def state_options(command: Command) -> Command:
    """Give a command --state and --config, of which a call names one."""
    for option in (
        click.option(
            "--config",
            "config_path",
            type=any_path,
            help="Configuration file; its state.path is taken.",
        ),
        click.option("--state", "state_path", type=any_path, help="The state's file."),
    ):
        command = option(command)
    return command


def path_of_state(state_path: Path | None, config_path: Path | None) -> Path:
    """Return the path of the state that a call names.

    Raises:
        UsageError: it names none, or two.
        ConfigError: the configuration cannot be used.
    """
    if state_path is not None and config_path is None:
        return state_path
    if config_path is not None and state_path is None:
        return Path(load_config(config_path).state.path)
    raise click.UsageError("Name the state by either --state or --config.")
