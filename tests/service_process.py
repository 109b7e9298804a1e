"""The service as its user runs it: a process with a configuration file."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import yaml
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from detector.accounting import OUTCOMES
from tests.waiting import wait_for

T = TypeVar("T")

DETECTOR = ("-m", "detector")

DEFAULTS = {"telemetry": {"port": 0}, "egress": {"allow": ["127.0.0.0/8"]}}
"""What a service of the tests is started with unless told otherwise: a free port, and receivers on
this machine. A file written anew has to say the same, or the difference needs a restart."""


class Service:
    """A running `detector run`. Standard output and error go to files in the folder.

    `program` is what Python runs in place of `-m detector`, with the same arguments. `piped` gives
    it a pipe as standard input.
    """

    def __init__(
        self,
        folder: Path,
        config: dict[str, Any],
        env: dict[str, str],
        program: Sequence[str] = DETECTOR,
        *,
        piped: bool = False,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        config = {**DEFAULTS, **config}
        path = folder / "detector.yaml"
        path.write_text(yaml.safe_dump(config))
        self._out = folder / "out.jsonl"
        self._err = folder / "err.jsonl"
        with self._out.open("w") as out, self._err.open("w") as err:
            self.process = subprocess.Popen(
                [sys.executable, *program, "run", "--config", str(path)],
                stdin=subprocess.PIPE if piped else subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env={**os.environ, **env},
            )

    @property
    def alerts(self) -> list[dict[str, Any]]:
        """What it has printed on standard output, whole lines only."""
        *lines, _ = self._out.read_text().split("\n")
        return [json.loads(line) for line in lines]

    @property
    def log(self) -> list[dict[str, Any]]:
        """What it has logged on standard error."""
        *lines, _ = self._err.read_text().split("\n")
        return [json.loads(line) for line in lines if line.startswith("{")]

    def logged(self, event: str) -> list[dict[str, Any]]:
        """Return the lines of its log that tell of an event."""
        return [line for line in self.log if line["event"] == event]

    @property
    def errors(self) -> str:
        """All of standard error as it is."""
        return self._err.read_text()

    def wait_until(self, condition: Callable[[], T]) -> T:
        """Wait for a condition; fail at once when the process ends before it holds."""

        def holds() -> T:
            value = condition()
            assert value or self.process.poll() is None, self.errors
            return value

        return wait_for(holds)

    @property
    def address(self) -> str:
        """Where the telemetry is served, once it is."""

        def announced() -> str | None:
            found = (line["metrics"] for line in self.log if line["event"] == "started")
            return next(found, None)

        address = self.wait_until(announced)
        assert address is not None
        return address.removesuffix("/metrics")

    def get(self, path: str) -> tuple[int, str]:
        """Return the status and the body of a telemetry page."""
        try:
            with urllib.request.urlopen(self.address + path, timeout=10) as response:  # noqa: S310
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def metrics(self) -> dict[str, float]:
        """Return all samples; each is named like `name_total{key=value}{key=value}`."""
        _, text = self.get("/metrics")
        return {
            _written(sample): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def records(self, source: str) -> dict[str, int]:
        """Return the account of a source, from the metrics."""
        metrics = self.metrics()
        names = {"in": f"detector_records_received_total{{source={source}}}"} | {
            outcome: f"detector_records_total{{outcome={outcome}}}{{source={source}}}"
            for outcome in OUTCOMES
        }
        return {key: int(metrics.get(name, 0)) for key, name in names.items()}

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal, and return the exit status."""
        self.process.send_signal(number)
        return self.process.wait(60)

    def kill(self) -> None:
        """End the process as a loss of power would."""
        self.process.kill()
        self.process.wait(60)


def _written(sample: Sample) -> str:
    labels = "".join(f"{{{key}={value}}}" for key, value in sorted(sample.labels.items()))
    return sample.name + labels


@contextmanager
def running(
    folder: Path,
    config: dict[str, Any],
    env: dict[str, str] | None = None,
    program: Sequence[str] = DETECTOR,
    *,
    piped: bool = False,
) -> Iterator[Service]:
    """Run a service; nothing that it prints may be a traceback."""
    service = Service(folder, config, env or {}, program, piped=piped)
    try:
        yield service
    finally:
        if service.process.poll() is None:
            service.kill()
    assert "Traceback" not in service.errors
