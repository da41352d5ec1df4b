"""What a report says about itself: how far its data reach, what to beware of, how it counts."""

from collections.abc import Mapping

from analytics_lib import formats
from analytics_lib.report.parts import Note, Sentence
from analytics_lib.report.periods import LocalTime, Scope
from analytics_lib.totals import P95_FROM_N, P99_FROM_N, RunTotals
from analytics_lib.windows import DAY_US, Window


def data_through(data_through_us: int | None, local: LocalTime) -> str:
    """How far the rolled-up rows reach."""
    if data_through_us is None:
        return f"{formats.NONE} (nothing is rolled up yet)"
    return formats.moment_text(local.moment(data_through_us), year=True)


def rows_text(counts: Mapping[str, int]) -> str:
    """The raw rows behind the window."""
    parts = (("execution", "run"), ("step", "step"), ("resource", "resource sample"))
    return ", ".join(formats.runs_text(counts.get(source, 0), noun) for source, noun in parts)


def simulated_text(now: RunTotals) -> str:
    """How many runs are simulated; '' when none is."""
    if not now.n_simulated:
        return ""
    if now.simulated == "all":
        return f"All {formats.runs_text(now.n)} are simulated."
    verb = "is" if now.n_simulated == 1 else "are"
    return f"{formats.count_text(now.n_simulated)} of {formats.runs_text(now.n)} {verb} simulated."


def warnings(
    scope: Scope,
    local: LocalTime,
    *,
    data_from_us: int | None,
    data_through_us: int | None,
    pending_hours: int,
    has_runs_before: bool,
) -> tuple[str, ...]:
    """What makes these numbers less than they look."""
    found = []
    if scope.unfinished:
        found.append(
            "The period is not over: it is compared with the same part of the period before "
            f"({local.window_text(scope.before)})."
        )
    if pending_hours:
        verb = "waits" if pending_hours == 1 else "wait"
        hours = formats.runs_text(pending_hours, "hour")
        found.append(f"{hours} with new rows still {verb} for aggregation: the numbers may change.")
    if data_through_us is not None and scope.now.start_us < data_through_us < scope.now.end_us - DAY_US:
        moment = formats.moment_text(local.moment(data_through_us), year=True)
        found.append(f"The data end at {moment}, a day or more before the period does.")
    if has_runs_before and data_from_us is not None and data_from_us >= scope.before.start_us + DAY_US:
        moment = formats.moment_text(local.moment(data_from_us), year=True)
        found.append(
            f"The data begin at {moment}, within the period before: "
            "counts compare with less than a whole period."
        )
    return tuple(found)


def empty_text(n_before: int) -> str:
    """What to say, and to do, when there is nothing at all."""
    text = "No run ended in this period, and no steps or samples were recorded."
    if n_before:
        before = formats.runs_text(n_before)
        return f"{text} {before} ended in the period before: see whether the robots still run."
    return f"{text} See whether the robots' agents are on, and whether the period is the one you meant."


def notes(local: LocalTime, window: Window, rows: str) -> tuple[Note, ...]:
    """How the report counts, for who wants to rely on it."""
    rounding = local.rounding_note(window)
    time = f"All times are local time of {local.zone.key}. A run counts in the hour in which it ended."
    return (
        Note("Time", f"{time} {rounding}".rstrip()),
        Note(
            "Success rate",
            "Completed runs divided by all runs except skipped ones; failed, timed out, cancelled and "
            f"abandoned runs count as not completed. The 95{formats.NBSP}% interval is Wilson's.",
        ),
        Note(
            "Durations",
            "Percentiles come from merged sketches with a relative error of at most 1 %; they are never "
            f"averaged. The 95th is shown from {P95_FROM_N} runs on, the 99th from {P99_FROM_N}.",
        ),
        Note(
            "Clear changes",
            "A change is called clear when it is large enough to matter (half a percentage point of "
            "success, 5 % of a duration) and chance alone would show one as large in fewer than one of a "
            "thousand comparisons. The report shows what happened at the same time, not what caused what.",
        ),
        Note("Rows", f"Behind this period: {rows}."),
    )


def summary(heading: str, now: RunTotals, sentences: tuple[Sentence, ...], basis: str) -> tuple[str, ...]:
    """Five lines of plain text for a terminal."""
    median, p95 = formats.duration_text(now.duration_p50_ms), formats.duration_text(now.duration_p95_ms)
    durations = f"median {median}, p95 {p95}, {formats.work_text(now.duration_sum_ms)} in all"
    failures = (
        f"{formats.count_text(now.n_application)} application, "
        f"{formats.count_text(now.n_business)} business, "
        f"{formats.count_text(now.n_unclassified)} not classified"
    )
    changed = [f"{s.subject}{' (simulated)' if s.simulated else ''}: {s.text}" for s in sentences]
    second = changed[1] if len(changed) > 1 else "Nothing else to say: there were no runs."
    lines = (heading, changed[0], f"Durations: {durations}; failures: {failures}", second, basis)
    return tuple(formats.plain(line) for line in lines)
