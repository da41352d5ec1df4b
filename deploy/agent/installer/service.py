"""The agent as a service: systemd's on Linux, a task of the Task Scheduler on Windows, or none."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from .places import Places
from .venvs import Venv


class Service(Protocol):
    """What starts the agent with the machine (or the session), and again when it ends unexpectedly."""

    definition: Path  # the file that describes it

    def written(self, venv: Venv, writable: Sequence[Path]) -> bytes:
        """The definition for that version. `writable`: folders outside the agent's own that it writes to."""
        ...

    def register(self) -> None:
        """Makes the definition known; from now on it starts by itself. Raises ServiceError."""
        ...

    def start(self) -> None:
        """Starts it; one that runs starts anew. Raises ServiceError."""
        ...

    def stop(self) -> None:
        """Ends it, where it runs."""
        ...

    def said(self) -> Mapping[str, Any]:
        """For installed.json, by which `rpa-agent uninstall` removes it."""
        ...

    def log_command(self) -> str:
        """Shows a person why it does not run."""
        ...


def service_of(places: Places, bundle: Path) -> Service | None:
    """The service for this machine; None where nothing here starts services that we know of."""
    if sys.platform == "win32":
        from .windows_task import WindowsTask

        return WindowsTask(places, bundle)
    from .systemd import Systemd, is_there

    return Systemd(places, bundle) if is_there(for_all=places.for_all) else None
