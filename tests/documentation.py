"""The tables of README.md, generated from the source, and the check that what is written is so.

python -m tests.documentation --check | --write
"""

import argparse
import ast
import importlib
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
DOCUMENTS = (
    "README.md",
    "CHANGELOG.md",
    "examples/README.md",
    "deploy/airflow/README.md",
    "deploy/agent/README.md",
    "deploy/agent/windows.md",
    "deploy/agent/privacy.md",
)
BLOCK = re.compile(r"(<!-- generated: (\w+) -->\n)(.*?)(<!-- end of generated -->)", re.S)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines) + "\n"


def _cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("|", "\\|").strip()


def schema() -> str:
    """One table of the database's tables, and one of columns for each."""
    from analytics_lib.schema import metadata

    parts = [table(("table", "what it holds"), ((f"`{t.name}`", str(t.comment)) for t in _tables(metadata)))]
    for t in _tables(metadata):
        rows = (
            (f"`{c.name}`" + (" 🔑" if c.primary_key else ""), str(c.type).lower(), str(c.comment))
            for c in t.columns
        )
        columns = table(("column", "type", "what it says"), rows)
        summary = f"<summary><code>{t.name}</code>: {len(t.columns)} columns</summary>"
        parts.append(f"<details>{summary}\n\n{columns}\n</details>\n")
    return "\n".join(parts)


def _tables(metadata: Any) -> list[Any]:
    return list(metadata.tables.values())


def metrics() -> str:
    """What `TimeSeriesStore.aggregate` can be asked."""
    from analytics_lib import catalog

    rows = ((f"`{m.name}`", m.source, m.unit, m.description) for m in catalog.METRICS.values())
    asked = table(("metric", "of", "unit", "what it says"), rows)
    groups = table(
        ("of", "`group_by` takes any of"),
        ((source, ", ".join(f"`{n}`" for n in names)) for source, names in catalog.DIMENSIONS.items()),
    )
    return f"{asked}\n{groups}"


def commands() -> str:
    """Every command and option of both command lines."""
    parts = []
    for module in ("analytics_lib.cli", "collector_agent.cli"):
        parser = importlib.import_module(module).build_parser()
        rows = (
            (f"`{' '.join(path)}`", what, "<br>".join(options)) for path, what, options in _leaves(parser, ())
        )
        parts.append(table(("command", "what it does", "arguments"), rows))
    return "\n".join(parts)


def _leaves(
    parser: argparse.ArgumentParser, path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], str, list[str]]]:
    path = path or (parser.prog,)
    groups = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    for group in groups:
        for name, child in group.choices.items():
            yield from _leaves(child, (*path, name))
    if not groups:
        options = [
            f"`{_usage(action)}` {action.help or ''}"
            for action in parser._actions
            if not isinstance(action, argparse._HelpAction)
        ]
        yield path, str(parser.description or ""), options


def _usage(action: argparse.Action) -> str:
    words = [action.option_strings[-1]] if action.option_strings else []
    if action.nargs != 0:
        name = str(action.metavar or action.dest.upper())
        words.append(name + ("…" if action.nargs in ("+", "*") else ""))
    return " ".join(words)


def settings() -> str:
    """The agent's settings."""
    from collector_agent.settings import SETTINGS

    rows = (
        (f"`{s.name}`", f"`{s.variable}`" if s.variable else "", str(s.default), s.description)
        for s in SETTINGS
    )
    return table(("key", "environment variable", "default", "what it does"), rows)


def dags() -> str:
    """The DAGs, read from their files without Airflow."""
    rows = []
    for path in sorted((ROOT / "dags").glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        decorators = [
            decorator
            for node in tree.body
            if isinstance(node, ast.FunctionDef)
            for decorator in node.decorator_list
            if isinstance(decorator, ast.Call) and getattr(decorator.func, "id", "") == "dag"
        ]
        for decorator in decorators:
            given = {keyword.arg: keyword.value for keyword in decorator.keywords}
            params = given.get("params")
            names = (
                [ast.literal_eval(key) for key in params.keys if key] if isinstance(params, ast.Dict) else []
            )
            purpose = (ast.get_docstring(tree) or "").split("\n\n")[0]
            schedule = _schedule(given["schedule"], tree)
            rows.append((f"`{path.stem}`", purpose, schedule, ", ".join(f"`{name}`" for name in names)))
    return table(("DAG", "what it does", "schedule", "params"), iter(rows))


def _schedule(given: ast.expr, tree: ast.Module) -> str:
    """A cron expression as it is, a timetable's with its zone, assets by the names of their variables.

    A timetable that takes its clock from the settings is told as it is without any.
    """
    constants = {
        target.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    if isinstance(given, ast.Name):
        given = constants.get(given.id, given)
    if isinstance(given, ast.Call) and isinstance(given.args[0], ast.Name):
        from analytics_lib.delivery_settings import DeliverySettings

        return f"every day at {DeliverySettings().at:%H:%M}, or when the settings of delivery say"
    if isinstance(given, ast.Call):
        zone = next((ast.unparse(k.value) for k in given.keywords if k.arg == "timezone"), "UTC")
        return f"{_schedule(given.args[0], tree)} in the time zone `{zone}`"
    if isinstance(given, ast.List):
        return "after " + ", ".join(f"`{ast.unparse(asset)}`" for asset in given.elts)
    return f"`{given.value}`" if isinstance(given, ast.Constant) else f"`{ast.unparse(given)}`"


GENERATORS: dict[str, Callable[[], str]] = {
    "schema": schema,
    "metrics": metrics,
    "commands": commands,
    "settings": settings,
    "dags": dags,
}


def generated(text: str) -> str:
    """The text with every generated block made anew."""
    return BLOCK.sub(lambda found: found[1] + "\n" + GENERATORS[found[2]]() + "\n" + found[4], text)


def problems() -> Iterator[str]:
    """What is not as the documents say."""
    text = README.read_text(encoding="utf-8")
    missing = set(GENERATORS) - {found[2] for found in BLOCK.finditer(text)}
    for name in sorted(missing):
        yield f"README.md has no block '<!-- generated: {name} -->'"
    if generated(text) != text:
        yield "README.md: its generated tables are out of date: run `make readme`"
    for name in DOCUMENTS:
        path = ROOT / name
        if not path.is_file():
            yield f"{name} is missing"
            continue
        document = path.read_text(encoding="utf-8")
        for link in LINK.findall(document):
            target = link.split("#")[0]
            is_local = target and "://" not in target
            if is_local and not (path.parent / target).exists():
                yield f"{name} links to {target}, which does not exist"
        for number, code in enumerate(re.findall(r"```python\n(.*?)```", document, re.S), 1):
            try:
                ast.parse(code)
            except SyntaxError as error:
                yield f"{name}: Python example {number} does not parse: {error}"
        for target in re.findall(r"`make (\w+)`", document):
            if not re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M):
                yield f"{name} speaks of `make {target}`, which the Makefile does not know"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--check", action="store_true", help="say what is out of date")
    what.add_argument("--write", action="store_true", help="write the generated tables into README.md")
    if parser.parse_args().write:
        README.write_text(generated(README.read_text(encoding="utf-8")), encoding="utf-8")
        return 0
    found = list(problems())
    for problem in found:
        print(problem, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
