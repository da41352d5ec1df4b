from pathlib import Path

import pytest

from collector_agent.machine.locations import state_folder
from collector_agent.machine.problems import clear_problem, read_problems, report_problem


def test_a_component_has_one_problem_and_a_later_one_takes_its_place() -> None:
    report_problem("daemon", "first")
    report_problem("listener", "other")
    report_problem("daemon", "second")
    assert [(problem.component, problem.text) for problem in read_problems()] == [
        ("daemon", "second"),
        ("listener", "other"),
    ]
    clear_problem("daemon")
    clear_problem("daemon")  # once more is harmless
    assert [problem.component for problem in read_problems()] == ["listener"]


def test_nothing_is_a_problem_where_nothing_was_left() -> None:
    assert read_problems() == []
    clear_problem("daemon")
    assert not state_folder().exists()


def test_secrets_are_masked_and_long_texts_cut() -> None:
    report_problem("daemon", "postgresql://rpa:geheim@db/rpa does not answer" + " word" * 10_000)
    [problem] = read_problems()
    assert problem.text.startswith("postgresql://<hidden>@db/rpa does not answer")
    assert len(problem.text) == 4_000


@pytest.mark.parametrize(
    "names", [("a/b", "a-b"), ("A", "a"), ("ä", "ö"), ("x" * 100, "x" * 101), ("../up", "")]
)
def test_two_components_never_share_a_file_or_leave_the_folder(names: tuple[str, str]) -> None:
    for name in names:
        report_problem(name, f"of {name[:50]}")
    assert len(read_problems()) == 2
    assert len(list(state_folder().iterdir())) == 2
    for name in names:
        clear_problem(name)
    assert read_problems() == []


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"component": "x"}', b"\xff", b'{"reported_at": 5}'])
def test_a_file_that_cannot_be_read_is_a_problem_itself(content: bytes) -> None:
    report_problem("daemon", "text")
    [file] = state_folder().iterdir()
    file.write_bytes(content)
    [problem] = read_problems()
    assert problem.component == "daemon"
    assert f"{file} cannot be read" in problem.text
    assert problem.text.endswith("remove it")


def test_what_cannot_be_noted_is_said_and_stops_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("RPA_AGENT_STATE", str(tmp_path / "file" / "state"))
    report_problem("daemon", "token=abcdefgh was wrong")
    assert caplog.messages[0].startswith("token=<hidden> was wrong (this could not be noted:")
    assert capsys.readouterr().err == ""  # that is the robot's
    assert read_problems() == []


def test_a_note_that_cannot_be_put_in_place_leaves_nothing_half_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError("somebody reads it")

    report_problem("daemon", "before")
    monkeypatch.setattr("collector_agent.machine.private_file.os.replace", refuse)
    report_problem("daemon", "after")
    assert [problem.text for problem in read_problems()] == ["before"]
    assert len(list(state_folder().iterdir())) == 1
