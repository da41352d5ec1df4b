"""Messages of results that `rebot --merge` put together: what the task said itself, and which attempt it was.

A merged output has a task that was run again once, with its last result, and tells of the earlier ones in
its message. Without that it is what the second run recorded, so that the two are one row.
"""

import html
import re
from typing import Final

_MERGED: Final = re.compile(
    r'\*HTML\* <span class="merge">(?:Test|Task) has been re-executed and results merged\.</span><hr>'
    r'<span class="new-status">New status:</span> <span class="\w+">[A-Z ]+</span><br>\n?'
    r'(?:<span class="new-message">New message:</span> (?P<message>.*?)<br>\n?)?'
    r'(?=<hr><span class="old-status">)',
    re.DOTALL,
)
_EARLIER: Final = '<span class="old-status">Old status:</span>'
_ADDED: Final = re.compile(r"\*HTML\* (?:Test|Task) added from merged output\.(?:<hr>|\Z)")
_NOT_TAKEN: Final = re.compile(
    r"\*HTML\* (?:Test|Task) has been re-executed and results merged\. Latter result had "
    r'<span class="\w+">SKIP</span> status and was ignored\. Message:\n'
)
_ORIGINAL: Final = "<hr>Original message:\n"
_LINK: Final = re.compile(r'<a href="[^"]*">([^<]*)</a>')
_MARK: Final = "*HTML* "


def own_message(message: str) -> tuple[str, int]:
    """(the message without what a merge wrote around it, how many attempts there were before)."""
    if not message.startswith(_MARK):
        return message, 0
    if merged := _MERGED.match(message):
        return _plain(merged["message"] or ""), message.count(_EARLIER, merged.end())
    if added := _ADDED.match(message):
        return _plain(message[added.end() :]), 0
    if _NOT_TAKEN.match(message):
        return _plain(message.partition(_ORIGINAL)[2]), 0
    return message, 0


def _plain(text: str) -> str:
    """The text that Robot Framework made HTML of; what was HTML before stays it."""
    return html.unescape(_LINK.sub(r"\1", text)) if "<" in text or "&" in text else text
