"""Our importer beside robot.api.ExecutionResult on one large output.xml: MB/s and peak memory.

    python benchmarks/robot_import.py [--megabytes 50] [--runs 3]

Each measurement is a process of its own. ExecutionResult builds the whole model in memory and is what
one would use without us; `read` is our stream of records, `store` the same into a new SQLite store.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

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
<arg>${row}</arg>
<arg>\\d+;.+;\\d+\\.\\d\\d</arg>
<doc>Fails if ``string`` does not match ``pattern`` as a regular expression.</doc>
<status status="PASS" start="2025-03-13T00:21:34.750000" elapsed="0.000250"/>
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


def read(path: Path) -> int:
    from collector_agent.importers.robot_output import read_robot_output

    return sum(record.kind == "execution" for record in read_robot_output(path))


def store(path: Path) -> int:
    from collector_agent.importers.robot_output import run_import

    with tempfile.TemporaryDirectory() as folder:
        run_import([path], folder, say=lambda line: None)
    return 0


WAYS: dict[str, Callable[[Path], int]] = {
    "ExecutionResult": with_robot_framework,
    "read": read,
    "store": store,
}


def measure(way: str, path: Path) -> dict[str, float]:
    """Seconds and peak memory of one way, in a process of its own."""
    command = [sys.executable, __file__, "--way", way, str(path)]
    finished = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    measured: dict[str, float] = json.loads(finished.stdout)
    return measured


def _measure_here(way: str, path: Path) -> None:
    import resource

    started = time.perf_counter()
    tasks = WAYS[way](path)
    seconds = time.perf_counter() - started
    peak_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"seconds": seconds, "peak_mb": peak_kb / 1024, "tasks": tasks}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--megabytes", type=float, default=50.0)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--way", choices=list(WAYS), help=argparse.SUPPRESS)
    parser.add_argument("path", nargs="?", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.way:
        _measure_here(arguments.way, arguments.path)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "output.xml"
        write_output(path, arguments.megabytes)
        megabytes = path.stat().st_size / 1e6
        print(f"output.xml of {megabytes:.1f} MB, best of {arguments.runs} runs")
        best = {}
        for way in WAYS:
            runs = [measure(way, path) for _ in range(arguments.runs)]
            best[way] = min(runs, key=lambda run: run["seconds"])
            seconds, peak_mb = best[way]["seconds"], best[way]["peak_mb"]
            print(f"{way:>16}: {seconds:6.2f} s  {megabytes / seconds:6.1f} MB/s  peak {peak_mb:6.0f} MB")
        theirs, ours = best["ExecutionResult"], best["read"]
        print(
            f"read against ExecutionResult: {theirs['seconds'] / ours['seconds']:.2f} times as fast, "
            f"{theirs['peak_mb'] / ours['peak_mb']:.1f} times less memory"
        )


if __name__ == "__main__":
    main()
