"""A mail server of the demo's own: it keeps what it gets as .eml files and delivers nothing to anybody."""

import re
import socket
from pathlib import Path
from typing import Any, Self

from aiosmtpd.controller import Controller


class PostOffice:
    """A real SMTP server on a free port of the loopback interface, as a context manager."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.port = _free_port()
        self.received: list[Path] = []
        self._controller = Controller(self, hostname="127.0.0.1", port=self.port)

    def __enter__(self) -> Self:
        self._controller.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._controller.stop()

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802  # aiosmtpd's name
        """Called by the server for each mail."""
        recipient = re.sub(r"[^\w.@-]", "_", envelope.rcpt_tos[0])
        path = self._folder / f"{len(self.received) + 1:02d}-to-{recipient}.eml"
        path.write_bytes(envelope.original_content)
        self.received.append(path)
        return "250 kept"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
