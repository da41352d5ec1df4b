"""A plain Python robot that reports itself: expense claims from an inbox into a sealed archive.

    python examples/execution_loop.py --store FOLDER

Each claim is an execution with steps. Claims that break a rule fail as business exceptions; an archive
that is busy is an application exception, and such a claim is tried again as attempt 2.
"""

import argparse
import gzip
import hashlib
import json
import tempfile
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from analytics_lib import TimeSeriesStore
from collector_agent import BusinessException, MetricsCollector, ResourceCollector

WORKFLOW: Final = "expense-claims"
LIMIT_EUR: Final = Decimal(500)
MAX_ATTEMPTS: Final = 2
SEAL_ROUNDS: Final = 600_000
CLAIMS: Final[list[dict[str, Any]]] = [
    {"id": "C-101", "department": "travel", "receipts": ["182.40", "23.10", "64.00"]},
    {"id": "C-102", "department": "sales", "receipts": ["96.50"]},
    {"id": "C-103", "department": "sales", "receipts": ["412.00", "120.75"]},  # over the limit
    {"id": "C-104", "department": "service", "receipts": ["38.20", "17.90"]},
    {"id": "C-105", "department": "travel", "receipts": []},  # nothing to pay
    {"id": "C-106", "department": "service", "receipts": ["75.00", "75.00", "12.35"]},
    {"id": "C-107", "department": "travel", "receipts": ["310.00", "44.80"]},
    {"id": "C-108", "department": "sales", "receipts": ["58.60", "9.99", "140.00", "22.15"]},
]


class Archive:
    """A folder of sealed claims. Now and then somebody else has it open."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._was_busy_for: set[str] = set()

    def keep(self, name: str, content: bytes, seal: str) -> None:
        if name == "C-106" and name not in self._was_busy_for:
            self._was_busy_for.add(name)
            raise TimeoutError("the archive is busy")
        (self._folder / f"{name}.{seal[:12]}.json.gz").write_bytes(gzip.compress(content))


class ClaimRobot:
    """Works through claims, each an execution; samples taken meanwhile belong to it."""

    def __init__(self, archive: Archive, collector: MetricsCollector, resources: ResourceCollector) -> None:
        self._archive = archive
        self._collector = collector
        self._resources = resources

    def work_off(self, claim_file: Path) -> Decimal:
        """The amount that was archived. Tries again what the automation, not the claim, is to blame for."""
        name = claim_file.stem
        for attempt in range(1, MAX_ATTEMPTS + 1):
            try:
                total = self._process(claim_file, attempt)
            except BusinessException as error:
                print(f"{name}  refused   {error}")
                return Decimal(0)
            except TimeoutError as error:
                print(f"{name}  failed    {error} (attempt {attempt} of {MAX_ATTEMPTS})")
            else:
                print(f"{name}  archived  {total} EUR")
                return total
        return Decimal(0)

    def _process(self, claim_file: Path, attempt: int) -> Decimal:
        """What is raised in here marks step and run failed, and comes out untouched."""
        name = claim_file.stem
        with self._collector.execution(WORKFLOW, transaction_id=name, attempt=attempt) as run:
            self._resources.set_context(run.workflow_id, run.execution_id)
            with run.step("read claim"):
                content = claim_file.read_bytes()
                claim = json.loads(content)
                run.set_attribute("department", claim["department"])
            with run.step("check claim"):
                total = sum(map(Decimal, claim["receipts"]), Decimal(0))
                if not total:
                    raise BusinessException("a claim without receipts")
                if total > LIMIT_EUR:
                    raise BusinessException(f"{total} EUR is more than {LIMIT_EUR} EUR")
            with run.step("archive claim"):
                with run.step("seal"):
                    seal = hashlib.pbkdf2_hmac("sha256", content, name.encode(), SEAL_ROUNDS).hex()
                with run.step("store"):
                    self._archive.keep(name, content, seal)
        return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--store", required=True, metavar="FOLDER", help="where the rows go")
    store = TimeSeriesStore(parser.parse_args().store)
    began = datetime.now(UTC)
    words: dict[str, Any] = {"environment": "example", "robot_id": "claim-robot", "workflow_version": "1.2.0"}
    collector = MetricsCollector(store.write_metrics, queue="claims", **words)
    resources = ResourceCollector(store.write_metrics, sample_interval_sec=0.5, **words)

    @collector.execution("expense-summary")
    def write_summary(file: Path, totals: list[Decimal]) -> None:
        """Each call is an execution of its own."""
        file.write_text(f"{len(totals)} claims, {sum(totals)} EUR\n", encoding="utf-8")

    with tempfile.TemporaryDirectory() as name, store, collector, resources:
        folder = Path(name)
        for claim in CLAIMS:
            (folder / f"{claim['id']}.json").write_text(json.dumps(claim), encoding="utf-8")
        robot = ClaimRobot(Archive(folder), collector, resources)
        totals = [robot.work_off(claim_file) for claim_file in sorted(folder.glob("*.json"))]
        resources.clear_context()
        write_summary(folder / "summary.txt", totals)
    with store:
        found = store.query_range(began, datetime.now(UTC) + timedelta(seconds=1))
    rows = ", ".join(f"{len(records)} {source} rows" for source, records in found.items())
    print(f"stored in {store.location}: {rows}")


if __name__ == "__main__":
    main()
