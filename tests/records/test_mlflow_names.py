"""Names and values that MLflow gets, without a store."""

import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from mlflow.utils.validation import _validate_metric_name, _validate_param_name
from records_rows import case_rows, curve_rows, make_spec

from dgsweep.records.mlflow_content import curve_points, trial_metrics, trial_params
from dgsweep.records.mlflow_names import curve_name, live_name, safe_name

HARD = [
    "dice/C1/T1W",
    "dice/C1+C2/T1W",
    "dice/C1_C2/T1W",
    "dice/C1(C2/T1W",
    "dice//T1W",
    "dice/_/T1W",
    "dice/./T1W",
    "dice/../T1W",
    "/dice",
    "dice/",
    "dice/Zürich/T1W",
    "dice/a:b",
    "dice/a b",
    "dice/a ",
    "dice/" + "x" * 400,
    "dice/" + "x" * 401,
    "",
]


@pytest.mark.parametrize("name", HARD)
def test_mlflow_takes_every_safe_name(name):
    _validate_metric_name(safe_name(name))
    _validate_param_name(safe_name(name))
    assert len(safe_name(name)) <= 250


def test_mlflow_would_refuse_some_of_these_names():
    with pytest.raises(MlflowException):
        _validate_metric_name("dice/C1+C2/T1W")
    with pytest.raises(MlflowException):
        _validate_metric_name("dice//T1W")


def test_different_names_stay_different():
    names = [*HARD, *(safe_name(name) for name in HARD if safe_name(name) != name)]
    assert len({safe_name(name) for name in names}) == len(set(names))


def test_an_ordinary_domain_keeps_its_name():
    assert safe_name("dice/C1/T1W") == "dice/C1/T1W"
    assert safe_name("dice/C1+/T1W").startswith("dice/C1_/T1W-")


def test_a_live_value_has_the_name_of_its_curve():
    assert live_name("source_val_dice") == curve_name("val", "all", "dice") == "curve/source_val_dice"
    assert live_name("loss_dice") == curve_name("train", "all", "loss_dice")
    assert curve_name("val", "C1/T1W", "dice") == "curve/source_val_dice/C1/T1W"


def test_means_are_by_domain_sequence_and_role():
    found = trial_metrics(case_rows(make_spec("aaaa000011112222", 0)), {"wall_s": 2.0, "device": "cpu"})
    dice = {name: value for name, value in found.items() if name.startswith("dice/")}
    assert dice == {
        "dice/source_val": 0.9,
        "dice/in_domain": 0.8,
        "dice/target": 0.375,
        "dice/C1/T1W": 0.8,
        "dice/C2/T1W": 0.5,
        "dice/C1/T2W": 0.25,
        "dice/T1W": 0.5,
        "dice/T2W": 0.25,
    }
    assert found["hd95_mm/C2/T1W"] == 10.0
    assert found["cost/wall_s"] == 2.0
    assert "cost/device" not in found


def test_a_case_counts_once_whatever_its_number_of_structures():
    rows = case_rows(make_spec("aaaa000011112222", 0))
    second = rows[rows["case_id"] == "t1"].assign(label="duct", dice=0.1)
    found = trial_metrics(pd.concat([rows, second]), {})
    assert found["dice/C2/T1W"] == pytest.approx(0.3)
    assert found["dice/target"] == pytest.approx((0.3 + 0.25) / 2)


def test_cases_without_the_organ_are_counted_and_not_averaged():
    rows = case_rows(make_spec("aaaa000011112222", 0))
    rows.loc[rows["case_id"] == "t2", ["empty_reference", "dice"]] = [True, 0.0]
    found = trial_metrics(rows, {})
    assert found["dice/target"] == 0.5
    assert found["rows/empty_reference"] == 1.0


def test_only_the_last_step_counts():
    rows = case_rows(make_spec("aaaa000011112222", 0))
    found = trial_metrics(pd.concat([rows.assign(step=10, dice=0.0), rows]), {})
    assert found["dice/target"] == 0.375


def test_a_domain_called_like_an_aggregate_does_not_replace_it():
    rows = case_rows(make_spec("aaaa000011112222", 0))
    rows.loc[rows["case_id"] == "t2", ["domain", "sequence"]] = ["target", "in_domain"]
    found = trial_metrics(rows, {})
    assert found["dice/target"] == 0.375
    assert found["dice/domain target"] == 0.25
    assert found["dice/in_domain"] == 0.8
    assert found["dice/sequence in_domain"] == 0.25


def test_curve_points_leave_out_what_is_not_finite():
    rows = curve_rows()
    rows.loc[0, "value"] = float("nan")
    rows.loc[2, "value"] = float("inf")
    points = curve_points(rows)
    assert points["curve/source_val_dice/C1/T1W"] == {40: 0.9}
    assert points["curve/loss/C1/T1W"] == {40: 0.3}


def test_parameters_rest_on_the_training_only():
    first, second = make_spec("aaaa000011112222", 1), make_spec("aaaa000011112222", 5)
    assert trial_params(first) == trial_params(second)
    assert trial_params(first)["hp.weight"] == "0.5"
