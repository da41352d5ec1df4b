"""Ids, names and kinds of Robot Framework results, and how a run becomes executions and steps."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from analytics_lib.errors import SettingsError
from collector_agent.robot_results import (
    FailureKinds,
    as_written,
    elapsed_us,
    execution_id,
    in_utc,
    parse_time,
    step_identity,
    time_zone,
)
from collector_agent.robot_run import RobotRun, Step, Task

START = datetime(2025, 3, 13, 0, 21, 34, 123000)


class Told:
    """A run, and what it told."""

    def __init__(self, **options: Any) -> None:
        self.starts: list[str] = []
        self.steps: list[tuple[str, Step]] = []
        self.results: list[Task] = []
        self.run = RobotRun(
            lambda task: self.starts.append(task.workflow_id),
            lambda task, step: self.steps.append((task.workflow_id, step)),
            self.results.append,
            **options,
        )

    def step(self, name: str, step_type: str = "KEYWORD", status: str = "PASS", message: str = "") -> None:
        self.run.start_step(step_type, None, name)
        self.run.end_step(status, message, START, 1000)

    def task(self, name: str, *steps: str, status: str = "PASS", message: str = "") -> None:
        self.run.start_task(f"s1-{name}", name, START)
        for step in steps:
            self.step(step)
        self.run.end_task(status, message, START, 5000, ())

    def numbered(self) -> list[tuple[str, int, str]]:
        return [(workflow, step.seq, step.step_id) for workflow, step in self.steps]


def test_old_and_new_ways_to_write_one_start_give_one_id() -> None:
    old, new = parse_time("20250313 00:21:34.123"), parse_time("2025-03-13T00:21:34.123000")
    assert old is not None
    assert new is not None
    assert execution_id("Tests", "s1-t1", old) == execution_id("Tests", "s1-t1", new)


def test_suite_task_and_microsecond_each_make_another_id() -> None:
    ids = {
        execution_id("Tests", "s1-t1", START),
        execution_id("Tests.More", "s1-t1", START),
        execution_id("Tests", "s1-t2", START),
        execution_id("Tests", "s1-t1", START + timedelta(microseconds=1)),
    }
    assert len(ids) == 4


def test_ids_stay_the_same_from_release_to_release() -> None:
    # Another value here means that importing old files again doubles every run.
    assert execution_id("Tests", "s1-t1", START) == "20d8a4ec-32e4-5af9-aabd-7f763a489e4c"


def test_a_whole_second_is_written_without_a_fraction() -> None:
    assert parse_time("2025-03-13T00:21:34") == datetime(2025, 3, 13, 0, 21, 34)


def test_a_clock_that_was_set_back_gives_no_negative_duration() -> None:
    assert elapsed_us(timedelta(seconds=-1)) == 0
    assert elapsed_us(timedelta(seconds=1, microseconds=2)) == 1_000_002


def test_times_without_zone_are_of_the_given_zone_and_others_keep_their_offset() -> None:
    zone = time_zone("America/New_York")
    assert in_utc(START, zone) == datetime(2025, 3, 13, 4, 21, 34, 123000, UTC)
    with_offset = START.replace(tzinfo=timezone(timedelta(hours=1)))
    assert in_utc(with_offset, zone) == datetime(2025, 3, 12, 23, 21, 34, 123000, UTC)


@pytest.mark.parametrize("name", ["Europe/Nowhere", "../etc/passwd", "Europe"])
def test_an_unknown_time_zone_is_one_clear_error(name: str) -> None:
    with pytest.raises(SettingsError, match="use an IANA name such as Europe/Berlin"):
        time_zone(name)


def test_what_xml_cannot_hold_is_left_out_and_the_rest_stays() -> None:
    assert as_written("tab\tline\nNUL\0 escape\x1b[0m ünïcode") == "tab\tline\nNUL escape[0m ünïcode"
    assert as_written(None) == ""


@pytest.mark.parametrize(
    ("step_type", "name"),
    [("FOR", "${pet} IN [ cat | dog ]"), ("IF", "$total > 100"), ("GROUP", "order 4711"), ("VAR", "${x}")],
)
def test_no_value_reaches_the_name_of_a_control_structure(step_type: str, name: str) -> None:
    assert step_identity(step_type, None, name) == (step_type, step_type)


def test_a_keyword_as_teardown_is_another_step_than_the_keyword() -> None:
    assert step_identity("KEYWORD", "Browser", "Close")[0] == "Browser.Close"
    assert step_identity("TEARDOWN", "Browser", "Close")[0] == "Browser.Close (teardown)"
    assert step_identity("SUITE TEARDOWN", "Browser", "Close")[0] == "Browser.Close (suite teardown)"


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("BusinessException: no supplier", "business"),
        ("BusinessException", "business"),
        ("Setup failed:\nBusinessException: no supplier", "business"),
        ("Parent suite setup failed:\nBusinessException: no supplier", "business"),
        (
            "Keyword 'Post' failed after retrying for 1 second. The last error was: BusinessException: x",
            "business",
        ),
        ("Keyword 'Post' failed after retrying 3 times. The last error was: HTTPError: 503", "application"),
        ("Several failures occurred:\n\n1) BusinessException: a\n\n2) BusinessException: b", "business"),
        ("Several failures occurred:\n\n1) BusinessException: a\n\n2) KeyError: b", "application"),
        ("Several failures occurred:\n\n1) KeyError: b\n\n2) BusinessException: a", "application"),
        ("BusinessExceptionHandler: crashed", "application"),
        ("ValueError: not a BusinessException: really", "application"),
        ("button not found", "application"),
        ("", "application"),
    ],
)
def test_the_class_at_the_beginning_of_the_message_decides(message: str, kind: str) -> None:
    assert FailureKinds().of_task("failed", message, ()) == kind


def test_tags_and_patterns_decide_too_and_only_about_failures() -> None:
    kinds = FailureKinds(business_patterns=[r"invoice \d+ is (paid|closed)"])
    assert kinds.of_task("failed", "x", ["BUSINESS-exception"]) == "business"
    assert kinds.of_task("failed", "x", ["no business-exception"]) == "application"
    assert kinds.of_step("failed", "sorry, invoice 12 is paid") == "business"
    assert kinds.of_task("completed", "invoice 12 is paid", ["business-exception"]) == ""
    assert kinds.of_task("skipped", "x", ["business-exception"]) == ""


def test_a_bad_pattern_is_one_clear_error() -> None:
    with pytest.raises(SettingsError, match="no regular expression"):
        FailureKinds(business_patterns=["(unclosed"])


def test_steps_are_numbered_in_the_order_in_which_they_start() -> None:
    told = Told()
    told.run.start_suite("S")
    told.run.start_task("s1-t1", "T", START)
    told.run.start_step("KEYWORD", None, "outer")
    told.run.start_step("IF/ELSE ROOT")
    told.step("", "IF")
    told.run.end_step("PASS", "", START, 1)
    told.step("inner")
    told.run.end_step("PASS", "", START, 1)
    told.step("next")
    by_seq = sorted((step for _, step in told.steps), key=lambda step: step.seq)
    assert [(s.seq, s.parent_seq, s.depth, s.step_id) for s in by_seq] == [
        (1, None, 0, "outer"),
        (2, 1, 1, "IF"),
        (3, 1, 1, "inner"),
        (4, None, 0, "next"),
    ]


def test_suite_setup_belongs_to_the_first_task_and_teardown_to_the_last() -> None:
    told = Told()
    told.run.start_suite("S")
    told.step("open", "SETUP")
    told.run.start_suite("Inner")
    told.run.start_step("SETUP", None, "inner open")
    told.step("nested")
    told.run.end_step("PASS", "", START, 1)
    told.task("A", "work")
    told.task("B", "work")
    told.step("inner close", "TEARDOWN")
    told.run.end_suite()
    told.step("close", "TEARDOWN")
    told.run.end_suite()
    assert sorted(told.numbered()) == [
        ("S.Inner.A", 1, "open (suite setup)"),
        ("S.Inner.A", 2, "inner open (suite setup)"),
        ("S.Inner.A", 3, "nested"),
        ("S.Inner.A", 4, "work"),
        ("S.Inner.B", 1, "work"),
        ("S.Inner.B", 2, "inner close (suite teardown)"),
        ("S.Inner.B", 3, "close (suite teardown)"),
    ]
    nested = next(step for _, step in told.steps if step.step_id == "nested")
    assert (nested.parent_seq, nested.depth) == (2, 1)
    assert [(task.workflow_id, task.steps_total) for task in told.results] == [
        ("S.Inner.A", 4),
        ("S.Inner.B", 3),
    ]


def test_steps_of_a_suite_without_tasks_are_left_out_and_counted() -> None:
    told = Told()
    told.run.start_suite("S")
    told.run.start_suite("Empty")
    told.step("open", "SETUP")
    told.step("close", "TEARDOWN")
    told.run.end_suite()
    told.task("A", "work")
    told.run.end_suite()
    assert told.numbered() == [("S.A", 1, "work")]
    assert told.run.skipped == {
        "steps of the setup of a suite in which no task ran": 1,
        "steps of the teardown of a suite in which no task ran": 1,
    }


def test_a_task_is_told_at_once_where_no_teardown_can_come() -> None:
    told = Told()
    told.run.start_suite("S", has_teardown=False)
    told.task("A")
    assert [task.workflow_id for task in told.results] == ["S.A"]


def test_a_failing_teardown_changes_the_tasks_that_waited_for_it() -> None:
    told = Told()
    told.run.start_suite("S", has_teardown=True)
    told.run.start_suite("Inner", has_teardown=False)
    told.task("A")
    told.task("B", status="FAIL", message="broken")
    told.task("C", status="SKIP", message="not today")
    told.run.end_suite()
    assert told.results == []
    told.step("close", "TEARDOWN", "FAIL", "stuck")
    told.run.end_suite()
    assert [(task.status, task.message) for task in told.results] == [
        ("failed", "Parent suite teardown failed:\nstuck"),
        ("failed", "broken\n\nAlso parent suite teardown failed:\nstuck"),
        ("skipped", "not today\n\nAlso parent suite teardown failed:\nstuck"),
    ]


def test_a_teardown_that_skips_skips_the_suites_tasks() -> None:
    told = Told()
    told.run.start_suite("S")
    told.task("A")
    told.task("B", status="FAIL", message="broken {}")
    told.step("close", "TEARDOWN", "SKIP", "no server {0}")
    told.run.end_suite()
    assert [(task.status, task.message) for task in told.results] == [
        ("skipped", "Skipped in parent suite teardown:\nno server {0}"),
        ("skipped", "Skipped in parent suite teardown:\nno server {0}\n\nEarlier message:\nbroken {}"),
    ]


def test_deep_steps_are_counted_and_numbered_but_not_told() -> None:
    told = Told(step_depth=1)
    told.run.start_suite("S", has_teardown=False)
    told.run.start_task("s1-t1", "T", START)
    told.run.start_step("KEYWORD", None, "outer")
    told.step("inner", status="FAIL")
    told.run.end_step("PASS", "", START, 1)
    told.step("next")
    told.run.end_task("PASS", "", START, 5, ())
    assert told.numbered() == [("S.T", 1, "outer"), ("S.T", 3, "next")]
    assert (told.results[0].steps_total, told.results[0].steps_failed) == (3, 1)
    assert told.run.skipped == {"steps deeper than 1 levels": 1}


def test_what_is_held_when_the_run_breaks_off_stands_as_it_is() -> None:
    told = Told()
    told.run.start_suite("S")
    told.task("A")
    told.run.start_task("s1-t2", "B", START)
    told.run.finish()
    assert [(task.workflow_id, task.status) for task in told.results] == [("S.A", "completed")]


def test_tasks_without_start_or_known_status_are_left_out_and_counted() -> None:
    told = Told()
    told.run.start_suite("S")
    told.run.start_task("s1-t1", "A")
    told.run.end_task("PASS", "", None, 0, ())
    told.run.start_task("s1-t2", "B")
    told.run.end_task("MAYBE", "", START, 0, ())
    told.run.end_suite()
    assert told.results == []
    assert told.run.skipped == {"tasks without a start time": 1, "tasks without a known status": 1}
