"""The back office that the robots talk to: vendors, rates, orders and a ledger, over HTTP on 127.0.0.1.

Its moods follow from the run's number, so a run can be repeated: every 7th request is answered with
503 and works when it is asked again; in run 2, 5, 8 … nothing can be posted after the third posting.
"""

import json
import random
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread
from typing import Any, Final

__all__ = ["close_back_office", "open_back_office"]

DATA: Final = Path(__file__).with_suffix(".json")
HICCUP_EVERY: Final = 7
POSTINGS_BEFORE_OUTAGE: Final = 3


def has_outage(run: int) -> bool:
    """Whether posting breaks down in this run.

    >>> [run for run in range(1, 10) if has_outage(run)]
    [2, 5, 8]
    """
    return run % 3 == 2


class BackOffice:
    """What the server knows, and what it answers."""

    def __init__(self, run: int) -> None:
        data: dict[str, Any] = json.loads(DATA.read_text(encoding="utf-8"))
        self.postings: list[dict[str, Any]] = []
        self._tables: dict[str, Any] = {**data, "postings": self.postings}
        self._has_outage = has_outage(run)
        self._latency = random.Random(run)  # noqa: S311  # for latency, not for secrets
        self._requests = 0
        self._lock = Lock()

    def answer(self, method: str, path: str, body: Any = None) -> tuple[HTTPStatus, Any]:
        """Status and content for a request such as GET /vendors/V-01, GET /rates or POST /postings."""
        with self._lock:
            self._requests += 1
            time.sleep(self._latency.uniform(0.01, 0.03))
            if self._requests % HICCUP_EVERY == 0:
                return HTTPStatus.SERVICE_UNAVAILABLE, None
            name, _, key = path.strip("/").partition("/")
            if method == "POST" and name == "postings":
                return self._post(body)
            found = self._tables.get(name)
            if key:
                found = found.get(key) if isinstance(found, dict) else None
            return (HTTPStatus.NOT_FOUND, None) if found is None else (HTTPStatus.OK, found)

    def _post(self, posting: Any) -> tuple[HTTPStatus, Any]:
        if self._has_outage and len(self.postings) >= POSTINGS_BEFORE_OUTAGE:
            return HTTPStatus.SERVICE_UNAVAILABLE, None
        self.postings.append(posting)
        return HTTPStatus.CREATED, posting


class _Handler(BaseHTTPRequestHandler):
    office: BackOffice

    def do_GET(self) -> None:  # the name that http.server calls
        self._reply(*self.office.answer("GET", self.path))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._reply(*self.office.answer("POST", self.path, json.loads(body)))

    def _reply(self, status: HTTPStatus, content: Any) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing: the robot's log is the robot's."""


_open: dict[str, ThreadingHTTPServer] = {}


def open_back_office(run: int) -> str:
    """Starts it on a free port; gives its URL."""
    handler = type("Handler", (_Handler,), {"office": BackOffice(run)})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    _open[url] = server
    return url


def close_back_office(url: str) -> None:
    """Stops what `open_back_office` started."""
    server = _open.pop(url)
    server.shutdown()
    server.server_close()
