import json
import math
from pathlib import Path

import numpy as np
import pytest
from hatchling.builders.wheel import WheelBuilder
from typer.testing import CliRunner

from dgsweep.analysis.reference import CONTRADICTED, PAPERS, PENDING, read_paper
from dgsweep.analysis.reference.consistency import least_dice_spread, mean_jaccard_bounds
from dgsweep.cli.app import app
from dgsweep.errors import InputError

ROOT = Path(__file__).parents[2]
ASPECTS = {"organ", "sequence", "centers", "metrics", "splits", "budget", "tested"}


def value(paper, table, method, target, metric="dice"):
    rows = next(one for one in read_paper(paper).tables if one.name == table).rows
    found = rows[(rows["method"] == method) & (rows["target"] == target) & (rows["metric"] == metric)]
    assert len(found) == 1
    return found.iloc[0]


@pytest.mark.parametrize("name", PAPERS)
def test_every_paper_says_how_it_measured_and_every_table_has_a_source_a_caveat_and_rows(name):
    paper = read_paper(name)
    assert set(paper.protocol) == ASPECTS
    assert all(table.source and table.caveats and len(table.rows) for table in paper.tables)
    assert paper.citation


@pytest.mark.parametrize("name", PAPERS)
def test_no_row_of_the_file_belongs_to_no_table(name):
    folder = ROOT / "platform/dgsweep/analysis/reference"
    lines = (folder / f"{name}.csv").read_text(encoding="utf-8").splitlines()[1:]
    assert len(read_paper(name).rows) == len(lines)


@pytest.mark.parametrize("name", PAPERS)
def test_a_value_is_missing_where_it_is_pending_and_nowhere_else(name):
    rows = read_paper(name).rows
    assert (rows["value"].isna() == (rows["source"] == PENDING)).all()


@pytest.mark.parametrize("name", PAPERS)
def test_every_dice_lies_in_the_range_of_its_unit(name):
    rows = read_paper(name).rows
    dice = rows[(rows["metric"] == "dice") & rows["value"].notna()]
    assert dice.loc[dice["unit"] == "%", "value"].between(20, 100).all()
    assert dice.loc[dice["unit"] == "1", "value"].between(0, 1).all()
    assert set(dice["unit"]) <= {"%", "1"}


def test_the_ends_of_pansegnets_tables_are_as_printed():
    first, last = value("pansegnet", "mri", "PanSegNet", "C1/T1W"), value("pansegnet", "mri", "PanSegNet", "C5/T2W")
    assert (first["value"], first["sd"]) == (83.70, 8.41)
    assert (last["value"], last["sd"]) == (83.03, 3.71)
    assert value("pansegnet", "mri", "PanSegNet", "C5/T1W", "hd95_mm")["value"] == 14.26
    assert value("pansegnet", "benchmark", "VNet", "all centers/T2W")["value"] == 73.75
    assert value("pansegnet", "foundation", "MedSAM", "C3/T2W", "assd_mm")["value"] == 11.04
    assert value("pansegnet", "cost", "PanSegNet", "", "inference_s")["value"] == 0.1152


def test_pansegnets_pooled_internal_dice_lies_between_its_two_centers():
    for sequence in ("T1W", "T2W"):
        one, both, two = (
            value("pansegnet", "mri", "PanSegNet", f"{center}/{sequence}")["value"] for center in ("C1", "C1+C2", "C2")
        )
        assert one < both < two


def test_pancreasdgs_percentages_are_gains_relative_to_the_lower_dice():
    rows = read_paper("pancreasdg").rows.groupby("target")["value"].agg(["min", "max"])
    gains = (rows["max"] / rows["min"] - 1) * 100
    assert sorted(gains.round(2)) == [61.63, 87.00]
    assert not {61.63, 87.00} & set(read_paper("pancreasdg").rows["value"])


def test_crosspans_directions_are_empty_and_its_statements_are_bounds():
    statements, directions = read_paper("crosspan").tables
    assert set(statements.rows["bound"]) == {">", "<"}
    assert directions.rows["value"].isna().all()
    assert set(directions.rows["source"]) == {PENDING}


def test_a_paper_of_which_nothing_is_shipped_is_refused_with_the_nearest_name():
    with pytest.raises(InputError, match="pansegnet"):
        read_paper("pansegnett")


def test_the_mean_jaccard_of_random_cases_lies_within_the_bounds_of_their_mean_dice():
    rng = np.random.default_rng(0)
    for _ in range(200):
        dice = rng.beta(*rng.uniform(0.2, 8, 2), size=rng.integers(1, 40))
        jaccard = (dice / (2 - dice)).mean()
        low, high = mean_jaccard_bounds(dice.mean())
        assert low - 1e-12 <= jaccard <= high + 1e-12
        assert least_dice_spread(dice.mean(), max(jaccard, low)) <= dice.std() + 1e-9


def test_the_bounds_are_reached_by_equal_cases_and_by_perfect_and_missed_ones():
    assert mean_jaccard_bounds(0.5) == (pytest.approx(1 / 3), 0.5)
    assert np.mean([d / (2 - d) for d in (1.0, 0.0)]) == 0.5
    assert math.isnan(least_dice_spread(0.5, 0.6))
    assert least_dice_spread(0.5, 1 / 3) == pytest.approx(0, abs=1e-6)


def test_table_7s_jaccard_needs_a_spread_of_dice_that_no_table_of_the_paper_shows():
    rows = read_paper("pansegnet").rows
    jaccard = rows[rows["metric"] == "jaccard"]
    assert set(jaccard["source"]) == {CONTRADICTED}
    dice = value("pansegnet", "benchmark", "nnUNet-2D", "all centers/T1W")["value"]
    needed = 100 * least_dice_spread(dice / 100, jaccard["value"].item() / 100)
    assert needed == pytest.approx(25.6, abs=0.1)
    assert needed > rows.loc[rows["metric"] == "dice", "sd"].max()


def test_a_jaccard_that_fits_its_dice_needs_no_such_spread():
    assert 100 * least_dice_spread(0.8019, 0.68) < 8


def test_the_volume_caveat_holds_the_bound_by_the_mean_dice_is_false_and_the_mean_of_bounds_is_not():
    dice, error = np.array([1.0, 0.5]), np.array([0.0, 2.0])
    assert error.mean() > 2 / dice.mean() - 2
    assert error.mean() <= (2 / dice - 2).mean()


def test_the_tables_are_in_the_wheel():
    found = {file.distribution_path for file in WheelBuilder(str(ROOT)).recurse_included_files()}
    wanted = {f"dgsweep/analysis/reference/{name}.{kind}" for name in PAPERS for kind in ("csv", "json")}
    assert wanted <= found


def test_the_verb_prints_each_number_with_its_source():
    told = CliRunner().invoke(app, ["reference", "crosspan", "--json"])
    document = json.loads(told.stdout)
    assert [table["name"] for table in document["tables"]] == ["statements", "directions"]
    assert document["tables"][1]["rows"][0]["value"] is None
    shown = CliRunner().invoke(app, ["reference", "crosspan"]).stdout
    assert "<0.02" in shown
    assert "pending" in shown
    assert "caveat: " in shown


def test_the_verb_lists_the_papers():
    told = CliRunner().invoke(app, ["reference", "--json"])
    assert [row["name"] for row in json.loads(told.stdout)] == list(PAPERS)
