"""A webhook receiver in a thread of the test's own process."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Hook(ThreadingHTTPServer):
    """Answers with the statuses given, then with one; not at all while `is_open` is clear."""

    def __init__(self, *statuses: int, then: int = 200) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.statuses = list(statuses)
        self.then = then
        self.received: list[tuple[str, int]] = []
        """The alert's id of each request, and the status it was given."""
        self.last: dict[str, dict[str, Any]] = {}
        """The latest form of each alert, by its id."""
        self.take: Callable[[dict[str, Any]], object] = lambda _: None
        """Is given each alert as it comes."""
        self.is_open = threading.Event()
        self.is_open.set()
        self.url = f"http://127.0.0.1:{self.server_port}/hook"
        self._thread = threading.Thread(target=self.serve_forever)

    def counts(self) -> dict[str, int]:
        """Return the latest count of each alert by its id."""
        return {alert_id: alert["count"] for alert_id, alert in dict(self.last).items()}

    def ids(self, status: int) -> list[str]:
        """Return the ids of the alerts that were given a status, in order."""
        return [alert_id for alert_id, given in self.received if given == status]

    def __enter__(self) -> Hook:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.is_open.set()
        self.shutdown()
        self._thread.join()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: Hook

    def do_POST(self) -> None:
        event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        alert = event["data"]
        status = self.server.statuses.pop(0) if self.server.statuses else self.server.then
        self.server.received.append((alert["id"], status))
        self.server.last[alert["id"]] = alert
        self.server.take(alert)
        self.server.is_open.wait()
        with suppress(ConnectionError):  # the sender may have been killed meanwhile
            self.send_response(status)
            self.end_headers()

    def log_message(self, *_: object) -> None: ...
