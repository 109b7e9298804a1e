"""`detector state`: the durable state as its operator meets it."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from detector.alerts.plain import clean, counted
from detector.alerts.text import alert_line
from detector.cli.shared import any_path, echo_json, format_option, report
from detector.cli.state_options import path_of_state, state_options
from detector.counting.current import current_alerts
from detector.errors import StateError
from detector.state.report import Report, with_state
from detector.state.report import check as check_state
from detector.state.report import inspect as inspect_state
from detector.state.schema import MIGRATIONS
from detector.state.sqlite import SQLiteStore

if TYPE_CHECKING:
    from detector.state.transfer import Transferred


@click.group(
    "state",
    short_help="Look after the durable state.",
    epilog="""\b
Examples:
  detector state inspect --config detector.yaml
  detector state export --state state.sqlite3 backup.avro
  detector state import --state new.sqlite3 backup.avro

\b
inspect, alerts, check and export only read, also while the service runs.
Exit status: 0 fine, 1 the state is damaged or the work failed, 2 called wrongly.""",
)
def state() -> None:
    """Look after the durable state: what is in it, is it whole, move it.

    It holds the events seen, the windows counted, the alerts and the outbox.
    """


@state.command(
    short_help="Show what is in the state.",
    epilog="""\b
Examples:
  detector state inspect --state state.sqlite3
  detector state inspect --config detector.yaml --format json | jq .outbox""",
)
@state_options
@format_option
def inspect(state_path: Path | None, config_path: Path | None, format_: str) -> None:
    """Show what is in the state: sizes, rows, windows by rule, outbox, quarantine."""
    found = inspect_state(path_of_state(state_path, config_path))
    if format_ == "json":
        echo_json(found)
    else:
        for line in _lines(found):
            click.echo(clean(line))


@state.command(
    short_help="List the alerts that are kept.",
    epilog="""\b
Examples:
  detector state alerts --config detector.yaml --suppressed
  detector state alerts --config detector.yaml --format json | jq '.[].actors'""",
)
@state_options
@format_option
@click.option("--suppressed", is_flag=True, help="Those that a silence keeps from being sent.")
@click.option("--open", "is_open", is_flag=True, help="Those that are not over.")
def alerts(
    state_path: Path | None,
    config_path: Path | None,
    format_: str,
    suppressed: bool,
    is_open: bool,
) -> None:
    """List the alerts that are kept, sent or not, by the start of their window."""
    path = path_of_state(state_path, config_path)
    found = [
        alert
        for alert in with_state(
            path, lambda connection, _: current_alerts(SQLiteStore(connection, str(path)))
        )
        if (not suppressed or alert.suppressed) and (not is_open or alert.state == "open")
    ]
    if format_ == "json":
        echo_json(found)
    else:
        for alert in found:
            click.echo(alert_line(alert))


@state.command(
    short_help="Look for damage in the state.",
    epilog="""\b
Examples:
  detector state check --config detector.yaml""",
)
@state_options
def check(state_path: Path | None, config_path: Path | None) -> None:
    """Read every page and index of the state, and say what is damaged; some seconds for a GiB."""
    path = path_of_state(state_path, config_path)
    findings = check_state(path)
    for finding in findings:
        click.echo(clean(finding))
    if findings:
        report(
            [
                StateError(
                    f"the state {path} is damaged",
                    remedy="export what can be read, and import it into a new state",
                )
            ]
        )
        sys.exit(1)
    click.echo(clean(f"{path}: no damage found"))


@state.command(
    short_help="Give back the space of what was dropped.",
    epilog="""\b
Examples:
  detector state compact --config detector.yaml    while the service is stopped""",
)
@state_options
def compact(state_path: Path | None, config_path: Path | None) -> None:
    """Rewrite the state without the space of what was dropped.

    The service must be stopped, and the disk needs room for the state twice more.
    """
    path = path_of_state(state_path, config_path)
    before = inspect_state(path)
    with SQLiteStore.open(path) as store:
        store.compact()
    after = inspect_state(path)
    click.echo(
        clean(f"{path}: {_size(before.bytes + before.log_bytes)} before, {_size(after.bytes)} now")
    )


@state.command(
    "export",
    short_help="Write the state to an Avro file.",
    epilog="""\b
Examples:
  detector state export --config detector.yaml backup.avro

\b
Exit status: 0 all of it was written, 1 only a part could be read, or nothing.""",
)
@state_options
@click.argument("file", type=any_path)
def export_command(state_path: Path | None, config_path: Path | None, file: Path) -> None:
    """Write the state of this moment to FILE, an Avro container file that any Avro reader reads.

    Of a damaged state, what can be read is written.
    """
    from detector.state.transfer import export_state  # noqa: PLC0415 - only here is Avro needed

    moved = export_state(path_of_state(state_path, config_path), file)
    _echo_moved(f"{file}: wrote", moved)
    if moved.incomplete:
        report(
            [
                StateError(
                    f"the state is damaged: of {', '.join(moved.incomplete)} only a part was read",
                    remedy="import the file into a new state, or restore a backup",
                )
            ]
        )
        sys.exit(1)


@state.command(
    "import",
    short_help="Fill an empty state from an Avro file.",
    epilog="""\b
Examples:
  detector state import --state new.sqlite3 backup.avro""",
)
@state_options
@click.argument("file", type=any_path)
def import_command(state_path: Path | None, config_path: Path | None, file: Path) -> None:
    """Fill an empty or new state from FILE, which `detector state export` wrote."""
    from detector.state.transfer import import_state  # noqa: PLC0415 - see above

    path = path_of_state(state_path, config_path)
    moved = import_state(file, path)
    _echo_moved(f"{path}: imported", moved)
    if moved.incomplete:
        gaps = ", ".join(moved.incomplete)
        left = f"; {counted(moved.orphans, 'notification')} left out" if moved.orphans else ""
        click.echo(clean(f"detector: the export has gaps in {gaps}{left}"), err=True)


def _echo_moved(what: str, moved: Transferred) -> None:
    counts = ", ".join(f"{table} {rows}" for table, rows in moved.rows.items())
    click.echo(clean(f"{what} {counts}"))


def _lines(found: Report) -> Iterable[str]:
    newest = len(MIGRATIONS)
    is_old = f", brought to {newest} at the next start" if found.schema_version < newest else ""
    rows: list[tuple[str, Any]] = [
        ("state", found.path),
        ("schema", f"version {found.schema_version}{is_old}"),
        (
            "size",
            f"{_size(found.bytes)}, {_size(found.free_bytes)} of it free;"
            f" write-ahead log {_size(found.log_bytes)}",
        ),
        ("rows", ", ".join(f"{table} {count}" for table, count in found.rows.items())),
    ]
    if found.oldest_seen:
        rows.append(("seen", f"{found.oldest_seen} to {found.newest_seen}"))
    rows += [
        ("windows", f"{item.rule_id}: {item.windows}, {item.first_start} to {item.last_end}")
        for item in found.windows
    ]
    rows += [
        ("outbox", f"{item.sink}: {item.notifications} {item.state}, since {item.oldest}")
        for item in found.outbox
    ]
    rows += [("quarantine", f"{item.reason}: {item.records}") for item in found.quarantine]
    return [f"{name:<11}{value}" for name, value in rows]


def _size(count: float) -> str:
    for unit in ("bytes", "KiB", "MiB"):
        if count < 1024:  # noqa: PLR2004 - what a KiB is
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"
