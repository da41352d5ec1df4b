"""Failures that differ only in numbers, quotations and paths are one failure."""

from dataclasses import replace
from typing import Any

import pytest

from analytics_lib.report.failures import NO_MESSAGE, pattern_of
from analytics_lib.report.model import build_report
from analytics_lib.report.parts import FailureSection
from analytics_lib.windows import DAY_US, HOUR_US, Window
from tests.report.inputs import report_inputs, run, us

WEEK = Window(us("2026-11-16T00:00"), us("2026-11-23T00:00"))


@pytest.mark.parametrize(
    ("message", "pattern"),
    [
        ("order 4711 is missing", "order # is missing"),
        ("took 30.5 s, at most 1,000", "took # s, at most #"),
        ("Element 'id=a' or \"x y\" not found", "Element '…' or \"…\" not found"),
        ("can't open it and won't try", "can't open it and won't try"),
        (r"cannot read C:\Users\bot 7\in.csv", r"cannot read ‹path› #\in.csv"),
        ("cannot read /srv/bots/in-7.csv: no space", "cannot read ‹path›: no space"),
        ("and/or is no path", "and/or is no path"),
        ("GET https://erp.example/orders/17?x=1 gave 503", "GET ‹address› gave #"),
        ("run 123e4567-e89b-12d3-a456-426614174000 died", "run # died"),
        ("at 0x7f3a11c0", "at #"),
        ("two\n  lines", "two lines"),
        ("", NO_MESSAGE),
    ],
)
def test_what_differs_from_run_to_run_is_masked(message: str, pattern: str) -> None:
    assert pattern_of(message) == pattern


def test_a_hostile_message_is_masked_in_no_time() -> None:
    for message in ("'" * 100_000, "/a" * 50_000, '"' + "x" * 100_000, "1." * 50_000, "a://" * 30_000):
        assert len(pattern_of(message)) <= 240


def section(runs: list[dict[str, Any]], **more: Any) -> FailureSection:
    return build_report(report_inputs(WEEK, runs, **more)).failures


def failed(hours: int, message: str, workflow_id: str = "invoice", **more: Any) -> dict[str, Any]:
    kind = {"exception_kind": "application"} | more
    ended_at_us = WEEK.start_us + hours * HOUR_US
    return run(ended_at_us, workflow_id, "failed", message=message, execution_id=f"run-{hours}", **kind)


def test_a_table_of_some_of_the_failures_says_of_how_many() -> None:
    inputs = report_inputs(WEEK, [failed(hour, "boom") for hour in range(1, 9)])
    assert "known of these only" not in build_report(inputs).failures.caption
    archived = replace(inputs, failures=inputs.failures.iloc[:3])  # counts outlive the rows
    caption = build_report(archived).failures.caption.replace("\u00a0", " ")
    assert "3 failed runs with 1 different message" in caption
    assert caption.endswith("Messages are known of these only; 8 runs failed in all.")


def test_the_most_frequent_comes_first_with_its_newest_example() -> None:
    runs = [failed(h, f"order {h} is missing", "orders" if h < 4 else "claims") for h in range(1, 6)]
    first, second = section([*runs, failed(9, "login failed")]).rows
    assert (first.message, first.n, first.share.replace("\u00a0", " ")) == (
        "order # is missing",
        "5",
        "83.3 %",
    )
    assert first.workflows == "orders, claims"
    assert first.example_id == "run-5"
    assert [t.replace("\u00a0", " ") for t in (first.first_seen, first.last_seen)] == [
        "16 Nov, 01:00",
        "16 Nov, 05:00",
    ]
    assert second.message == "login failed"


def test_business_and_application_failures_with_the_same_words_stay_apart() -> None:
    rows = section([failed(1, "no"), failed(2, "no", exception_kind="business")]).rows
    assert {row.kind for row in rows} == {"application", "business"}


def test_a_truncated_list_says_how_far_it_reaches() -> None:
    assert "Only the newest" in section([failed(1, "no")], failures_truncated=True).caption
    assert "Only the newest" not in section([failed(1, "no")]).caption


def test_failures_whose_messages_are_gone_are_still_counted_and_drawn() -> None:
    inputs = report_inputs(WEEK, [failed(1, "no")])
    gone = build_report(type(inputs)(**{**vars(inputs), "failures": inputs.failures.iloc[:0]})).failures
    assert gone.chart is not None
    assert "no longer kept" in gone.none


def test_only_the_window_counts_in_the_table() -> None:
    before = run(WEEK.start_us - DAY_US, status="failed", message="old")
    assert [row.message for row in section([before, failed(1, "new")]).rows] == ["new"]
