"""Findings become anomalies: who they are, since when, how bad, and one sentence."""

from datetime import UTC, datetime
from typing import Any

import pandas as pd
import pytest

from analytics_lib.anomaly import ANOMALY_COLUMNS, account_for, judged_again, no_findings
from analytics_lib.anomaly.findings import as_findings
from analytics_lib.anomaly.identity import anomaly_id
from analytics_lib.anomaly.sentences import sentence_of
from analytics_lib.anomaly.severity import WEIGHTS, severity_of
from analytics_lib.schema import anomaly
from tests.anomaly.points import SERIES, frame, hour

NO_HOURS = pd.DataFrame({"workflow_id": [], "environment": [], "step_id": [], "hour_us": []})
NONE_KEPT = pd.DataFrame(columns=[*ANOMALY_COLUMNS])


def finding(n: int, kind: str = "slower", **fields: Any) -> dict[str, Any]:
    row = {**SERIES, "metric": "duration_ms", "kind": kind, "hour_us": hour(n), "n": 9, "evidence": "{}"}
    row |= {"observed": 8_000.0, "expected": 2_000.0, "low": 1_000.0, "high": 3_000.0, "score": 8.0}
    return row | fields


def anomalies(
    *findings: dict[str, Any],
    kept: pd.DataFrame = NONE_KEPT,
    active: pd.DataFrame = NO_HOURS,
    zone: str = "UTC",
    begins: int = -1000,
) -> pd.DataFrame:
    found = (as_findings(frame(*findings)) if findings else no_findings()).assign(baseline_id="v1")
    names = {"invoices": "Invoice intake"}
    rows = account_for(
        found,
        kept,
        active,
        begins_us=hour(begins),
        display_name=lambda one: names.get(one, one),
        time_zone=zone,
    )
    return rows.sort_values(["hour_us", "workflow_id"], ignore_index=True)


def since(rows: pd.DataFrame) -> list[int]:
    return [(us - hour(0)) // (hour(1) - hour(0)) for us in rows["since_us"]]


def active(*hours: int, **fields: Any) -> pd.DataFrame:
    whole = {"workflow_id": "invoices", "environment": "production", "step_id": ""}
    return frame(*(whole | {"hour_us": hour(n)} | fields for n in hours))


def test_the_columns_are_those_of_the_table_but_its_state_and_moments() -> None:
    of_table = {column.name for column in anomaly.columns}
    assert set(anomalies(finding(0)).columns) == of_table - {"state", "found_at_us", "judged_at_us"}


def test_the_same_hour_of_a_series_has_one_identity_in_each_family() -> None:
    key = ("invoices", "production", "")
    assert anomaly_id(*key, "slower", hour(0)) == anomaly_id(*key, "faster", hour(0))
    assert anomaly_id(*key, "missing_runs", hour(0)) == anomaly_id(*key, "fewer_runs", hour(0))
    families = {anomaly_id(*key, kind, hour(0)) for kind in ("slower", "failing", "fewer_runs", "no_data")}
    assert len(families) == 4
    assert anomaly_id("a", "b", "", "slower", 0) != anomaly_id("a", "", "b", "slower", 0)
    assert anomaly_id(*key, "slower", hour(0)) != anomaly_id(*key, "slower", hour(1))


def test_of_two_findings_of_an_hour_the_one_that_says_more_counts() -> None:
    runs = {"metric": "runs_per_hour", "observed": 0.0}
    rows = anomalies(finding(0, "fewer_runs", **runs), finding(0, "missing_runs", **runs))
    assert rows["kind"].tolist() == ["missing_runs"]


def test_a_row_of_hours_began_with_its_first_one() -> None:
    slow = [finding(n) for n in (0, 1, 4)]
    assert since(anomalies(*slow, active=active(0, 1, 4))) == [0, 0, 0]  # nothing ran between
    assert since(anomalies(*slow, active=active(0, 1, 3, 4))) == [0, 0, 4]
    assert since(anomalies(*slow, active=active(0, 1, 3, 4, step_id="open mailbox"))) == [0, 0, 0]
    assert since(anomalies(finding(0), finding(1, "faster"), finding(2))) == [0, 1, 0]


def test_hours_without_data_follow_each_other_closely() -> None:
    none = {"workflow_id": "", "metric": "hosts_reporting", "evidence": '{"complete_to_us": {"BOT-01": 0}}'}
    assert since(anomalies(*(finding(n, "no_data", **none) for n in (0, 1, 3)))) == [0, 0, 3]


def test_a_late_verdict_changes_since_when_the_hours_after_it_are_what_they_are() -> None:
    ran = active(0, 1, 2)
    before = anomalies(finding(0), finding(2), active=ran)
    assert since(before) == [0, 2]
    after = anomalies(finding(1), kept=before, active=ran)
    assert since(after) == [0, 0, 0]
    assert since(anomalies(kept=after[after["hour_us"] != hour(1)], active=ran)) == [0, 2]
    assert after["severity_duration"].is_monotonic_increasing


def test_a_row_that_began_before_what_is_looked_at_keeps_its_beginning() -> None:
    long = anomalies(finding(-30), finding(0), finding(1))
    later = anomalies(finding(2), kept=long[long["hour_us"] >= hour(0)], begins=-10)
    assert since(later) == [-30, -30, -30]


def test_what_is_kept_gives_way_to_a_new_finding() -> None:
    rows = anomalies(finding(0, observed=4_000.0), kept=anomalies(finding(0)))
    assert rows["observed"].tolist() == [4_000.0]


def test_nothing_found_and_nothing_kept_gives_no_rows() -> None:
    assert anomalies().empty


def test_severity_is_the_weighted_sum_of_its_stored_parts() -> None:
    row = anomalies(finding(0), finding(1), finding(2), finding(3)).iloc[-1]
    parts = {name: row[f"severity_{name}"] for name in WEIGHTS}
    assert parts == {"improbability": 0.6667, "effect": 0.6667, "duration": 0.5, "reach": 0.5}
    assert row["severity"] == round(100 * sum(WEIGHTS[name] * parts[name] for name in parts)) == 61
    assert sum(WEIGHTS.values()) == pytest.approx(1.0)


def test_severity_grows_with_each_part_and_stays_within_its_bounds() -> None:
    small: dict[str, Any] = {
        "kind": "slower",
        "observed": 2.5,
        "expected": 2.0,
        "score": 4.0,
        "hours": 1,
        "n": 1,
    }
    least = severity_of(**small).total
    more: list[dict[str, Any]] = [{"score": -9.0}, {"observed": 9.0}, {"hours": 9}, {"n": 50}]
    for change in more:
        assert severity_of(**small | change).total > least
    assert severity_of(**small | {"kind": "faster"}).total == pytest.approx(least / 2, abs=1)
    most = severity_of(kind="failing", observed=0.0, expected=1.0, score=-99.0, hours=9999, n=10**9)
    assert (most.total, set(most[1:])) == (100, {1.0})
    assert severity_of(kind="more_runs", observed=9.0, expected=0.0, score=5.0, hours=1, n=9).effect == 1.0


MONDAY = datetime(2026, 3, 2, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("facts", "sentence"),
    [
        (
            {"kind": "faster", "observed": 900.0, "low": 2e3, "high": 3e3, "n": 1},
            "Intake took 900 ms (normal 2.0 s to 3.0 s) in the hour from 2 Mar, 12:00, on 1 run",
        ),
        (
            {"kind": "slower", "observed": 4.2e4, "low": 2e3, "high": 3e3, "names": ["log in", "In"], "n": 2},
            "step log in of In took 42 s (normal 2.0 s to 3.0 s) in the hour from 2 Mar, 12:00, on 2 runs",
        ),
        (
            {"kind": "failing", "observed": 0.5, "low": 0.9, "high": 1.2, "since": MONDAY.replace(day=1)},
            "Intake completed 50 % of 12 runs (normal 90 % to 100 %) in the hour from 2 Mar, 12:00, "
            "since 1 Mar, 12:00",
        ),
        (
            {"kind": "missing_runs", "expected": 1.0, "since": MONDAY.replace(hour=9)},
            "Intake did not run (normal 1 run) in the hour from 2 Mar, 12:00, since 09:00",
        ),
        (
            {"kind": "fewer_runs", "observed": 1.0, "low": -2.0, "high": 14.5},
            "Intake ran once (normal 0 to 14) in the hour from 2 Mar, 12:00",
        ),
        (
            {"kind": "more_runs", "observed": 1234.0, "low": 2.0, "high": 2.5},
            "Intake ran 1 234 times (normal 2 to 2.5) in the hour from 2 Mar, 12:00",
        ),
        ({"kind": "no_data", "names": ["B1"], "n": 1}, "no data from host B1 since 2 Mar, 12:00"),
        (
            {"kind": "no_data", "names": ["B1", "B2"], "n": 2},
            "no data from 2 hosts (B1 and B2) since 2 Mar, 12:00",
        ),
        (
            {"kind": "no_data", "names": ["B1", "B2", "B3", "B4"]},
            "no data from 12 hosts (B1, B2, B3 and 9 more) since 2 Mar, 12:00",
        ),
        (
            {"kind": "missing_runs", "expected": 2.5, "names": ["a\nb\u202e" + "c" * 90]},
            f"a b{'c' * 76}… did not run (normal 2.5 runs) in the hour from 2 Mar, 12:00",
        ),
    ],
)
def test_a_sentence_says_what_where_how_much_since_when_and_on_how_many_runs(
    facts: dict[str, Any], sentence: str
) -> None:
    usual = {"names": ["Intake"], "observed": 0.0, "expected": 1.0, "low": 0.0, "high": 1.0, "n": 12}
    assert sentence_of(**usual | {"hour": MONDAY, "since": MONDAY} | facts) == sentence


def test_times_are_local_and_the_name_is_the_registered_one() -> None:
    told = anomalies(finding(0), finding(1), zone="Asia/Kolkata")["sentence"].tolist()
    normal = "Invoice intake took 8.0 s (normal 1.0 s to 3.0 s) in the hour from"
    assert told == [f"{normal} 2 Mar, 17:30, on 9 runs", f"{normal} 2 Mar, 18:30, since 17:30, on 9 runs"]


def test_the_hour_that_autumn_repeats_is_two_hours() -> None:
    first = round((datetime(2026, 10, 25, 0, tzinfo=UTC) - MONDAY).total_seconds() / 3600)
    rows = anomalies(finding(first), finding(first + 1), zone="Europe/Berlin")
    assert rows["anomaly_id"].nunique() == 2
    assert all("25 Oct, 02:00" in sentence for sentence in rows["sentence"])


def test_what_was_not_judged_again_keeps_its_verdict() -> None:
    runs = {"metric": "runs_per_hour"}
    previous = anomalies(
        finding(0),
        finding(1),
        finding(2),
        finding(0, "missing_runs", **runs),
        finding(1, "fewer_runs", **runs),
        finding(2, "no_data", metric="hosts_reporting", evidence='{"complete_to_us": {"B": 0}}'),
    ).sort_values(["kind", "hour_us"], ignore_index=True)
    keys = {"value_hours": frozenset([hour(0), hour(1)]), "all_hours": frozenset([hour(1)])}
    again = judged_again(
        previous,
        without_baseline=frame({**SERIES, "metric": "duration_ms", "hour_us": hour(1)}),
        runs_judged=frame({**SERIES, **runs, "hour_us": hour(0)}),
        **keys,
    )
    found = dict(
        zip(previous["kind"] + previous["hour_us"].map(lambda us: f" {us == hour(0)}"), again, strict=True)
    )
    assert found == {
        "fewer_runs False": False,  # its workflow's data was not complete
        "missing_runs True": True,
        "no_data False": False,  # not looked at
        "slower True": True,
        "slower False": False,  # no baseline; and no news
    }
