"""What readers agree on, in the report: a section, a table, lines in the figures of Dice, and no volume read twice."""

import json
import re

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from report_sweep import SHAPE, SPACING, ellipsoid, small, write_case_files, write_sweep

from dgsweep.records.ledger import Ledger
from dgsweep.report import write_report


def visible(page):
    return re.sub(r"<script.*?</script>|<style.*?</style>", "", page, flags=re.DOTALL)


def page_of(output):
    return write_report(output, images=False).read_text(encoding="utf-8")


def figure(page, title):
    """The figure below the caption that begins so."""
    caption = page.index(f"<b>{title}")
    return json.loads(
        page[caption:].partition('type="application/json"')[2].partition(">")[2].partition("</script>")[0]
    )


@pytest.fixture
def twice(build):
    return drawn_twice(build())


@pytest.fixture(scope="module")
def read_once(tmp_path_factory):
    """Output and page of the same for tests that change nothing."""
    output = tmp_path_factory.mktemp("twice") / "runs"
    write_sweep(output, small())
    return output, page_of(drawn_twice(output))


def drawn_twice(output):
    """Scans of a sweep are drawn twice, T2W worse than T1W; `second` of a case is a file of its own."""
    write_case_files(output, Ledger(output).read_plan())
    listed = json.loads((output / "cases.json").read_text())
    for case_id, entry in listed.items():
        sequence = case_id.partition("-")[2]
        second = output.parent / "data" / f"{case_id}-second.nii.gz"
        drawn = ellipsoid(2 if sequence == "T2W" else 0, 0.8).astype(np.uint8)
        nib.save(nib.Nifti1Image(drawn, np.diag([*SPACING, 1.0])), second)
        who = {"patient_id": case_id.partition("-")[0], "center": "C1", "sequence": sequence, "key": f"of {case_id}"}
        entry |= {"label_values": {"pancreas": 1}, "second_labels": {"inter": {**who, "label": str(second)}}}
    (output / "cases.json").write_text(json.dumps(listed))
    return output


def expected(sequence):
    first, second = ellipsoid(0, 1.0), ellipsoid(2 if sequence == "T2W" else 0, 0.8)
    return 2 * (first & second).sum() / (first.sum() + second.sum())


def test_section_and_table_hold_the_agreement_by_sequence(read_once):
    output, page = read_once[0], visible(read_once[1])
    table = pd.read_csv(output / "report/tables/observer_agreement.csv").set_index(["level", "where"])
    for sequence in ("T1W", "T2W"):
        assert table.loc[("sequence", sequence), "dice"] == pytest.approx(expected(sequence))
        assert f"{expected(sequence):.3f} [" in page.partition('<section id="observers">')[2]
    assert "whole image" in page
    assert 'href="tables/observer_agreement_cases.csv"' in page


def test_each_column_of_the_distributions_has_the_line_of_its_own_scans(read_once):
    drawn = figure(read_once[1], "Trained on T1W")
    columns = drawn["layout"]["xaxis"]["categoryarray"]
    lines = {columns[round((shape["x0"] + shape["x1"]) / 2)]: shape["y0"] for shape in drawn["layout"]["shapes"]}
    assert lines == {"T1W ⌂": pytest.approx(expected("T1W")), "T2W": pytest.approx(expected("T2W"))}
    assert "readers, inter" in json.dumps(drawn["layout"]["annotations"])


@pytest.mark.parametrize(("title", "axis"), [("Dice against", "y0"), ("Volume error against Dice", "x0")])
def test_other_figures_of_dice_have_one_line_for_all_scans(read_once, title, axis):
    (line,) = figure(read_once[1], title)["layout"]["shapes"]
    assert line[axis] == pytest.approx((expected("T1W") + expected("T2W")) / 2)


def test_a_sweep_whose_scans_were_read_once_has_neither_section_nor_line(written):
    page = written().read_text(encoding="utf-8")
    assert 'id="observers"' not in page
    assert "shapes" not in figure(page, "Trained on T1W")["layout"]
    assert "observer_agreement" not in page


def test_a_second_report_reads_no_volume_again(twice):
    first = visible(page_of(twice)).partition('<section id="observers">')[2].partition("</section>")[0]
    for path in (twice.parent / "data").glob("*-second.nii.gz"):
        path.unlink()
    assert visible(page_of(twice)).partition('<section id="observers">')[2].partition("</section>")[0] == first


def test_a_second_reading_of_other_content_is_read_anew(twice):
    page_of(twice)
    listed = json.loads((twice / "cases.json").read_text())
    for case_id, entry in listed.items():
        entry["second_labels"]["inter"]["key"] = f"changed {case_id}"
        nib.save(
            nib.Nifti1Image(np.zeros(SHAPE, np.uint8), np.diag([*SPACING, 1.0])),
            entry["second_labels"]["inter"]["label"],
        )
    (twice / "cases.json").write_text(json.dumps(listed))
    page_of(twice)
    assert pd.read_csv(twice / "report/tables/observer_agreement.csv")["dice"].max() == 0


def test_second_readings_that_are_gone_are_counted_and_the_page_is_written(twice):
    gone = sorted((twice.parent / "data").glob("*-second.nii.gz"))
    gone[0].unlink()
    page = visible(page_of(twice))
    assert f"1 second reading of {len(gone)} not read: {gone[0].name.removesuffix('-second.nii.gz')} (inter)" in page
    for path in gone[1:]:
        path.unlink()
    (twice / "observer_agreement.json").unlink()
    section = visible(page_of(twice)).partition('<section id="observers">')[2].partition("</section>")[0]
    assert f"{len(gone)} second readings of {len(gone)} not read" in section
    assert "<table" not in section
