"""Fifty made-up secrets of each kind on every way in: no byte of them is written anywhere."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.collector_agent.test_redaction_canary import told
from tests.redaction_canary import KINDS, found_in
from tests.redaction_routes import ROUTES

EACH = 50


@pytest.mark.full_faults
@pytest.mark.parametrize("route", ROUTES)
def test_fifty_secrets_of_each_kind_are_written_nowhere(
    route: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
) -> None:
    ways = told(route, tmp_path, monkeypatch, EACH, seed=3)
    found = found_in([ways.place], ways.secrets)
    files = [path for path in ways.place.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    record_property(
        "ran",
        f"{EACH} secrets of each of {len(KINDS)} kinds by {route.replace('_', ' ')}: {len(found)} found in "
        f"{size / 1e6:.1f} MB of {len(files)} files",
    )
    assert found == []
