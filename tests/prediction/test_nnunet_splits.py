"""nnU-Net trains on the same patients as the sweep."""

import json

from typer.testing import CliRunner

from dgsweep.cli.app import app


def exported(swept, out, *options) -> tuple[list, list]:
    done = CliRunner().invoke(app, ["data", "export", str(swept.output), str(out), *options])
    assert done.exit_code == 0, done.output
    return json.loads((out / "splits_final.json").read_text()), json.loads((out / "splits_names.json").read_text())


def test_each_source_set_and_fold_is_one_fold_with_the_trials_cases(swept, tmp_path):
    splits, names = exported(swept, tmp_path)
    spec = swept.read_plan().trials[0]
    assert splits == [{"train": sorted(spec.split.train), "val": sorted(spec.split.val)}]  # two seeds share it
    assert names[0]["target"] == sorted(spec.split.target)
    assert names[0]["sources"] == "+".join(spec.sources)
    assert not set(splits[0]["train"]) & {*splits[0]["val"], *names[0]["target"], *names[0]["in_domain_test"]}


def test_targets_stand_in_val_only_when_asked(swept, tmp_path):
    spec = swept.read_plan().trials[0]
    splits, _ = exported(swept, tmp_path, "--val", "target")
    assert splits[0]["val"] == sorted(spec.split.target)
