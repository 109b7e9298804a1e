"""What `detector replay` is given: files and folders, standard input, prefixes of S3 buckets."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from detector.alerts.text import clean
from detector.cli.inputs import STANDARD_INPUT
from detector.cli.shared import existing
from detector.sources.delivery import Payload
from detector.sources.files import stored_files
from detector.sources.stored import Period, Stored, in_order

MAX_OBJECT_BYTES = 128 << 20
"""What Firehose puts into an object at most; CloudTrail's are smaller. It is held as it comes."""

if TYPE_CHECKING:
    from detector.sources.s3_prefix import S3Address

_MOMENT = re.compile(
    r"\d{4}-\d{2}-\d{2}"
    r"(?P<time>[Tt ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:[Zz]|[+-]\d{2}:\d{2})?)?"
)
_EXPECTED = "expected a date such as 2026-09-16, or RFC 3339 such as 2026-09-16T12:00:00Z; in UTC"


def start_moment(_: click.Context, __: click.Parameter, value: str | None) -> float | None:
    """Return the seconds of a time of RFC 3339, or of the first moment of a date."""
    return None if value is None else _moment(value.strip(), days=0)


def end_moment(_: click.Context, __: click.Parameter, value: str | None) -> float | None:
    """Return the seconds of a time of RFC 3339, or of the first moment after a date."""
    return None if value is None else _moment(value.strip(), days=1)


def _moment(text: str, *, days: int) -> float:
    match = _MOMENT.fullmatch(text)
    try:
        moment = datetime.fromisoformat(text.upper() if match else "")
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return (moment + timedelta(days=0 if match and match["time"] else days)).timestamp()
    except (OverflowError, ValueError) as error:
        raise click.BadParameter(f"{clean(text)!r} is not a time: {_EXPECTED}.") from error


def replay_paths(
    context: click.Context, parameter: click.Parameter, values: Sequence[str]
) -> list[Path | S3Address]:
    """Return what each text names: a file or folder that exists, standard input, or S3."""
    return [_path(text, context, parameter) for text in values]


def _path(text: str, context: click.Context, parameter: click.Parameter) -> Path | S3Address:
    if text == str(STANDARD_INPUT):
        return STANDARD_INPUT
    if text.startswith("s3:"):
        from detector.sources.s3_prefix.layout import s3_address  # noqa: PLC0415 - as below

        try:
            address = s3_address(text)
        except ValueError as error:
            raise click.BadParameter(f"{clean(text)!r}: {error}.") from error
        if address is not None:
            return address
    path: Path = existing.convert(text, parameter, context)
    return path


@dataclass(frozen=True, slots=True)
class S3Options:
    """How S3 is reached; what is None comes from the environment and AWS's own files."""

    region: str | None = None
    endpoint_url: str | None = None


@contextmanager
def stored_items(
    paths: Sequence[Path | S3Address], period: Period, s3: S3Options, max_bytes: int
) -> Iterator[list[Stored]]:
    """Give what is to be replayed, in order; it can be read within the context.

    Raises:
        OSError: a folder cannot be read.
        SourceError: a bucket cannot be listed.
    """
    files = [path for path in paths if isinstance(path, Path) and path != STANDARD_INPUT]
    items = list(stored_files(files, max_bytes, period))
    if STANDARD_INPUT in paths:
        # A path is read piece by piece, so that any amount can be piped in.
        payload = Payload("standard input", Path("/dev/stdin"))
        items.append(Stored(payload.origin, None, lambda: payload))
    addresses = [path for path in paths if not isinstance(path, Path)]
    if not addresses:
        yield in_order(items)
        return
    from detector.sources.s3_prefix import S3Objects  # noqa: PLC0415 - takes a while to import

    with S3Objects(
        max_object_bytes=MAX_OBJECT_BYTES, region=s3.region, endpoint_url=s3.endpoint_url
    ) as objects:
        if sys.stderr.isatty():  # it may take a while
            click.echo(clean(f"Listing {', '.join(map(str, addresses))}"), err=True)
        found = objects.find(addresses, period)
        if not found:
            _warn_of_nothing(addresses, period)
        yield in_order([*items, *found])


@contextmanager
def progress(items: list[Stored]) -> Iterator[Iterator[Stored]]:
    """Give the items one by one, with a bar on standard error where a person looks at it."""
    if not sys.stderr.isatty():
        yield iter(items)
        return
    with click.progressbar(items, file=sys.stderr, label="Replaying", show_pos=True) as bar:
        yield iter(bar)


def _warn_of_nothing(addresses: Sequence[S3Address], period: Period) -> None:
    where = ", ".join(map(str, addresses))
    when = " that were delivered in the period" if period != Period() else ""
    click.echo(clean(f"detector: {where}: there are no log files{when}"), err=True)
