"""What a report says, with numbers that can be checked on paper."""

from dataclasses import fields, is_dataclass, replace
from typing import Any

import pandas as pd
import pytest

from analytics_lib.errors import ReportError
from analytics_lib.report.model import Report, build_report
from analytics_lib.windows import DAY_US, HOUR_US, Window
from tests.report.inputs import GIB, abandoned, fleet, report_inputs, run, sample, step, us

MONDAY = us("2026-11-16T00:00")
WEEK = Window(MONDAY, MONDAY + 7 * DAY_US)


def texts_of(part: Any) -> list[str]:
    """Every text in a report, charts' words included, their specs not."""
    if isinstance(part, str):
        return [part]
    if isinstance(part, tuple):
        return [text for item in part for text in texts_of(item)]
    if is_dataclass(part):
        return [t for f in fields(part) if "spec" not in f.name for t in texts_of(getattr(part, f.name))]
    return []


def plain(text: str) -> str:
    return text.replace("\u00a0", " ")


def tile(report: Report, label: str) -> dict[str, str]:
    found = next(t for t in report.tiles if t.label == label)
    change = found.change
    return {
        "value": plain(found.value),
        "detail": plain(found.detail),
        "change": plain(change.text) if change else "",
        "was": plain(change.before) if change else "",
        "words": change.words if change else found.words,
    }


def runs_on(day_us: int, n: int, n_failed: int = 0, **more: Any) -> list[dict[str, Any]]:
    """n runs within an hour, of which the first ones fail."""
    statuses = ["failed"] * n_failed + ["completed"] * (n - n_failed)
    return [run(day_us + HOUR_US + i, status=status, **more) for i, status in enumerate(statuses)]


def test_headline_numbers_against_the_period_before() -> None:
    before = runs_on(MONDAY - 7 * DAY_US, 200, 4, exception_kind="application")
    now = runs_on(MONDAY, 300, 30, exception_kind="business", duration_ms=90_000.0)
    report = build_report(report_inputs(WEEK, before + now, abandoned=[abandoned(MONDAY + DAY_US)]))
    # 270 of 301: the abandoned run was tried and did not complete. Wilson: 0.8575 to 0.9265.
    assert tile(report, "Success rate") == {
        "value": "89.7 %",
        "detail": "95 % interval 85.8 % – 92.6 %",
        "change": "−8.3 pp",
        "was": "98.0 %",
        "words": "clearly lower",
    }
    assert tile(report, "Runs")["change"] == "+50 %"  # 301 against 200
    assert tile(report, "Business failures")["value"] == "30"
    assert tile(report, "Business failures")["words"] == "clearly more"
    assert tile(report, "Application failures") == {
        "value": "0",
        "detail": "the automation broke",
        "change": "−4",
        "was": "4",
        "words": "no clear change",
    }
    assert tile(report, "Median duration")["value"] == "1 min 30 s"
    assert tile(report, "Median duration")["change"] == "+50 %"
    assert tile(report, "Robot hours")["value"] == "7.5 h"  # 300 times 90 s
    assert tile(report, "Abandoned runs")["value"] == "1"


def test_percentiles_are_shown_only_where_enough_runs_stand_behind_them() -> None:
    for n, p95, detail in (
        (19, "–", "shown from 20 runs on; there are 19"),
        (20, "1 min 00 s", "of 20 runs; 99th from 100"),
        (100, "1 min 00 s", "99th: 1 min 00 s, of 100 runs"),
    ):
        found = tile(build_report(report_inputs(WEEK, runs_on(MONDAY, n))), "95th percentile")
        assert (found["value"], found["detail"]) == (p95, detail)


def test_percentiles_of_two_workflows_are_merged_and_not_averaged() -> None:
    # 95 quick runs and 5 slow ones: the median of all is 1 s. The mean of both medians would be 50.5 s.
    runs = runs_on(MONDAY, 95, workflow_id="quick", duration_ms=1_000.0)
    runs += runs_on(MONDAY, 5, workflow_id="slow", duration_ms=100_000.0)
    assert tile(build_report(report_inputs(WEEK, runs)), "Median duration")["value"] == "1.0 s"


def test_few_runs_are_called_too_few() -> None:
    runs = runs_on(MONDAY - DAY_US, 10) + runs_on(MONDAY, 10, 9)
    report = build_report(report_inputs(WEEK, runs))
    assert tile(report, "Success rate")["words"] == "too few runs to tell"
    assert report.workflows.rows[0].success_change is not None
    assert report.workflows.rows[0].success_change.judgement == "few"
    assert not any("rose" in text or "fell" in text for text in texts_of(report.what_changed))


def test_no_period_before_is_said_and_not_shown_as_a_rise_from_zero() -> None:
    report = build_report(report_inputs(WEEK, runs_on(MONDAY, 50, 5)))
    assert {t.words for t in report.tiles} == {"no runs in the period before"}
    assert "There is no period before to compare with." in report.what_changed.sentences[0].text


def test_the_clearest_changes_become_sentences_and_a_new_release_coincides() -> None:
    runs: list[dict[str, Any]] = []
    for name, failed_now, ms_now, version in (("Claims", 60, 6e4, "1.0"), ("Payroll", 2, 1.2e5, "2.0")):
        old = runs_on(MONDAY - 7 * DAY_US, 200, 2, workflow_id=name)
        # A p95 above the median on both sides: durations of 60 s, now and then of 90 s.
        old += runs_on(MONDAY - 6 * DAY_US, 40, workflow_id=name, duration_ms=90_000.0)
        runs += old
        runs += runs_on(
            MONDAY, 200, failed_now, workflow_id=name, duration_ms=ms_now, workflow_version=version
        )
        runs += runs_on(MONDAY, 40, workflow_id=name, duration_ms=ms_now * 1.5, workflow_version=version)
    changed = build_report(report_inputs(WEEK, runs)).what_changed
    said = {s.subject: plain(s.text) for s in changed.sentences}
    assert len(changed.sentences) == 3
    assert said["Claims"] == "success rate fell from 99.2 % to 75.0 % (180 of 240 runs completed)."
    assert said["Payroll"] == (
        # Not +100 %: the sketch's median of the period before is 60.4 s, within the 1 % that it may be off.
        "median duration rose from 1 min 00 s to 2 min 00 s (+98 %, 240 runs); "
        "this coincides with release 2.0, first seen on 16 Nov."
    )


def test_a_silent_and_a_new_workflow_are_noticed() -> None:
    runs = runs_on(MONDAY - 2 * DAY_US, 30, workflow_id="gone") + runs_on(MONDAY - 2 * DAY_US, 30)
    runs += runs_on(MONDAY, 30) + runs_on(MONDAY + DAY_US, 7, workflow_id="fresh")
    said = {s.subject: plain(s.text) for s in build_report(report_inputs(WEEK, runs)).what_changed.sentences}
    assert said["gone"] == "fell silent: no run ended in this period, 30 runs in the one before."
    assert said["fresh"] == "is new: 7 runs since 17 Nov."


def test_several_new_workflows_are_one_piece_of_news() -> None:
    runs = runs_on(MONDAY - 2 * DAY_US, 30)
    for day, name in enumerate(("d", "c", "b", "a")):
        runs += runs_on(MONDAY + day * DAY_US, 2, workflow_id=name)
    changed = build_report(report_inputs(WEEK, runs)).what_changed
    [news] = [s for s in (*changed.sentences, *changed.further) if "new workflows" in s.subject]
    assert news.subject == "4 new workflows"
    assert plain(news.text) == "d, c, b and 1 more: 8 runs since 16 Nov."


def test_simulated_runs_are_marked_wherever_they_show() -> None:
    runs = runs_on(MONDAY, 30, workflow_id="real")
    runs += runs_on(MONDAY, 10, 10, workflow_id="made up", environment="simulated", message="no luck")
    steps = [step(MONDAY + i, "open", environment="simulated") for i in range(30)]
    report = build_report(report_inputs(WEEK, runs, steps))
    assert report.simulated == "part"
    assert plain(report.simulated_text) == "10 of 40 runs are simulated."
    assert {r.workflow: r.simulated for r in report.workflows.rows} == {"real": False, "made up": True}
    assert [r.simulated for r in report.failures.rows] == ["all"]
    assert [r.simulated for r in report.steps.slowest] == [True]
    assert "simulated" in report.summary[4]
    assert "(simulated)" in str(report.steps.chart and report.steps.chart.spec)


def test_top_level_steps_share_the_time_and_inner_steps_are_only_listed() -> None:
    steps = [step(MONDAY + i, "outer", duration_ms=3_000.0) for i in range(20)]
    steps += [step(MONDAY + i, "other", duration_ms=1_000.0) for i in range(20)]
    steps += [step(MONDAY + i, "inner", duration_ms=2_000.0, depth=1) for i in range(20)]
    part = build_report(report_inputs(WEEK, runs_on(MONDAY, 20), steps)).steps
    assert part.chart is not None
    bars = [(row["name"], plain(row["short"])) for row in part.chart.spec["data"]["values"]]
    assert bars == [("outer · invoice", "75.0 % · 1 min 00 s"), ("other · invoice", "25.0 % · 20 s")]
    assert [(r.step, r.level, plain(r.share)) for r in part.slowest] == [
        ("outer", "1", "75.0 %"),
        ("inner", "2", "50.0 %"),
        ("other", "1", "25.0 %"),
    ]
    assert "includes" in part.caption


def test_resource_use_is_mean_p95_and_maximum_over_samples() -> None:
    samples = [
        sample(
            MONDAY + i * HOUR_US, cpu_percent=cpu, memory_used_bytes=2.0 * GIB, memory_total_bytes=8.0 * GIB
        )
        for i, cpu in enumerate([10.0] * 19 + [90.0])
    ]
    (row,) = build_report(report_inputs(WEEK, runs_on(MONDAY, 1), samples=samples)).resources.rows
    # Mean (19 x 10 + 90) / 20 = 14. p95 at rank 18.05: 10 + 0.05 x 80 = 14.
    assert (plain(row.cpu_mean), plain(row.cpu_p95), plain(row.cpu_max)) == ("14 %", "14 %", "90 %")
    assert plain(row.memory_mean) == "2.0 GiB (25 %)"
    assert row.n == "20"


def test_every_section_says_in_words_that_it_has_no_data() -> None:
    report = build_report(report_inputs(WEEK, runs_on(MONDAY, 3)))
    assert report.failures.none == "No run failed in this period."
    assert report.steps.none == "No steps were recorded in this period."
    assert report.resources.none == "No resource samples were recorded in this period."
    assert report.empty == ""


def test_an_empty_report_says_what_to_look_at() -> None:
    report = build_report(report_inputs(WEEK, data_through_us=None))
    assert report.empty.startswith("No run ended in this period")
    assert report.data_through == "– (nothing is rolled up yet)"
    assert len(report.summary) == 5


def test_an_unfinished_period_is_compared_with_the_same_part_of_the_one_before() -> None:
    runs = [run(us(f"2026-11-{day:02d}T12:30")) for day in range(9, 18)]  # one a day, 9 to 17 November
    report = build_report(report_inputs(WEEK, runs, generated_as_of_us=us("2026-11-18T00:00")))
    found = tile(report, "Runs")
    assert (found["value"], found["was"]) == ("2", "2")  # Monday and Tuesday on both sides
    assert any("not over" in warning for warning in report.warnings)


def test_waiting_hours_and_missing_data_are_said() -> None:
    runs = runs_on(MONDAY - DAY_US, 5) + runs_on(MONDAY, 5)
    inputs = report_inputs(WEEK, runs, pending_hours=1, data_through_us=MONDAY + 2 * HOUR_US)
    said = [plain(warning) for warning in build_report(inputs).warnings]
    assert said == [
        "1 hour with new rows still waits for aggregation: the numbers may change.",
        "The data end at 16 Nov 2026, 02:00, a day or more before the period does.",
        "The data begin at 15 Nov 2026, 01:00, within the period before: "
        "counts compare with less than a whole period.",
    ]


def test_nothing_claims_a_cause() -> None:
    for text in texts_of(build_report(fleet(workflows=8))):
        assert "because" not in text.lower()
        assert "due to" not in text.lower()


def test_the_summary_is_five_plain_lines() -> None:
    summary = build_report(fleet(workflows=8)).summary
    assert len(summary) == 5
    assert all(line and line.isprintable() and "\u00a0" not in line for line in summary)


def test_the_same_inputs_give_the_same_report_and_stay_as_they_were() -> None:
    inputs = fleet(workflows=4, days=2)
    before = inputs.executions.copy(deep=True), inputs.failures.copy(deep=True)
    assert build_report(inputs) == build_report(inputs)
    pd.testing.assert_frame_equal(inputs.executions, before[0])
    pd.testing.assert_frame_equal(inputs.failures, before[1])


def test_the_order_of_rows_changes_nothing() -> None:
    inputs = fleet(workflows=4, days=2)
    shuffled = replace(inputs, executions=inputs.executions.iloc[::-1], steps=inputs.steps.iloc[::-1])
    assert build_report(shuffled) == build_report(inputs)


@pytest.mark.parametrize("name", ["executions", "steps", "resources", "failures"])
def test_a_frame_without_its_columns_is_named(name: str) -> None:
    broken = replace(report_inputs(WEEK, runs_on(MONDAY, 1)), **{name: pd.DataFrame({"hour_us": [0]})})
    with pytest.raises(ReportError, match=f"{name} lack the columns"):
        build_report(broken)


def test_an_unknown_time_zone_is_named() -> None:
    with pytest.raises(ReportError, match="Mars/Olympus"):
        build_report(report_inputs(WEEK, time_zone="Mars/Olympus"))


def test_few_failures_at_an_hour_do_not_stand_out_and_many_do() -> None:
    tuesdays = [us(f"2026-{day}T00:00") for day in ("10-27", "11-03", "11-10", "11-17")]
    runs = [r for day_us in tuesdays for hour in range(6, 18) for r in runs_on(day_us + hour * HOUR_US, 20)]
    quiet = runs + runs_on(tuesdays[-1] + 20 * HOUR_US, 20, 1)
    loud = runs + runs_on(tuesdays[-1] + 20 * HOUR_US, 20, 12)
    for given, shades in ((quiet, {"normal"}), (loud, {"normal", "lowest"})):
        chart = build_report(report_inputs(WEEK, given)).heat_map
        assert chart is not None
        assert {cell["shade"] for cell in chart.spec["data"]["values"]} == shades
