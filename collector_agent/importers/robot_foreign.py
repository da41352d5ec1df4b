"""Whose file it is that is none of Robot Framework's, where its first words show it."""

from collections.abc import Iterable
from typing import Final

_ROOTS: Final = {
    "testsuite": "a JUnit-style report; Robot Framework's --xunit writes one too",
    "testsuites": "a JUnit-style report; Robot Framework's --xunit writes one too",
    "test-run": "a report of NUnit 3",
    "test-results": "a report of NUnit 2",
    "assemblies": "a report of xUnit.net",
    "TestRun": "a TRX report of Visual Studio",
    "testng-results": "a report of TestNG",
    "coverage": "a coverage report",
    "html": "an HTML page, perhaps a log or report",
    "keywordspec": "documentation of keywords, by Libdoc",
    "svg": "a picture",
}
_JSON_KEYS: Final = (
    ("numTotalTests", "a report of Jest"),
    ("keywords", "documentation of keywords, by Libdoc"),
    ("@odata.context", "an export of UiPath's Orchestrator: rpa-agent import orchestrator takes it"),
    ("resultsSchemaVersion", "a report of Playwright"),
    ("log", "a HAR recording of a browser"),
)
_SHOWN_KEYS: Final = 3


def shown_tool(root: str) -> str:
    """' (a report of …)' for the root element of a well-known tool's XML, else ''.

    >>> shown_tool("test-run")
    ' (a report of NUnit 3)'
    """
    what = _ROOTS.get(root)
    return f" ({what})" if what else ""


def shown_keys(keys: Iterable[str]) -> str:
    """What an object of JSON looks like by its keys: a tool's name, or the first keys themselves.

    >>> shown_keys(["config", "suites"]), shown_keys(["numTotalTests"])
    (" (it begins with 'config', 'suites')", ' (a report of Jest)')
    """
    names = list(keys)
    for key, what in _JSON_KEYS:
        if key in names:
            return f" ({what})"
    shown = ", ".join(repr(name[:40]) for name in names[:_SHOWN_KEYS])
    return f" (it begins with {shown})" if shown else ""
