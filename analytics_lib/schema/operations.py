"""What running the product needs to remember: the register of workflows, the archive, the outbox."""

from sqlalchemy import Index, Table

from analytics_lib.schema.columns import count, flag, metadata, number, text, time

workflow = Table(
    "workflow",
    metadata,
    text("workflow_id", "what the robot automates", key=True),
    text("display_name", "what people call it; '' for its id"),
    text("workflow_group", "what it belongs to: a department, a product"),
    text("owner", "who is asked about it"),
    text("time_zone", "IANA zone of its working hours; '' for the default"),
    text("environment", "of its rows that name none; '' for production"),
    flag("attended", "a person starts it, so that no run is owed"),
    number("sla_duration_ms", "a run should take no longer", nullable=True),
    number("sla_success_rate", "at least this share should complete, 0 to 1", nullable=True),
    time("updated_at_us", "when it was set last"),
    comment="The register: what is known about workflows beside their rows. Unknown ones get defaults.",
)

workflow_alias = Table(
    "workflow_alias",
    metadata,
    text("alias", "another id in the rows", key=True),
    text("workflow_id", "the workflow that it stands for"),
    Index(None, "workflow_id"),
    comment="Other ids of workflows: a renamed workflow keeps its history.",
)

archive_manifest = Table(
    "archive_manifest",
    metadata,
    text("source", "execution, step or resource", key=True),
    time("day_us", "the UTC day", key=True),
    count("part", "0, then one more for each export of rows that came late", key=True),
    text("path", "the Parquet file, relative to the archive's folder"),
    count("n", "rows in it"),
    text("content_hash", "of its rows, in any order: what was read back and compared"),
    count("file_bytes", "its size"),
    time("archived_at_us", "when it was verified"),
    time("deleted_at_us", "when the raw rows were deleted", nullable=True),
    comment="Days in the archive: written only when the file was read back and found equal.",
)

outbox = Table(
    "outbox",
    metadata,
    text("report", "which report or insight", key=True),
    text("period", "the window, or the insight's id", key=True),
    text("recipient", "the mail address", key=True),
    text("state", "claimed, sent, failed, refused or unknown"),
    text("claimed_by", "the process that claimed it"),
    time("claimed_at_us", "when it was claimed, before the mail server was spoken to"),
    time("finished_at_us", "when the outcome was known", nullable=True),
    count("attempts", "how often it was tried"),
    text("message_id", "of the mail"),
    text("subject", "of the mail"),
    text("problem", "why it was not sent"),
    Index(None, "state"),
    comment="Mails, each claimed before it is sent: a second scheduler or a re-run sends none twice.",
)
