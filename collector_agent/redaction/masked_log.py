"""The agent's own log without secrets: whatever a line is made of, it is masked before any handler sees it.

Long numbers are kept, for places in the spool and ids are made of them; where what others said goes into a
line, `clean_message` has been there before.
"""

import logging

from collector_agent.redaction.cleaning import mask_line


class Masked(logging.Filter):
    """Puts the masked text in the place of the record's text and arguments. Never raises."""

    def filter(self, record: logging.LogRecord) -> bool:
        try:
            text = record.getMessage()
        except Exception:  # noqa: BLE001  # arguments that do not fit: logging would print them as they are
            text = f"a line of {record.name} whose arguments do not fit it"
        masked = mask_line(text)
        if masked != text or record.args:
            record.msg, record.args = masked, ()
        return True


def mask_log(name: str) -> None:
    """From now on what is logged by this name is masked; called twice it is masked once."""
    logger = logging.getLogger(name)
    if not any(isinstance(known, Masked) for known in logger.filters):
        logger.addFilter(Masked())
