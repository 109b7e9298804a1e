"""The service as the HTTP endpoint of Firehose streams."""

import gzip
import re
import socket
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from tests.certificates import write_certificate
from tests.integration.test_memory import STATED_CAP
from tests.records import log_file, record
from tests.servers.firehose_sender import ACCESS_KEY, STREAM_ARN, FirehoseSender, body_of
from tests.service_process import Service, running

pytestmark = pytest.mark.integration

ENV = {"FIREHOSE_ACCESS_KEY": ACCESS_KEY}


def config(**changes: Any) -> dict[str, Any]:
    source = {
        "type": "firehose",
        "name": "hose",
        "port": 0,
        "path": "/trail",
        "access_keys": ["${env:FIREHOSE_ACCESS_KEY}"],
        "stream_arns": [STREAM_ARN],
        **changes,
    }
    return {"sources": [source], "alerts": {"update_interval_seconds": 0.1}}


def url(service: Service) -> str:
    """Return where the service listens, once it does."""

    def announced() -> str | None:
        lines = (line["address"] for line in service.log if line["event"] == "listening")
        return next(lines, None)

    address = service.wait_until(announced)
    assert address is not None
    return address


def sender(service: Service, **changes: Any) -> FirehoseSender:
    return FirehoseSender(lambda: url(service), **{"retry_seconds": 0, **changes})


def counted(service: Service) -> dict[str, int]:
    """Return the latest count of each alert by its id."""
    return {alert["id"]: alert["count"] for alert in service.alerts}


def test_what_is_answered_with_200_is_in_the_counts(tmp_path: Path) -> None:
    with running(tmp_path, config(), ENV) as service:
        plain, zipped = sender(service), sender(service, compress=True)
        first, second = log_file(record(), record()), gzip.compress(log_file(record()))
        assert plain.send([first, second], "one").is_delivered
        assert service.records("hose")["matched"] == 3
        assert zipped.send([second, log_file(record())], "two").is_delivered
        assert service.records("hose") == {
            "in": 5, "matched": 4, "unmatched": 0, "duplicate": 1, "skipped": 0, "rejected": 0,
        }  # fmt: skip
        assert plain.send([first, second], "one").is_delivered
        assert service.records("hose")["in"] == 5
        service.wait_until(lambda: list(counted(service).values()) == [4])
        assert service.get("/readyz")[0] == 200
        assert service.stop() == 0
        assert ACCESS_KEY not in service.errors + service._out.read_text()
    with running(tmp_path, config(), ENV) as service:
        assert sender(service).send([first, second], "one").is_delivered
        assert service.records("hose")["in"] == 0


def test_what_may_not_deliver_is_refused_and_poison_in_a_good_request_is_not(
    tmp_path: Path,
) -> None:
    with running(tmp_path, config(), ENV) as service:
        assert sender(service, access_key=None).send([log_file(record())]).statuses == [401]
        assert sender(service, access_key="wrong").send([log_file(record())]).statuses == [403]
        assert sender(service, stream_arn="x").send([log_file(record())]).statuses == [403]
        broken = sender(service).post(b'{"requestId":"x","records":[]}', "x")
        assert broken.status == 400
        assert sender(service).send([b"poison", b"", log_file(record())]).is_delivered
        records = service.records("hose")
        assert (records["in"], records["matched"], records["rejected"]) == (2, 1, 1)
        errors = service.metrics()
        for kind in ("no_access_key", "wrong_access_key", "wrong_stream", "malformed"):
            assert errors[f"detector_source_errors_total{{kind={kind}}}{{source=hose}}"] == 1
        assert service.stop() == 0


def test_the_largest_batch_is_taken_and_a_larger_one_is_never_answered_413(tmp_path: Path) -> None:
    # 10,000 records in 64 MiB; every thousandth matches.
    padding = "x" * 4_400
    records = [
        log_file(record("GetUser" if number % 1_000 else "PutUserPolicy", userAgent=padding))
        for number in range(10_000)
    ]
    size = len(body_of(records, "x"))
    assert 62 << 20 <= size <= 66 << 20
    with running(tmp_path, config(), ENV) as service:
        assert sender(service).send(records, "large").is_delivered
        assert service.records("hose")["in"] == 10_000
        assert service.records("hose")["matched"] == 10
        assert sender(service, compress=True).send(records, "zipped").is_delivered
        assert service.records("hose")["duplicate"] == 10
        over = sender(service, compress=True).post(body_of([b"x" * (75 << 20)], "over"), "over")
        assert over.status == 400
        assert sender(service).send(records, "large").is_delivered
        assert service.records("hose")["in"] == 20_000
        assert service.stop() == 0


def test_no_request_takes_the_service_over_its_stated_memory(tmp_path: Path) -> None:
    record_list = b'{"requestId":"x","records":['
    many = gzip.compress(record_list + b",".join([b'{"data":""}'] * 8_000_000) + b"]}", 1)
    good = body_of([log_file(record())], "x")
    blank = gzip.compress(good[:-2] + b" " * (95 << 20) + b"]}", 1)

    def post(body: bytes) -> int | None:
        return sender(service).post(body, "x", Content_Encoding="gzip").status

    with running(tmp_path, config(), ENV) as service, ThreadPoolExecutor(8) as pool:
        assert set(pool.map(post, [many] * 4)) == {400}
        assert set(pool.map(post, [blank] * 4)) == {200}
        status = Path(f"/proc/{service.process.pid}/status").read_text()
        peak = re.search(r"VmHWM:\s+(\d+) kB", status)
        assert peak is not None
        print(f"peak: {int(peak.group(1)) >> 10} MiB")  # noqa: T201 - shown with pytest -s
        assert int(peak.group(1)) << 10 < STATED_CAP
        assert service.stop() == 0


def test_a_full_service_answers_503_and_takes_the_retry(tmp_path: Path) -> None:
    with running(tmp_path, config(concurrency=1), ENV) as service:
        body = body_of([log_file(record())], "slow")
        head = (
            f"POST /trail HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
            "Content-Type: application/json\r\nConnection: close\r\n"
            f"X-Amz-Firehose-Access-Key: {ACCESS_KEY}\r\n"
            f"X-Amz-Firehose-Source-Arn: {STREAM_ARN}\r\n\r\n"
        )
        parts = urlsplit(url(service))
        answers: list[bytes] = []
        with socket.create_connection((parts.hostname, parts.port), 30) as slow:
            slow.sendall(head.encode() + body[:50])
            in_hand = "detector_source_in_hand_deliveries{source=hose}"
            service.wait_until(lambda: service.metrics()[in_hand] == 1)

            def make_room(_: float) -> None:
                slow.sendall(body[50:])
                while answer := slow.recv(1000):
                    answers.append(answer)

            stream = sender(service, retry_seconds=60, sleep=make_room)
            sent = stream.send([log_file(record())])
        assert sent.statuses == [503, 200]
        assert sent.answers[0].headers["retry-after"] == "5"
        assert answers[0].startswith(b"HTTP/1.1 200 ")
        assert service.records("hose")["matched"] == 2
        service.wait_until(lambda: list(counted(service).values()) == [2])
        assert service.stop() == 0


def test_tls_is_spoken_and_a_new_certificate_comes_into_force(tmp_path: Path) -> None:
    certificate, key = tmp_path / "tls.crt", tmp_path / "tls.key"
    write_certificate(certificate, key, "first")
    first = ssl.create_default_context(cafile=str(certificate))
    settings = config(tls={"certificate": "tls.crt", "key": "tls.key"})
    with running(tmp_path, settings, ENV) as service:
        assert sender(service, tls=first).send([log_file(record())]).is_delivered
        certificate.write_text("broken")
        failed = "detector_source_errors_total{kind=tls}{source=hose}"
        service.wait_until(lambda: service.metrics().get(failed) == 1)
        assert sender(service, tls=first).send([log_file(record())]).is_delivered
        write_certificate(certificate, key, "second")
        second = ssl.create_default_context(cafile=str(certificate))
        service.wait_until(
            lambda: any(line["event"] == "certificate reloaded" for line in service.log)
        )
        assert sender(service, tls=second).send([log_file(record())]).is_delivered
        assert sender(service, tls=first).send([log_file(record())]).statuses == [None]
        assert service.records("hose")["matched"] == 3
        assert service.stop() == 0


def test_a_paused_source_is_not_reached_and_takes_the_retry_when_it_is_resumed(
    tmp_path: Path,
) -> None:
    settings = {**config(), "rules_poll_seconds": 0.1}
    path = tmp_path / "detector.yaml"
    with running(tmp_path, settings, ENV) as service:
        before = url(service)
        assert sender(service).send([log_file(record())]).is_delivered
        text = path.read_text()
        path.write_text(yaml.safe_dump({**config(paused=True), "rules_poll_seconds": 0.1}))
        service.wait_until(lambda: any(line["event"] == "source paused" for line in service.log))
        assert sender(service).send([log_file(record())], "later").statuses == [None]
        assert service.get("/readyz")[0] == 200
        path.write_text(text)
        stream = FirehoseSender(lambda: latest(service), retry_seconds=7200, clock=lambda: 0.0)
        stream.sleep = lambda _: threading.Event().wait(0.05)
        service.wait_until(lambda: latest(service) != before)
        assert stream.send([log_file(record())], "later").is_delivered
        assert service.records("hose")["matched"] == 2
        assert service.stop() == 0


def latest(service: Service) -> str:
    return str([line["address"] for line in service.log if line["event"] == "listening"][-1])
