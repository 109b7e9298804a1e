import asyncio
import contextlib
import gzip
import http.client
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from detector.config import FirehoseSourceConfig, TLSConfig
from detector.envelopes.firehose import FirehoseRequest, open_firehose_request
from detector.errors import SourceError
from detector.sources.delivery import Delivery
from detector.sources.firehose import FirehoseSource, place, server, source, tls
from detector.sources.firehose import reading as reading_module
from detector.sources.firehose.access import Access
from detector.sources.firehose.reading import RECORD_BYTES
from detector.sources.firehose.remembered import (
    MAX_REMEMBERED,
    REMEMBER_SECONDS,
    Remembered,
    RequestKey,
    remembered_position,
)
from tests.certificates import write_certificate
from tests.compressed import bomb
from tests.servers.firehose_sender import (
    ACCESS_KEY,
    STREAM_ARN,
    Answer,
    FirehoseSender,
    Sent,
    body_of,
    form_fault_of,
    wait_before,
)
from tests.sources import Reader
from tests.waiting import until

ID = "ed4acda5-034f-9f42-bba1-f29aea6d7d8f"


def reading(
    positions: dict[str, str] | None = None, *, max_bytes: int = 1 << 20, **changes: Any
) -> Reader[FirehoseSource]:
    """Return a source with an access key, and what it has handed on."""
    settings = {"port": 0, "access_keys": (ACCESS_KEY,), **changes}
    config = FirehoseSourceConfig(name="hose", **settings)
    return Reader(partial(FirehoseSource, config), positions, max_bytes=max_bytes)


def sender(reader: Reader[FirehoseSource], **changes: Any) -> FirehoseSender:
    """Return a sender to a source that makes one attempt."""
    return FirehoseSender(lambda: reader.source.address, **{"retry_seconds": 0, **changes})


@asynccontextmanager
async def listening(reader: Reader[FirehoseSource]) -> AsyncIterator[None]:
    async with reader.running():
        await until(lambda: reader.readiness.is_ready)
        yield


def sending(
    stream: FirehoseSender, records: list[bytes], request_id: str = ID
) -> asyncio.Task[Sent]:
    """Send a batch in a thread, as a client of its own."""
    return asyncio.create_task(asyncio.to_thread(stream.send, records, request_id))


async def post(stream: FirehoseSender, body: bytes, **headers: str | None) -> Answer:
    return await asyncio.to_thread(partial(stream.post, body, ID, **headers))


async def delivered(reader: Reader[FirehoseSource], task: asyncio.Task[Sent]) -> Delivery:
    """Commit what a batch becomes, and see it answered."""
    delivery = await reader.next()
    assert (await task).is_delivered
    return delivery


@pytest.mark.parametrize("compress", [False, True])
async def test_a_batch_is_handed_on_and_answered_once_it_is_committed(compress: bool) -> None:
    reader = reading()
    async with listening(reader):
        task = sending(sender(reader, compress=compress), [b"one", b"", b"\x1f\x8btwo"])
        await until(lambda: reader.waiting == 1)
        assert not task.done()
        assert reader.budget.bytes == len(b"one\x1f\x8btwo") + 2 * RECORD_BYTES
        delivery = await delivered(reader, task)
        # An empty record is good, and there is nothing in it.
        assert [item.body for item in delivery.payloads] == [b"one", b"\x1f\x8btwo"]
        assert [item.origin for item in delivery.payloads] == [
            f"firehose:trail/{ID}/{index}" for index in (0, 2)
        ]
        at = delivery.payloads[0].delivered_at
        assert at is not None
        assert 0 <= delivery.received_at - at < 10
        assert not delivery.has_redrive
        assert reader.meter.bytes > 0
    assert reader.budget.deliveries == reader.budget.bytes == 0


REFUSED: dict[str, tuple[int, str, dict[str, str | None]]] = {
    "no key": (401, "no_access_key", {"X_Amz_Firehose_Access_Key": None}),
    "wrong key": (403, "wrong_access_key", {"X_Amz_Firehose_Access_Key": "another"}),
    "empty key": (403, "wrong_access_key", {"X_Amz_Firehose_Access_Key": ""}),
    "half a key": (403, "wrong_access_key", {"X_Amz_Firehose_Access_Key": ACCESS_KEY[:-1]}),
    "another stream": (403, "wrong_stream", {"X_Amz_Firehose_Source_Arn": STREAM_ARN + "2"}),
    "no stream": (403, "wrong_stream", {"X_Amz_Firehose_Source_Arn": None}),
    "type": (415, "unsupported", {"Content_Type": "text/plain"}),
    "encoding": (415, "unsupported", {"Content_Encoding": "br"}),
    "version": (400, "malformed", {"X_Amz_Firehose_Protocol_Version": "2.0"}),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_a_request_with_wrong_headers_is_refused_before_its_body_is_read(name: str) -> None:
    status, reason, headers = REFUSED[name]
    reader = reading(stream_arns=(STREAM_ARN,))
    async with listening(reader):
        answer = await post(sender(reader), body_of([b"x"], ID), **headers)
        assert answer.status == status
        assert form_fault_of(status, answer.headers, answer.body, ID) is None
        assert reader.meter.errors == {reason: 1}
        assert (reader.waiting, reader.meter.bytes, reader.budget.deliveries) == (0, 0, 0)


BODIES: dict[str, tuple[bytes, str]] = {
    "broken JSON": (b'{"requestId":', "malformed"),
    "nothing": (b"", "empty"),
    "another id": (body_of([b"x"], "another"), "malformed"),
    "base64": (b'{"requestId":"%s","records":[{"data":"?"}]}' % ID.encode(), "malformed"),
    "cut gzip": (gzip.compress(body_of([b"x" * 999], ID))[:-20], "truncated"),
    "damaged gzip": (b"\x1f\x8b\x08\x00" + b"\xff" * 30, "corrupt"),
    "bomb": (bomb(2 << 20), "too_large"),
    "too long": (body_of([b"x" * 200_000], ID), "too_large"),
}


@pytest.mark.parametrize("name", BODIES)
async def test_a_body_that_is_no_request_is_refused_and_never_with_413(name: str) -> None:
    body, reason = BODIES[name]
    reader = reading(max_request_bytes=200_000)
    async with listening(reader):
        answer = await post(sender(reader), body)
        assert answer.status == 400
        assert form_fault_of(400, answer.headers, answer.body, ID) is None
        assert reader.meter.errors == {reason: 1}
        assert (reader.waiting, reader.budget.deliveries, reader.budget.bytes) == (0, 0, 0)


async def test_a_wrong_path_and_a_wrong_method_are_refused() -> None:
    reader = reading(path="/firehose")
    async with listening(reader):
        stream = sender(reader)
        assert (await post(stream, body_of([b"x"], ID))).status == 404
        address = reader.source.address.removeprefix("http://")
        connection = http.client.HTTPConnection(address, timeout=10)
        await asyncio.to_thread(connection.request, "GET", "/firehose")
        response = await asyncio.to_thread(connection.getresponse)
        assert (response.status, response.headers["Allow"]) == (405, "POST")
        connection.close()
        stream.url = lambda: reader.source.address + "/firehose"
        await delivered(reader, sending(stream, [b"x"]))


async def talk(reader: Reader[FirehoseSource], *parts: bytes) -> bytes:
    """Send bytes as they are; return what is answered until the server closes."""
    host, port = reader.source.address.removeprefix("http://").split(":")
    stream, writer = await asyncio.open_connection(host, int(port))
    for part in parts:
        writer.write(part)
        await writer.drain()
    answer = await asyncio.wait_for(stream.read(), 30)
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
    return answer


def head(length: str, *more: str) -> bytes:
    lines = ["POST / HTTP/1.1", "Host: x", f"X-Amz-Firehose-Access-Key: {ACCESS_KEY}"]
    lines += ["Content-Type: application/json", "Connection: close", length, *more, "", ""]
    return "\r\n".join(lines).encode()


async def test_a_body_of_unknown_length_is_refused() -> None:
    reader = reading()
    async with listening(reader):
        answer = await talk(reader, head("Transfer-Encoding: chunked"), b"0\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 411 ")


async def test_what_is_no_http_is_answered_without_a_word_in_the_log(
    capfd: pytest.CaptureFixture[str],
) -> None:
    reader = reading()
    async with listening(reader):
        assert b" 400 " in await talk(reader, b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n")
        long = head(f"X-Long: {'x' * 70_000}")
        assert b" 400 " in await talk(reader, long)
    assert "Traceback" not in capfd.readouterr().err


async def test_a_request_without_firehoses_own_headers_is_known_by_its_body() -> None:
    reader = reading()
    async with listening(reader):
        body = body_of([b"x"], ID)
        task = asyncio.create_task(
            talk(reader, head(f"Content-Length: {len(body)}", "Expect: 100-continue"), body)
        )
        delivery = await reader.next()
        assert delivery.payloads[0].origin == f"firehose:unknown/{ID}/0"
        answer = await task
        assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")
        assert ID.encode() in answer


async def test_a_slow_client_is_cut_off_and_holds_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server, "LINGERING_SECONDS", 0.05)
    reader = reading(read_timeout_seconds=1)
    async with listening(reader):
        task = asyncio.create_task(talk(reader, head("Content-Length: 5000"), b"{"))
        await until(lambda: reader.budget.bytes == 5000)
        assert (await task).startswith(b"HTTP/1.1 408 ")
        assert (reader.budget.deliveries, reader.waiting) == (0, 0)
        assert reader.meter.errors == {"timeout": 1}


async def test_a_client_that_goes_away_midway_holds_nothing() -> None:
    reader = reading()
    async with listening(reader):
        host, port = reader.source.address.removeprefix("http://").split(":")
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(head("Content-Length: 5000") + b"{")
        await until(lambda: reader.budget.bytes == 5000)
        writer.close()
        await until(lambda: reader.budget.deliveries == 0)
        assert reader.meter.errors == {"disconnected": 1}


async def test_a_retry_of_what_is_committed_is_answered_and_not_handed_on_again() -> None:
    reader = reading()
    async with listening(reader):
        await delivered(reader, sending(sender(reader), [b"x"]))
        assert (await sending(sender(reader), [b"x"])).is_delivered
        assert reader.waiting == 0
    later = reading(reader.positions)
    async with listening(later):
        assert (await sending(sender(later), [b"x"])).is_delivered
        assert later.waiting == 0
        await delivered(later, sending(sender(later), [b"x"], "another"))


async def test_an_id_that_comes_with_another_body_is_no_retry() -> None:
    reader = reading()
    async with listening(reader):
        await delivered(reader, sending(sender(reader), [b"x"]))
        await delivered(reader, sending(sender(reader), [b"something else"]))


async def test_a_retry_joins_an_attempt_that_is_still_at_work() -> None:
    reader = reading()
    async with listening(reader):
        first = sending(sender(reader), [b"x"])
        await until(lambda: reader.waiting == 1)
        second = sending(sender(reader), [b"x"])
        third = sending(sender(reader), [b"x"], "another")
        await until(lambda: reader.waiting == 2)
        await reader.next()
        assert (await first).is_delivered
        assert (await second).is_delivered
        await delivered(reader, third)
        assert reader.waiting == 0


async def test_what_is_not_committed_in_time_is_answered_503_and_a_later_retry_succeeds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(source, "ANSWER_SECONDS", 0.3)
    reader = reading()
    async with listening(reader):
        sent = await sending(sender(reader), [b"x"])
        assert sent.statuses == [503]
        monkeypatch.setattr(source, "ANSWER_SECONDS", 30)
        again = sending(sender(reader), [b"x"])
        await delivered(reader, again)
        assert reader.waiting == 0
        assert reader.meter.errors == {"not_durable": 1}


async def test_a_full_budget_is_answered_503_before_the_body_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(place, "ROOM_SECONDS", 0.05)
    reader = reading(max_bytes=1000)
    async with listening(reader):
        first = sending(sender(reader), [b"x" * 600])
        await until(lambda: reader.waiting == 1)
        sent = await sending(sender(reader), [b"y" * 600], "second")
        assert (sent.statuses, sent.answers[0].headers["retry-after"]) == ([503], "5")
        assert reader.meter.errors == {"busy": 1}
        await delivered(reader, first)
        await delivered(reader, sending(sender(reader), [b"y" * 600], "second"))


async def test_gzip_has_its_place_by_what_it_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place, "ROOM_SECONDS", 0.05)
    reader = reading(max_bytes=100_000)
    async with listening(reader):
        first = sending(sender(reader, compress=True), [b"x" * 50_000])
        await until(lambda: reader.waiting == 1)
        assert reader.budget.bytes == 50_000 + RECORD_BYTES
        sent = await sending(sender(reader, compress=True), [b"y" * 50_000], "second")
        assert sent.statuses == [503]
        await delivered(reader, first)
        await delivered(reader, sending(sender(reader, compress=True), [b"y" * 50_000], "second"))


async def test_a_body_is_gone_while_its_records_wait_for_their_commit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    freed = []

    class Body(bytes):
        def __del__(self) -> None:
            freed.append(len(self))

    async def read_body(*arguments: Any, **named: Any) -> bytes:
        return Body(await reading_module.read_body(*arguments, **named))

    monkeypatch.setattr(source, "read_body", read_body)
    reader = reading()
    async with listening(reader):
        task = sending(sender(reader), [b"x"])
        await until(lambda: reader.waiting == 1)
        await asyncio.sleep(0)
        assert freed == [len(body_of([b"x"], ID))]
        await delivered(reader, task)


async def test_while_a_request_is_decoded_all_that_there_is_of_it_has_its_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    held = []

    def opened(body: bytes) -> FirehoseRequest:
        held.append(reader.budget.bytes)
        return open_firehose_request(body)

    monkeypatch.setattr(reading_module, "open_firehose_request", opened)
    reader = reading()
    async with listening(reader):
        body = body_of([b"x" * 1000], ID)
        packed = gzip.compress(body)
        for sent, headers in ((body, {}), (packed, {"Content_Encoding": "gzip"})):
            task = asyncio.create_task(post(sender(reader), sent, **headers))
            await reader.next()
            await task
        assert held == [2 * len(body), len(packed) + 2 * len(body)]


async def test_gzip_of_several_members_is_taken() -> None:
    reader = reading()
    async with listening(reader):
        body = body_of([b"x" * 500_000], ID)
        halves = gzip.compress(body[:300_000]) + gzip.compress(body[300_000:])
        task = asyncio.create_task(post(sender(reader), halves, Content_Encoding="gzip"))
        assert (await reader.next()).payloads[0].body == b"x" * 500_000
        assert (await task).fault is None


async def test_no_more_requests_than_allowed_are_at_work() -> None:
    reader = reading(concurrency=1)
    async with listening(reader):
        first = sending(sender(reader), [b"x"])
        await until(lambda: reader.waiting == 1)
        assert (await sending(sender(reader), [b"x"], "second")).statuses == [503]
        await delivered(reader, first)
        await delivered(reader, sending(sender(reader), [b"x"], "second"))


async def test_no_more_connections_than_allowed_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 2)
    reader = reading()
    async with listening(reader):
        host, port = reader.source.address.removeprefix("http://").split(":")
        kept = [await asyncio.open_connection(host, int(port)) for _ in range(2)]
        assert (await sending(sender(reader), [b"x"])).statuses == [None]
        assert reader.meter.errors == {"connections": 1}
        for _, writer in kept:
            writer.close()
            await writer.wait_closed()
        # Its end is known a moment after it is sent.
        patient = sender(reader, retry_seconds=300, sleep=lambda _: None)
        await delivered(reader, sending(patient, [b"x"]))


async def test_a_source_that_is_stopped_refuses_connections_and_finishes_what_is_in_hand() -> None:
    reader = reading()
    running = asyncio.create_task(reader.source.run(reader._deliveries.put_nowait))
    await until(lambda: reader.readiness.is_ready)
    address = reader.source.address
    host, port = address.removeprefix("http://").split(":")
    body = body_of([b"uploaded"], "slow")
    stream, writer = await asyncio.open_connection(host, int(port))
    writer.write(head(f"Content-Length: {len(body)}").replace(b"Connection: close\r\n", b""))
    idle, idle_writer = await asyncio.open_connection(host, int(port))
    first = sending(sender(reader), [b"x"])
    await until(lambda: reader.waiting == 1 and reader.budget.deliveries == 2)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert not reader.readiness.is_ready
    assert await idle.read() == b""
    assert (await sending(sender(reader), [b"x"], "new")).statuses == [None]
    writer.write(body)
    await delivered(reader, first)
    await reader.next()
    assert (await stream.read()).startswith(b"HTTP/1.1 200 ")
    await reader.source.close()
    for end in (writer, idle_writer):
        end.close()
        await end.wait_closed()


async def test_what_is_not_committed_at_the_end_is_answered_503() -> None:
    reader = reading()
    async with listening(reader):
        task = sending(sender(reader), [b"x"])
        await until(lambda: reader.waiting == 1)
    assert (await task).statuses == [503]


async def test_a_port_that_is_taken_is_an_error_with_a_remedy() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        reader = reading(port=taken.getsockname()[1])
        with pytest.raises(SourceError, match=r"source hose: cannot listen on .*; give the source"):
            await reader.source.run(lambda _: None)
        assert not reader.readiness.is_ready
        await reader.source.close()


async def test_the_access_key_is_shown_nowhere() -> None:
    reader = reading()
    with capture_logs() as logs:
        async with listening(reader):
            wrong = await sending(sender(reader, access_key="hunter2"), [b"x"])
            await delivered(reader, sending(sender(reader), [b"x"]))
    assert len(logs) == 2
    shown = f"{logs} {wrong} {vars(reader.source)} {reader.source._config!r} {reader.meter.errors}"
    assert ACCESS_KEY not in shown
    assert "hunter2" not in shown


async def test_a_fault_of_ours_is_answered_500_and_holds_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(source, "decoded", fail)
    reader = reading()
    with capture_logs() as logs:
        async with listening(reader):
            sent = await sending(sender(reader), [b"x"])
            assert (sent.statuses, sent.answers[0].fault) == ([500], "status 500")
            assert (reader.budget.deliveries, reader.meter.errors) == (0, {"internal": 1})
    assert "ZeroDivisionError" in logs[1]["error"]


async def test_many_failures_of_a_kind_are_one_line_in_the_log() -> None:
    reader = reading()
    with capture_logs() as logs:
        async with listening(reader):
            for _ in range(3):
                await sending(sender(reader, access_key=None), [b"x"])
    assert [line["event"].split(";")[0] for line in logs] == ["listening", "request refused"]
    assert reader.meter.errors == {"no_access_key": 3}


async def test_without_keys_everybody_may_deliver_where_that_is_said() -> None:
    reader = reading(access_keys=(), accept_without_access_key=True)
    async with listening(reader):
        await delivered(reader, sending(sender(reader, access_key=None), [b"x"]))


@pytest.mark.parametrize("key", ["old", "new"])
async def test_an_old_and_a_new_key_are_good_at_the_same_time(key: str) -> None:
    access = Access(["old", "new"], [])
    access.check(key.encode(), None)
    assert "old" not in str(vars(access))


async def test_requests_are_forgotten_when_no_retry_can_come() -> None:
    old = remembered_position("hose", RequestKey("old", 1), 1_000.0)
    reader = reading({old.key: old.value, "request:odd": "?", "other": "1"})
    async with listening(reader):
        await until(lambda: len(reader.forgotten) == 2)
    assert set(reader.forgotten) == {"request:old", "request:odd"}


def test_the_oldest_requests_are_forgotten_when_there_are_too_many() -> None:
    remembered = Remembered({})
    for number in range(MAX_REMEMBERED + 2):
        remembered.add(RequestKey(f"{number}", 1), 1000.0)
    assert remembered.take_old(1000.0) == ["request:0", "request:1"]
    assert len(remembered) == MAX_REMEMBERED
    assert RequestKey("0", 1) not in remembered
    assert RequestKey("2", 1) in remembered
    assert remembered.take_old(1000.0 + REMEMBER_SECONDS) == []
    assert len(remembered.take_old(1000.1 + REMEMBER_SECONDS)) == MAX_REMEMBERED
    assert len(remembered) == 0


def test_what_is_remembered_survives_the_state() -> None:
    keys = [RequestKey("b", 5), RequestKey("a/odd one", 7)]
    positions = [remembered_position("hose", key, 1000.0 + at) for at, key in enumerate(keys)]
    again = Remembered({item.key: item.value for item in positions})
    assert all(key in again for key in keys)
    assert RequestKey("b", 6) not in again
    assert again.take_old(1000.5 + REMEMBER_SECONDS) == [positions[0].key]


def client_context(certificate: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificate))


async def test_a_certificate_is_reloaded_and_a_broken_one_leaves_the_old_in_force(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "TLS_POLL_SECONDS", 0.02)
    files = TLSConfig(certificate=str(tmp_path / "tls.crt"), key=str(tmp_path / "tls.key"))
    certificate, key = Path(files.certificate), Path(files.key)
    write_certificate(certificate, key, "first")
    old = client_context(certificate)
    reader = reading(tls=files)
    async with listening(reader):
        assert reader.source.address.startswith("https://")
        await delivered(reader, sending(sender(reader, tls=old), [b"x"], "a"))
        kept = socket.create_connection(
            ("127.0.0.1", int(reader.source.address.rsplit(":", 1)[1])), 10
        )
        kept_open = await asyncio.to_thread(old.wrap_socket, kept, server_hostname="127.0.0.1")
        await asyncio.to_thread(certificate.write_text, "not a certificate")
        await until(lambda: reader.meter.errors == {"tls": 1})
        await delivered(reader, sending(sender(reader, tls=old), [b"x"], "b"))
        write_certificate(certificate, key, "second")
        new = client_context(certificate)
        patient = sender(reader, tls=new, retry_seconds=3000, sleep=lambda _: None)
        await delivered(reader, sending(patient, [b"x"], "c"))
        assert (await sending(sender(reader, tls=old), [b"x"], "d")).statuses == [None]
        kept_open.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await asyncio.to_thread(kept_open.recv, 100)).startswith(b"HTTP/1.1 405 ")
        kept_open.close()
    assert set(reader.meter.errors) <= {"tls", "wrong_address"}


async def test_no_tls_before_1_2_is_spoken(tmp_path: Path) -> None:
    certificate, key = tmp_path / "tls.crt", tmp_path / "tls.key"
    write_certificate(certificate, key, "first")
    found = tls.Certificate(TLSConfig(certificate=str(certificate), key=str(key)))
    assert found.context.minimum_version == ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize("broken", ["missing", "of another", "nonsense"])
async def test_a_certificate_that_cannot_be_used_is_an_error_with_a_remedy(
    tmp_path: Path, broken: str
) -> None:
    certificate, key = tmp_path / "tls.crt", tmp_path / "tls.key"
    write_certificate(certificate, key, "first")
    if broken == "missing":
        key.unlink()
    elif broken == "nonsense":
        key.write_text("nonsense")
    else:
        write_certificate(tmp_path / "other.crt", key, "other")
    reader = reading(tls=TLSConfig(certificate=str(certificate), key=str(key)))
    with pytest.raises(SourceError, match=r"source hose: the certificate .* cannot be used: .*PEM"):
        await reader.source.run(lambda _: None)
    await reader.source.close()


async def test_ten_thousand_records_in_64_mebibytes_are_taken() -> None:
    reader = reading(max_bytes=64 << 20)
    records = [b"%d" % number + b"x" * 5_030 for number in range(10_000)]
    size = len(body_of(records, ID))
    assert 64 << 20 <= size <= 65 << 20
    async with listening(reader):
        delivery = await delivered(reader, sending(sender(reader), records))
        assert (
            sum(item.body == data for item, data in zip(delivery.payloads, records, strict=True))
            == 10_000
        )


def test_the_sender_waits_as_firehose_does() -> None:
    assert [wait_before(number, 0) for number in range(1, 10)] == [
        1, 2, 4, 8, 16, 32, 64, 120, 120,
    ]  # fmt: skip
    assert (wait_before(1, -0.15), wait_before(8, 0.15)) == (0.85, 120)


def test_the_sender_gives_up_after_its_retry_duration() -> None:
    now = 0.0

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    stream = FirehoseSender(
        lambda: "http://127.0.0.1:1", sleep=sleep, clock=lambda: now, jitter=lambda: 0.0
    )
    sent = stream.send([b"x"])
    assert sent.is_backed_up
    assert sent.waits == [1, 2, 4, 8, 16, 32, 64, 120]
