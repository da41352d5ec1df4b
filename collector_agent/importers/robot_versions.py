"""Releases of workflows as suites name them in their metadata, found before output.xml is read: it has the
metadata of a suite behind all that ran in it."""

import re
from typing import BinaryIO, Final
from xml.sax.saxutils import unescape

from collector_agent.importers.robot_lean import pieces_of

_MARKS: Final = re.compile(
    rb'<suite[ >]|</suite>|<meta name="([^"]*)">([^<]*)</meta>|<item name="([^"]*)">([^<]*)</item>'
)


def suite_versions(file: BinaryIO, metadata_name: str) -> list[str]:
    """What the suites' metadata of that name say, in the order in which the suites start; none where none
    does. Leaves the file at its beginning."""
    versions: list[str] = []
    open_suites: list[int] = []
    wanted = normal_name(metadata_name)
    if wanted:
        for _, piece in pieces_of(file):
            for mark in _MARKS.finditer(piece):
                text = mark[0]
                if text.startswith(b"<suite"):
                    open_suites.append(len(versions))
                    versions.append("")
                elif text == b"</suite>":
                    del open_suites[-1:]
                elif open_suites and normal_name(_text(mark[1] or mark[3] or b"")) == wanted:
                    versions[open_suites[-1]] = _text(mark[2] or mark[4] or b"")
        file.seek(0)
    return versions if any(versions) else []


def normal_name(name: str) -> str:
    """Names of metadata are the same whatever their case, spaces and underscores."""
    return name.casefold().replace(" ", "").replace("_", "")


def _text(written: bytes) -> str:
    return unescape(written.decode(errors="replace"), {"&quot;": '"'})
