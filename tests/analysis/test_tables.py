import math

import pytest

from dgsweep.analysis.frames import baseline_of
from dgsweep.analysis.statistics import Bootstrap
from dgsweep.analysis.tables import distance_table, empty_references, matrix, method_summary, method_table
from dgsweep.analysis.verdict import judge

QUICK = Bootstrap(draws=200)
HOME = {"role": "in_domain", "domain": "C1/T1W", "sequence": "T1W"}


def patients(count, **change):
    return [{"patient_id": f"p{i}", **change} for i in range(count)]


def test_matrix_counts_each_case_once_over_seeds_and_structures(rows):
    frame = rows(
        {"patient_id": "a", "seed": 0, "label": "head", "dice": 0.2},
        {"patient_id": "a", "seed": 0, "label": "tail", "dice": 0.4},
        {"patient_id": "a", "seed": 1, "trial_id": "t1", "label": "head", "dice": 0.5},
        {"patient_id": "a", "seed": 1, "trial_id": "t1", "label": "tail", "dice": 0.5},
        {"patient_id": "b", "case_id": "b", "seed": 0, "dice": 0.8},
    )
    (cell,) = matrix(frame, bootstrap=QUICK).to_dict("records")
    assert cell["mean"] == pytest.approx((0.4 + 0.8) / 2)
    assert (cell["cases"], cell["patients"], cell["repeats"]) == (2, 2, 2)


def test_matrix_leaves_validation_cases_and_empty_references_out(rows):
    frame = rows(
        {"patient_id": "a", "dice": 0.6},
        {"patient_id": "b", "case_id": "b", "dice": 0.0, "empty_reference": True},
        {"patient_id": "c", "case_id": "c", "dice": 0.0, "role": "val"},
    )
    (cell,) = matrix(frame, bootstrap=QUICK).to_dict("records")
    assert (cell["mean"], cell["cases"]) == (0.6, 1)


def test_in_domain_cases_never_share_a_column_with_targets_of_the_same_sequence(rows):
    frame = rows(
        {**HOME, "patient_id": "a", "dice": 0.9},
        {"patient_id": "b", "case_id": "b", "domain": "C2/T1W", "sequence": "T1W", "dice": 0.1},
    )
    by_target = matrix(frame, bootstrap=QUICK).set_index("target")["mean"].to_dict()
    assert by_target == {"in-domain": 0.9, "T1W": 0.1}


def test_only_the_last_step_of_a_trial_counts(rows):
    frame = rows({"patient_id": "a", "step": 5, "dice": 0.1}, {"patient_id": "a", "step": 10, "dice": 0.7})
    assert matrix(frame, bootstrap=QUICK)["mean"].tolist() == [0.7]


def test_empty_frame_gives_an_empty_matrix_with_its_columns(rows):
    frame = rows()
    assert list(matrix(frame).columns[:4]) == ["panel", "network", "arm", "source_set"]
    assert len(method_table(frame)) == len(method_summary(frame)) == len(judge(frame)) == 0


def test_erm_from_a_pretraining_is_compared_with_erm_and_is_nobodys_baseline(rows):
    base = [{**row, "dice": 0.1 * i} for i, row in enumerate(patients(6))]
    started = {"setting": "init_from=mae3d on sources", "trial_id": "s"}
    ours = [{**row, **started, "dice": row["dice"] + 0.25} for row in base]
    others = [{**row, "method": "gin", "trial_id": "g", "dice": row["dice"] + 0.1} for row in base]
    frame = rows(*base, *ours, *others).assign(case_id=lambda table: table["patient_id"])
    table = method_table(frame, bootstrap=QUICK).set_index("arm")
    assert table.index[0] == "erm"
    assert table.loc["erm (init_from=mae3d on sources)", "difference"] == pytest.approx(0.25)
    assert table.loc["gin", "difference"] == pytest.approx(0.1)
    assert math.isnan(table.loc["erm", "difference"])


def test_methods_are_compared_with_erm_of_the_same_share_of_labels(rows):
    few = [{**row, "label_ratio": 0.1, "setting": "label_ratio=0.1", "trial_id": "f"} for row in patients(6, dice=0.1)]
    whole = patients(6, dice=0.5, label_ratio=1.0, trial_id="w")
    free = {"method": "cps", "label_ratio": 0.1, "setting": "label_ratio=0.1, unlabelled=source", "trial_id": "c"}
    frame = rows(*few, *whole, *patients(6, dice=0.3, **free)).assign(case_id=lambda table: table["patient_id"])
    table = method_table(frame, bootstrap=QUICK).set_index("arm")
    assert table.loc["cps (label_ratio=0.1, unlabelled=source)", "difference"] == pytest.approx(0.2)
    assert baseline_of("cps (label_ratio=0.1, unlabelled=source)") == "erm (label_ratio=0.1)"
    assert baseline_of("gin (variant=paper)") == "erm"


def test_difference_is_paired_case_by_case_within_fold_and_seed(rows):
    base = [{**row, "dice": 0.1 * i} for i, row in enumerate(patients(6))]
    ours = [{**row, "method": "gin", "trial_id": "g", "dice": row["dice"] + 0.25} for row in base]
    unpaired = [{"patient_id": "p0", "case_id": "p0", "method": "gin", "trial_id": "g1", "seed": 1, "dice": 0.0}]
    frame = rows(*base, *ours, *unpaired).assign(case_id=lambda table: table["patient_id"])
    table = method_table(frame, bootstrap=QUICK).set_index("arm")
    assert table.loc["gin", "difference"] == pytest.approx(0.25)
    assert table.loc["gin", "difference_low"] == pytest.approx(0.25)
    assert table.loc["gin", "p"] == pytest.approx(2 / 64)
    assert math.isnan(table.loc["erm", "difference"])


def test_p_values_of_the_shifts_of_a_panel_are_corrected_together(rows):
    frames = []
    for sequence in ("T2W", "OOP"):
        for method, gain in (("erm", 0.0), ("gin", 0.2)):
            frames += [
                {**row, "method": method, "trial_id": method, "sequence": sequence, "domain": f"C2/{sequence}",
                 "case_id": f"{row['patient_id']}{sequence}", "dice": 0.1 + gain + 0.01 * i}
                for i, row in enumerate(patients(6))
            ]  # fmt: skip
    table = method_table(rows(*frames), bootstrap=QUICK)
    assert table.loc[table["arm"] == "gin", "p_holm"].tolist() == pytest.approx([4 / 64, 4 / 64])


def test_networks_are_compared_with_their_own_baseline_only(rows):
    frame = rows(
        {"patient_id": "a", "dice": 0.2},
        {"patient_id": "a", "dice": 0.9, "method": "gin", "trial_id": "g", "network": "segresnet"},
    )
    assert method_table(frame, bootstrap=QUICK)["paired_cases"].tolist() == [0, 0]


def test_missed_organs_stand_beside_found_ones_with_their_count(rows):
    frame = rows(
        {"patient_id": "a", "hd95_mm": 4.0},
        {"patient_id": "b", "case_id": "b", "hd95_mm": 6.0},
        {"patient_id": "c", "case_id": "c", "hd95_mm": 320.0, "distance_penalised": True, "empty_prediction": True},
    )
    (row,) = distance_table(frame, metrics=["hd95_mm"], bootstrap=QUICK).to_dict("records")
    assert (row["mean"], row["found_mean"], row["found_median"]) == (110.0, 5.0, 5.0)
    assert (row["cases"], row["penalised"]) == (3, 1)


def test_empty_references_stand_in_their_own_row(rows):
    frame = rows(
        {"patient_id": "a", "empty_reference": True, "empty_prediction": True, "dice": 1.0},
        {"patient_id": "b", "case_id": "b", "empty_reference": True, "dice": 0.0, "distance_penalised": True},
        {"patient_id": "c", "case_id": "c", "dice": 0.5},
    )
    (row,) = empty_references(frame).to_dict("records")
    assert (row["cases"], row["left_empty"], row["false_positives"]) == (2, 1, 1)
    assert distance_table(frame, metrics=["hd95_mm"], bootstrap=QUICK)["penalised"].tolist() == [0]


def test_a_case_with_two_structures_is_one_case_and_two_structures(rows):
    head = [{**row, "case_id": row["patient_id"], "label": "head"} for row in patients(2)]
    tail = [{**row, "label": "tail", "distance_penalised": True} for row in head]
    (row,) = distance_table(rows(*head, *tail), metrics=["hd95_mm"], bootstrap=QUICK).to_dict("records")
    assert (row["patients"], row["cases"], row["structures"], row["penalised"]) == (2, 2, 4, 2)
    (row,) = empty_references(rows(*head, *tail).assign(empty_reference=True)).to_dict("records")
    assert (row["patients"], row["cases"], row["structures"], row["false_positives"]) == (2, 2, 4, 4)
    (row,) = distance_table(rows(*head), metrics=["hd95_mm"], bootstrap=QUICK).to_dict("records")
    assert (row["cases"], row["structures"], row["penalised"]) == (2, 2, 0)


def shift_frame(rows, count, dice):
    home = [{**HOME, **row, "case_id": f"{row['patient_id']}h", "dice": 0.8} for row in patients(count)]
    away = [{**row, "case_id": f"{row['patient_id']}t", "dice": dice} for row in patients(count)]
    return rows(*home, *away)


@pytest.mark.parametrize(("dice", "word"), [(0.75, "holds"), (0.60, "falls")])
def test_a_method_holds_only_within_the_margin_of_ermin_domain(rows, dice, word):
    (verdict,) = judge(shift_frame(rows, 8, dice), bootstrap=QUICK)
    assert (verdict.word, verdict.reference_arm) == (word, "erm")


def test_few_patients_leave_the_answer_open(rows):
    assert [verdict.word for verdict in judge(shift_frame(rows, 5, 0.8), bootstrap=QUICK)] == ["open"]


def test_a_reference_that_learned_nothing_judges_nobody(rows):
    frame = shift_frame(rows, 8, 0.3)
    frame.loc[frame["role"] == "in_domain", "dice"] = 0.3
    assert [verdict.word for verdict in judge(frame, bootstrap=QUICK)] == ["not judged"]
