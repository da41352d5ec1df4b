"""A draft's runs, once it is known where and when they started, as rows of executions and steps."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from .columns import Columns, concatenated
from .draws import CANCELLED, NO_REASON, Draft, Outcome
from .fleet import TEMPLATES, Fleet
from .schedules import Ints

_KINDS: Final = np.array(
    [*(kind for kind, _ in TEMPLATES), "", ""], dtype=object
)  # the last: CANCELLED, NO_REASON
_STATUSES: Final = np.array(
    [
        *("timed_out" if message.startswith("TimeoutError") else "failed" for _, message in TEMPLATES),
        "cancelled",
        "completed",
    ],
    dtype=object,
)
assert (CANCELLED, NO_REASON) == (-2, -1)  # noqa: S101  # positions in the two arrays above


def rows_of_runs(
    draft: Draft, fleet: Fleet, hosts: Ints, started: Ints, seed: int
) -> tuple[Columns, Columns, Ints]:
    """(executions, steps, when each step's run ended), run by run, steps in the order of their start."""
    outcome = _where_it_ran(draft, fleet, hosts)
    workflow, runs = draft.workflow, len(started)
    count = len(workflow.steps)
    position, run = np.arange(count), np.arange(runs)
    ends = started[:, None] + np.cumsum(outcome.took_us + outcome.first_us, axis=1)
    begins = ends - outcome.took_us - outcome.first_us
    ends = ends[run[:, None], np.minimum(workflow.last_inside[None, :], outcome.stops_at[:, None])]
    begun = position[None, :] <= outcome.stops_at[:, None]
    broken = begun & (workflow.last_inside[None, :] >= outcome.stops_at[:, None])
    ended = started + outcome.total_us
    reason = outcome.reason
    messages = _messages(reason, draft.numbers)
    ids = _ids(draft, seed)
    of_run: dict[str, Any] = {
        "workflow_id": workflow.workflow_id,
        "workflow_version": draft.version,
        "host": np.array(fleet.hosts, dtype=object)[hosts],
        "robot_id": np.array([fleet.robot_of(h) for h in fleet.hosts], dtype=object)[hosts],
        "queue": draft.queue,
        **ids,
    }
    failed_steps = (broken & (reason >= 0)[:, None]).sum(axis=1)
    executions = Columns(
        "execution",
        runs,
        {
            **of_run,
            "status": _STATUSES[reason],
            "exception_kind": _KINDS[reason],
            "message": messages,
            "started_at_us": started,
            "ended_at_us": ended,
            "duration_ms": (ended - started) / 1000,
            "steps_total": count,
            "steps_completed": (begun & ~broken & ~draft.skipped).sum(axis=1),
            "steps_failed": failed_steps,
            "attempt": np.where(draft.retry_of >= 0, 2, 1),
            "queued_at_us": draft.due_us,
            "attributes": np.array([f'{{"company":"{company}"}}' for company in draft.company], dtype=object),
        },
    )
    row_run, row_step = np.nonzero(begun)
    again = outcome.first_us[row_run, row_step] > 0
    steps = _step_rows(draft, outcome, of_run, row_run, row_step, begins, ends, broken, messages)
    if again.any():  # the attempt before it, a row of its own
        first = steps.take(again)
        more = _first_attempts(
            first, begins[row_run, row_step][again], outcome.first_us[row_run, row_step][again]
        )
        order = np.argsort(
            np.concatenate((np.arange(len(again)), np.flatnonzero(again) - 0.5)), kind="stable"
        )
        steps, row_run = (
            concatenated([steps, more]).take(order),
            np.concatenate((row_run, row_run[again]))[order],
        )
    return executions, steps, ended[row_run]


def _where_it_ran(draft: Draft, fleet: Fleet, hosts: Ints) -> Outcome:
    """Of each run what happens to it on its host."""
    parts = {name: getattr(draft.usual, name) for name in Outcome.__slots__}
    for host, special in draft.on_host.items():
        there = hosts == fleet.hosts.index(host)
        if there.any():
            for name, usual in parts.items():
                where = there[:, None] if usual.ndim == 2 else there
                parts[name] = np.where(where, getattr(special, name), usual)
    return Outcome(**parts)


def _ids(draft: Draft, seed: int) -> dict[str, NDArray[Any]]:
    """Keys in the shape of UUIDs, which is what agents make; a second try has its first one's transaction."""
    number, day = draft.workflow.number, draft.day_us // 86_400_000_000
    first = np.where(draft.retry_of >= 0, draft.retry_of, np.arange(len(draft.retry_of))).tolist()
    of_queue = len(draft.workflow.queues) > 1
    runs = range(len(first))
    of_flow = f"{seed & 0xFFFFFFFF:08x}-{number >> 16 & 0xFFFF:04x}-{number & 0xFFFF:04x}"
    start, other = f"{of_flow}-{day & 0xFFFF:04x}", f"{of_flow}-{day & 0xFFFF | 0x8000:04x}"
    return {
        "execution_id": np.array([f"{start}-{run:012x}" for run in runs], dtype=object),
        "recorder_id": np.array([f"{other}-{run:012x}" for run in runs], dtype=object),
        "transaction_id": np.array(
            [f"T-{number}-{day}-{run}" if of_queue else "" for run in first], dtype=object
        ),
    }


def _messages(reason: Ints, numbers: Ints) -> NDArray[Any]:
    texts = np.full(len(reason), "", dtype=object)
    for at in np.flatnonzero(reason >= 0).tolist():
        texts[at] = TEMPLATES[reason[at]][1].replace("{n}", str(numbers[at]))
    return texts


def _step_rows(
    draft: Draft,
    outcome: Outcome,
    of_run: Mapping[str, Any],
    row_run: Ints,
    row_step: Ints,
    begins: Ints,
    ends: Ints,
    broken: NDArray[np.bool_],
    messages: NDArray[Any],
) -> Columns:
    steps = draft.workflow.steps
    names = np.array([step.step_id for step in steps], dtype=object)
    parents = np.array([None if s.parent is None else s.parent + 1 for s in steps], dtype=object)
    is_broken = broken[row_run, row_step]
    reason = np.where(is_broken, outcome.reason[row_run], NO_REASON)
    begin, end = begins[row_run, row_step], ends[row_run, row_step]
    first = outcome.first_us[row_run, row_step]
    begin = begin + first  # of the attempt that counts
    return Columns(
        "step",
        len(row_run),
        {
            **{n: v[row_run] if isinstance(v, np.ndarray) else v for n, v in of_run.items()},
            "step_seq": row_step + 1,
            "step_id": names[row_step],
            "step_name": names[row_step],
            "parent_step_seq": parents[row_step],
            "depth": np.array([step.depth for step in steps])[row_step],
            "status": np.where(draft.skipped[row_run, row_step], "skipped", _STATUSES[reason]),
            "exception_kind": _KINDS[reason],
            "message": np.where(is_broken, messages[row_run], ""),
            "started_at_us": begin,
            "ended_at_us": end,
            "duration_ms": (end - begin) / 1000,
            "attempt": np.where(first > 0, 2, 1),
        },
    )


def _first_attempts(second: Columns, begins: Ints, took: Ints) -> Columns:
    columns = dict(second.items())
    columns |= {
        "attempt": 1,
        "status": "failed",
        "exception_kind": "application",
        "message": "SelectorNotFound: the element was not found at first",
        "started_at_us": begins,
        "ended_at_us": begins + took,
        "duration_ms": took / 1000,
    }
    return Columns("step", second.count, columns)
