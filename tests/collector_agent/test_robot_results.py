"""Ids, names and kinds of Robot Framework results, and how a run becomes executions and steps."""

import time
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from analytics_lib.errors import SettingsError
from collector_agent.robot_items import failure_of_release, role_of
from collector_agent.robot_merged import own_message
from collector_agent.robot_records import LocalTimes, result_fields, step_fields
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
from collector_agent.robot_tags import attributes_of

START = datetime(2025, 3, 13, 0, 21, 34, 123000)
START_US = 1_741_825_294_123_000


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
        self.run.end_step(status, message, START_US, 1000)

    def task(self, name: str, *steps: str, status: str = "PASS", message: str = "") -> None:
        self.run.start_task(name, START)
        for step in steps:
            self.step(step)
        self.run.end_task(status, message, START, 5000, ())

    def inside(self, name: str, *steps: str, owner: str = "Lib", status: str = "PASS") -> None:
        """A keyword of a library with keywords in it."""
        self.run.start_step("KEYWORD", owner, name)
        for step in steps:
            self.step(step)
        self.run.end_step(status, "", START_US, 1000)

    def released(self, *arguments: object, status: str = "PASS") -> None:
        assert self.run.start_step("KEYWORD", "RPA.Robocorp.WorkItems", "Release Input Work Item")
        self.run.take_arguments(arguments)
        self.run.end_step(status, "", START_US, 1)

    def numbered(self) -> list[tuple[str, int, str]]:
        return [(workflow, step.seq, step.step_id) for workflow, step in self.steps]


def test_old_and_new_ways_to_write_one_start_give_one_id() -> None:
    old, new = parse_time("20250313 00:21:34.123"), parse_time("2025-03-13T00:21:34.123000")
    assert old is not None
    assert new is not None
    assert execution_id("Tests.A", old) == execution_id("Tests.A", new)


def test_suite_task_microsecond_and_number_each_make_another_id() -> None:
    ids = {
        execution_id("Tests.A", START),
        execution_id("Tests.More.A", START),
        execution_id("Tests.B", START),
        execution_id("Tests.A", START + timedelta(microseconds=1)),
        execution_id("Tests.A", START, 2),
    }
    assert len(ids) == 5


def test_ids_stay_the_same_from_release_to_release() -> None:
    # Another value here means that importing old files again doubles every run.
    assert execution_id("Tests.A", START) == "c5e9e66e-0c17-557c-abb0-38e0eec3d05c"


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
    told.run.start_task("T", START)
    told.run.start_step("KEYWORD", None, "outer")
    told.run.start_step("IF/ELSE ROOT")
    told.step("", "IF")
    told.run.end_step("PASS", "", START_US, 1)
    told.step("inner")
    told.run.end_step("PASS", "", START_US, 1)
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
    told.run.end_step("PASS", "", START_US, 1)
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
    told.run.start_task("T", START)
    told.run.start_step("KEYWORD", None, "outer")
    told.step("inner", status="FAIL")
    told.run.end_step("PASS", "", START_US, 1)
    told.step("next")
    told.run.end_task("PASS", "", START, 5, ())
    assert told.numbered() == [("S.T", 1, "outer"), ("S.T", 3, "next")]
    assert (told.results[0].steps_total, told.results[0].steps_failed) == (3, 1)
    assert told.run.skipped == {"steps deeper than 1 levels": 1}


def test_what_is_held_when_the_run_breaks_off_stands_as_it_is() -> None:
    told = Told()
    told.run.start_suite("S")
    told.task("A")
    told.run.start_task("B", START)
    told.run.finish()
    assert [(task.workflow_id, task.status) for task in told.results] == [("S.A", "completed")]


def test_tasks_without_start_or_known_status_are_left_out_and_counted() -> None:
    told = Told()
    told.run.start_suite("S")
    told.run.start_task("A")
    told.run.end_task("PASS", "", None, 0, ())
    told.run.start_task("B")
    told.run.end_task("MAYBE", "", START, 0, ())
    told.run.end_suite()
    assert told.results == []
    assert told.run.skipped == {"tasks without a start time": 1, "tasks without a known status": 1}


def in_a_task(**options: Any) -> Told:
    told = Told(**options)
    told.run.start_suite("S", has_teardown=False)
    told.run.start_task("T", START)
    return told


def test_retries_of_a_keyword_are_counted_on_the_step_that_tries_again() -> None:
    told = in_a_task()
    told.inside("Wait Until Keyword Succeeds", "Post", "Post", "Post", owner="BuiltIn")
    told.inside("Wait Until Keyword Succeeds", "Post", owner="ImportedAs")
    told.inside("Wait Until Keyword Succeeds", owner="BuiltIn", status="NOT RUN")
    told.inside("Run Keywords", "Post", "Post", owner="BuiltIn")
    retries = [(step.step_id, step.retries) for _, step in told.steps if "." in step.step_id]
    assert retries == [
        ("BuiltIn.Wait Until Keyword Succeeds", 2),
        ("ImportedAs.Wait Until Keyword Succeeds", 0),
        ("BuiltIn.Wait Until Keyword Succeeds", 0),
        ("BuiltIn.Run Keywords", 0),
    ]


def test_a_keyword_of_that_name_that_runs_different_ones_has_not_tried_again() -> None:
    told = in_a_task()
    told.inside("Wait Until Keyword Succeeds", "Log", "Post", owner="My Resource")
    assert [step.retries for _, step in told.steps] == [0, 0, 0]


def test_what_for_each_input_work_item_runs_is_a_transaction_each_time() -> None:
    told = in_a_task()
    told.run.start_step("KEYWORD", "RPA.Robocorp.WorkItems", "For Each Input Work Item")
    for kind in ("", "FAILED", "BUSINESS"):
        told.run.start_step("KEYWORD", None, "Process")
        told.step("work")
        if kind == "FAILED":
            told.released("FAILED")
        elif kind == "BUSINESS":
            told.released("state=FAILED", "exception_type=BUSINESS", "message=ada has no account")
        told.run.end_step("PASS", "", START_US, 10)
    told.run.end_step("PASS", "", START_US, 40)
    told.step("after")
    told.run.end_task("PASS", "", START, 50, ())
    kinds = FailureKinds()
    fields = [step_fields(step, kinds, told.results[0]) for _, step in told.steps]
    items = [
        (f["status"], f["exception_kind"], f["duration_ms"], f["transaction_id"].rpartition("/")[2])
        for f in fields
        if f["step_type"] == "TRANSACTION"
    ]
    assert items == [
        ("completed", "", 0.01, "1"),
        ("failed", "application", 0.01, "2"),
        ("failed", "business", 0.01, "3"),
    ]
    by_item = [(f["step_id"], f["transaction_id"].rpartition("/")[2]) for f in fields]
    assert by_item[:2] == [("work", "1"), ("Process", "1")]
    assert by_item[-2:] == [("RPA.Robocorp.WorkItems.For Each Input Work Item", ""), ("after", "")]
    assert {f["transaction_id"].rpartition("/")[0] for f in fields if f["transaction_id"]} == {
        told.results[0].execution_id
    }
    assert "ada" not in str(fields)
    assert told.results[0].steps_failed == 2


def test_a_release_that_was_not_run_or_failed_says_nothing_of_the_item() -> None:
    told = in_a_task()
    told.run.start_step("KEYWORD", "Items", "For Each Input Work Item")
    told.run.start_step("KEYWORD", None, "Process")
    told.released("FAILED", status="NOT RUN")
    told.released("FAILED", status="FAIL")
    told.released("${state}")
    told.run.end_step("PASS", "", START_US, 10)
    assert [step.status for _, step in told.steps if step.step_type == "TRANSACTION"] == ["completed"]


def test_an_iteration_that_gets_or_releases_an_item_by_hand_is_a_transaction() -> None:
    told = in_a_task()
    told.run.start_step("WHILE")
    for is_left in (True, True, False):
        told.run.start_step("ITERATION")
        told.run.start_step("TRY")
        told.run.start_step("KEYWORD", "Items", "Get Input Work Item")
        told.run.end_step("PASS" if is_left else "FAIL", "", START_US, 1)
        told.run.end_step("PASS", "", START_US, 1)
        told.run.start_step("FOR")
        told.run.start_step("ITERATION")
        told.released("FAILED", "BUSINESS", status="PASS" if is_left else "NOT RUN")
        told.run.end_step("PASS", "", START_US, 1)
        told.run.end_step("PASS", "", START_US, 1)
        told.run.end_step("PASS", "", START_US, 1)
    told.run.end_step("PASS", "", START_US, 1)
    outer = [step for _, step in told.steps if step.depth == 1]
    assert [(s.step_type, s.status, s.exception_kind, s.item) for s in outer] == [
        ("TRANSACTION", "failed", "business", 1),
        ("TRANSACTION", "failed", "business", 2),
        ("ITERATION", "completed", "", 0),
    ]
    inner = [step.item for _, step in told.steps if step.step_type == "ITERATION" and step.depth == 3]
    assert inner == [1, 2, 0]


def test_items_of_a_suite_setup_are_numbered_before_those_of_the_task() -> None:
    told = Told()
    told.run.start_suite("S", has_teardown=False)
    for _ in range(2):
        told.run.start_step("SETUP", "Items", "For Each Input Work Item")
        told.step("Process")
        told.run.end_step("PASS", "", START_US, 1)
    told.run.start_task("T", START)
    told.inside("For Each Input Work Item", "Process")
    assert [step.item for _, step in told.steps if step.step_type == "TRANSACTION"] == [1, 2, 3]


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        (["DONE"], ""),
        (["state=done"], ""),
        (["State.FAILED"], "application"),
        (["FAILED", "BUSINESS"], "business"),
        (["state=FAILED", "code=X", "exception_type=Error.BUSINESS"], "business"),
        (["FAILED", "exception_type=${kind}"], "application"),
        (["${state}"], None),
        ([], None),
        ([None, 7], None),
        (["message=state=FAILED"], None),
    ],
)
def test_how_an_item_was_released_is_in_the_arguments(arguments: list[object], kind: str | None) -> None:
    assert failure_of_release(arguments) == kind


def test_roles_are_those_of_keywords_of_libraries_whatever_they_are_imported_as() -> None:
    assert role_of("Anything", "for_each_input_work_item") == "items"
    assert role_of(None, "For Each Input Work Item") == ""


NEW = '<span class="new-status">New status:</span> <span class="fail">FAIL</span><br>'
OLD = '<hr><span class="old-status">Old status:</span> <span class="fail">FAIL</span><br>'
MERGED = '*HTML* <span class="merge">Task has been re-executed and results merged.</span><hr>'


@pytest.mark.parametrize(
    ("message", "own", "earlier"),
    [
        ("plain", "plain", 0),
        ("*HTML* <b>own</b>", "*HTML* <b>own</b>", 0),
        (f"{MERGED}{NEW}{OLD}", "", 1),
        (
            f'{MERGED}{NEW}<span class="new-message">New message:</span> a &lt;b&gt; '
            f'<a href="http://x?a=1&amp;b">http://x?a=1&amp;b</a>\nnext<br>{OLD}{OLD}',
            "a <b> http://x?a=1&b\nnext",
            2,
        ),
        ("*HTML* Test added from merged output.", "", 0),
        ("*HTML* Task added from merged output.<hr>not &amp; found", "not & found", 0),
        (
            "*HTML* Task has been re-executed and results merged. Latter result had "
            '<span class="skip">SKIP</span> status and was ignored. Message:\nlater'
            "<hr>Original message:\nat &gt; first",
            "at > first",
            0,
        ),
    ],
)
def test_a_merged_message_is_what_the_task_said_and_tells_the_attempts(
    message: str, own: str, earlier: int
) -> None:
    assert own_message(message) == (own, earlier)


def test_attempts_come_from_the_run_or_from_the_merged_message() -> None:
    told = Told(attempt=2)
    told.run.start_suite("S", has_teardown=False)
    told.task("A")
    told.task("B", message=f"{MERGED}{NEW}{OLD}{OLD}", status="FAIL")
    assert [(task.attempt, task.message) for task in told.results] == [(2, ""), (3, "")]


def test_tags_become_attributes_without_secrets_and_at_most_64() -> None:
    tags = [
        "Smoke",
        "customer: acme",
        "robot:skip",
        "mail:ada@example.org",
        "password:hunter2",
        "odd:",
        ":",
        "",
    ]
    assert attributes_of(tags) == {
        "tag Smoke": "yes",
        "tag customer": "acme",
        "tag mail": "<mail>",
        "tag password": "<hidden>",
        "tag odd:": "yes",
        "tag :": "yes",
        "tag": "yes",
    }
    assert len(attributes_of(f"t{n}" for n in range(100))) == 64
    task = Task("S", "S.T", started=START, tags=["a"])
    assert result_fields(task, FailureKinds(), None)["attributes"] == {"tag a": "yes"}


def test_a_version_is_the_tasks_own_else_that_of_the_nearest_suite() -> None:
    told = Told()
    told.run.start_suite("S", version="1")
    told.run.start_suite("Inner", version="2\n")
    told.run.start_task("A", START, version="3")
    assert told.run.task is not None
    assert told.run.task.version == "3"
    told.run.end_task("PASS", "", START, 1, ())
    told.task("B")
    told.run.end_suite()
    told.run.start_suite("Other")
    told.task("C")
    told.run.end_suite()
    told.run.end_suite()
    assert [task.version for task in told.results] == ["3", "2", "1"]


def test_two_tasks_of_one_name_and_one_start_are_two() -> None:
    """Old files have milliseconds, and a task that does nothing takes less."""
    told = Told()
    told.run.start_suite("S", has_teardown=False)
    told.task("A")
    told.task("A")
    told.task("B")
    assert len({task.execution_id for task in told.results}) == 3


def test_ten_thousand_nested_keywords_odd_names_and_huge_messages_are_taken() -> None:
    told = in_a_task()
    for depth in range(10_000):
        told.run.start_step("KEYWORD", "Lib\ud800", f"deep {depth % 3}\udfff\0\n" * 100)
    for _ in range(10_000):
        told.run.end_step("FAIL", "", START_US, 1)
    told.step("x", status="FAIL", message="y" * 1_000_000)
    told.run.end_task("FAIL", "\ud800" * 500_000, START, 1, ["\ud800:\0"])
    (task,) = told.results
    assert (task.steps_total, task.steps_failed) == (10_001, 10_001)
    assert told.run.skipped == {"steps deeper than 20 levels": 9_980}
    assert all(step.step_id.encode() for _, step in told.steps)
    assert max(len(step.message) for _, step in told.steps) < 200_000
    result_fields(task, FailureKinds(), None)


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="a process on Windows cannot change its time zone")
@pytest.mark.parametrize("zone", ["America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC"])
def test_local_times_are_those_of_the_zone_also_where_the_clock_changes(
    zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        times = LocalTimes()
        for month, day in ((3, 9), (4, 6), (10, 5), (11, 2), (6, 1)):
            moment = datetime(2025, month, day, 0, 0, 59, 999_999)
            for _ in range(300):
                for fold in (0, 1):
                    there = moment.replace(fold=fold)
                    expected = there.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
                    assert times.us(there) == expected // timedelta(microseconds=1), there
                moment += timedelta(seconds=59, microseconds=7)
        times.us(START)
        assert times.us(START.replace(tzinfo=timezone(timedelta(hours=1)))) == START_US - 3_600_000_000
    finally:
        monkeypatch.undo()
        time.tzset()
