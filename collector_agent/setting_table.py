"""Everything that can be set: its name, default, check, and the line that documents it; stdlib only."""

from collections.abc import Callable
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from collector_agent.machine.locations import state_folder
from collector_agent.machine.own_names import host_name
from collector_agent.redaction.policy import ALLOWED_ATTRIBUTES, ATTENDED, PERSONS, Redaction
from collector_agent.redaction.rules import NATIONAL_IDS, Rules
from collector_agent.setting_checks import (
    bytes_from,
    folder,
    linear_patterns,
    list_of_text,
    location,
    one_of,
    patterns,
    seconds,
    some_of,
    text,
    whole_number,
    yes_or_no,
)

if TYPE_CHECKING:
    from collector_agent.spool.writer import SpoolLimits

VARIABLE_PREFIX: Final = "RPA_AGENT_"
SMALLEST_SPOOL_BYTES: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """Everything that can be set, valid. The store may hold a password, so it is not shown."""

    store: str = field(repr=False)
    environment: str = ""
    robot_id: str = ""
    host: str = field(default_factory=host_name)
    queue: str = ""
    workflow_version: str = ""
    version_metadata: str = "Version"
    recording_mode: str = ""
    spool_folder: str = ""
    spool_max_bytes: int = 1 << 30
    spool_when_full: str = "drop_oldest"
    buffer_size: int = 1000
    flush_interval_sec: float = 5.0
    heartbeat_interval_sec: float = 30.0
    sample_resources: bool = True
    sample_interval_sec: float = 1.0
    idle_interval_sec: float = 60.0
    max_workflows: int = 1000
    max_steps: int = 2000
    max_attribute_values: int = 1000
    step_depth: int = 20
    business_tags: tuple[str, ...] = ("business-exception",)
    business_exceptions: tuple[str, ...] = ("BusinessException",)
    business_patterns: tuple[str, ...] = ()
    uipath_logs: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ALLOWED_ATTRIBUTES
    secret_names: tuple[str, ...] = ()
    hidden_patterns: tuple[str, ...] = ()
    national_ids: tuple[str, ...] = NATIONAL_IDS
    mask_long_numbers: bool = True
    pseudonyms: tuple[str, ...] = PERSONS
    pseudonym_key_file: str = ""
    attended: tuple[str, ...] = ATTENDED
    attended_keeps: tuple[str, ...] = ()

    @property
    def is_durable(self) -> bool:
        """Whether a record is in the spool before `record_*` returns."""
        return self.recording_mode == "durable" or (not self.recording_mode and bool(self.spool_folder))

    @property
    def spool(self) -> Path:
        """The spool's folder: what is set, else one in the state folder. It need not exist yet."""
        return Path(self.spool_folder) if self.spool_folder else state_folder() / "spool"

    @property
    def spool_limits(self) -> "SpoolLimits":
        """How much the spool may hold, all processes together."""
        from collector_agent.spool.writer import SpoolLimits  # here: whoever records in memory needs none

        when_full: Any = self.spool_when_full  # one of the two, or it could not be set
        return SpoolLimits(max_bytes=self.spool_max_bytes, when_full=when_full)

    def redaction(self) -> Redaction:
        """What may be stored, with counts of its own. It puts its masks in force for the process."""
        return Redaction(
            attributes=self.attributes,
            secret_names=self.secret_names,
            pseudonyms=self.pseudonyms,
            key_file=Path(self.pseudonym_key_file) if self.pseudonym_key_file else None,
            attended=self.attended,
            attended_keeps=self.attended_keeps,
            rules=Rules(self.national_ids, self.hidden_patterns, self.mask_long_numbers),
        )


@dataclass(frozen=True, slots=True)
class Setting:
    """One line of the documentation, and how a value of it is checked."""

    name: str
    type: str
    description: str
    check: Callable[[object], Any] = field(repr=False)
    has_variable: bool = True

    @property
    def variable(self) -> str:
        """The environment variable; '' where there is none."""
        return VARIABLE_PREFIX + self.name.upper() if self.has_variable else ""

    @property
    def default(self) -> str:
        """As one would write it in the file; '' where there is none."""
        if self.name == "host":
            return "the machine's name"
        default = next(f.default for f in fields(AgentSettings) if f.name == self.name)
        if default is MISSING or default == "":
            return ""
        if isinstance(default, str):
            return f'"{default}"'
        if isinstance(default, tuple):
            return "[" + ", ".join(f'"{item}"' for item in default) + "]"
        return f"{default:g}" if isinstance(default, float) else str(default).lower()


SETTINGS: Final[tuple[Setting, ...]] = (
    Setting(
        "store",
        "text",
        "where rows go: a folder (SQLite inside; in the file, relative to the file) or "
        "`postgresql://user@host/database`; the only setting that must be there",
        location,
    ),
    Setting("environment", "text", "production, test …; carried by every row", text),
    Setting("robot_id", "text", "the name of the robot; carried by every row", text),
    Setting("host", "text", "the name of the machine; carried by every row", text),
    Setting("queue", "text", "the queue that the work comes from; carried by every row", text),
    Setting("workflow_version", "text", "the release of the workflows; carried by every row", text),
    Setting(
        "version_metadata",
        "text",
        "Robot Framework: the name of the suite metadata that says the release of its workflows; where there "
        "is none, workflow_version counts",
        text,
    ),
    Setting(
        "recording_mode",
        "word",
        "memory: rows wait in the robot's memory for the store; durable: each is in the spool before the "
        "robot goes on (default: durable where spool_folder is set, else memory)",
        one_of("memory", "durable"),
    ),
    Setting(
        "spool_folder",
        "folder",
        "where rows wait on disk for the store, the same for the daemon and its robots (in the file, "
        "relative to the file; default: the folder spool in the state folder)",
        folder,
    ),
    Setting(
        "spool_max_bytes",
        "whole number",
        "how much the spool may hold, all processes together",
        bytes_from(SMALLEST_SPOOL_BYTES),
    ),
    Setting(
        "spool_when_full",
        "word",
        "drop_oldest: the oldest rows make room for new ones; refuse_new: the oldest stay; both are counted",
        one_of("drop_oldest", "refuse_new"),
    ),
    Setting("buffer_size", "whole number", "rows that are written together at the latest", whole_number(1)),
    Setting(
        "flush_interval_sec",
        "number",
        "seconds between two writes to the store; in durable mode also between two times that the spool is "
        "made safe from a power cut",
        seconds,
    ),
    Setting("heartbeat_interval_sec", "number", "seconds between two signs of life", seconds),
    Setting("sample_resources", "true or false", "sample CPU, memory, disk, network and GPUs", yes_or_no),
    Setting(
        "sample_interval_sec",
        "number",
        "seconds between two samples while an execution runs (the daemon: any on this machine)",
        seconds,
    ),
    Setting("idle_interval_sec", "number", "seconds between two samples while no execution runs", seconds),
    Setting(
        "max_workflows",
        "whole number",
        "workflows that a process may name; further ones are recorded as `__overflow__` and counted",
        whole_number(1),
    ),
    Setting(
        "max_steps",
        "whole number",
        "steps that a workflow may have; further ones are recorded as `__overflow__` and counted",
        whole_number(1),
    ),
    Setting(
        "max_attribute_values",
        "whole number",
        "values that an attribute may take; further ones are recorded as `__overflow__` and counted",
        whole_number(1),
    ),
    Setting(
        "step_depth",
        "whole number",
        "how many levels of nested keywords or activities become steps; 0 for none",
        whole_number(0),
    ),
    Setting(
        "business_tags",
        "list of texts",
        "Robot Framework: a task with one of these tags fails for business reasons (variable: with commas)",
        list_of_text,
    ),
    Setting(
        "business_exceptions",
        "list of texts",
        "Robot Framework and UiPath: names of exceptions at the beginning of a message that mean the same "
        "(variable: with commas)",
        list_of_text,
    ),
    Setting(
        "business_patterns",
        "list of texts",
        "Robot Framework and UiPath: regular expressions on the message that mean the same",
        patterns,
        has_variable=False,
    ),
    Setting(
        "uipath_logs",
        "list of texts",
        "folders of UiPath's execution logs that the daemon follows, with * for any name "
        "(variable: with commas)",
        list_of_text,
    ),
    Setting(
        "attributes",
        "list of texts",
        "names of attributes that are stored, with * for any characters; all others are dropped and counted "
        "(variable: with commas)",
        list_of_text,
    ),
    Setting(
        "secret_names",
        "list of texts",
        "words that make an attribute's name secret, beside password, token, PIN, IBAN and their like in "
        "several languages: it is never stored, whatever attributes says (variable: with commas)",
        list_of_text,
    ),
    Setting(
        "hidden_patterns",
        "list of texts",
        "regular expressions: what they match is hidden in every text; each repetition needs an upper bound, "
        "`{1,20}` for `+`, so that none can take long",
        linear_patterns,
        has_variable=False,
    ),
    Setting(
        "national_ids",
        "list of texts",
        f"national numbers of persons that are masked, by shape and check digit: any of "
        f"{', '.join(NATIONAL_IDS)} (variable: with commas)",
        some_of(*NATIONAL_IDS),
    ),
    Setting(
        "mask_long_numbers",
        "true or false",
        "mask any number of nine digits or more in messages; false: only cards, accounts, telephone numbers "
        "and national_ids",
        yes_or_no,
    ),
    Setting(
        "pseudonyms",
        "list of texts",
        "what is replaced by a keyed pseudonym: robot_id, host, and names of attributes, with * for any "
        "characters (variable: with commas)",
        list_of_text,
    ),
    Setting(
        "pseudonym_key_file",
        "file",
        "the key of the pseudonyms, at 0600; the same on several machines gives the same pseudonyms (in the "
        "file, relative to the file; default: pseudonym.key in the state folder, made when it is needed; "
        "the variable RPA_AGENT_PSEUDONYM_KEY may hold the key itself)",
        folder,
    ),
    Setting(
        "attended",
        "list of texts",
        "environments whose runs are attended, with * for any characters: a person sits at the robot "
        "(variable: with commas)",
        list_of_text,
    ),
    Setting(
        "attended_keeps",
        "list of texts",
        "what is stored of that person, else nothing is: robot_id, host, names of attributes; as pseudonyms "
        "where pseudonyms names them (variable: with commas)",
        list_of_text,
    ),
)
