"""What only the running Robot Framework knows of a run; everything here has an answer on any version."""

from typing import Any, Final

from collector_agent.redaction import clean_name

_PABOT: Final = {"pabot_pool": "${PABOTEXECUTIONPOOLID}", "pabot_queue_index": "${PABOTQUEUEINDEX}"}
_RERUN: Final = ("ReRunFailed", "ReRunFailedSuites")


def is_dry_run() -> bool:
    """Whether nothing is really run. Before 6.1 Robot Framework does not say; a dry run is then recorded."""
    return bool(getattr(_builtin(), "dry_run_active", False))


def attempt() -> int:
    """2 where tasks are run again because they failed, else 1.

    A second re-run of the same is not told from the first: its output, merged with the others, is.
    """
    try:
        from robot.running.context import EXECUTION_CONTEXTS  # here: only the robot's process has it

        settings = EXECUTION_CONTEXTS.current.output._settings
        return 2 if any(settings._opts.get(option) for option in _RERUN) else 1
    except Exception:  # noqa: BLE001  # not its public interface: another version may have none of it
        return 1


def pabot_attributes() -> dict[str, str]:
    """Which of pabot's parallel processes this is; nothing without pabot."""
    found: dict[str, str] = {}
    for name, variable in _PABOT.items():
        try:
            value = _builtin().get_variable_value(variable)
        except Exception:  # noqa: BLE001  # no robot runs, or a listener was put to work outside of one
            return found
        if value not in (None, ""):
            found[name] = clean_name(value, 100)
    return found


def _builtin() -> Any:
    from robot.libraries.BuiltIn import BuiltIn  # the robot has loaded it already

    return BuiltIn()
