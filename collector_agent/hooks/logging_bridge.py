"""Warnings and errors that are logged inside a step become part of its message.

    logging.getLogger().addHandler(StepLogHandler())

Outside of a step nothing happens. What is logged is masked like every message, and kept to the first ten
lines of a step; the traceback is not kept. A failure keeps its own words in front.
"""

import logging
import threading
from typing import Final

from collector_agent.hooks.steps import current_step
from collector_agent.redaction import text_of

OWN_LOGGER: Final = "rpa_agent"


class _Emitting(threading.local):
    is_on = False


_emitting = _Emitting()


class StepLogHandler(logging.Handler):
    """Notes what is logged at `level` and above with the step that is open on the thread or in the task.

    Needs no lock and takes none, so that it may be called in signal handlers and destructors; what is
    logged while it is at work, by us or by the robot's own `__str__`, is left out. Never raises.
    """

    def __init__(self, level: int | str = logging.WARNING) -> None:
        super().__init__(level)

    def handle(self, record: logging.LogRecord) -> bool:
        passed = self.filter(record)
        if isinstance(passed, logging.LogRecord):  # a filter may hand on another one, from Python 3.12 on
            record = passed
        if passed:
            self.emit(record)
        return bool(passed)

    def emit(self, record: logging.LogRecord) -> None:
        if _emitting.is_on:
            return
        _emitting.is_on = True
        try:
            _note(record)
        except Exception:  # noqa: BLE001, S110  # an odd argument; to log it would come back here
            pass
        finally:
            _emitting.is_on = False


def _note(record: logging.LogRecord) -> None:
    if record.name == OWN_LOGGER or record.name.startswith(OWN_LOGGER + "."):
        return
    step = current_step()
    if step is None:
        return
    try:
        text = record.getMessage()
    except Exception:  # noqa: BLE001  # arguments that do not fit, or without text
        text = text_of(record.msg)
    error = record.exc_info[1] if record.exc_info else None
    if error is not None and (said := text_of(error)) not in text:
        text = f"{text} ({type(error).__name__}: {said})"
    step.note(f"{record.levelname.lower()}: {text}", is_error=record.levelno >= logging.ERROR)
