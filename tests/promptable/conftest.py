"""Makes the helpers of this folder importable by name, and keeps the user's own weights out of the tests."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def registry(tmp_path, monkeypatch):
    """An empty registry of weights."""
    folder = tmp_path / "weights"
    monkeypatch.setenv("DGSWEEP_WEIGHTS", str(folder))
    return folder
