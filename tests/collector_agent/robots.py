"""Robots to run for real, small but with everything that Robot Framework can write into its results."""

import os
import subprocess
import sys
from pathlib import Path

LISTENER = "collector_agent.hooks.robot_framework.Listener"

INIT = """\
*** Settings ***
Suite Setup       Log    outer setup
Suite Teardown    Log    outer teardown
"""

WORK = """\
*** Settings ***
Suite Setup       Prepare
Suite Teardown    Log    done
Library           Data.py

*** Variables ***
@{PETS}    cat    hönd

*** Tasks ***
Setup And Teardown ünïcode
    [Setup]    Log    begin
    Greet 'ada' Politely
    Run Keyword    Log    inside
    [Teardown]    Log    end

Loops
    FOR    ${pet}    IN    @{PETS}
        Log    ${pet}
        IF    $pet == 'cat'    CONTINUE
        Log    after
    END
    WHILE    True    limit=5
        BREAK
    END
    VAR    ${secret}    value-of-a-variable
    GROUP    Named group
        Log    in group
    END

Branches
    IF    1 > 2
        Log    never
    ELSE IF    2 > 1
        Log    yes
    ELSE
        Log    no
    END
    TRY
        Fail    handled
    EXCEPT    handled    AS    ${error}
        Log    ${error}
    ELSE
        Log    none
    FINALLY
        Log    finally
    END
    ${returned} =    Return Something

Bad Data
    Check Invoice    4711

Broken
    Fail    the button moved \x1b[31mred\x1b[0m, ask ada@example.org

Tagged
    [Tags]    Business-Exception    other
    Fail    by tag

Left Out
    Skip    not today

Bad Setup
    [Setup]    Check Invoice    1
    Log    not reached

Flat
    Flattened

*** Keywords ***
Prepare
    Log    preparing
    Log    preparing more

Greet '${name}' Politely
    Log    Hello ${name}
    [Teardown]    Log    greeted

Return Something
    RETURN    something

Flattened
    [Tags]    robot:flatten
    Log    hidden
    Greet 'bob' Politely
"""

TEARDOWN_FAILS = """\
*** Settings ***
Suite Teardown    Fail    the teardown broke

*** Tasks ***
Was Fine
    Log    fine

Was Broken
    Fail    broken before

Was Skipped
    Skip    skipped before
"""

PLAIN = """\
*** Tasks ***
First
    Log    one

Second
    Log    two
"""

ITEMS = """\
*** Settings ***
Metadata    version    1.2-rc1
Library     ${CURDIR}/RPA/Robocorp/WorkItems.py    AS    RPA.Robocorp.WorkItems

*** Tasks ***
Each Item
    [Tags]    customer:acme    nightly    robot:continue-on-failure    owner:ada@example.org
    For Each Input Work Item    Process Item
    Log    after the last

By Hand
    Refill
    WHILE    True
        TRY
            Get Input Work Item
        EXCEPT    EmptyQueue*    type=GLOB
            BREAK
        END
        Log    working
        FOR    ${part}    IN    left    right
            Log    ${part}
        END
        Release Input Work Item    DONE
    END

Again And Again
    Wait Until Keyword Succeeds    5x    1ms    Fail Twice
    Wait Until Keyword Succeeds    5x    1ms    Log    fine
    TRY
        Wait Until Keyword Succeeds    2x    1ms    Fail    never
    EXCEPT    *    type=GLOB
        Log    given up
    END

*** Keywords ***
Process Item
    [Arguments]    ${number}
    TRY
        IF    ${number} == 2    Fail    no such customer
        Release Input Work Item    DONE
    EXCEPT    no such*    type=GLOB
        Release Input Work Item    state=FAILED    exception_type=BUSINESS    message=ada-has-no-account
    END
    IF    ${number} == 3    Release Input Work Item    FAILED
"""

WORK_ITEMS = '''\
"""Stands in for RPA.Robocorp.WorkItems: three items, and what its keywords do to them as far as one sees."""

from robot.libraries.BuiltIn import BuiltIn


class EmptyQueue(Exception):
    ROBOT_SUPPRESS_NAME = False


class WorkItems:
    ROBOT_LIBRARY_SCOPE = "GLOBAL"

    def __init__(self):
        self.refill()
        self.failures = 0

    def refill(self):
        self.left = [1, 2, 3]

    def for_each_input_work_item(self, keyword):
        while self.left:
            BuiltIn().run_keyword(keyword, self.left.pop(0))

    def get_input_work_item(self):
        if not self.left:
            raise EmptyQueue("no item is left")
        return self.left.pop(0)

    def release_input_work_item(self, state, exception_type=None, code=None, message=None):
        pass

    def fail_twice(self):
        self.failures += 1
        if self.failures < 3:
            raise RuntimeError("not yet")
'''

DATA = '''\
class BusinessException(Exception):
    """The data was wrong."""


def check_invoice(number):
    raise BusinessException(f"invoice {number} has no supplier")
'''


def write_everything(folder: Path) -> Path:
    """A folder of nested suites that pass, fail, skip, tear down, try again and process work items."""
    robots = folder / "Röbots"
    robots.mkdir(parents=True)
    (robots / "__init__.robot").write_text(INIT, encoding="utf-8")
    (robots / "1__work.robot").write_text(WORK, encoding="utf-8")
    (robots / "2__teardown.robot").write_text(TEARDOWN_FAILS, encoding="utf-8")
    (robots / "3__plain.robot").write_text(PLAIN, encoding="utf-8")
    (robots / "4__items.robot").write_text(ITEMS, encoding="utf-8")
    (robots / "Data.py").write_text(DATA, encoding="utf-8")
    write_work_items(robots)
    return robots


def write_work_items(folder: Path) -> None:
    """A library of the name and with the keywords of RPA.Robocorp.WorkItems, which need not be installed."""
    place = folder / "RPA" / "Robocorp" / "WorkItems.py"
    place.parent.mkdir(parents=True)
    place.write_text(WORK_ITEMS, encoding="utf-8")


def command(*arguments: object, output_folder: Path) -> list[str]:
    quiet = ["--rpa", "--console", "quiet", "--log", "NONE", "--report", "NONE"]
    return [sys.executable, "-m", "robot", *quiet, "-d", str(output_folder), *map(str, arguments)]


def own_environment(**environment: str) -> dict[str, str]:
    """This process's environment with no settings of the agent but the given ones."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RPA_AGENT_")}
    return kept | environment


def run_robot(
    *arguments: object, output_folder: Path, **environment: str
) -> "subprocess.CompletedProcess[str]":
    """Runs `robot` as a process of its own and waits for it."""
    return subprocess.run(
        command(*arguments, output_folder=output_folder),
        env=own_environment(**environment),
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        timeout=120,
    )
