"""A task's tags as attributes of its execution."""

from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from analytics_lib.records import ID_BYTES, NAME_BYTES
from collector_agent.redaction import clean_name, mask
from collector_agent.redaction.rules import Rules, rules_in_force

MAX_ATTRIBUTES: Final = 64  # that a record takes
_OF_ROBOT_FRAMEWORK: Final = "robot:"  # robot:skip and its like tell it what to do
_TAG: Final = "tag "


def attributes_of(tags: Iterable[str]) -> dict[str, str]:
    """`customer:acme` is the attribute `tag customer` with the value acme; `smoke` is `tag smoke`: "yes".

    >>> attributes_of(["smoke", "customer:acme", "robot:continue-on-failure"])
    {'tag customer': 'acme', 'tag smoke': 'yes'}
    """
    found: dict[str, str] = {}
    rules = rules_in_force()
    for tag in sorted(map(str, tags)):
        attribute = _attribute(tag, rules)
        if attribute is not None and (attribute[0] in found or len(found) < MAX_ATTRIBUTES):
            found[attribute[0]] = attribute[1]
    return found


@lru_cache(maxsize=1024)
def _attribute(tag: str, _rules: Rules) -> tuple[str, str] | None:
    """Of one tag under these rules: the tasks of a project share theirs."""
    text = mask(tag)  # as a whole: in two halves, password:hunter2 would look harmless
    if text.casefold().startswith(_OF_ROBOT_FRAMEWORK):
        return None
    name, _, value = text.partition(":")
    if name.strip() and value.strip():
        return clean_name(_TAG + name.strip(), ID_BYTES), clean_name(value, NAME_BYTES)
    return clean_name(_TAG + text.strip(), ID_BYTES), "yes"
