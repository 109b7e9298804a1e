"""How late an alert is: from a message that can be received to the webhook's request.

The service runs as its user runs it, a process of its own, with S3's notifications from SQS and a
webhook; at its both ends is `benchmarks.small_aws`, another process. Objects are announced at a
constant rate whether or not the service keeps up; each holds one record that makes an alert, among
others that make none.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.small_aws import BUCKET, Outcome, Times
from benchmarks.storm import RULE

STARTUP_SECONDS = 30.0
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "benchmark",
    "AWS_SECRET_ACCESS_KEY": "benchmark",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@dataclass(frozen=True, slots=True)
class Running:
    """A process that serves something: its address is written among its log lines."""

    address: str
    pid: int


def measure(folder: Path, rates: Sequence[float], seconds: float) -> None:
    """Measure at each rate for so long, and print the figures."""
    aws_command = [sys.executable, "-m", "benchmarks.small_aws"]
    with _process(aws_command, folder / "aws.log", "address") as aws:
        config = folder / "detector.yaml"
        config.write_text(json.dumps(_config(aws.address, folder)))  # JSON is YAML
        command = [sys.executable, "-m", "detector", "run", "--config", str(config)]
        with _process(command, folder / "service.log", "metrics") as service:
            _load(aws.address, 5, 1, 0)  # the first alert finds a service that has done its like
            first = 1_000
            for rate in rates:
                before, cpu = _metrics(service.address), _cpu_seconds(service.pid)
                outcome = _load(aws.address, rate, seconds, first)
                after, cpu = _metrics(service.address), _cpu_seconds(service.pid) - cpu
                first += len(outcome.times)
                _show(rate, outcome, lambda name: after[name] - before.get(name, 0.0))  # noqa: B023
                print(f"  the service used {cpu:.1f} s of a processor")


def _show(rate: float, outcome: Outcome, gained: Callable[[str], float]) -> None:
    times = outcome.times
    lost = sum(item.told is None for item in times)
    print(f"{len(times)} objects, {rate:g} a second: {lost} alerts lost", flush=True)
    assert not lost, "an alert is missing"
    whole = _between(times, "announced", "told")
    print(f"  from announced to told  {_spread(whole)}")
    part = max(len(whole) // 5, 1)
    print(f"    in the first fifth    {_spread(whole[:part])}")
    print(f"    in the last fifth     {_spread(whole[-part:])}")
    print(f"  until handed out        {_spread(_between(times, 'announced', 'received'))}")
    print(f"  until object asked for  {_spread(_between(times, 'received', 'fetched'))}")
    print(f"  until told              {_spread(_between(times, 'fetched', 'told'))}")
    for label, name in (
        ("receipt to outbox", "detector_alert_delay_seconds"),
        ("sending", "detector_sink_send_seconds"),
    ):
        mean = gained(f"{name}_sum") / max(gained(f"{name}_count"), 1.0)
        print(f"  {label + ', mean':<23} {1e3 * mean:>7.1f} ms by the service's metrics")
    calls = ", ".join(f"{count} {name}" for name, count in sorted(outcome.calls.items()))
    print(f"  calls: {calls}")


def _between(times: Sequence[Times], start: str, end: str) -> list[float]:
    return [getattr(item, end) - getattr(item, start) for item in times]


def _spread(values: Sequence[float]) -> str:
    """Return the median, the 99th percentile (nearest rank) and the maximum, in milliseconds."""
    ordered = sorted(values)
    shown = {
        name: ordered[math.ceil(share * len(ordered)) - 1]
        for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0))
    }
    return "  ".join(f"{name} {1e3 * value:>7.1f} ms" for name, value in shown.items())


def _config(address: str, folder: Path) -> dict[str, object]:
    source = {
        "type": "s3_sqs",
        "queue_url": f"{address}/000000000000/trail",
        "buckets": [{"bucket": BUCKET}],
        "region": "us-east-1",
        "endpoint_url": address,
    }
    return {
        "sources": [source],
        "sinks": [{"type": "webhook", "url": f"{address}/hook"}],
        "rules": [str(RULE)],
        "state": {"path": str(folder / "state.sqlite3")},
        "egress": {"allow": ["127.0.0.0/8"]},
        "telemetry": {"port": 0},
    }


def _load(address: str, rate: float, seconds: float, first: int) -> Outcome:
    order = json.dumps({"rate": rate, "seconds": seconds, "first": first}).encode()
    request = urllib.request.Request(f"{address}/load", order)  # noqa: S310 - our own server
    with urllib.request.urlopen(request, timeout=seconds + 300) as response:  # noqa: S310
        return msgspec.json.decode(response.read(), type=Outcome)


def _metrics(address: str) -> dict[str, float]:
    """Return the samples of a service by their names, those of all labels together."""
    with urllib.request.urlopen(address, timeout=30) as response:  # noqa: S310
        text = response.read().decode()
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.name] = found.get(sample.name, 0.0) + sample.value
    return found


def _cpu_seconds(pid: int) -> float:
    """Return how much of a processor a process has used; source: proc(5), /proc/pid/stat."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def _process(command: Sequence[str], log: Path, named: str) -> Iterator[Running]:
    """Run a process until it is done with; its address stands under a name in its log."""
    with log.open("w") as file:
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=file, env={**os.environ, **CREDENTIALS}
        )
        try:
            yield Running(_address(process, log, named), process.pid)
        finally:
            process.terminate()
            process.wait(60)


def _address(process: subprocess.Popen[bytes], log: Path, named: str) -> str:
    deadline = time.monotonic() + STARTUP_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        *lines, _ = log.read_text().split("\n")
        for line in lines:
            if line.startswith("{") and named in (written := json.loads(line)):
                return str(written[named])
        time.sleep(0.05)
    raise AssertionError(f"no address: {log.read_text()}")
