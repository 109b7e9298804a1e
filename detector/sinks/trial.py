"""A test of sinks: each is given one alert, at once and past the outbox, and asked what it says."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, TypeVar

import structlog

from detector.alerts.alert import Alert, NotificationKind
from detector.alerts.plain import clean
from detector.alerts.samples import resolved
from detector.config import Config, SinkConfig
from detector.errors import DetectorError
from detector.sinks.archive.sink import ArchiveSink
from detector.sinks.context import make_context
from detector.sinks.making import make_sink
from detector.sinks.policy import policy_of
from detector.sinks.sink import Delivered, Retry, Sink, SinkContext
from detector.state.store import Notification

STEP_SECONDS = 60.0
"""For each of opening, sending and closing: a sink's own limits are far below. Whoever waits at a
terminal is told then that there is no answer."""

T = TypeVar("T")

Result = Literal["delivered", "retry", "permanent", "not_opened"]

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Heard:
    """What a sink has said of one message, after so many seconds.

    `after` is the wait in seconds that it asks for.
    """

    result: Result
    seconds: float
    why: str | None = None
    after: float | None = None


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of one sink's test: of the alert, and of its end where that was sent.

    `stays_open` says that the receiver has an incident now that somebody must close.
    """

    sink: str
    type: str
    raised: Heard
    resolved: Heard | None = None
    stays_open: bool = False

    @property
    def is_good(self) -> bool:
        """Whether all that was sent was delivered."""
        return all(heard is None or heard.result == "delivered" for heard in self._heard)

    @property
    def _heard(self) -> Sequence[Heard | None]:
        return self.raised, self.resolved


async def try_sinks(
    config: Config, sinks: Sequence[SinkConfig], alert: Alert, tell: Callable[[Trial], None]
) -> list[Trial]:
    """Send an alert to all sinks at the same time; `tell` hears of each as it has answered.

    A sink whose receiver keeps incidents is told of the alert's end right after. Nothing of a
    running service is touched: what a sink has to keep on disk is in a folder of its own.
    """
    with TemporaryDirectory(prefix="detector-notify-test-") as folder:

        async def try_one(sink: SinkConfig) -> Trial:
            trial = await _try(config, sink, alert, Path(folder) / sink.name)
            tell(trial)
            return trial

        return list(await asyncio.gather(*map(try_one, sinks)))


async def _try(config: Config, sink_config: SinkConfig, alert: Alert, spool: Path) -> Trial:
    name, kind = sink_config.name, str(sink_config.__struct_config__.tag)
    began = time.monotonic()
    sink = await _attempt(_made(sink_config, make_context(config, time.time, spool)), name)
    if isinstance(sink, _Failed):
        return Trial(name, kind, Heard("not_opened", time.monotonic() - began, sink.why))
    opened = await _attempt(sink.open(), name)
    if isinstance(opened, _Failed):
        await _attempt(sink.close(), name)
        return Trial(name, kind, Heard("not_opened", time.monotonic() - began, opened.why))
    trial = Trial(name, kind, await _send(sink, alert, "raised"))
    policy = policy_of(sink_config, config)
    if policy.folds and trial.raised.result == "delivered":
        end = await _send(sink, resolved(alert), "resolved") if policy.resolved else None
        has_ended = end is not None and end.result == "delivered"
        trial = replace(trial, resolved=end, stays_open=not has_ended)
    closed = await _attempt(sink.close(), name)
    if isinstance(closed, _Failed):
        log.warning("sink not closed", sink=name, why=closed.why)
    return _with_files(trial, sink, began)


async def _made(config: SinkConfig, context: SinkContext) -> Sink:
    return make_sink(config, context)


async def _send(sink: Sink, alert: Alert, kind: NotificationKind) -> Heard:
    began = time.monotonic()
    notification = Notification(alert, kind, made_at=time.time())
    answer = await _attempt(sink.send(notification), sink.name)
    seconds = time.monotonic() - began
    if isinstance(answer, Delivered):
        return Heard("delivered", seconds)
    if isinstance(answer, Retry):
        return Heard("retry", seconds, clean(answer.why), answer.after)
    has_timed_out = isinstance(answer, _Failed) and answer.has_timed_out
    return Heard("retry" if has_timed_out else "permanent", seconds, clean(answer.why))


@dataclass(frozen=True, slots=True)
class _Failed:
    """Why a step of a test came to nothing."""

    why: str
    has_timed_out: bool = False


async def _attempt(step: Awaitable[T], name: str) -> T | _Failed:
    """Return what a step gives, within the time for it; one sink must not keep others waiting."""
    try:
        async with asyncio.timeout(STEP_SECONDS):
            return await step
    except TimeoutError:
        return _Failed(f"no answer in {STEP_SECONDS:g} s", has_timed_out=True)
    except DetectorError as error:
        return _Failed(clean(str(error).removeprefix(f"sink {name}: ")))
    except Exception as error:  # noqa: BLE001 - it is told, and the others are tested
        return _Failed(f"unexpected {type(error).__name__}: this is a bug")


def _with_files(trial: Trial, sink: Sink, began: float) -> Trial:
    """Return what came of an archive's test once its file is closed: before that it is on disk."""
    if not isinstance(sink, ArchiveSink) or trial.raised.result != "delivered":
        return trial
    seconds = time.monotonic() - began
    why = sink.unfinished
    result: Result = "delivered" if why is None else "retry"
    return replace(trial, raised=Heard(result, seconds, None if why is None else clean(why)))
