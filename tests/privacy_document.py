"""The list of fields in deploy/agent/privacy.md, made from the agent's own account of them.

python -m tests.privacy_document --write
"""

import re
import sys
from pathlib import Path

from collector_agent.redaction.fields import KINDS, field_notes
from tests.documentation import table

DOCUMENT = Path(__file__).parents[1] / "deploy" / "agent" / "privacy.md"
_BLOCK = re.compile(r"(<!-- fields -->\n)(.*?)(<!-- end of fields -->)", re.S)


def fields_table() -> str:
    kinds = "; ".join(f"`{kind}`: {words}" for kind, words in KINDS.items())
    rows = ((f"`{name}`", says, where, person) for name, where, says, person in field_notes())
    return (
        f"\nRows: {kinds}.\n\n"
        + table(("field", "what it says", "in which rows", "a person's?"), rows)
        + "\n"
    )


def generated(text: str) -> str:
    """The text with its list made anew."""
    return _BLOCK.sub(lambda found: found[1] + fields_table() + found[3], text)


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit(str(__doc__))
    DOCUMENT.write_text(generated(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
