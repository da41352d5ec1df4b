"""A TCP proxy between an agent and its database that breaks connections where a test wants them broken.

It understands just enough of Postgres' protocol: it looks for a text in what the client sends, or counts
what the server answers afterwards. A connection may be cut before the server hears the words (they were
never said), or after, before the answer reaches the client (they were said, and nobody knows it).
"""

import select
import socket
import threading
from contextlib import suppress
from typing import Literal, Self

Cut = Literal["before", "after"]


class ChaosProxy:
    """Listens on loopback and passes on to `target`: (host, port), or the path of a Unix socket."""

    def __init__(self, target: tuple[str, int] | str) -> None:
        self.cuts = 0
        self._target = target
        self._words = b""
        self._when: Cut = "before"
        self._left = 0
        self._refuses = False
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self, words: bytes, when: Cut, times: int = 1) -> None:
        """The next so many times that a client says these words, its connection breaks."""
        with self._lock:
            self._words, self._when, self._left = words, when, times

    def refuse(self, refuses: bool) -> None:
        """Nobody gets through, and who is connected is cut off; or everybody may again."""
        with self._lock:
            self._refuses = refuses
            cut_off = list(self._open) if refuses else []
        for end in cut_off:
            _break(end)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        self.refuse(True)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return  # closed
            if self._refuses:
                _break(client)
                continue
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            server = self._connect()
        except OSError:
            _break(client)
            return
        with self._lock:
            self._open |= {client, server}
        with suppress(OSError, ValueError):  # one of them is gone: the other one goes, too
            self._pass_on(client, server)
        with self._lock:
            self._open -= {client, server}
        _break(client)
        _break(server)

    def _connect(self) -> socket.socket:
        if isinstance(self._target, tuple):
            return socket.create_connection(self._target, timeout=10)
        server = socket.socket(socket.AF_UNIX)
        server.connect(self._target)
        return server

    def _pass_on(self, client: socket.socket, server: socket.socket) -> None:
        while True:
            ready, _, _ = select.select([client, server], [], [])
            for end in ready:
                data = end.recv(1 << 16)
                if not data:
                    return
                when = self._said(data) if end is client else None
                if when == "before":
                    return
                (server if end is client else client).sendall(data)
                if when == "after":
                    server.recv(1 << 16)  # the answer is there: it was done, and the client never hears so
                    return

    def _said(self, data: bytes) -> Cut | None:
        with self._lock:
            if not self._left or self._words not in data:
                return None
            self._left -= 1
            self.cuts += 1
            return self._when


def _break(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
