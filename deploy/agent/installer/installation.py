"""One installation, step by step: each leaves the machine as it was, or does what it says."""

import argparse
import contextlib
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from . import rights, settings_file, venvs
from .bundle import Bundle
from .command_line import SETTINGS, STORE_VARIABLE, asked
from .errors import ArgumentsError, InstallError, NotInstalledError, ServiceError
from .places import Places
from .proving import Answer, ask, check_version, wait_for_daemon
from .service import Service
from .switching import Switch, installed_in
from .venvs import Venv, venv_for

_ENDS_WITHIN_SEC: Final = 15.0
_RUNS_WITHIN_SEC: Final = 20.0


class Installation:
    """What is to be installed, where, and what was there before."""

    def __init__(
        self,
        arguments: argparse.Namespace,
        bundle: Bundle,
        places: Places,
        service: Service | None,
        say: Callable[[str], None],
    ) -> None:
        self._arguments = arguments
        self._bundle = bundle
        self._places = places
        self._service = service
        self._say = say
        self._before = installed_in(places)
        self._made: set[str] = set(self._before.made if self._before else ())

    def run(self) -> None:
        """Installs. Raises InstallError; after a ServiceError it is installed, else all is as it was."""
        if self._arguments.no_service and self._before and self._before.said.get("service"):
            raise ArgumentsError(
                "the agent is installed with a service: leave out --no-service, or uninstall it first"
            )
        settings = self._new_settings()
        rights.prepare(self._places, self._arguments.robot_account)
        rights.check_python(self._places)
        venv = venv_for(self._bundle, self._places.prefix)
        is_new = not venvs.is_usable(venv)
        try:
            if is_new:
                self._say(f"installing {self._bundle.version} into {venv.folder} …")
                rights.make_prefix(self._places)
                venvs.build(self._bundle, venv)
            self._lay_out(settings)
            self._prove_and_switch(venv)
        except ServiceError:
            raise
        except BaseException as error:
            if settings is not None:
                self._places.settings_file.unlink(missing_ok=True)
            if is_new:
                venvs.remove(venv)
            if self._before is None:
                for folder in sorted(self._made, reverse=True):  # the inner ones first
                    with contextlib.suppress(OSError):  # somebody uses it already
                        Path(folder).rmdir()
            if isinstance(error, NotInstalledError):
                raise NotInstalledError(f"{self._stays()}: {error}") from None
            raise
        self._remove_earlier(venv)

    def _new_settings(self) -> str | None:
        """The text of the settings file to write; None where there is one."""
        file, given = self._places.settings_file, self._arguments
        values = {name: getattr(given, name) for name in SETTINGS}
        if given.config and any(values.values()):
            raise ArgumentsError("give a settings file by --config or single settings, not both")
        if settings_file.has_password(values["store"]):
            raise ArgumentsError(
                "a password does not belong on the command line: give the store by the variable "
                f"{STORE_VARIABLE} or in a file by --config"
            )
        if file.exists():
            ignored = " (what the command line says of settings is not used)"
            self._say(
                f"settings: {file} stays as it is{ignored if given.config or any(values.values()) else ''}"
            )
            return None
        if given.config:
            return settings_file.read_given(given.config)
        values["store"] = values["store"] or os.environ.get(STORE_VARIABLE, "")
        if not values["store"] and not given.silent and sys.stdin is not None and sys.stdin.isatty():
            values = asked(values)
        if not values["store"]:
            raise ArgumentsError(
                f"no store is named: give --store, --config or the variable {STORE_VARIABLE}"
            )
        template = (self._bundle.folder / "agent.toml").read_text(encoding="utf-8")
        return settings_file.filled_in(template, {**values, "spool_folder": str(self._places.spool)})

    def _lay_out(self, settings: str | None) -> None:
        """Makes what is missing of the settings file and the folders."""
        file = self._places.settings_file
        if settings is not None:
            self._make_folders([self._places.data])  # the settings lie in it on Windows
            settings_file.write_new(file, settings)
            secret = settings_file.has_password(str(settings_file.settings_in(file).get("store", "")))
            rights.protect_settings(self._places, secret=secret)
            self._say(f"settings: {file} was written" + (" (with a password)" if secret else ""))
        said = settings_file.settings_in(file)
        spool = self._folder(said.get("spool_folder")) or self._places.state / "spool"
        self._places = replace(self._places, spool=spool)
        self._make_folders([self._places.data, self._places.state, spool, *self._outside()])
        rights.share(self._places, self._arguments.robot_account)

    def _make_folders(self, folders: Sequence[Path]) -> None:
        self._made |= {str(folder) for folder in rights.make_folders(self._places, folders)}

    def _outside(self) -> list[Path]:
        """Folders outside the agent's own that it writes to: a store in a folder, a spool elsewhere."""
        said = settings_file.settings_in(self._places.settings_file)
        named = [self._folder(said.get("store")), self._places.spool]
        return [folder for folder in named if folder and self._places.data not in folder.parents]

    def _folder(self, named: object) -> Path | None:
        """As the agent understands it: beside the settings file; None for a URL or nothing."""
        if not isinstance(named, str) or not named or "://" in named:
            return None
        return self._places.settings_file.parent / Path(named).expanduser()

    def _prove_and_switch(self, venv: Venv) -> None:
        check_version(venv, self._bundle.version, self._places)
        was = self._answer_before()
        now = self._answer_now(venv)
        if was is not None and (worse := now.worse_than(was)):
            found = "; ".join(f"{subject}: {text}" for subject, text in worse.items())
            raise NotInstalledError(f"what worked needs attention with {self._bundle.version}: {found}")
        ran = self._before is not None and wait_for_daemon(venv, self._places, runs=True, within_sec=0)
        switch = Switch(self._places, self._service)
        try:
            switch.to(venv, self._record(venv), self._outside())
            if switch.has_changed or self._arguments.no_start or not ran:
                self._start(venv)
        except (InstallError, OSError) as error:
            if self._before is None and isinstance(error, ServiceError):
                raise
            switch.back()
            if ran and self._service is not None:
                self._service.start()
            raise NotInstalledError(str(error)) from None
        self._report(now)

    def _answer_before(self) -> Answer | None:
        """What the installed version says of itself; None where there is none, or none that works."""
        try:
            return ask(self._before.venv, self._places) if self._before else None
        except InstallError:
            return None

    def _answer_now(self, venv: Venv) -> Answer:
        try:
            return ask(venv, self._places)
        except ArgumentsError as error:
            if self._before is None:
                raise
            raise NotInstalledError(f"{self._bundle.version} says: {error}") from None

    def _stays(self) -> str:
        return f"{self._before.version} stays" if self._before else "nothing was installed"

    def _start(self, venv: Venv) -> None:
        """The service with that version; one that runs is ended first."""
        if self._service is None:
            return
        self._service.stop()
        wait_for_daemon(venv, self._places, runs=False, within_sec=_ENDS_WITHIN_SEC)
        if self._arguments.no_start:
            return
        self._service.start()
        if not wait_for_daemon(venv, self._places, runs=True, within_sec=_RUNS_WITHIN_SEC):
            raise ServiceError(
                f"the service was started and does not run; `{self._service.log_command()}` may say why"
            )

    def _record(self, venv: Venv) -> dict[str, Any]:
        """By which `rpa-agent uninstall` knows what to remove."""
        places = self._places
        return {
            "format": 1,
            "version": self._bundle.version,
            "bundle": self._bundle.digest,
            "venv": str(venv.folder),
            "for_all": places.for_all,
            "settings_file": str(places.settings_file),
            "state": str(places.state),
            "spool": str(places.spool),
            "commands": [str(path) for path in (places.command, places.on_path) if path],
            "service": dict(self._service.said()) if self._service else None,
            "made": sorted(self._made),
        }

    def _report(self, now: Answer) -> None:
        places, version = self._places, self._bundle.version
        if self._before is None:
            self._say(f"installed: rpa-agent {version}")
        elif self._before.bundle == self._bundle.digest:
            self._say(f"installed already: rpa-agent {version}")
        else:
            self._say(f"upgraded: rpa-agent {self._before.version} to {version}")
        self._say(f"command:  {places.on_path or places.command}")
        self._say(f"state:    {places.state}\nspool:    {places.spool}")
        if self._service is None:
            self._say(f"service:  none; start the agent by `{places.command} run`")
        else:
            name = self._service.said()["name"]
            self._say(f"service:  {name} {'starts with the machine' if self._arguments.no_start else 'runs'}")
        for subject, text in now.attention.items():
            self._say(f"needs attention: {subject}: {text}")

    def _remove_earlier(self, venv: Venv) -> None:
        earlier = venvs.others(self._places.prefix, venv)
        if earlier and self._service is None and wait_for_daemon(venv, self._places, runs=True, within_sec=0):
            self._say("the agent that runs is the earlier version, which stays: start it anew")
            return
        for old in earlier:
            gone = venvs.remove(old)
            self._say(f"{old.folder}: {'removed' if gone else 'is in use; the next installation removes it'}")
