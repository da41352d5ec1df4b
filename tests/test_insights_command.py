"""`rpa-analytics insights` as a person uses it."""

import json
from datetime import timedelta
from pathlib import Path

import pandas as pd
import pytest

from analytics_lib import TimeSeriesStore, cli
from analytics_lib.insight.finding import Finding
from analytics_lib.insight.lifecycle import COLUMNS, carry_on
from analytics_lib.store import insight_rows
from analytics_lib.windows import to_us
from tests.make import NOON

SPIKE = Finding(
    rule="failure_spike",
    workflow_id="invoices\x1b[2J",
    environment="production",
    step_id="",
    title="50\u00a0% of runs fail since 1\u00a0Mar",
    explanation="24 of 48\u00a0runs completed.",
    action="Read the messages.",
    evidence={"n": 48},
    impact_robot_hours=0.4,
    severity=80,
    first_seen_us=to_us(NOON),
    last_seen_us=to_us(NOON),
)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store with one insight that lasts and one that is resolved."""
    monkeypatch.setenv("RPA_ANALYTICS_STORE", str(tmp_path))
    over = Finding(**{name: getattr(SPIKE, name) for name in Finding.__slots__} | {"workflow_id": "payroll"})
    first = carry_on([SPIKE, over], pd.DataFrame(columns=COLUMNS), to_us(NOON))
    with TimeSeriesStore(tmp_path) as opened, opened.engine.begin() as connection:
        later = carry_on([SPIKE], first, to_us(NOON + timedelta(days=1)))
        insight_rows.save_insights(connection, later)
    return tmp_path


@pytest.mark.usefixtures("store")
def test_what_lasts_is_listed_in_three_lines(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["insights", "list"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "1. invoices\\x1b[2J: 50 % of runs fail since 1 Mar "
        "(ongoing, severity 80, 0.4 robot hours, failure_spike, production)",
        "   24 of 48 runs completed.",
        "   Next: Read the messages.",
    ]


@pytest.mark.usefixtures("store")
def test_all_shows_the_resolved_ones_last(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["insights", "list", "--all"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line[:9] for line in lines[::3]] == ["1. invoic", "- payroll"]
    assert "resolved" in lines[3]


@pytest.mark.usefixtures("store")
def test_json_holds_the_evidence(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["insights", "list", "--json", "--all"]) == 0
    first, second = json.loads(capsys.readouterr().out)
    assert first["evidence"] == {"n": 48}
    assert first["resolved_at_us"] is None
    assert second["resolved_at_us"] == to_us(NOON + timedelta(days=1))
    assert (first["display_name"], first["rank"], second["rank"]) == (SPIKE.workflow_id, 1, 0)


def test_none_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with TimeSeriesStore(tmp_path):
        assert cli.main(["insights", "list", "--store", str(tmp_path)]) == 0
    assert "no insights that last" in capsys.readouterr().out
    assert cli.main(["insights", "list", "--store", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []
