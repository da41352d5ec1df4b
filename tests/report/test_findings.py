"""What the report makes of insights and anomalies: the first sentence, the cards, the marks, the names."""

from dataclasses import replace
from typing import Any

import pandas as pd
import pytest

from analytics_lib.errors import ReportError
from analytics_lib.report.html import render_html
from analytics_lib.report.model import Report, build_report
from analytics_lib.report.parts import Chart
from analytics_lib.windows import DAY_US, HOUR_US, Window
from tests.report.inputs import anomaly, insight, report_inputs, run, us

MONDAY = us("2026-11-16T00:00")
WEEK = Window(MONDAY, MONDAY + 7 * DAY_US)
RUNS = [run(MONDAY + day * DAY_US + k) for day in range(7) for k in range(30)]


def report(insights: Any = (), anomalies: Any = (), **more: Any) -> Report:
    frames = {"insights": pd.DataFrame(list(insights)), "anomalies": pd.DataFrame(list(anomalies))}
    return build_report(report_inputs(WEEK, RUNS, **frames | more))


def marks_of(trend: Chart) -> list[dict[str, Any]]:
    layers = [layer["data"]["values"] for layer in trend.spec["layer"] if "data" in layer]
    return [row for rows in layers for row in rows if "what" in row]


def plain(text: str) -> str:
    return text.replace("\u00a0", " ")


def test_without_findings_nothing_needs_you_and_no_card_or_mark_is_there() -> None:
    found = report()
    assert (found.needs_you.in_words(), found.needs_you.tone) == ("Nothing needs you.", "good")
    assert found.insights.cards == ()
    assert found.trend is not None
    assert "Mark" not in found.trend.alt + found.trend.caption
    page = render_html(found)
    assert '<p class="needs good">' in page
    assert 'id="insights"' not in page


def test_what_was_never_judged_is_not_called_good() -> None:
    found = report(judged=False).needs_you
    assert (found.tone, "baseline" in found.text) == ("neutral", True)


def test_where_nearly_everything_fails_all_is_not_well_though_nothing_got_worse() -> None:
    failing = [run(MONDAY + hour * HOUR_US, status="failed") for hour in range(48)]
    found = build_report(report_inputs(WEEK, failing)).needs_you
    assert plain(found.in_words()) == "Most runs do not complete: 0 % of 48 runs did."
    assert found.tone == "bad"


def test_the_best_ranked_severe_insight_needs_you_and_the_others_are_counted() -> None:
    rows = [
        insight("mild", rank=1, severity=49),
        insight("first", rank=2, severity=50),
        insight("second", rank=3, severity=90),
        insight("gone", rank=0, severity=99, state="resolved", resolved_at_us=MONDAY),
    ]
    found = report(rows).needs_you
    assert plain(found.in_words()) == (
        "first needs you: 28 % of runs fail since 18 Nov (12.3 robot hours); 1 more does, too."
    )
    assert found.tone == "bad"


def test_mild_and_resolved_insights_need_nobody() -> None:
    rows = [insight("mild", severity=49), insight("gone", severity=99, state="resolved", rank=0)]
    assert report(rows).needs_you.tone == "good"


def test_a_card_says_what_and_so_what_and_on_which_evidence() -> None:
    (card,) = report([insight("invoice")], time_zone="Europe/Berlin").insights.cards
    assert (card.subject, card.state, card.tone) == ("invoice", "ongoing", "bad")
    assert plain(card.impact) == "12.3 robot hours"
    assert plain(card.evidence) == (
        "since 18 Nov, 07:00, 118 runs against 340 before, p < 0.0001, 2 flagged hours"
    )
    assert card.action.startswith("Read the messages")


def test_eight_cards_by_rank_then_resolved_ones_and_the_rest_is_counted() -> None:
    rows = [insight(f"w{k}", rank=k, title=f"title {k}") for k in range(9, 0, -1)]
    rows.append(insight("old", rank=0, state="resolved", resolved_at_us=MONDAY + DAY_US))
    found = report(rows)
    assert [card.subject for card in found.insights.cards] == [f"w{k}" for k in range(1, 9)]
    assert found.insights.n_more == 2
    assert "2 more." in render_html(found)
    (card,) = report(rows[-1:]).insights.cards
    assert (card.state, card.tone) == ("resolved", "good")
    assert "until 17\u00a0Nov, 00:00" in card.evidence


@pytest.mark.parametrize("evidence", ["", "not JSON", "[]", '{"n": "many", "chance": null}', '{"n": true}'])
def test_evidence_of_any_kind_makes_a_card(evidence: str) -> None:
    (card,) = report([insight(evidence=evidence)]).insights.cards
    assert plain(card.evidence) == "since 18 Nov, 06:00"


def test_severe_anomalies_are_marked_on_their_day_once_per_kind() -> None:
    hours = [MONDAY + DAY_US, MONDAY + DAY_US + HOUR_US]
    rows = [anomaly(hour) for hour in hours]
    rows += [anomaly(hours[0], kind="failing"), anomaly(hours[0], kind="slower", severity=34)]
    rows += [anomaly(MONDAY + 3 * DAY_US, kind="never heard of")]
    trend = report(anomalies=rows).trend
    assert trend is not None
    marks = marks_of(trend)
    assert [m["what"] for m in marks] == ["duration not normal", "otherwise not normal", "failing"]
    assert len({m["t"] for m in marks}) == 2
    assert "4\u00a0anomalies" in trend.caption
    assert "1 milder" in trend.caption
    assert plain(trend.alt).endswith(
        "Marked: duration not normal (1 day), failing (1 day), otherwise not normal (1 day)."
    )


def test_a_mark_stands_on_its_hour_and_where_nothing_ran() -> None:
    day = Window(MONDAY, MONDAY + DAY_US)
    rows = pd.DataFrame([anomaly(MONDAY + 5 * HOUR_US, kind="missing_runs")])
    trend = build_report(report_inputs(day, RUNS, anomalies=rows)).trend
    assert trend is not None
    (mark,) = marks_of(trend)
    assert mark["top"] == 0.0
    assert mark["t"] == (MONDAY + 5 * HOUR_US + HOUR_US // 2) // 1000


def test_display_names_stand_for_ids_everywhere_and_two_of_one_name_stay_two() -> None:
    runs = [run(MONDAY + k, name) for name in ("a", "b", "c") for k in range(30)]
    inputs = report_inputs(WEEK, runs, insights=pd.DataFrame([insight("a"), insight("c", rank=2)]))
    names = {"a": "Invoices", "b": "Invoices", "c": "Claims", "never ran": "Payroll"}
    found = build_report(replace(inputs, display_names=names))
    assert {row.workflow for row in found.workflows.rows} == {"Invoices (a)", "Invoices (b)", "Claims"}
    assert [card.subject for card in found.insights.cards] == ["Invoices (a)", "Claims"]


def test_an_empty_report_still_says_who_needs_you() -> None:
    found = build_report(report_inputs(WEEK, insights=pd.DataFrame([insight("silent one")])))
    page = render_html(found)
    assert "silent one" in page
    assert 'id="insights"' in page
    assert "Nothing needs you" not in render_html(build_report(report_inputs(WEEK)))


@pytest.mark.parametrize("name", ["insights", "anomalies"])
def test_a_frame_without_its_columns_is_named(name: str) -> None:
    with pytest.raises(ReportError, match=f"{name} lack the columns"):
        build_report(report_inputs(WEEK, RUNS, **{name: pd.DataFrame({"hour_us": [0]})}))


def test_findings_stay_as_they_were() -> None:
    insights, anomalies = pd.DataFrame([insight()]), pd.DataFrame([anomaly(MONDAY)])
    before = insights.copy(deep=True), anomalies.copy(deep=True)
    inputs = report_inputs(WEEK, RUNS, insights=insights, anomalies=anomalies, display_names={"invoice": "I"})
    assert build_report(inputs) == build_report(inputs)
    pd.testing.assert_frame_equal(insights, before[0])
    pd.testing.assert_frame_equal(anomalies, before[1])
