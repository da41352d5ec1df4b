"""Text made safe before it is first written: secrets and personal data masked, unstorable characters out.

What every text goes through is here; what may be stored at all, and of whom, says a `Redaction`
(policy.py). A mask is a net, not a proof: it knows the usual shapes (expressions.py, numbers.py,
national_ids.py). Standard library only: python-stdnum and phonenumbers know more countries, but whatever
masks has to run inside the robot's process, which loads nothing else.
"""

from collector_agent.redaction.cleaning import (
    KEPT_CHARACTERS,
    clean_id,
    clean_message,
    clean_name,
    is_name,
    mask,
    mask_id,
    mask_line,
    mask_name,
    text_of,
)
from collector_agent.redaction.masked_log import mask_log

mask_log("rpa_agent")

__all__ = [
    "KEPT_CHARACTERS",
    "clean_id",
    "clean_message",
    "clean_name",
    "is_name",
    "mask",
    "mask_id",
    "mask_line",
    "mask_name",
    "text_of",
]
