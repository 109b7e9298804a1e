"""A process that archives without end, and prints what it was told is delivered.

Each of many is forked from one that has loaded the code already, and killed after a moment.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import signal
import sys
from functools import partial
from pathlib import Path
from typing import TextIO

import msgspec

from detector.config import ArchiveSinkConfig
from detector.sinks.sink import Delivered, Sink, message_id
from detector.state.store import Notification
from tests.alerts import alert
from tests.sinks import opened, sink_context
from tests.waiting import pause, wait_for

LONGEST_SECONDS = 0.15


async def archive(config: ArchiveSinkConfig, spool: Path, prefix: str, out: TextIO) -> None:
    """Send alerts for ever, as many at a time as the outbox does."""
    numbers = itertools.count()
    made = alert()

    async def send(sink: Sink) -> None:
        while True:
            one = msgspec.structs.replace(made, id=f"{prefix}-{next(numbers)}")
            notification = Notification(one)
            print("sent", message_id(notification), file=out, flush=True)
            if await sink.send(notification) == Delivered():
                print("delivered", message_id(notification), file=out, flush=True)

    async with opened(config, sink_context(spool)) as sink, asyncio.TaskGroup() as group:
        for _ in range(sink.concurrency):
            group.create_task(send(sink))


def main(config: ArchiveSinkConfig, folder: Path, kills: int) -> None:
    """Kill so many; what each has said lies in a file of its own."""
    chance = random.Random(0)  # noqa: S311 - the same moments each time
    for number in range(kills):
        said = folder / f"{number}.txt"
        child = os.fork()
        if not child:
            with said.open("w") as out:
                asyncio.run(archive(config, folder / "spool", f"p{number}", out))
        wait_for(partial(_has_begun, said))
        pause(chance.uniform(0, LONGEST_SECONDS))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _has_begun(said: Path) -> bool:
    return said.exists() and said.stat().st_size > 0


if __name__ == "__main__":
    settings = msgspec.json.decode(sys.argv[1], type=ArchiveSinkConfig)
    main(settings, Path(sys.argv[2]), int(sys.argv[3]))
