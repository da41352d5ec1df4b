"""Every error that this project raises on purpose, in one place.

Each message says what happened, where (record, metric, window, file), and what to do next.
Command lines print the message alone and exit with the class's `exit_code`.
"""


class RpaAnalyticsError(Exception):
    """The base: catch this to catch everything that we raise on purpose."""

    exit_code = 1


class RecordError(RpaAnalyticsError, ValueError):
    """A record's value is not valid: unknown status, NaN, negative duration, text with NUL …"""

    exit_code = 2


class QueryError(RpaAnalyticsError, ValueError):
    """A question that cannot be asked: unknown metric, aggregation, dimension or window."""

    exit_code = 2


class SettingsError(RpaAnalyticsError, ValueError):
    """A setting is missing or not valid."""

    exit_code = 2


class StoreError(RpaAnalyticsError):
    """The store cannot be opened, read or written."""

    exit_code = 3


class SchemaVersionError(StoreError):
    """The database's schema and this program's do not fit together."""

    exit_code = 4


class ImportFileError(RpaAnalyticsError):
    """A file to import cannot be read: truncated, not XML, an unknown format."""

    exit_code = 5


class ReportError(RpaAnalyticsError):
    """A report cannot be rendered: a missing system library, a broken template, a chart that fails."""

    exit_code = 6


class RollupError(RpaAnalyticsError):
    """Rollup rows that cannot be computed from what is there; what was stored stays."""

    exit_code = 11


class ArchiveError(RpaAnalyticsError):
    """The archive cannot be written, or what it holds cannot be read back as it was written."""

    exit_code = 7


class ArchiveUnwritableError(ArchiveError):
    """The archive's folder takes no file: no permission, no room, no folder."""


class DeliveryError(RpaAnalyticsError):
    """A mail cannot be composed, saved or sent."""

    exit_code = 8
