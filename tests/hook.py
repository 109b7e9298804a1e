"""A webhook receiver in a thread of the test's own process."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Hook(ThreadingHTTPServer):
    """Answers with the statuses given, then with one; not at all while `is_open` is clear."""

    def __init__(self, *statuses: int, then: int = 200) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.statuses = list(statuses)
        self.then = then
        self.received: list[tuple[str, int]] = []
        """The alert's id of each request, and the status it was given."""
        self.is_open = threading.Event()
        self.is_open.set()
        self.url = f"http://127.0.0.1:{self.server_port}/hook"
        self._thread = threading.Thread(target=self.serve_forever)

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
        self.rfile.read(int(self.headers["Content-Length"]))
        alert_id, _, _ = self.headers["webhook-id"].partition(".")
        status = self.server.statuses.pop(0) if self.server.statuses else self.server.then
        self.server.received.append((alert_id, status))
        self.server.is_open.wait()
        self.send_response(status)
        self.end_headers()

    def log_message(self, *_: object) -> None: ...
