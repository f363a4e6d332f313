"""Methods that are not trained: once a fold, on the cases that the others are scored on, a row for each protocol."""

import pytest

from dgsweep.config.declaration import Hyperparameter, Requires
from dgsweep.config.prompt_protocol import parse_protocol
from dgsweep.errors import PlanError
from dgsweep.plan.existing import KnownWeights

BOXES = ("per_slice_box", "global_3d_box", "jittered_box")
SPLITS = [{"sources": ["*/T1W"], "targets": ["*/T2W"]}, {"sources": ["*/OOP"], "targets": ["*/T2W"]}]


@pytest.fixture
def planned(world):
    weights = {"weights": Hyperparameter(default="seg_base")}
    declared = {
        "seg": world.method(
            "seg", requires=Requires(trainable=False, prompts="box", protocols=BOXES), hyperparameters=weights
        ),
        "atlas": world.method("atlas", requires=Requires(trainable=False)),
    }
    known = {
        "seg_base": KnownWeights(family="seg", sha256="1" * 64),
        "seg_large": KnownWeights(family="seg", sha256="2" * 64),
        "other": KnownWeights(family="segment", sha256="3" * 64),
    }

    def plan(methods=("erm", "seg"), *, known=known, **config):
        protocol = {"kind": "explicit", "splits": SPLITS, **config.pop("protocol", {})}
        return world.plan(declared=declared, methods=list(methods), protocol=protocol, weights=known, **config)

    return plan


def of(plan, method):
    return [spec for spec in plan.trials if spec.method == method]


def test_a_zero_shot_method_has_one_trial_whatever_the_sources_networks_and_label_ratios(planned):
    plan = planned(networks=["tiny", "nnunet"], protocol={"label_ratio": [0.5, 1.0]})
    assert len(of(plan, "erm")) == 2 * 2 * 2
    (spec,) = of(plan, "seg")
    assert (spec.phase, spec.budget_steps, spec.sources, spec.network) == ("zero_shot", 0, (), "seg_base")
    assert spec.split.train == spec.split.val == spec.split.unlabelled == ()


def test_it_is_scored_on_every_case_on_which_a_trained_method_is_scored_in_the_fold(planned):
    plan = planned(protocol={"folds": 2})
    for spec in of(plan, "seg"):
        others = [one.split for one in of(plan, "erm") if one.fold == spec.fold]
        assert set(spec.split.target) == {name for split in others for name in (*split.test, *split.target)}
        assert set(spec.score_shas) == set(spec.split.target)
    assert len(of(plan, "seg")) == 2


def test_each_protocol_is_a_row_of_its_own_and_an_oracle(planned):
    plan = planned(prompts={"protocols": ["per_slice_box", "jittered_box: 10"]})
    found = {spec.setting.prompt: spec for spec in of(plan, "seg")}
    assert set(found) == {"per_slice_box", "jittered_box: 10"}
    assert {spec.panel for spec in found.values()} == {"oracle"}
    assert len({spec.cell_id for spec in found.values()}) == 2
    assert of(plan, "erm")[0].panel == "main"


def test_predicted_boxes_give_a_trial_beside_each_of_erm_in_its_panel_and_roles(planned):
    plan = planned(methods=["mix", "erm", {"name": "seg", "prompts": ["predicted_box"]}], networks=["tiny", "nnunet"])
    leaders = {spec.trial_id: spec for spec in of(plan, "erm")}
    led = of(plan, "seg")
    assert {spec.depends_on[0] for spec in led} == set(leaders)
    for spec in led:
        leader = leaders[spec.depends_on[0]]
        assert (spec.panel, spec.network, spec.sources, spec.seed) == (
            "main",
            leader.network,
            leader.sources,
            leader.seed,
        )
        assert (spec.split.test, spec.split.target) == (leader.split.test, leader.split.target)
    assert len({spec.trial_id for spec in led}) == len(leaders) == 4
    assert all(not spec.depends_on for spec in of(planned(), "seg"))


def test_a_method_entry_may_name_protocols_of_its_own(planned):
    plan = planned(methods=["seg", {"name": "seg", "prompts": ["global_3d_box"]}])
    assert [spec.setting.prompt for spec in of(plan, "seg")] == ["per_slice_box", "global_3d_box"]


def test_only_random_prompts_are_repeated_over_seeds(planned):
    plan = planned(seeds=[0, 1, 2], prompts={"protocols": ["per_slice_box", "jittered_box: 5"]})
    seeds = [(spec.setting.prompt, spec.seed) for spec in of(plan, "seg")]
    assert sorted(seeds) == [
        ("jittered_box: 5", 0),
        ("jittered_box: 5", 1),
        ("jittered_box: 5", 2),
        ("per_slice_box", 0),
    ]


def test_the_weights_enter_the_id_and_the_name_alone_does_not(planned):
    (base,) = of(planned(), "seg")
    changed = {"seg_base": KnownWeights(family="seg", sha256="9" * 64)}
    assert of(planned(known=changed), "seg")[0].trial_id != base.trial_id
    assert of(planned(seeds=[5]), "seg")[0].trial_id == base.trial_id
    assert of(planned(prompts={"protocols": ["global_3d_box"]}), "seg")[0].trial_id != base.trial_id


def test_weights_that_are_not_registered_or_of_another_family_are_refused_with_what_to_do(planned):
    with pytest.raises(
        PlanError, match=r"no weights 'seg_base' are registered .* -> dgsweep weights add seg_base FILE"
    ):
        planned(known={})
    with pytest.raises(PlanError, match=r"'other' are weights of segment"):
        planned(methods=[{"name": "seg", "hp": {"weights": "other"}}])
    assert of(planned(methods=[{"name": "seg", "hp": {"weights": "seg_large"}}]), "seg")[0].network == "seg_large"


def test_a_protocol_that_the_method_does_not_take_is_refused(planned):
    with pytest.raises(
        PlanError, match=r"methods\.1\.prompts: seg does not take center_point -> it takes per_slice_box"
    ):
        planned(prompts={"protocols": ["center_point"]})
    with pytest.raises(PlanError, match=r"methods\.0\.prompts: erm takes no prompts"):
        planned(methods=[{"name": "erm", "prompts": ["per_slice_box"]}])


def test_a_zero_shot_method_without_prompts_stands_in_the_main_panel(planned):
    (spec,) = of(planned(methods=["atlas"]), "atlas")
    assert (spec.panel, spec.setting.prompt, spec.network) == ("main", None, "none")


@pytest.mark.parametrize(
    "value",
    ["per_slice_boxes", "jittered_box", "per_slice_box: 3", {"jittered_box": -1}, {"predicted_box": "point"}, 7, ""],
)
def test_what_names_no_protocol_is_refused(value):
    with pytest.raises(ValueError, match=r"jittered_box|predicted_box|takes no parameter"):
        parse_protocol(value)


@pytest.mark.parametrize(
    ("value", "label"),
    [
        ("per_slice_box", "per_slice_box"),
        ({"jittered_box": 10}, "jittered_box: 10"),
        ("predicted_box", "predicted_box: per_slice_box"),
        ({"predicted_box": "global_3d_box"}, "predicted_box: global_3d_box"),
    ],
)
def test_a_protocol_is_read_from_its_own_label(value, label):
    assert parse_protocol(value).label == label
    assert parse_protocol(label) == parse_protocol(value)
    assert parse_protocol(label).oracle == ("predicted" not in label)
