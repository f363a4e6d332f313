"""Methods are found through entry points: a stranger's like our own, and a broken one is named."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dgsweep.config.schema import SweepConfig
from dgsweep.errors import MethodError
from dgsweep.method.card import read_card
from dgsweep.method.catalog import method_declaration, method_declarations, network_declaration, network_declarations
from dgsweep.method.conformance import check
from dgsweep.plan.build import build_plan
from dgsweep.plan.case import CaseInfo

STRANGER = """
from dataclasses import dataclass
from dgsweep.method.base import Method, View
from dgsweep.method import Hyperparameter, MethodDeclaration

DECLARATION = MethodDeclaration(
    name="stranger", recipe_version=3, summary="Adds a constant.", implementation="stranger_plugin:Stranger",
    hyperparameters={"size": Hyperparameter(default=0.5, low=0.0, high=1.0)}, identity={"size": 0.0},
)

@dataclass(kw_only=True)
class Stranger(Method):
    size: float

    def views(self, ctx, batch):
        ctx.mark_active()
        return [View(image=batch.image + self.size, label=batch.label)]
"""

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Writes a distribution as an installer would leave it; it is gone after the test."""

    def write(name: str, entry: str, source: str = STRANGER) -> None:
        (tmp_path / f"{name}_plugin.py").write_text(source)
        info = tmp_path / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[dgsweep.methods]\n{entry}\n")
        method_declarations.cache_clear()

    monkeypatch.syspath_prepend(str(tmp_path))
    yield write
    method_declarations.cache_clear()
    sys.modules.pop("stranger_plugin", None)


def case(patient: int, sequence: str) -> CaseInfo:
    name = f"p{patient}-{sequence}"
    return CaseInfo(
        case_id=name, patient_id=f"p{patient}", center="C1", sequence=sequence, labelled=True,
        image_sha=f"image {name}", label_sha=f"label {name}", shape=(32, 32, 16), spacing_mm=(2.0, 2.0, 2.0),
    )  # fmt: skip


def test_the_built_in_methods_and_networks_are_installed():
    assert {"erm", "gin"} <= set(method_declarations())
    assert {"nnunet", "segresnet", "unet_tiny"} <= set(network_declarations())


def test_an_unknown_method_gives_the_nearest_name():
    with pytest.raises(MethodError, match="no method 'ginn' is installed; did you mean 'gin'"):
        method_declaration("ginn")


def test_a_name_near_to_nothing_gives_the_installed_ones():
    with pytest.raises(MethodError, match=r"installed: .*segresnet"):
        network_declaration("zzzzzz")


def test_a_stranger_is_listed_only_while_it_is_installed(install):
    method_declarations.cache_clear()
    assert "stranger" not in method_declarations()
    install("stranger", "stranger = stranger_plugin:DECLARATION")
    assert method_declarations()["stranger"].recipe_version == 3


def test_a_stranger_passes_the_conformance_suite(install):
    install("stranger", "stranger = stranger_plugin:DECLARATION")
    assert {result.outcome for result in check(method_declaration("stranger"))} <= {"passed", "skipped"}


def test_a_stranger_is_planned_beside_our_own(install):
    install("stranger", "stranger = stranger_plugin:DECLARATION")
    sweep = SweepConfig.model_validate(
        {"data": {"manifest": "m.csv"}, "methods": ["erm", {"name": "stranger", "hp": {"size": 0.25}}],
         "networks": ["unet_tiny"]}
    )  # fmt: skip
    cases = [case(patient, sequence) for patient in range(16) for sequence in ("T1W", "T2W")]
    plan = build_plan(sweep, cases, {"organ": 1}, method_declarations(), network_declarations(), {})
    found = {(trial.method, trial.hp.get("size")) for trial in plan.trials}
    assert found == {("erm", None), ("stranger", 0.25)}


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("stranger = no_such_module:DECLARATION", "stranger = no_such_module:DECLARATION cannot be loaded"),
        ("stranger = stranger_plugin:MISSING", "stranger_plugin:MISSING cannot be loaded"),
        ("stranger = stranger_plugin:Stranger", "is no MethodDeclaration named 'stranger'"),
        ("other = stranger_plugin:DECLARATION", "is no MethodDeclaration named 'other'"),
    ],
)
def test_a_broken_entry_point_is_named(install, entry, expected):
    install("stranger", entry)
    with pytest.raises(MethodError, match=expected):
        method_declarations()


def test_a_name_that_two_packages_offer_is_an_error(install):
    install("stranger", "gin = stranger_plugin:DECLARATION", STRANGER.replace('name="stranger"', 'name="gin"'))
    with pytest.raises(MethodError, match="two installed packages offer 'gin'"):
        method_declarations()


@pytest.mark.parametrize("source", ["raise ValueError('broken on import')", "def broken(:", "import no_such_thing"])
def test_a_plugin_that_cannot_be_imported_is_named_and_gives_no_traceback(install, source):
    install("stranger", "stranger = stranger_plugin:DECLARATION", source)
    with pytest.raises(MethodError, match="stranger_plugin:DECLARATION cannot be loaded"):
        method_declarations()


def test_listing_methods_imports_no_torch():
    code = (
        "import sys; from dgsweep.method.catalog import method_declarations, network_declarations;"
        "method_declarations(); network_declarations(); print('torch' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"


@pytest.mark.parametrize("name", ["erm", "gin"])
def test_a_built_in_method_ships_a_card(name):
    card = read_card(method_declaration(name))
    assert card.startswith("# ")
    assert len(card.splitlines()) > 5
