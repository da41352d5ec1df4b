"""Whose the files are: the account of the service, the robots' accounts, and nobody else."""

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from .errors import ArgumentsError, MachineError, NotInstalledError
from .places import Places
from .programs import call, last_lines

ACCOUNT: Final = "rpa-agent"  # and its group, on Linux
# Windows' built-in accounts by their numbers: their names are translated.
_SYSTEM, _ADMINISTRATORS, _USERS, _LOCAL_SERVICE = "*S-1-5-18", "*S-1-5-32-544", "*S-1-5-32-545", "*S-1-5-19"


def is_privileged() -> bool:
    """Whether this process may install for all accounts."""
    if sys.platform == "win32":
        import ctypes

        return bool(ctypes.windll.shell32.IsUserAnAdmin())
    return os.geteuid() == 0


def service_account(places: Places) -> str | None:
    """Whose the agent's process is going to be; None: of whoever installs, or one that Windows has."""
    return ACCOUNT if places.for_all and sys.platform != "win32" else None


def prepare(places: Places, robots: Sequence[str]) -> None:
    """Makes the service's account where it is missing, lets the robots' accounts share what they must."""
    if not places.for_all:
        if robots:
            raise ArgumentsError("--robot-account is for an installation of the machine, not for --user")
        return
    if sys.platform == "win32":
        return  # rights follow the folders: share
    import grp
    import pwd

    try:
        grp.getgrnam(ACCOUNT)
    except KeyError:
        _done(["groupadd", "--system", ACCOUNT])
    try:
        pwd.getpwnam(ACCOUNT)
    except KeyError:
        home: list[str | Path] = [
            "--home-dir",
            places.data,
            "--no-create-home",
            "--shell",
            "/usr/sbin/nologin",
        ]
        _done(["useradd", "--system", "--gid", ACCOUNT, *home, ACCOUNT])
    for robot in robots:
        _done(["usermod", "--append", "--groups", ACCOUNT, robot])


def check_python(places: Places) -> None:
    """Raises MachineError where the service's account may not run this Python."""
    advice = "install a Python for all users of this machine, and name it: python3.11 install.py …"
    if sys.platform == "win32":
        homes = Path(os.environ.get("PUBLIC", r"C:\Users\Public")).parent
        if places.for_all and homes in Path(sys.base_prefix).parents:
            raise MachineError(f"{sys.base_prefix} belongs to one account: {advice}")
        return
    account = service_account(places)
    if account and call([sys.executable, "-I", "-c", ""], account=account)[0] != 0:
        raise MachineError(f"the account {account} may not run {sys.executable}: {advice}")


def make_prefix(places: Places) -> None:
    """Makes the folder of the programs; nobody but administrators may change what runs as the service."""
    if places.prefix.exists():
        return
    places.prefix.mkdir(parents=True)
    if sys.platform == "win32" and places.for_all:
        own = [f"{_SYSTEM}:(OI)(CI)F", f"{_ADMINISTRATORS}:(OI)(CI)F", f"{_USERS}:(OI)(CI)RX"]
        _done(["icacls", places.prefix, "/inheritance:r", "/grant:r", *own])


def make_folders(places: Places, folders: Sequence[Path]) -> list[Path]:
    """Makes what is missing of the agent's folders; gives what it made. What is there keeps its rights."""
    made = [folder for folder in dict.fromkeys(folders) if not folder.exists()]
    for folder in made:
        folder.mkdir(parents=True)
        if not places.for_all:
            folder.chmod(0o700)
        elif sys.platform == "win32":
            own = [f"{_SYSTEM}:(OI)(CI)F", f"{_ADMINISTRATORS}:(OI)(CI)F", f"{_LOCAL_SERVICE}:(OI)(CI)M"]
            _done(["icacls", folder, "/inheritance:r", "/grant:r", *own, f"{_USERS}:(RX)"])
        else:
            shutil.chown(folder, ACCOUNT, ACCOUNT)
            # Robots in the group put sets of their own into the spool; its files follow the folder's group.
            folder.chmod(0o2770 if folder in (places.state, places.spool) else 0o750)
    return made


def share(places: Places, robots: Sequence[str]) -> None:
    """Lets the robots' accounts write to spool and state. On Linux the group has let them already."""
    if sys.platform == "win32":
        for folder in (places.state, places.spool):
            for robot in robots:
                _done(["icacls", folder, "/grant", f"{robot}:(OI)(CI)M"])


def protect_settings(places: Places, *, secret: bool) -> None:
    """With a password in it, only the agent reads it; without, robots of all accounts use it, too."""
    file = places.settings_file
    if sys.platform == "win32":
        if places.for_all:
            read = f"{_LOCAL_SERVICE}:R"
            everybody = [] if secret else [f"{_USERS}:R"]
            own = [f"{_SYSTEM}:F", f"{_ADMINISTRATORS}:F", read, *everybody]
            _done(["icacls", file, "/inheritance:r", "/grant:r", *own])
        return
    if places.for_all and secret:
        shutil.chown(file, ACCOUNT, ACCOUNT)
    file.chmod(0o644 if places.for_all and not secret else 0o600)


def _done(command: Sequence[str | Path]) -> None:
    code, said, complaint = call(command)
    if code != 0:
        shown = " ".join(str(word) for word in command)
        raise NotInstalledError(f"`{shown}` failed: {last_lines(complaint or said)}")
