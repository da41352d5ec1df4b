"""Our importer beside robot.api.ExecutionResult on one large output.xml: CPU time and peak memory.

    python benchmarks/robot_import.py [--megabytes 100] [--runs 2] [--like output.xml] [--ours-only]

Each measurement is a process of its own; what its imports cost is not counted. ExecutionResult builds the
whole model in memory and is what one would use without us; `expat` is the bare parser with a function that
does nothing for each element; `rows` is our stream of rows; `store` the whole import into a new SQLite
store. The file has the proportions of real ones, of whose bytes messages are 13 to 23 %, arguments and
documentation 10 to 18 %, and which have a step every 230 to 290 bytes; `--like` repeats a real file's tasks.
"""

import argparse
import json
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from xml.parsers import expat

TASK = """\
<test id="s1-t{n}" name="Process Invoice {n}" line="{n}">
<kw name="Open Invoice" owner="resource">
<kw name="Get File" owner="OperatingSystem">
<msg time="2025-03-13T00:21:34.742556" level="INFO">Getting file 'invoices/{n}.csv'.</msg>
<msg time="2025-03-13T00:21:34.742556" level="INFO">${{text}} = number;supplier;amount</msg>
<var>${{text}}</var>
<arg>invoices/{n}.csv</arg>
<arg>encoding=UTF-8</arg>
<doc>Returns the contents of a specified file.</doc>
<status status="PASS" start="2025-03-13T00:21:34.742556" elapsed="0.000999"/>
</kw>
<status status="PASS" start="2025-03-13T00:21:34.742000" elapsed="0.001999"/>
</kw>
<for flavor="IN">
{rows}<var>${{row}}</var>
<value>@{{rows}}</value>
<status status="PASS" start="2025-03-13T00:21:34.744000" elapsed="0.5"/>
</for>
<tag>invoice</tag>
<status status="PASS" start="2025-03-13T00:21:34.741000" elapsed="0.6"/>
</test>
"""
ROW = """\
<iter>
<kw name="Should Match Regexp" owner="BuiltIn">
<msg time="2025-03-13T00:21:34.750100" level="INFO">${number} = 4711</msg>
<var>${number}</var>
<arg>${row}</arg>
<arg>\\d+;.+;\\d+\\.\\d\\d</arg>
<doc>Fails if ``string`` does not match ``pattern`` as a regular expression.</doc>
<status status="PASS" start="2025-03-13T00:21:34.750000" elapsed="0.000250"/>
</kw>
<kw name="Post Invoice">
<kw name="POST On Session" owner="RequestsLibrary">
<msg time="2025-03-13T00:21:34.750700" level="INFO">POST Request : url=https://erp.example.org/invoices
 path_url=/invoices headers={'Accept': '*/*', 'Content-Type': 'application/json'} body={"number": 4711}</msg>
<arg>erp</arg>
<arg>/invoices</arg>
<status status="PASS" start="2025-03-13T00:21:34.750400" elapsed="0.000400"/>
</kw>
<status status="PASS" start="2025-03-13T00:21:34.750300" elapsed="0.000600"/>
</kw>
<if>
<branch type="IF" condition="$row == ''">
<kw name="Fail" owner="BuiltIn">
<arg>empty row</arg>
<doc>Fails the test with the given message and optionally alters its tags.</doc>
<status status="NOT RUN" start="2025-03-13T00:21:34.751000" elapsed="0.000000"/>
</kw>
<status status="NOT RUN" start="2025-03-13T00:21:34.751000" elapsed="0.000100"/>
</branch>
<status status="PASS" start="2025-03-13T00:21:34.751000" elapsed="0.000200"/>
</if>
<var name="${row}">4711;Ada;12.50</var>
<status status="PASS" start="2025-03-13T00:21:34.750000" elapsed="0.010000"/>
</iter>
"""


def repeat_output(source: Path, path: Path, megabytes: float) -> None:
    """The tasks of a real file, all in its outermost suite, again and again under other names."""
    text = source.read_text(encoding="utf-8")
    start, end = text.index("<test "), text.rindex("</test>") + 8
    tasks = re.sub(r"</?suite[^>]*>\n", "", text[start:end])
    tasks = re.sub(r"(</test>\n)<status[^>]*(?:/>|>[^<]*</status>)\n", r"\1", tasks)
    head = re.sub(r"(<suite[^>]*>\n).*", r"\1", text[:start], flags=re.DOTALL)
    with path.open("w", encoding="utf-8") as file:
        file.write(head)
        n = 0
        while file.tell() < megabytes * 1e6:
            n += 1
            file.write(
                re.sub(r'<test id="([^"]*)" name="([^"]*)"', rf'<test id="\1-{n}" name="\2 {n}"', tasks)
            )
        file.write("</suite>\n</robot>\n")


def write_output(path: Path, megabytes: float) -> None:
    """An output.xml of about that size, with the proportions of a real one."""
    rows = ROW * 10
    with path.open("w", encoding="utf-8") as file:
        file.write('<?xml version="1.0" encoding="UTF-8"?>\n<robot generator="Robot 7.5" rpa="true">\n')
        file.write('<suite id="s1" name="Invoices">\n')
        n = 0
        while file.tell() < megabytes * 1e6:
            n += 1
            file.write(TASK.format(n=n, rows=rows))
        file.write(
            '<status status="PASS" start="2025-03-13T00:21:34.740000" elapsed="1"/>\n</suite>\n</robot>\n'
        )


def with_robot_framework(path: Path) -> int:
    from robot.api import ExecutionResult

    return sum(1 for _ in ExecutionResult(str(path)).suite.all_tests)


def bare_expat(path: Path) -> int:
    parser = expat.ParserCreate()
    parser.StartElementHandler = lambda tag, attributes: None
    parser.EndElementHandler = lambda tag: None
    with path.open("rb") as file:
        parser.ParseFile(file)
    return 0


def rows(path: Path) -> int:
    from collector_agent.importers.robot_output import RobotOutput

    return sum(len(some) for some in RobotOutput(path).rows())


def store(path: Path) -> int:
    from collector_agent.importers.robot_output import run_import

    with tempfile.TemporaryDirectory() as folder:
        run_import([path], folder, say=lambda line: None)
    return 0


WAYS: dict[str, Callable[[Path], int]] = {
    "ExecutionResult": with_robot_framework,
    "expat": bare_expat,
    "rows": rows,
    "store": store,
}


def measure(way: str, path: Path) -> dict[str, float]:
    """Seconds and peak memory of one way, in a process of its own."""
    command = [sys.executable, __file__, "--way", way, str(path)]
    finished = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    measured: dict[str, float] = json.loads(finished.stdout)
    return measured


def _measure_here(way: str, path: Path) -> None:
    import robot.api  # noqa: F401  # what imports cost is the same for a small file

    import analytics_lib.store  # noqa: F401

    started = time.process_time()
    WAYS[way](path)
    seconds = time.process_time() - started
    peak_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"seconds": seconds, "peak_mb": peak_kb / 1024}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--megabytes", type=float, default=100.0)
    parser.add_argument("--runs", type=int, default=2)
    parser.add_argument("--like", type=Path, help="a real output.xml whose tasks are repeated")
    parser.add_argument("--folder", type=Path, help="for the file (default: a temporary one)")
    parser.add_argument("--ours-only", action="store_true", help="for files that others cannot hold")
    parser.add_argument("--way", choices=list(WAYS), help=argparse.SUPPRESS)
    parser.add_argument("path", nargs="?", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.way:
        _measure_here(arguments.way, arguments.path)
        return
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        path = Path(folder) / "output.xml"
        if arguments.like:
            repeat_output(arguments.like, path, arguments.megabytes)
        else:
            write_output(path, arguments.megabytes)
        megabytes = path.stat().st_size / 1e6
        print(f"output.xml of {megabytes:.1f} MB, CPU time, best of {arguments.runs} runs")
        ways = ["store"] if arguments.ours_only else list(WAYS)
        measured: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
        for _ in range(arguments.runs):  # by turns, so that a busy machine concerns all of them
            for way in ways:
                measured[way].append(measure(way, path))
        best = {way: min(runs, key=lambda run: run["seconds"]) for way, runs in measured.items()}
        for way, run in best.items():
            speed = megabytes / run["seconds"]
            print(f"{way:>16}: {run['seconds']:7.2f} s  {speed:6.1f} MB/s  peak {run['peak_mb']:6.0f} MB")
        if "ExecutionResult" in best:
            theirs, ours = best["ExecutionResult"], best["store"]
            speed, memory = theirs["seconds"] / ours["seconds"], theirs["peak_mb"] / ours["peak_mb"]
            print(f"store against ExecutionResult: {speed:.2f} times as fast, {memory:.1f} times less memory")


if __name__ == "__main__":
    main()
