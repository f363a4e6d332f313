"""An acceptance study from a sweep to its tally: blinded, the same cases for every method, every wrong answer named."""

import csv
import json
import re

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from report_sweep import SPACING, dice_of, ellipsoid, write_case_files
from typer.testing import CliRunner

from dgsweep.cli.app import app
from dgsweep.errors import InputError
from dgsweep.records.ledger import Ledger
from dgsweep.report.reader_answers import read_answers
from dgsweep.report.reader_form import write_study

READERS = ("ann", "ben")


@pytest.fixture(scope="module")
def sweep(full):
    """A finished sweep whose masks of target cases of the first seed were kept."""
    return full


@pytest.fixture(scope="module")
def study(sweep, tmp_path_factory):
    folder = tmp_path_factory.mktemp("study") / "one"
    write_study(sweep, folder, readers=READERS, cases=6)
    return folder


def key_of(study):
    return pd.read_csv(study / "key" / "key.csv", dtype=str)


def fill(study, reader, answer=lambda item: "accept"):
    """Fill the CSV form of a reader as a person would."""
    path = study.parent / f"{reader}-filled.csv"
    with (study / "forms" / f"{reader}.csv").open(newline="") as stream:
        rows = [row | {"accept": answer(row["item"])} for row in csv.DictReader(stream)]
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, ["item", "reader", "accept", "comment"])
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_every_case_is_judged_for_every_method_and_cases_come_from_every_shift(study):
    key = key_of(study)
    assert key.groupby(["source_set", "target", "case_id"])["arm"].agg(set).map({"erm", "gin"}.__eq__).all()
    assert len(key) == 12
    assert len(key.groupby(["source_set", "target"])) == 6


def test_forms_name_neither_method_nor_case_nor_trial(study):
    key = key_of(study)
    telling = {*key["arm"], *key["case_id"], *key["trial_id"], *key["source_set"], "T1W", "OOP"}
    for path in (study / "forms").iterdir():
        text = re.sub(
            r'"data:image/png;base64,[^"]*"|<style.*?</style>|<script>.*?</script>', "", path.read_text(), flags=re.S
        )
        assert [word for word in telling if re.search(rf"\b{re.escape(word)}\b", text)] == []
    assert "gin" in (study / "key" / "key.csv").read_text()


def test_readers_meet_the_items_in_different_orders_and_the_seed_decides(study, sweep, tmp_path):
    orders = [list(pd.read_csv(study / "forms" / f"{name}.csv")["item"]) for name in READERS]
    assert orders[0] != orders[1]
    assert sorted(orders[0]) == sorted(orders[1])
    write_study(sweep, tmp_path / "again", readers=READERS, cases=6)
    write_study(sweep, tmp_path / "other", readers=READERS, cases=6, seed=1)
    assert key_of(tmp_path / "again").equals(key_of(study))
    assert not key_of(tmp_path / "other").equals(key_of(study))


def test_a_sweep_that_kept_extremes_says_so_in_key_and_tally(study):
    assert "not of all" in json.loads((study / "key" / "study.json").read_text())["notes"][0]
    files = [str(fill(study, name)) for name in READERS]
    done = CliRunner().invoke(app, ["readers", "tally", str(study), *files])
    assert "not of all" in done.output


def test_an_outline_is_where_the_mask_is(study, sweep):
    """The largest outline of the form spans as many voxels as the largest mask."""
    page = (study / "forms" / "ann.html").read_text()
    widths = [
        max(xs) - min(xs)
        for path in re.findall(r'<path d="(M[^"]+)"', page)
        if (xs := [float(x) for x in re.findall(r"[ML]([\d.]+) ", path)])
    ]
    plan = Ledger(sweep).read_plan()
    expected = 0
    for row in key_of(study).itertuples():
        spec = next(one for one in plan.trials if one.trial_id == row.trial_id)
        dice = dice_of(spec, row.case_id)
        mask = ellipsoid(4 * (1 - dice), 0.4 + 0.6 * dice)
        expected = max(expected, np.ptp(np.argwhere(mask)[:, 0]) + 1)
    assert max(widths) == pytest.approx(expected, abs=1.0)


def test_pictures_show_the_patients_right_on_the_left_and_the_front_above(build, tmp_path):
    from dgsweep.report.overlays import Volumes
    from dgsweep.report.reader_pictures import tiles

    mask = np.zeros((20, 20, 9), bool)
    mask[4, 15, 2:7] = (
        True  # RAS: x = 4 is left of the middle of the array, so to the patient's left; y = 15 is in front
    )
    volumes = Volumes(image=mask.astype(np.float32), reference=mask, prediction=mask, spacing_mm=(1.0, 1.0, 3.0))
    axial = tiles(volumes)[0]
    x, y = (float(number) for number in re.match(r"M([\d.]+) ([\d.]+)L", axial.outline).groups())
    assert x > axial.width / 2
    assert y < axial.height / 2
    assert axial.ratio == pytest.approx(axial.width / axial.height)


def test_answers_are_unblinded_and_counted(study):
    arms = dict(zip(key_of(study)["item"], key_of(study)["arm"], strict=True))
    files = [fill(study, name, lambda item: "accept" if arms[item] == "gin" else "Reject ") for name in READERS]
    done = CliRunner().invoke(app, ["readers", "tally", str(study), *map(str, files), "--json"])
    assert done.exit_code == 0, done.output
    rows = json.loads(done.stdout)["acceptance"]
    assert {row["arm"]: row["rate"] for row in rows if row["target"] == "all"} == {"gin": 1.0, "erm": 0.0}
    agreement = pd.read_csv(study / "tally" / "agreement.csv").query("arm == 'all'")
    assert list(agreement["value"]) == [1.0]
    assert json.loads((study / "tally" / "tally.json").read_text())["acceptance"] == rows


def test_every_wrong_answer_is_named_at_once(study):
    first, second = (fill(study, name) for name in READERS)
    lines = first.read_text().splitlines()
    items = [line.split(",")[0] for line in lines[1:]]
    lines[1] = f"{items[0]},ann,maybe,"
    lines[2] = f"{items[1]},ann,,"
    lines[3] = "i999,ann,accept,"
    lines.append(lines[5])
    first.write_text("\n".join(lines))
    second.write_text("item,who\n")
    with pytest.raises(InputError) as error:
        read_answers(study, [first, second])
    said = str(error.value)
    for part in (
        "'maybe'",
        "no answer",
        "'i999' is not of this study",
        "answered",
        "no row of 1 of 12 items",
        "no column",
    ):
        assert part in said
    assert len(error.value.problems) == 6
    assert error.value.exit_code == 2


def test_good_answers_have_no_problem(study):
    assert len(read_answers(study, [fill(study, name) for name in READERS])) == 24


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"readers": ("ann",)}, "two readers"),
        ({"readers": ("ann", "ann")}, "two readers"),
        ({"readers": ("ann", "../ben")}, "cannot name a file"),
        ({"methods": ("gim",)}, "the sweep has erm, gin"),
        ({"cases": 0}, "expected 1 or more"),
    ],
)
def test_a_study_that_cannot_be_is_refused_and_nothing_is_written(sweep, tmp_path, options, said):
    with pytest.raises(InputError, match=said):
        write_study(sweep, tmp_path / "new", **{"readers": READERS, "cases": 6, **options})
    assert not (tmp_path / "new").exists()


def test_a_study_is_never_overwritten(study, sweep):
    with pytest.raises(InputError, match="there is a study"):
        write_study(sweep, study, readers=READERS, cases=2)


def test_a_sweep_without_masks_says_what_to_do(build, tmp_path):
    with pytest.raises(InputError, match="output_keep: all"):
        write_study(build(), tmp_path / "new", readers=READERS, cases=2)


def test_a_scan_that_is_gone_is_named(build, tmp_path):
    output = build()
    write_case_files(output, Ledger(output).read_plan())
    for path in (output.parent / "data").glob("P00-*.nii.gz"):
        path.unlink()
    with pytest.raises(InputError, match="case P00-T2W"):
        write_study(output, tmp_path / "new", readers=READERS, cases=20)


def test_an_empty_mask_is_said_to_be_empty(build, tmp_path):
    output = build()
    write_case_files(output, Ledger(output).read_plan())
    for path in (output / "trials").glob("*/predictions/*.nii.gz"):
        nib.save(nib.Nifti1Image(np.zeros((48, 40, 24), np.uint8), np.diag([*SPACING, 1.0])), path)
    write_study(output, tmp_path / "new", readers=READERS, cases=1)
    assert "Nothing was segmented in this scan." in (tmp_path / "new/forms/ann.html").read_text()
