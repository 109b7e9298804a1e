import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from aiohttp import web

from detector.alerts.alert import Alert
from detector.alerts.routing import Router
from detector.config import StdoutSinkConfig, WebhookSinkConfig
from detector.errors import SinkError
from detector.sinks.desk import Desk
from detector.sinks.http import MAX_RETRY_AFTER_SECONDS, retry_after_seconds
from detector.sinks.outbox import OutboxWorker
from detector.sinks.policy import Policy
from detector.sinks.sink import Answer, Delivered, Permanent, Retry
from detector.sinks.stdout import StdoutSink
from detector.state.sqlite import SQLiteStore
from detector.state.store import Notification
from detector.state.worker import StateWorker
from detector.telemetry.metrics import Metrics
from tests.alerts import alert
from tests.sinks import answers, sink_context
from tests.waiting import until

TOPIC = "arn:aws:sns:us-east-1:111122223333:t"


@asynccontextmanager
async def receiver(
    answer: Callable[[web.Request], web.Response], after: Awaitable[object] | None = None
) -> AsyncIterator[str]:
    """Run an HTTP server that gives an answer to everything, and yield its address."""

    async def handle(request: web.Request) -> web.Response:
        await request.read()
        if after is not None:
            await after
        return answer(request)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def post(url: str, made: Alert | None = None, **settings: object) -> Answer:
    config = WebhookSinkConfig(name="hook", url=url, **settings)  # type: ignore[arg-type]
    (answer,) = await answers(config, Notification(made or alert()))
    return answer


async def test_a_webhook_gets_the_alert_as_json_with_an_id_that_marks_repetitions() -> None:
    requests = []

    def answer(request: web.Request) -> web.Response:
        requests.append(request)
        return web.Response(status=202)

    made = msgspec.structs.replace(alert(), revision=3)
    async with receiver(answer) as url:
        headers = {"Authorization": "Bearer s3cret"}
        assert await post(f"{url}/x?y=z", made, headers=headers) == Delivered()
        (request,) = requests
        assert (request.method, request.path_qs) == ("POST", "/x?y=z")
        assert request.headers["Content-Type"] == "application/json"
        assert request.headers["Authorization"] == "Bearer s3cret"
        assert request.headers["webhook-id"] == f"{made.id}.3.raised"
        event = await request.json()
        assert event["type"] == "alert.raised"
        assert event["data"] == {"kind": "raised", **msgspec.to_builtins(made)}


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (200, Delivered),
        (204, Delivered),
        (301, Permanent),
        (400, Permanent),
        (404, Permanent),
        (408, Retry),
        (429, Retry),
        (500, Retry),
        (503, Retry),
    ],
)
async def test_the_status_says_whether_another_attempt_makes_sense(
    status: int, kind: type[Answer]
) -> None:
    async with receiver(lambda _: web.Response(status=status)) as url:
        assert isinstance(await post(url), kind)


async def test_a_receiver_may_ask_for_a_wait() -> None:
    headers = {"Retry-After": "17"}
    async with receiver(lambda _: web.Response(status=429, headers=headers)) as url:
        assert await post(url) == Retry("127.0.0.1 answered 429", 17.0)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [(None, None), ("17", 17), ("-5", 0), ("1e9", MAX_RETRY_AFTER_SECONDS), ("soon", None)],
)
def test_a_wait_is_read_from_the_header_under_a_cap(
    header: str | None, seconds: float | None
) -> None:
    assert retry_after_seconds(header) == seconds


def test_a_wait_can_be_given_as_a_date() -> None:
    date = (datetime.now(UTC) + timedelta(minutes=10)).strftime("%a, %d %b %Y %H:%M:%S GMT")
    seconds = retry_after_seconds(date)
    assert seconds is not None
    assert 500 < seconds <= 600


async def test_a_receiver_that_is_away_or_silent_is_tried_again_and_its_url_kept_secret() -> None:
    async with receiver(lambda _: web.Response()) as url:
        pass
    away = await post(f"{url}/hunter2")
    assert isinstance(away, Retry)
    hold = asyncio.Event()
    async with receiver(lambda _: web.Response(), after=hold.wait()) as url:
        silent = await post(f"{url}/hunter2", timeout_seconds=0.05)
        hold.set()
    assert silent == Retry("127.0.0.1 did not answer in 0.05 s")
    assert "hunter2" not in away.why


async def test_standard_output_gets_json_lines_or_text(capsys: pytest.CaptureFixture[str]) -> None:
    made = alert()
    for format_ in ("auto", "json", "text"):
        sink = StdoutSink(StdoutSinkConfig(name="stdout", format=format_), sink_context())
        await sink.open()
        assert await sink.send(Notification(made)) == Delivered()
        await sink.close()
    first, second, *text = capsys.readouterr().out.splitlines()
    assert first == second
    assert json.loads(first)["id"] == made.id
    assert text[0] == "[MEDIUM] IAM policy changed"


async def test_standard_output_that_nobody_reads_is_a_failure_for_good(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr("builtins.print", broken)
    sink = StdoutSink(StdoutSinkConfig(name="stdout", format="json"), sink_context())
    with pytest.raises(SinkError, match="standard output cannot be written: Broken pipe"):
        await sink.send(Notification(alert()))


class ScriptedSink:
    """A sink that gives answers from a list and keeps what it was sent."""

    name = "s"
    concurrency = 1

    def __init__(self, *answers: Answer) -> None:
        self._answers = list(answers)
        self.sent: list[Alert] = []

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def send(self, notification: Notification) -> Answer:
        self.sent.append(notification.alert)
        return self._answers.pop(0)


@pytest.fixture
def state(store: SQLiteStore) -> Iterator[StateWorker]:
    worker = StateWorker(store)
    yield worker
    worker.close()


def worker_of(sink: ScriptedSink, state: StateWorker) -> OutboxWorker:
    desk = Desk(sink.name, Policy(), Router.to("s"), sink.concurrency)
    return OutboxWorker(sink, desk, state, Metrics(), now=time.time)


def save(store: SQLiteStore, made: Alert) -> None:
    with store.transaction(time.time()) as transaction:
        transaction.save_alert(made, ["s"], 60)


async def test_the_outbox_sends_what_is_due_once(store: SQLiteStore, state: StateWorker) -> None:
    sink = ScriptedSink(Delivered())
    worker = worker_of(sink, state)
    save(store, alert())
    assert await worker.send_due() == 1
    assert await worker.send_due() == 0
    assert [sent.id for sent in sink.sent] == [alert().id]


async def test_a_refused_alert_waits_as_long_as_the_receiver_asks(
    store: SQLiteStore, state: StateWorker
) -> None:
    sink = ScriptedSink(Retry("busy", after=5000.0))
    save(store, alert())
    before = datetime.now(UTC).timestamp()
    await worker_of(sink, state).send_due()
    next_due = store.outbox.next_due("s")
    assert next_due is not None
    assert next_due >= before + 5000
    assert store.outbox.counts("s").pending == 1


async def test_an_alert_that_will_never_be_taken_becomes_a_dead_letter(
    store: SQLiteStore, state: StateWorker
) -> None:
    save(store, alert())
    worker = worker_of(ScriptedSink(Permanent("404")), state)
    assert await worker.send_due() == 1
    assert await worker.send_due() == 0
    assert store.outbox.counts("s").dead == 1


async def test_a_running_outbox_revives_dead_letters_and_wakes_for_new_alerts(
    store: SQLiteStore, state: StateWorker
) -> None:
    save(store, alert())
    await worker_of(ScriptedSink(Permanent("404")), state).send_due()
    sink = ScriptedSink(Delivered(), Delivered())
    worker = worker_of(sink, state)
    task = asyncio.create_task(worker.run())
    await until(lambda: sink.sent)
    await state.call(lambda _: save(store, msgspec.structs.replace(alert(), id="another")))
    worker.wake()
    await until(lambda: len(sink.sent) == 2)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert [sent.id for sent in sink.sent] == [alert().id, "another"]


async def test_one_failing_alert_does_not_hold_up_the_next(
    store: SQLiteStore, state: StateWorker
) -> None:
    save(store, alert())
    save(store, msgspec.structs.replace(alert(), id="another", rule_id="another"))
    sink = ScriptedSink(Retry("busy"), Delivered())
    assert await worker_of(sink, state).send_due() == 2
    assert store.outbox.counts("s").pending == 1
