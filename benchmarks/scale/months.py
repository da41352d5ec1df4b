"""A month of step rollups back-filled, beside the same answer by SQL, pandas and DuckDB; and the memory."""

import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path

from analytics_lib.windows import from_us
from scale.children import Answer, medians, run
from scale.stores import Server, mark_steps


def on_sqlite(location: str, path: str, since_us: int, until_us: int, rounds: int, folder: Path) -> None:
    parquet = str(folder / "steps.parquet")
    wrote = run("contestants.write_parquet", path=path, parquet=parquet, since_us=since_us, until_us=until_us)
    period = {"since_us": since_us, "until_us": until_us}
    contestants: dict[str, Callable[[], Answer]] = {
        "back-fill": lambda: _ours(location, since_us, until_us),
        "SQL window functions": lambda: run("contestants.sqlite_windows", path=path, **period),
        "pandas read_sql + groupby.quantile": lambda: run(
            "contestants.pandas_quantiles", location=path, **period
        ),
    }
    python = python_with_duckdb(folder)
    if python:
        contestants["DuckDB over Parquet"] = lambda: run(
            "contestants.duckdb_quantiles", python=python, parquet=parquet
        )
    found = medians(rounds, contestants)
    show("SQLite", found, rounds)
    print(f"  (the Parquet file took {wrote['seconds']:.1f} s to write, {wrote['bytes'] / 1e6:.0f} MB)")


def on_postgres(server: Server, location: str, since_us: int, until_us: int, rounds: int) -> None:
    period = {"since_us": since_us, "until_us": until_us}
    found = medians(
        rounds,
        {
            "back-fill": lambda: _ours(location, since_us, until_us, server),
            "percentile_cont": lambda: server.counted(
                lambda: run("contestants.postgres_percentiles", location=location, **period)
            ),
            "pandas read_sql + groupby.quantile": lambda: server.counted(
                lambda: run("contestants.pandas_quantiles", location=location, **period)
            ),
        },
    )
    show("Postgres", found, rounds)


def peak_memory(location: str, until_us: int, day_us: int) -> None:
    """Of back-filling one month and twelve of the same store."""
    peaks = []
    for days in (30, 360):
        mark_steps(location, until_us - days * day_us, until_us, forget=True)
        answer = run("contestants.ours", location=location, as_of=from_us(until_us).isoformat())
        peaks.append(answer["rss_mib"])
        print(
            f"  {days} days: {answer['rows']:,.0f} rows, peak {answer['rss_mib']:.0f} MiB, "
            f"{answer['seconds']:.1f} s"
        )
    print(f"  twelve months take {peaks[1] / peaks[0]:.2f} times the memory of one (goal: 300 MB, the same)")


def _ours(location: str, since_us: int, until_us: int, server: Server | None = None) -> Answer:
    mark_steps(location, since_us, until_us, forget=True)

    def work() -> Answer:
        return run("contestants.ours", location=location, as_of=from_us(until_us).isoformat())

    return server.counted(work) if server else work()


def show(database: str, found: dict[str, Answer], rounds: int) -> None:
    mine = found["back-fill"]
    print(
        f"{database}: {mine['rows']:,.0f} step rows into {mine['groups']:,.0f} hourly rows, "
        f"median of {rounds}: hours {mine['hours_s']:.2f} s, with daily rows {mine['seconds']:.2f} s "
        f"({_cpu(mine)}), peak {mine['rss_mib']:.0f} MiB"
    )
    for name, answer in found.items():
        if name != "back-fill":
            print(
                f"  {name}: {answer['seconds']:.2f} s ({_cpu(answer)}), peak "
                f"{answer['rss_mib']:.0f} MiB, {answer['groups']:,.0f} groups; ratio "
                f"{answer['seconds'] / mine['hours_s']:.2f} of the hours, "
                f"{answer['seconds'] / mine['seconds']:.2f} of all"
            )


def _cpu(answer: Answer) -> str:
    server = f" and {answer['server_cpu']:.2f} of the server" if "server_cpu" in answer else ""
    return f"CPU {answer['cpu']:.2f} s{server}"


def python_with_duckdb(folder: Path) -> str:
    """An interpreter that has DuckDB: this one, or one of an environment made for it; '' for none."""
    if _has_duckdb(sys.executable):
        return sys.executable
    target = folder / "duckdb-environment"
    python = str(target / "bin" / "python")
    try:
        venv.create(target, with_pip=True)
        subprocess.run(
            [python, "-m", "pip", "install", "-q", "duckdb"], check=True, capture_output=True, timeout=180
        )
    except (subprocess.SubprocessError, OSError) as error:
        print(f"  without DuckDB: it could not be installed ({type(error).__name__})")
        return ""
    return python


def _has_duckdb(python: str) -> bool:
    return not subprocess.run([python, "-c", "import duckdb"], capture_output=True, check=False).returncode
