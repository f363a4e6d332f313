"""The plugin of examples/ is what the README shows, and it keeps its word."""

import re
from pathlib import Path

import pytest
import yaml

from dgsweep.config.search_space import load_space
from dgsweep.method.conformance import check

ROOT = Path(__file__).parents[2]
PLUGIN = ROOT / "examples" / "plugin"
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["__init__.py", "method.py"])
def test_the_readme_shows_the_plugins_files_as_they_are(name: str) -> None:
    assert (PLUGIN / "dgsweep_polarity" / name).read_text(encoding="utf-8").rstrip() in README


def test_the_plugin_passes_conformance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(PLUGIN)
    from dgsweep_polarity import DECLARATION  # type: ignore[import-not-found]

    outcomes = {result.check: result.outcome for result in check(DECLARATION)}
    assert "failed" not in outcomes.values(), outcomes
    assert outcomes["identity equals ERM"] == outcomes["contrast inversion"] == "passed"
    assert set(load_space("polarity", [PLUGIN / "search_spaces"]).distributions) <= set(DECLARATION.hyperparameters)


def test_every_yaml_block_of_the_readme_is_yaml_with_the_keys_of_a_sweep_or_a_data_set() -> None:
    blocks = [yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)]
    assert len(blocks) == 3
    assert all("name" in block for block in blocks)
