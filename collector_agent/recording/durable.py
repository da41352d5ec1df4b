"""What durable recording stands on: this process's part of the spool, the journal before it, the thread
behind it. Loaded only where a spool folder is given."""

import contextlib
import logging
import os
from pathlib import Path
from uuid import uuid4

from analytics_lib import __version__
from collector_agent.machine.problems import clear_problem, report_problem
from collector_agent.recording.delivery import StorageCallback
from collector_agent.recording.journal import Journal
from collector_agent.recording.record_builder import RecordBuilder
from collector_agent.recording.shipping import Shipping
from collector_agent.recording.spool_delivery import COMPONENT, SpoolDelivery
from collector_agent.spool.writer import SpoolLimits, SpoolWriter

_log = logging.getLogger("rpa_agent")


def durable_delivery(
    spool_folder: Path | str,
    limits: SpoolLimits | None,
    builder: RecordBuilder,
    storage_callback: StorageCallback | None,
    *,
    host: str,
    interval_sec: float,
) -> tuple[Journal, SpoolDelivery] | None:
    """None where no spool can be made and rows can be recorded in memory: that is said and reported.

    Without a callback they wait for the spool, as many as memory may hold.
    """
    folder = Path(spool_folder)
    problem = why_not(folder)
    if problem:
        way_out = "rows wait in memory" if storage_callback is None else "rows are recorded in memory"
        text = f"no spool can be made in {folder} ({problem}): {way_out}, and end with the process"
        _log.warning("%s", text)
        report_problem(COMPONENT, text)
        if storage_callback is not None:
            return None
    else:
        clear_problem(COMPONENT)
    spool = SpoolWriter(folder, limits=limits or SpoolLimits(), agent_version=__version__, host=host)
    journal = Journal(spool, builder)
    shipping = None if storage_callback is None else Shipping(folder, storage_callback, host)
    return journal, SpoolDelivery(spool, journal, shipping, interval_sec)


def why_not(folder: Path) -> str:
    """Why no spool can be made in the folder; '' where one can."""
    probe = folder / f".probe-{uuid4().hex}"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        probe.mkdir(mode=0o700)
    except OSError as error:
        return str(error)
    with contextlib.suppress(OSError):
        os.rmdir(probe)
    return ""
