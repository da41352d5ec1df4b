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

DATA = '''\
class BusinessException(Exception):
    """The data was wrong."""


def check_invoice(number):
    raise BusinessException(f"invoice {number} has no supplier")
'''


def write_everything(folder: Path) -> Path:
    """A folder of nested suites that pass, fail, skip and tear down."""
    robots = folder / "Röbots"
    robots.mkdir(parents=True)
    (robots / "__init__.robot").write_text(INIT, encoding="utf-8")
    (robots / "1__work.robot").write_text(WORK, encoding="utf-8")
    (robots / "2__teardown.robot").write_text(TEARDOWN_FAILS, encoding="utf-8")
    (robots / "3__plain.robot").write_text(PLAIN, encoding="utf-8")
    (robots / "Data.py").write_text(DATA, encoding="utf-8")
    return robots


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
