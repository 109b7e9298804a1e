"""`detector outbox`: what waits for its sinks, and what they have refused, for its operator."""

from __future__ import annotations

import sqlite3
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import click

from detector.alerts.alert import utc
from detector.alerts.plain import clean, counted, plain
from detector.alerts.text import alert_line
from detector.cli.shared import echo_json, format_option, report
from detector.cli.state_options import Command, path_of_state, state_options
from detector.counting.current import Current
from detector.errors import StateError
from detector.sinks.outbox import IDLE_SECONDS
from detector.state.changing import change_outbox
from detector.state.outbox import Entry, EntryState, Selection, Tally
from detector.state.report import with_state
from detector.state.sqlite import SQLiteStore
from detector.state.sqlite_outbox import SQLiteOutbox

DEFAULT_LIMIT = 1_000
"""Entries that are listed: with all the evidence some 100 MB of JSON at the very most."""

MAX_ERROR_CHARACTERS = 500
"""Shown of an error in text; JSON has all of it."""


def _selection_options(command: Command) -> Command:
    for option in (
        click.option("--pending", is_flag=True, help="Those that wait."),
        click.option("--dead", is_flag=True, help="Those refused for good, or too old."),
        click.option("--alert", "alerts", metavar="ID", multiple=True, help="Those of this alert."),
        click.option("--sink", "sinks", metavar="NAME", multiple=True, help="Those of this sink."),
    ):
        command = option(command)
    return command


def _selection(
    sinks: Sequence[str], alerts: Sequence[str], *, dead: bool, pending: bool
) -> Selection:
    chosen: tuple[tuple[EntryState, bool], ...] = (("pending", pending), ("dead", dead))
    states = [state for state, is_asked in chosen if is_asked or not (dead or pending)]
    return Selection(sinks, alerts, states)


def _chosen(
    sinks: Sequence[str], alerts: Sequence[str], *, dead: bool, pending: bool, is_all: bool
) -> Selection:
    """Return what a call that changes something names: all only if it says so."""
    if bool(sinks or alerts or dead or pending) == is_all:
        raise click.UsageError(
            "Name entries by --sink, --alert, --dead or --pending, together or alone, or --all."
        )
    return _selection(sinks, alerts, dead=dead, pending=pending)


@click.group(
    "outbox",
    short_help="Look after alerts on their way to sinks.",
    epilog="""\b
Examples:
  detector outbox list --config detector.yaml --dead
  detector outbox retry --config detector.yaml --sink pager
  detector outbox drop --config detector.yaml --sink old-hook --dead

\b
All of them work while the service runs, and while it does not.
Exit status: 0 fine, 1 an alert is not there or the work failed, 2 called wrongly.""",
)
def outbox() -> None:
    """Look after alerts on their way to sinks: see why they wait, send them again, drop them.

    An entry is one alert for one sink. It is pending while something of it has not been delivered,
    and dead once its sink has refused it for good, or it has waited for too long.
    """


@outbox.command(
    "list",
    short_help="List the entries that are pending or dead.",
    epilog="""\b
Examples:
  detector outbox list --config detector.yaml
  detector outbox list --config detector.yaml --sink pager --dead
  detector outbox list --config detector.yaml --format json | jq '.[].last_error'

\b
JSON has each entry with its whole alert; times are in seconds.""",
)
@state_options
@_selection_options
@click.option(
    "--limit",
    type=click.IntRange(1),
    default=DEFAULT_LIMIT,
    help=f"So many at most.  [default: {DEFAULT_LIMIT}]",
)
@format_option
def list_command(
    state_path: Path | None,
    config_path: Path | None,
    sinks: Sequence[str],
    alerts: Sequence[str],
    dead: bool,
    pending: bool,
    limit: int,
    format_: str,
) -> None:
    """List the entries that are pending or dead, the oldest first, and why they are there.

    Each has its sink, state, kind, failed attempts, when it was made and when it is due, and below
    that its last error and its alert. Nothing is changed.
    """
    path = path_of_state(state_path, config_path)
    selection = _selection(sinks, alerts, dead=dead, pending=pending)

    def look(connection: sqlite3.Connection, _: int) -> tuple[list[Entry], int]:
        store = SQLiteStore(connection, str(path))
        now_of = Current(store).alert
        entries = store.outbox.entries(selection, limit)
        total = _total(store.outbox.tally(selection))
        return [replace(entry, alert=now_of(entry.alert)) for entry in entries], total

    found, total = with_state(path, look)
    if format_ == "json":
        echo_json(found)
    else:
        for entry in found:
            for line in _lines(entry):
                click.echo(clean(line))
    if total > len(found):
        click.echo(f"detector: {_entries(total - len(found))} more, see --limit", err=True)


@outbox.command(
    short_help="Have entries sent again.",
    epilog="""\b
Examples:
  detector outbox retry --config detector.yaml --sink pager --dead
  detector outbox retry --config detector.yaml --alert 0c8a0c2e5f6b4d7e9a1b3c5d7e9f1a2b
  detector outbox retry --config detector.yaml --all

\b
A receiver knows a repetition by its id. Nothing is lost by a retry in vain.""",
)
@state_options
@_selection_options
@click.option("--all", "is_all", is_flag=True, help="All that are pending or dead.")
def retry(
    state_path: Path | None,
    config_path: Path | None,
    sinks: Sequence[str],
    alerts: Sequence[str],
    dead: bool,
    pending: bool,
    is_all: bool,
) -> None:
    """Make entries due now, after what kept their sink from taking them was put right."""
    path = path_of_state(state_path, config_path)
    selection = _chosen(sinks, alerts, dead=dead, pending=pending, is_all=is_all)

    def change(outbox: SQLiteOutbox) -> tuple[Sequence[str], int]:
        return _missing(outbox, selection), outbox.retry(selection, time.time())

    missing, due = change_outbox(path, change)
    _report_missing(missing)
    if due:
        click.echo(
            f"{_entries(due)} due now: a running service looks within {IDLE_SECONDS:g} s, else the"
            " next one does. A sink that is down, or has asked for a wait, is tried after that"
        )
    else:
        click.echo("no entries to retry")
    sys.exit(1 if missing else 0)


@outbox.command(
    short_help="Forget entries for good.",
    epilog="""\b
Examples:
  detector outbox drop --config detector.yaml --sink old-hook
  detector outbox drop --config detector.yaml --dead --yes
  detector outbox drop --config detector.yaml --all

\b
The alerts themselves are kept: `detector state alerts` lists them. What changes of an alert later
may be sent nevertheless.""",
)
@state_options
@_selection_options
@click.option("--all", "is_all", is_flag=True, help="All that are pending or dead.")
@click.option("--yes", "is_sure", is_flag=True, help="Do not ask.")
def drop(
    state_path: Path | None,
    config_path: Path | None,
    sinks: Sequence[str],
    alerts: Sequence[str],
    dead: bool,
    pending: bool,
    is_all: bool,
    is_sure: bool,
) -> None:
    """Forget entries for good: their sinks never hear of them.

    It says how many they are, and asks. What comes in meanwhile is not dropped.
    """
    path = path_of_state(state_path, config_path)
    selection = _chosen(sinks, alerts, dead=dead, pending=pending, is_all=is_all)
    if not is_sure:
        selection = replace(selection, made_until=time.time())
        tally = with_state(path, lambda found, _: SQLiteOutbox(found, str(path)).tally(selection))
        if tally and not _confirmed(tally):
            click.echo("nothing was dropped")
            sys.exit(1)

    def change(outbox: SQLiteOutbox) -> tuple[Sequence[str], int]:
        return _missing(outbox, selection), outbox.drop(selection)

    missing, dropped = change_outbox(path, change)
    _report_missing(missing)
    click.echo(f"{_entries(dropped)} dropped")
    sys.exit(1 if missing else 0)


def _confirmed(tally: Sequence[Tally]) -> bool:
    told = [clean(f"{_entries(item.entries)} {item.state} for {item.sink}") for item in tally]
    click.echo("\n".join(told), err=True)
    return click.confirm(f"Drop {_these(_total(tally))} for good?", err=True)


def _missing(outbox: SQLiteOutbox, selection: Selection) -> Sequence[str]:
    """Return the alerts that a call names and of which there is nothing to change."""
    return [
        alert_id
        for alert_id in dict.fromkeys(selection.alerts)
        if not outbox.tally(replace(selection, alerts=[alert_id]))
    ]


def _report_missing(alert_ids: Sequence[str]) -> None:
    report(StateError(f"there is no such entry of the alert {item}") for item in alert_ids)


def _lines(entry: Entry) -> Iterator[str]:
    words = [
        entry.sink,
        entry.state,
        entry.kind,
        counted(entry.attempts, "failed attempt"),
        f"made {_moment(entry.made_at)}",
    ]
    if entry.state == "pending":
        words.append(f"due {_moment(entry.due_at)}")
    yield "  ".join(words)
    if entry.last_error:
        yield f"  {plain(entry.last_error, MAX_ERROR_CHARACTERS)}"
    yield f"  {alert_line(entry.alert)}"


def _moment(time: float) -> str:
    return utc(int(time))


def _total(tally: Sequence[Tally]) -> int:
    return sum(item.entries for item in tally)


def _entries(count: int) -> str:
    return "1 entry" if count == 1 else f"{count} entries"


def _these(count: int) -> str:
    return "this entry" if count == 1 else f"these {count} entries"
