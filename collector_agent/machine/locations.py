"""Where the agent's files lie on each platform; standard library only."""

import os
import re
import sys
from pathlib import Path
from typing import Final

from collector_agent.machine.own_names import host_name

CONFIG_VARIABLE: Final = "RPA_AGENT_CONFIG"
STATE_VARIABLE: Final = "RPA_AGENT_STATE"
KEY_VARIABLE: Final = "RPA_AGENT_PSEUDONYM_KEY"  # see redaction/pseudonyms.py
FILE_NAME: Final = "agent.toml"
_FOLDER_NAME: Final = "rpa-agent"


def default_settings_file() -> Path:
    """The person's own file if it exists, else the machine's if that exists, else where the own one goes."""
    home = _home()
    if sys.platform == "win32":
        own = _folder_of("APPDATA", home / "AppData" / "Roaming")
        shared = _folder_of("PROGRAMDATA", Path("C:/ProgramData"))
    elif sys.platform == "darwin":
        own, shared = home / "Library" / "Application Support", Path("/Library/Application Support")
    else:
        own, shared = _folder_of("XDG_CONFIG_HOME", home / ".config"), Path("/etc")
    own_file, shared_file = (folder / _FOLDER_NAME / FILE_NAME for folder in (own, shared))
    is_there, has_own = _may_be_there(shared_file, unseen=True), _may_be_there(own_file, unseen=False)
    return shared_file if is_there and not has_own else own_file


def _may_be_there(file: Path, *, unseen: bool) -> bool:
    """`unseen`: the answer where the folder may not be looked into."""
    try:
        return file.is_file()
    except OSError:
        return unseen


def state_folder() -> Path:
    """Where the agent keeps its lock and its problem reports: RPA_AGENT_STATE, else a folder per person.

    It need not exist yet. To let a daemon and robots of other accounts see each other, set the
    variable to one folder for all of them.
    """
    if os.environ.get(STATE_VARIABLE):
        return expanded(Path(os.environ[STATE_VARIABLE])).absolute()
    home = _home()
    if sys.platform == "win32":
        return _folder_of("LOCALAPPDATA", home / "AppData" / "Local") / _FOLDER_NAME
    if sys.platform == "darwin":
        return home / "Library" / "Application Support" / _FOLDER_NAME / "state"
    return _folder_of("XDG_STATE_HOME", home / ".local" / "state") / _FOLDER_NAME


def host_in_file_names() -> str:
    """This machine's name, fit for a file's: a home folder may be shared by several machines."""
    return re.sub(r"[^\w.-]", "_", host_name())[:100]


def expanded(path: Path) -> Path:
    """With the home folder for its ~; as it is written where nobody has such a home."""
    try:
        return path.expanduser()
    except RuntimeError:
        return path


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError:  # an account without a home folder: services, containers
        import tempfile  # here: it loads a lot for a case so rare

        return Path(tempfile.gettempdir())


def _folder_of(variable: str, otherwise: Path) -> Path:
    given = Path(os.environ.get(variable, ""))
    return given if given.is_absolute() else otherwise
