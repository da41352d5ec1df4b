"""Airflow as it runs for real, small and on loopback only: its components, and its REST API.

The settings are those of deploy/airflow/airflow.env with other paths and ports. The components are started
one by one, because `airflow standalone` also serves the logs on ports 8793 and 8794 to everybody.
"""

import json
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from processes import Processes

from analytics_lib.cli import dags_folder
from analytics_lib.errors import RpaAnalyticsError

SETTINGS: Final = Path(__file__).parents[1] / "deploy" / "airflow" / "airflow.env"
HOST: Final = "127.0.0.1"
USER: Final = "admin"  # Airflow's own default; it makes up a password at the first start
COMPONENTS: Final[dict[str, list[str]]] = {
    "api-server": ["api-server"],
    "scheduler": ["scheduler", "--skip-serve-logs"],
    "dag-processor": ["dag-processor"],
}
# No DAG needs it, but the home page shows in red that it is missing.
AFTERWARDS: Final[dict[str, list[str]]] = {"triggerer": ["triggerer", "--skip-serve-logs"]}
READY_WITHIN_S: Final = 300
REQUEST_TIMEOUT_S: Final = 20


class AirflowError(RpaAnalyticsError):
    """Airflow did not start, did not answer, or a run failed; the message says where to look."""


def airflow_settings(home: Path, port: int) -> dict[str, str]:
    """Environment variables: the deployed settings, with these paths and this port."""
    lines = SETTINGS.read_text(encoding="utf-8").splitlines()
    deployed = dict(line.split("=", 1) for line in lines if line.startswith("AIRFLOW__"))
    return deployed | {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags_folder()),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://{HOST}:{port}/execution/",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(password_file(home)),
        "AIRFLOW__API__HOST": HOST,
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": f"http://{HOST}:{port}",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
    }


def password_file(home: Path) -> Path:
    return home / "passwords.json"


def dag_names() -> set[str]:
    """Each file is one DAG of the same name; rpa_wiring.py is what they share."""
    return {path.stem for path in dags_folder().glob("*.py")} - {"rpa_wiring"}


def free_port(wanted: int) -> int:
    """The port if nothing listens on it, else some free one; 0 asks for any."""
    for port in (wanted, 0):
        with socket.socket() as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                tried.bind((HOST, port))
            except OSError:
                continue
            return int(tried.getsockname()[1])
    raise AirflowError(f"no port is free on {HOST}: end some program that listens")


class LivingAirflow:
    """The components among the processes, and what can be asked of them over the REST API."""

    def __init__(self, processes: Processes, home: Path, port: int) -> None:
        self.address = f"http://{HOST}:{port}"
        self._processes = processes
        self._home = home
        self._token = ""

    def start(self) -> Iterator[None]:
        """Yields until it is ready: the database is migrated, the scheduler runs, the DAGs are known."""
        began_s = time.monotonic()
        migration = self._processes.begin("airflow-db-migrate", ["-m", "airflow", "db", "migrate"])
        while migration.poll() is None:
            yield
        if migration.returncode:
            log = self._processes.log("airflow-db-migrate")
            raise AirflowError(f"Airflow's database could not be set up: see {log}")
        self._begin(COMPONENTS)
        while not self._is_ready():
            if time.monotonic() - began_s > READY_WITHIN_S:
                log = self._processes.log("airflow-…")
                raise AirflowError(f"Airflow is not ready after {READY_WITHIN_S} s: see {log}")
            yield
        if errors := self.ask("GET", "importErrors")["import_errors"]:
            raise AirflowError(f"a DAG file cannot be read:\n{errors[0]['stack_trace']}")
        self._begin(AFTERWARDS)

    def dags(self) -> dict[str, Any]:
        """The DAGs by name, as the API gives them."""
        return {dag["dag_id"]: dag for dag in self.ask("GET", "dags")["dags"]}

    def unpause(self, dag_id: str) -> None:
        self.ask("PATCH", f"dags/{dag_id}", {"is_paused": False})

    def trigger(self, dag_id: str, **conf: Any) -> str:
        """Starts a run by hand with these Params; gives its id."""
        run: dict[str, Any] = self.ask("POST", f"dags/{dag_id}/dagRuns", {"logical_date": None, "conf": conf})
        return str(run["dag_run_id"])

    def runs(self, dag_id: str) -> list[dict[str, Any]]:
        """The last runs, the newest first."""
        query = "order_by=-run_after&limit=100"
        runs: list[dict[str, Any]] = self.ask("GET", f"dags/{dag_id}/dagRuns?{query}")["dag_runs"]
        return runs

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """What the API answers. Raises AirflowError."""
        for renewed in (False, True):  # a token lasts for a day
            self._token = self._token or self._new_token()
            try:
                return self._request(method, f"/api/v2/{path}", body)
            except urllib.error.HTTPError as error:
                if error.code != 401 or renewed:
                    reason = error.read().decode(errors="replace")[:200]
                    raise AirflowError(f"Airflow refused {method} {path}: {error.code} {reason}") from None
                self._token = ""
            except (OSError, ValueError) as error:
                raise AirflowError(f"Airflow does not answer at {self.address}: {error}") from None
        raise AssertionError("unreachable")

    def _begin(self, components: dict[str, list[str]]) -> None:
        for name, arguments in components.items():
            self._processes.start(f"airflow-{name}", ["-m", "airflow", *arguments])

    def _new_token(self) -> str:
        try:
            password = json.loads(password_file(self._home).read_text(encoding="utf-8"))[USER]
            return str(
                self._request("POST", "/auth/token", {"username": USER, "password": password})["access_token"]
            )
        except (OSError, ValueError, KeyError) as error:
            raise AirflowError(f"Airflow lets nobody in yet ({error})") from None

    def _request(self, method: str, path: str, body: dict[str, Any] | None) -> Any:
        request = urllib.request.Request(  # noqa: S310  # the address is our own
            self.address + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"}
            | ({"Authorization": f"Bearer {self._token}"} if self._token else {}),
        )
        with urllib.request.urlopen(request, timeout=REQUEST_TIMEOUT_S) as answer:  # noqa: S310  # as above
            return json.load(answer)

    def _is_ready(self) -> bool:
        try:
            health = self.ask("GET", "monitor/health")
            alive = all(health[part]["status"] == "healthy" for part in ("scheduler", "dag_processor"))
            unread = dag_names() - self.dags().keys()
            return alive and (not unread or self.ask("GET", "importErrors")["total_entries"] > 0)
        except AirflowError:
            return False
