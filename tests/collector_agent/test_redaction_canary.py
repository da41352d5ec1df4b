"""Made-up secrets on every way in are found nowhere that we write; the full number: tests/faults."""

from pathlib import Path

import pytest

from tests.redaction_canary import found_in, planted
from tests.redaction_routes import ROUTES, Ways, logged_to


def told(route: str, folder: Path, monkeypatch: pytest.MonkeyPatch, count: int, seed: int) -> Ways:
    """The route, run with so many secrets of each kind."""
    place, source = folder / "place", folder / "source"
    (place / "state").mkdir(parents=True)
    source.mkdir()
    monkeypatch.setenv("RPA_AGENT_STATE", str(place / "state"))
    monkeypatch.setenv("RPA_AGENT_CONFIG", str(folder / "agent.toml"))
    spool = place / "spool 4"
    (folder / "agent.toml").write_text(
        f"store = '{place / 'store'}'\nattributes = ['*']\nspool_folder = '{spool}'\n"
    )
    ways = Ways(place, source, planted(count, seed))
    with logged_to(place):
        ROUTES[route](ways)
    return ways


@pytest.mark.parametrize("route", ROUTES)
def test_no_secret_is_written_anywhere(route: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ways = told(route, tmp_path, monkeypatch, 1, 1)
    assert any(b"<mail>" in path.read_bytes() for path in ways.place.rglob("*") if path.is_file())
    assert found_in([ways.place], ways.secrets) == []


@pytest.mark.parametrize("route", [name for name in ROUTES if name != "robot_framework"])
def test_control_without_masks_the_secrets_are_found(
    route: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Robot Framework runs in a process of its own; its output is imported in the other routes' way."""
    monkeypatch.setattr("collector_agent.redaction.cleaning._mask", lambda text, rules, *, is_name: text)
    ways = told(route, tmp_path, monkeypatch, 1, 2)  # others than before: names are remembered
    found = {kind for kind, _, _ in found_in([ways.place], ways.secrets)}
    assert len(found) >= len({secret.kind for secret in ways.secrets}) - 2
