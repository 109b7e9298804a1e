"""`detector quarantine`: what could not be understood, as its operator meets it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from detector.alerts.plain import counted
from detector.alerts.text import clean
from detector.cli.shared import any_path, echo_json, format_option, report
from detector.config import Config, QuarantineConfig, load_config
from detector.errors import ConfigError, QuarantineError, StateError
from detector.quarantine.entry import Head, body_of, read_entry, read_head
from detector.quarantine.making import make_store
from detector.quarantine.store import EntryGoneError, Listed, QuarantineStore
from detector.state.report import with_state
from detector.state.sqlite import SQLiteStore

Command = Callable[..., None]
T = TypeVar("T")

AT_ONCE = 16
"""Entries looked into at a time: of a bucket each takes a request."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the entries are; `config` is the whole configuration, if it was named."""

    quarantine: QuarantineConfig
    config: Config | None = None

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[QuarantineStore]:
        store = make_store(self.quarantine)
        try:
            yield store
        finally:
            await store.close()


@dataclass(frozen=True, slots=True)
class _Choice:
    """Which entries are meant."""

    ids: Sequence[str] = ()
    reason: str | None = None
    source: str | None = None

    def __contains__(self, head: Head) -> bool:
        return self.reason in {None, head.reason} and self.source in {None, head.source}

    @property
    def needs_heads(self) -> bool:
        return self.reason is not None or self.source is not None


def _place_options(command: Command) -> Command:
    for option in (
        click.option(
            "--config", "config_path", type=any_path, help="Configuration file; its quarantine."
        ),
        click.option(
            "--quarantine", "address", metavar="PATH", help="The folder, or s3://bucket/prefix."
        ),
    ):
        command = option(command)
    return command


def _filter_options(command: Command) -> Command:
    for option in (
        click.option("--source", help="Those that came from this source."),
        click.option("--reason", help="Those that were rejected for this reason."),
    ):
        command = option(command)
    return command


def _choice_options(command: Command) -> Command:
    command = click.option("--all", "is_all", is_flag=True, help="All of them.")(command)
    return click.argument("ids", metavar="[ID]...", nargs=-1)(_filter_options(command))


def _place(config_path: Path | None, address: str | None) -> _Place:
    if address is not None and config_path is None:
        path = address if address.startswith("s3://") else str(Path(address).absolute())
        try:
            return _Place(QuarantineConfig(path=path))
        except ValueError as error:
            raise ConfigError(str(error)) from error
    if config_path is not None and address is None:
        config = load_config(config_path)
        return _Place(config.quarantine, config)
    raise click.UsageError("Name the quarantine by either --quarantine or --config.")


def _choice(ids: Sequence[str], reason: str | None, source: str | None, *, is_all: bool) -> _Choice:
    has_filter = reason is not None or source is not None
    if bool(ids) + has_filter + is_all != 1:
        raise click.UsageError("Name entries by their ids, or by --reason and --source, or --all.")
    return _Choice(ids, reason, source)


@click.group(
    "quarantine",
    short_help="Look after what could not be understood.",
    epilog="""\b
Examples:
  detector quarantine list --config detector.yaml --reason too_many_values
  detector quarantine replay --config detector.yaml --reason too_many_values
  detector quarantine drop --config detector.yaml --all

\b
All of them work while the service runs, and while it does not.
Exit status: 0 fine, 1 an entry is not there or the work failed, 2 called wrongly.""",
)
def quarantine() -> None:
    """Look after what could not be understood: see it, have it read once more, drop it.

    What a queue does not keep is kept here with its reason: files, and what streams brought.
    """


@quarantine.command(
    "list",
    short_help="List the entries.",
    epilog="""\b
Examples:
  detector quarantine list --config detector.yaml
  detector quarantine list --config detector.yaml --format json | jq '.[].origin'""",
)
@_place_options
@_filter_options
@format_option
def list_command(
    config_path: Path | None,
    address: str | None,
    reason: str | None,
    source: str | None,
    format_: str,
) -> None:
    """List the entries, oldest first: id, size, source, reason, and where they came from."""
    place = _place(config_path, address)
    found, faults = asyncio.run(_heads(place, _Choice(reason=reason, source=source)))
    if format_ == "json":
        echo_json([_as_json(item, head) for item, head in found])
    else:
        for item, head in found:
            click.echo(_line(item, head))
    report(faults)
    _note_waiting(place)
    sys.exit(1 if faults else 0)


@quarantine.command(
    short_help="Show an entry, or its body.",
    epilog="""\b
Examples:
  detector quarantine show --config detector.yaml ID
  detector quarantine show --config detector.yaml --body ID > payload.json.gz""",
)
@_place_options
@format_option
@click.option("--body", "wants_body", is_flag=True, help="The body alone, byte for byte.")
@click.argument("entry_id", metavar="ID")
def show(
    config_path: Path | None, address: str | None, format_: str, wants_body: bool, entry_id: str
) -> None:
    """Show what is known of an entry; with --body what was kept of what came."""
    place = _place(config_path, address)

    async def read() -> tuple[Listed, bytes]:
        async with place.opened() as store:
            ((item,), _) = await _chosen(store, [entry_id], must=True)
            return item, await store.read(item)

    item, document = asyncio.run(read())
    try:
        entry = read_entry(document)
    except QuarantineError as error:
        raise QuarantineError(f"{entry_id}: {error.message}") from error
    if wants_body:
        sys.stdout.buffer.write(body_of(entry))
    elif format_ == "json":
        echo_json(_as_json(item, entry))
    else:
        for name, value in _as_json(item, entry).items():
            click.echo(clean(f"{name:<13}{'' if value is None else _said(value)}"))


@quarantine.command(
    short_help="Have entries read once more.",
    epilog="""\b
Examples:
  detector quarantine replay --config detector.yaml ID ID
  detector quarantine replay --config detector.yaml --reason too_many_values --source logs

\b
Events that were counted before count no more: a replay can be repeated.""",
)
@_place_options
@_choice_options
def replay(
    config_path: Path | None,
    address: str | None,
    ids: Sequence[str],
    reason: str | None,
    source: str | None,
    is_all: bool,
) -> None:
    """Have the service read entries once more, after what kept it from that was put right.

    They go through the rules, counts and alerts as at first. What is rejected again comes back.
    """
    place = _place(config_path, address)
    choice = _choice(ids, reason, source, is_all=is_all)

    async def request() -> tuple[int, list[QuarantineError], float]:
        async with place.opened() as store:
            items, faults = await _selected(store, choice)
            kept = [item for item in items if item.state == "kept"]
            heads = await _looked_into(store, kept)
            requested = len(items) - len(kept)
            for item, head in heads:
                if isinstance(head, QuarantineError):
                    faults.append(head)
                elif not head.complete:
                    text = f"{item.id} cannot be replayed: only a part of its body was kept"
                    faults.append(QuarantineError(text))
                else:
                    await store.request_replay(item)
                    requested += 1
            return requested, faults, store.poll_seconds

    requested, faults, seconds = asyncio.run(request())
    report(faults)
    entries = _entries(requested)
    click.echo(
        f"{entries} to be replayed: by a running service within {seconds:g} s, else by the next one"
    )
    sys.exit(1 if faults else 0)


@quarantine.command(
    short_help="Drop entries for good.",
    epilog="""\b
Examples:
  detector quarantine drop --config detector.yaml ID
  detector quarantine drop --config detector.yaml --reason not_a_log_file""",
)
@_place_options
@_choice_options
def drop(
    config_path: Path | None,
    address: str | None,
    ids: Sequence[str],
    reason: str | None,
    source: str | None,
    is_all: bool,
) -> None:
    """Drop entries for good, those that wait for a replay too."""
    place = _place(config_path, address)
    choice = _choice(ids, reason, source, is_all=is_all)

    async def forget() -> tuple[int, list[QuarantineError]]:
        async with place.opened() as store:
            items, faults = await _selected(store, choice)
            for item in items:
                await store.drop(item)
            return len(items), faults

    dropped, faults = asyncio.run(forget())
    report(faults)
    click.echo(f"{_entries(dropped)} dropped")
    sys.exit(1 if faults else 0)


async def _everything(store: QuarantineStore) -> list[Listed]:
    # First those that wait, as an entry only ever goes on from there: none is missed.
    found = {item.id: item for item in await store.listed("kept")}
    found |= {item.id: item for item in await store.listed("replaying")}
    return sorted(found.values(), key=lambda item: item.id)


async def _chosen(
    store: QuarantineStore, ids: Sequence[str], *, must: bool = False
) -> tuple[list[Listed], list[QuarantineError]]:
    known = {item.id: item for item in await _everything(store)}
    faults = [QuarantineError(f"there is no entry {item}") for item in ids if item not in known]
    if faults and must:
        raise faults[0]
    return [known[item] for item in dict.fromkeys(ids) if item in known], faults


async def _selected(
    store: QuarantineStore, choice: _Choice
) -> tuple[list[Listed], list[QuarantineError]]:
    if choice.ids:
        return await _chosen(store, choice.ids)
    items = await _everything(store)
    if not choice.needs_heads:
        return items, []
    heads = await _looked_into(store, items)
    faults = [head for _, head in heads if isinstance(head, QuarantineError)]
    return [item for item, head in heads if isinstance(head, Head) and head in choice], faults


async def _heads(
    place: _Place, choice: _Choice
) -> tuple[list[tuple[Listed, Head]], list[QuarantineError]]:
    async with place.opened() as store:
        looked = await _looked_into(store, await _everything(store))
    found = [(item, head) for item, head in looked if isinstance(head, Head) and head in choice]
    return found, [head for _, head in looked if isinstance(head, QuarantineError)]


async def _looked_into(
    store: QuarantineStore, items: Sequence[Listed]
) -> list[tuple[Listed, Head | QuarantineError]]:
    """Return what entries say of themselves, or why that cannot be told; not of those gone."""

    async def look(item: Listed) -> Head | QuarantineError | None:
        try:
            beginning = await store.beginning(item)
        except EntryGoneError:
            return None
        try:
            return read_head(beginning)
        except QuarantineError as error:
            return QuarantineError(f"{item.id}: {error.message}")

    found: list[tuple[Listed, Head | QuarantineError]] = []
    for start in range(0, len(items), AT_ONCE):
        some = items[start : start + AT_ONCE]
        looked = await asyncio.gather(*map(look, some))
        found += [(item, head) for item, head in zip(some, looked, strict=True) if head]
    return found


def _note_waiting(place: _Place) -> None:
    """Say what has not come to its place yet; a state that cannot be read is no matter here."""
    if place.config is None:
        return
    path = Path(place.config.state.path)
    try:
        counts = with_state(
            path, lambda connection, _: SQLiteStore(connection, str(path)).quarantine_counts()
        )
    except StateError:
        return
    if counts.rows:
        waiting = _entries(counts.rows)
        click.echo(f"detector: {waiting} more in the state, which the service moves", err=True)


def _as_json(item: Listed, head: Head) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.to_builtins(head)
    fields.pop("body", None)
    return {"id": fields.pop("id"), "state": item.state, **fields}


def _line(item: Listed, head: Head) -> str:
    record = "" if head.index is None else f", record {head.index}"
    notes = [] if head.complete else ["(a part)"]
    if item.state == "replaying":
        notes.append("(to be replayed)")
    size = counted(head.bytes, "byte")
    words = [item.id, head.source, head.reason, f"{head.origin}{record}", size, *notes]
    return clean("  ".join(words))


def _said(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _entries(count: int) -> str:
    return "1 entry" if count == 1 else f"{count} entries"
