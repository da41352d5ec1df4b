"""Why an installation did not happen; each kind is an exit code that README.md explains."""


class InstallError(Exception):
    """The base. The message says what happened, what became of the machine, and what to do."""

    exit_code = 5


class ArgumentsError(InstallError):
    """Something is missing on the command line, contradicts itself, or a setting is not valid."""

    exit_code = 2


class MachineError(InstallError):
    """This machine or its Python is not one that this bundle is for."""

    exit_code = 3


class BundleDamagedError(InstallError):
    """A file of the bundle is missing, changed or does not belong to it."""

    exit_code = 4


class NotInstalledError(InstallError):
    """The new version does not work here; what was there before is there again."""

    exit_code = 5


class ServiceError(InstallError):
    """The agent is installed, and its service does not run."""

    exit_code = 6
