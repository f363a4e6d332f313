"""Installs the methods of training_plugins as a stranger's distribution, in this process and in those it starts."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from dgsweep.method.catalog import method_declarations

PLUGINS = ("adapting", "nan_at", "oracle", "scaling", "spy", "two_views", "zeroing")


@pytest.fixture(scope="module", autouse=True)
def installed_plugins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("site")
    info = folder / "training_plugins-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: training-plugins\nVersion: 1.0\n")
    lines = [f"{name} = training_plugins:{name.upper()}" for name in PLUGINS]
    (info / "entry_points.txt").write_text("\n".join(["[dgsweep.methods]", *lines, ""]))
    patch = pytest.MonkeyPatch()
    patch.syspath_prepend(str(folder))
    places = [str(folder), str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    patch.setenv("PYTHONPATH", os.pathsep.join(place for place in places if place))
    method_declarations.cache_clear()
    yield
    patch.undo()
    method_declarations.cache_clear()
