"""The register and its import file: what is taken, what is refused, and what it makes of frames."""

import time
from typing import Any

import pandas as pd
import pytest

from analytics_lib import workflow_file
from analytics_lib.errors import ImportFileError, SettingsError
from analytics_lib.workflows import Register, Workflow, WorkflowChange, change, without_environments

INVOICES = Workflow(
    workflow_id="invoices", display_name="Invoice intake", time_zone="Europe/Berlin", attended=True
)
DRILL = Workflow(workflow_id="drill", environment="test")


def frame(*rows: tuple[str, str]) -> pd.DataFrame:
    """(workflow_id, environment) rows, with a column before, between and after."""
    return pd.DataFrame(
        {
            "hour_us": range(len(rows)),
            "workflow_id": [row[0] for row in rows],
            "n": 1,
            "environment": [row[1] for row in rows],
            "workflow_version": "",
        }
    )


def applied(register: Register, *rows: tuple[str, str]) -> list[tuple[str, str]]:
    result = register.apply(frame(*rows))
    return list(zip(result["workflow_id"], result["environment"], strict=True))


def test_an_unknown_workflow_has_the_defaults() -> None:
    register = Register.of([INVOICES])
    assert register.get("payroll") == Workflow(workflow_id="payroll")
    assert register.get("payroll").environment == "production"
    assert register.display_name("payroll") == "payroll"
    assert register.time_zone_of("payroll", "Asia/Tokyo") == "Asia/Tokyo"
    assert not register.is_attended("payroll")
    assert not register.known("payroll")


def test_an_alias_is_answered_like_its_workflow() -> None:
    register = Register.of([INVOICES], {"old": "invoices"})
    assert register.get("old") is INVOICES
    assert register.display_name("old") == "Invoice intake"
    assert register.time_zone_of("old", "UTC") == "Europe/Berlin"
    assert register.is_attended("old")
    assert register.known("old")
    assert register.aliases_of("invoices") == ("old",)
    assert register.zones() == {"invoices": "Europe/Berlin"}


def test_an_id_that_the_register_would_refuse_is_answered_too() -> None:
    assert Register().get("bell\x07").environment == "production"
    assert Register().display_name("") == ""


def test_rows_of_an_alias_count_for_its_workflow() -> None:
    register = Register.of([INVOICES], {"old": "invoices"})
    assert applied(register, ("old", "production"), ("invoices", "production"), ("other", "production")) == [
        ("invoices", "production"),
        ("invoices", "production"),
        ("other", "production"),
    ]


def test_the_environment_is_the_rows_own_else_the_registers_else_production() -> None:
    register = Register.of([DRILL], {"old drill": "drill"})
    assert applied(register, ("drill", "staging"), ("drill", ""), ("old drill", ""), ("other", "")) == [
        ("drill", "staging"),
        ("drill", "test"),
        ("drill", "test"),
        ("other", "production"),
    ]


def test_apply_leaves_its_input_and_the_order_of_columns_and_rows() -> None:
    given = frame(("old", ""), ("drill", ""))
    given.index = pd.Index([7, 3])
    before = given.copy(deep=True)
    result = Register.of([INVOICES, DRILL], {"old": "invoices"}).apply(given)
    pd.testing.assert_frame_equal(given, before)
    assert list(result.columns) == list(given.columns)
    assert list(result.index) == [7, 3]
    assert list(result["hour_us"]) == [0, 1]
    assert result["workflow_id"].dtype == given["workflow_id"].dtype


def test_apply_takes_empty_frames_missing_values_and_categories() -> None:
    register = Register.of([DRILL], {"old": "drill"})
    empty = register.apply(frame())
    assert empty.empty
    assert list(empty.columns) == list(frame().columns)
    given = frame(("old", ""), ("drill", "x"))
    given["environment"] = pd.Series([None, "x"], dtype=object)
    given["workflow_id"] = given["workflow_id"].astype("category")
    result = register.apply(given)
    assert list(result["environment"]) == ["test", "x"]
    assert list(result["workflow_id"]) == ["drill", "drill"]


def test_samples_have_no_workflow_and_get_environments_only() -> None:
    samples = pd.DataFrame({"host": ["a", "b"], "environment": ["", "test"]})
    result = Register.of([DRILL]).apply(samples)
    assert list(result["environment"]) == ["production", "test"]
    assert list(result.columns) == ["host", "environment"]


def test_apply_is_quick_on_half_a_million_rows() -> None:
    ids = [f"workflow {n % 2000}" for n in range(500_000)]
    rows = pd.DataFrame({"workflow_id": ids, "environment": ["", "test"] * 250_000})
    register = Register.of(
        (Workflow(workflow_id=f"workflow {n}") for n in range(1000)),
        {f"workflow {n}": "workflow 0" for n in range(1000, 2000)},
    )
    began = time.perf_counter()
    result = register.apply(rows)
    assert time.perf_counter() - began < 3  # 0.2 s on an idle machine; row by row it takes longer
    assert result["workflow_id"].nunique() == 1000


def test_test_runs_stay_out_unless_asked() -> None:
    given = frame(("a", "test"), ("b", "production"), ("c", "staging"))
    assert list(without_environments(given)["workflow_id"]) == ["b", "c"]
    assert list(without_environments(given).index) == [0, 1]
    assert len(without_environments(given, excluded=())) == 3
    assert list(without_environments(given, excluded=("staging", "test"))["workflow_id"]) == ["b"]
    assert len(given) == 3


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"workflow_id": ""}, "is empty: name it"),
        ({"workflow_id": 5}, "is 5, not text"),
        ({"workflow_id": "a\nb"}, "control characters"),
        ({"workflow_id": "x" * 501}, "longer than 500 bytes"),
        ({"workflow_id": "\ud800"}, "lone surrogate"),
        ({"display_name": "Bell\x07"}, "display_name contains control characters"),
        ({"display_name": "a\x9b31m"}, "display_name contains control characters"),
        ({"owner": "ann\r\nBcc: everyone"}, "owner contains control characters"),
        ({"group": "abc\u202ecba"}, "group contains control characters"),
        ({"environment": "a\u2028b"}, "environment contains control characters"),
        ({"owner": 5}, "owner is 5, not text"),
        ({"time_zone": "Mars/Base"}, "use an IANA name"),
        ({"time_zone": "Europe/Berln"}, "did you mean Europe/Berlin?"),
        ({"time_zone": "../../etc/passwd"}, "time_zone '../../etc/passwd' is unknown"),
        ({"time_zone": "Europe"}, "time_zone 'Europe' is unknown"),
        ({"time_zone": "a\0b"}, "is unknown"),
        ({"time_zone": 1}, "time_zone is 1, not text"),
        ({"attended": "yes"}, "say true or false"),
        ({"sla_duration_ms": 0}, "give a positive number"),
        ({"sla_duration_ms": -1.0}, "give a positive number"),
        ({"sla_duration_ms": float("nan")}, "give a positive number"),
        ({"sla_duration_ms": float("inf")}, "give a positive number"),
        ({"sla_duration_ms": True}, "give a positive number"),
        ({"sla_success_rate": -0.1}, "a share from 0 to 1"),
        ({"sla_success_rate": 98}, "98 % is 0.98"),
        ({"sla_success_rate": float("nan")}, "a share from 0 to 1"),
    ],
)
def test_a_workflow_that_is_not_valid_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError) as raised:
        Workflow(**{"workflow_id": "invoices", **fields})
    assert message in str(raised.value)
    assert str(raised.value).isprintable()


def test_ids_may_be_what_rows_may_have() -> None:
    for workflow_id in ("Suite.Task", "Ünïcode … →", "<script>", "'; DROP TABLE", "a;b|c", " ", "-x"):
        assert Workflow(workflow_id=workflow_id).name == workflow_id
    assert Workflow(workflow_id="a", environment="").environment == "production"
    assert Workflow(workflow_id="a", sla_success_rate=0).sla_success_rate == 0


@pytest.mark.parametrize(
    ("aliases", "message"),
    [
        ({"x": "x"}, "names itself"),
        ({"a": "b", "b": "a"}, "in a circle"),
        ({"a": "b", "b": "c", "c": "a"}, "in a circle"),
        ({"z": "a", "a": "b", "b": "a"}, "in a circle"),
        ({"a": "b", "b": "invoices"}, "make 'a' an alias of 'invoices'"),
        ({"a": "b", "b": "c", "c": "d"}, "make 'a' an alias of 'd'"),
        ({"invoices": "drill"}, "registered itself"),
        ({"": "invoices"}, "alias '' is empty"),
        ({"a\tb": "invoices"}, "alias 'a\\tb' contains control characters"),
    ],
)
def test_aliases_lead_to_one_workflow_in_one_step(aliases: dict[str, str], message: str) -> None:
    with pytest.raises(SettingsError) as raised:
        Register.of([INVOICES, DRILL], aliases)
    assert message in str(raised.value)


def test_a_workflow_is_registered_once() -> None:
    with pytest.raises(SettingsError, match="there twice"):
        Register.of([INVOICES, INVOICES])


def test_a_change_sets_what_it_names_and_nothing_else() -> None:
    rows = {"invoices": {"owner": "ann", "group": "Finance"}}
    register = change(
        rows, {"old": "invoices"}, [WorkflowChange("invoices", {"owner": "bob"}, add_aliases=("older",))]
    )
    assert register.get("invoices") == Workflow(workflow_id="invoices", owner="bob", group="Finance")
    assert register.aliases_of("invoices") == ("old", "older")
    assert rows == {"invoices": {"owner": "ann", "group": "Finance"}}


def test_aliases_given_as_a_whole_replace_those_before() -> None:
    aliases = {"old": "invoices", "gone": "invoices"}
    register = change({"invoices": {}}, aliases, [WorkflowChange("invoices", aliases=("old", "new"))])
    assert register.aliases == {"old": "invoices", "new": "invoices"}


def test_an_alias_moves_when_both_workflows_say_so() -> None:
    rows: dict[str, dict[str, Any]] = {"a": {}, "b": {}}
    moved = change(rows, {"x": "a"}, [WorkflowChange("b", aliases=("x",)), WorkflowChange("a", aliases=())])
    assert moved.aliases == {"x": "b"}
    with pytest.raises(SettingsError, match="an alias of 'a' already"):
        change(rows, {"x": "a"}, [WorkflowChange("b", add_aliases=("x",))])
    with pytest.raises(SettingsError, match="'y' is no alias of 'a'"):
        change(rows, {"x": "a"}, [WorkflowChange("a", remove_aliases=("y",))])


def test_a_row_that_is_not_valid_can_be_put_right() -> None:
    rows = {"invoices": {"time_zone": "Gone/Zone", "owner": "ann"}}
    register = change(rows, {}, [WorkflowChange("invoices", {"time_zone": "UTC"})])
    assert register.get("invoices") == Workflow(workflow_id="invoices", time_zone="UTC", owner="ann")


TOML = """
[[workflow]]
id = "invoices"
display_name = "Invoice intake"
aliases = ["invoices-v1", "a;b"]
group = "Finance"
owner = "ann@example.com"
time_zone = "Europe/Berlin"
environment = "production"
attended = true
sla_duration = "1 h 30 min"
sla_success_rate = 0.98

[[workflow]]
id = "payroll"
sla_duration_ms = 250
owner = ""
sla_success_rate = ""
"""


def test_a_toml_file_is_read() -> None:
    assert workflow_file.parse(TOML, "toml", "w.toml") == [
        WorkflowChange(
            "invoices",
            {
                "display_name": "Invoice intake",
                "group": "Finance",
                "owner": "ann@example.com",
                "time_zone": "Europe/Berlin",
                "environment": "production",
                "attended": True,
                "sla_duration_ms": 5_400_000.0,
                "sla_success_rate": 0.98,
            },
            ("invoices-v1", "a;b"),
        ),
        WorkflowChange("payroll", {"sla_duration_ms": 250, "owner": "", "sla_success_rate": None}),
    ]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_csv_file_is_read_as_spreadsheets_write_it(delimiter: str) -> None:
    rows = [
        ("ID", "Display name", "Aliases", "Attended", "SLA duration", "sla_duration_ms", "SLA success rate"),
        ("invoices", '"Intake, ""new""; all"', '"v1; v2;"', "Yes", "5 min", "", "98 %"),
        ("", "", "", "", "", "", ""),
        ("payroll", "", "", "", "", "1500", '"0,995"'),
    ]
    text = "\ufeff" + "".join(delimiter.join(row) + "\r\n" for row in rows)
    assert workflow_file.parse(text, "csv", "w.csv") == [
        WorkflowChange(
            "invoices",
            {
                "display_name": 'Intake, "new"; all',
                "attended": True,
                "sla_duration_ms": 300_000.0,
                "sla_success_rate": 0.98,
            },
            ("v1", "v2"),
        ),
        WorkflowChange(
            "payroll",
            {"display_name": "", "attended": False, "sla_duration_ms": 1500.0, "sla_success_rate": 0.995},
            (),
        ),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "w.toml names no workflow: write a [[workflow]]"),
        ("not toml", "w.toml is no TOML"),
        ("a = " + "[" * 5000, "w.toml is no TOML"),
        ("[workflow]\nid = 'a'", "write [[workflow]] with two brackets"),
        ("workflow = 3", "write [[workflow]] with two brackets"),
        ("[[workflows]]\nid = 'a'", "unknown 'workflows' at the top"),
        ("[[workflow]]\nowner = 'ann'", "workflow 1 has no 'id'"),
        ("[[workflow]]\nid = 'a'\nownr = 'ann'", "workflow 1: unknown key 'ownr': did you mean 'owner'?"),
        ("[[workflow]]\nworkflow_id = 'a'", "did you mean 'id'?"),
        ("[[workflow]]\nid = 'a'\nTimeZone = 'UTC'", "did you mean 'time_zone'?"),
        ("[[workflow]]\nid = 'a'\nqqq = 1", "use any of id, display_name"),
        ("[[workflow]]\nid = 5", "workflow id 5 is 5, not text"),
        ("[[workflow]]\nid = ['a']", "not text"),
        ("[[workflow]]\nid = 'a'\naliases = 'b'", "aliases is no list"),
        ("[[workflow]]\nid = 'a'\naliases = [1]", "aliases is no list"),
        ("[[workflow]]\nid = 'a'\naliases = ['a']", "w.toml: alias 'a' names itself"),
        ("[[workflow]]\nid = 'a'\nattended = 'maybe'", "attended is 'maybe'"),
        ("[[workflow]]\nid = 'a'\nattended = 1", "attended is 1"),
        ("[[workflow]]\nid = 'a'\ntime_zone = 'CET/Berlin'", "w.toml, workflow 1: workflow 'a': time_zone"),
        ("[[workflow]]\nid = 'a'\nsla_duration = 5", "give the unit too"),
        ("[[workflow]]\nid = 'a'\nsla_duration = '5 parsecs'", "'5 parsecs' is no duration"),
        ("[[workflow]]\nid = 'a'\nsla_duration = '-5 min'", "'-5 min' is no duration"),
        ("[[workflow]]\nid = 'a'\nsla_duration = '0 s'", "give a positive number"),
        ("[[workflow]]\nid = 'a'\nsla_duration = '1 s'\nsla_duration_ms = 5", "are both given"),
        ("[[workflow]]\nid = 'a'\nsla_success_rate = 'most'", "'most' is no share"),
        ("[[workflow]]\nid = 'a'\nsla_success_rate = nan", "a share from 0 to 1"),
        ("[[workflow]]\nid = 'a'\n[[workflow]]\nid = 'a'", "workflow 2 is in workflow 1 already"),
        (
            "[[workflow]]\nid = 'a'\naliases = ['b']\n[[workflow]]\nid = 'b'\naliases = ['a']",
            "w.toml: 'b' and 'a' stand for each other",
        ),
        (
            "[[workflow]]\nid = 'a'\naliases = ['x']\n[[workflow]]\nid = 'b'\naliases = ['x']",
            "'x' is an alias of 'a' and of 'b'",
        ),
    ],
)
def test_a_toml_file_that_is_wrong_says_where(text: str, message: str) -> None:
    with pytest.raises(ImportFileError) as raised:
        workflow_file.parse(text, "toml", "w.toml")
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "names no workflow: write a header row"),
        ("id,owner\n", "names no workflow"),
        ("owner\nann\n", "line 1 has no 'id'"),
        ("id,ownr\na,b\n", "line 1: unknown key 'ownr': did you mean 'owner'?"),
        ("id,\na,b\n", "unknown key ''"),
        ("id,owner,Owner\na,b,c\n", "column 'owner' is there twice"),
        ("id,owner\na\n", "line 2 has 1 cells, the header has 2"),
        ("id,owner\na,b,c\n", "line 2 has 3 cells, the header has 2"),
        ("id,owner\n,ann\n", "line 2: workflow id '' is empty"),
        ('id,owner\na,"b\n', "is no CSV"),
        ('id,owner\na,"b"c\n', "is no CSV"),
        ("id,owner\na," + "x" * 200_000 + "\n", "is no CSV"),
        ("id,owner\na,b\0c\n", "owner contains control characters"),
        ('id,owner\na,"b\nc"\n', "owner contains control characters"),
        ("id,attended\na,perhaps\n", "line 2: attended is 'perhaps'"),
        ("id,sla_duration_ms\na,5 min\n", "plain number of milliseconds"),
        ("id,sla_duration_ms\na,nan\n", "plain number of milliseconds"),
        ("id\na\n\na\n", "line 4 is in line 2 already"),
    ],
)
def test_a_csv_file_that_is_wrong_says_where(text: str, message: str) -> None:
    with pytest.raises(ImportFileError) as raised:
        workflow_file.parse(text, "csv", "w.csv")
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)
