"""DomainBed's selection methods, written out from its `model_selection.py`, choose our trials from our export."""

import dataclasses
import json
from itertools import combinations

import numpy as np
import pytest
from report_sweep import Sweep, make_spec, write_trial

from dgsweep.analysis.selection import select
from dgsweep.plan.trial import Plan, Split, content_id
from dgsweep.records.ledger import Ledger
from dgsweep.report.domainbed import write_domainbed
from dgsweep.report.evidence import read_evidence

DOMAINS = ("C1/T1W", "C2/T1W", "C3/T1W", "C4/T1W")
RULE = "inner_leave_one_domain_out"
TRIALS, PEOPLE = 4, 3


def made(method, seed, trial, sources, *, inner):
    """A trial trained on `sources`; the main ones are scored on all domains, inner ones on what they leave out."""
    base = make_spec(Sweep(sequences=("T1W",)), method, "T1W", seed, trial, "unet_tiny")
    role = "v" if inner else "t"
    rest = [name for name in DOMAINS if name not in sources]
    cases = {f"{role}{i}{name[:2]}-T1W": name for name in rest for i in range(PEOPLE)}
    home = {} if inner else {f"t{i}{name[:2]}-T1W": name for name in sources for i in range(PEOPLE)}
    val = {f"v{i}{name[:2]}-T1W": name for name in sources for i in range(PEOPLE)}
    identity = content_id([method, seed, trial, sorted(sources), inner])
    scored = {**cases, **home, **val}
    return dataclasses.replace(
        base, trial_id=identity, cell_id=content_id([method, seed, sorted(sources), inner]), sources=tuple(sources),
        sources_label="+".join(sources), targets=tuple(rest), panel="inner" if inner else "main", domains=scored,
        hp={"alpha": trial}, split=Split(train=(), val=tuple(val), test=tuple(home), target=tuple(cases)),
        score_shas={name: content_id(name) for name in scored},
    )  # fmt: skip


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """Output of a leave-one-domain-out sweep with its inner cells, and the folder of its export."""
    root = tmp_path_factory.mktemp("domainbed")
    specs = [
        made(method, seed, trial, tuple(d for d in DOMAINS if d not in left), inner=len(left) == 2)
        for method in ("erm", "mix")
        for seed in (0, 1)
        for trial in range(TRIALS)
        for left in [*combinations(DOMAINS, 1), *combinations(DOMAINS, 2)]
    ]
    config = {"selection": ["source_val", RULE, "oracle_target"], "protocol": {"kind": "leave_one_domain_out"}}
    ledger = Ledger(root / "runs")
    ledger.write_plan(Plan(sweep="lodo", config=config, trials=tuple(specs)))
    for spec in specs:
        write_trial(ledger, spec)
    write_domainbed(root / "runs", root / "export")
    return root / "runs", root / "export"


def records_of(folder):
    return [json.loads(line) for path in folder.glob("*/results.jsonl") for line in path.read_text().splitlines()]


def n_envs(record):
    return sum(f"env{i}_out_acc" in record for i in range(99))


def iid(records, test):
    """Mean over the source environments of their out split, of the run that leaves out `test` alone."""
    (own,) = [one for one in records if one["args"]["test_envs"] == [test]]
    return np.mean([own[f"env{i}_out_acc"] for i in range(n_envs(own)) if i != test])


def oracle(records, test):
    (own,) = [one for one in records if one["args"]["test_envs"] == [test]]
    return own[f"env{test}_out_acc"]


def leave_one_out(records, test):
    """Mean over the other environments v of v's in split, of the run that leaves out `test` and v; all are needed."""
    accuracies = {}
    for one in records:
        if len(one["args"]["test_envs"]) == 2 and test in one["args"]["test_envs"]:
            (other,) = set(one["args"]["test_envs"]) - {test}
            accuracies[other] = one[f"env{other}_in_acc"]
    return None if len(accuracies) < n_envs(records[0]) - 1 else np.mean(list(accuracies.values()))


def chosen_by_domainbed(records, method):
    """(algorithm, trial seed, test environment) -> hparams_seed of the best validation accuracy."""
    found = {}
    keys = {(one["args"]["algorithm"], one["args"]["trial_seed"]) for one in records}
    for algorithm, seed in keys:
        for test in range(4):
            scores = {}
            for trial in range(TRIALS):
                own = [
                    one for one in records
                    if (one["args"]["algorithm"], one["args"]["trial_seed"], one["args"]["hparams_seed"])
                    == (algorithm, seed, trial)
                ]  # fmt: skip
                score = method(own, test)
                if score is not None:
                    scores[trial] = score
            if scores:
                found[algorithm, seed, test] = max(scores, key=scores.__getitem__)
    return found


def chosen_by_us(output, rule):
    evidence = read_evidence(output)
    specs = {spec.trial_id: spec for spec in evidence.plan.trials}
    ids = select(rule, evidence.plan, evidence.cases, evidence.curves).values()
    return {
        (f"{specs[one].method}@unet_tiny", specs[one].seed, DOMAINS.index(specs[one].targets[0])): specs[one].trial
        for one in ids
    }


@pytest.mark.parametrize(("rule", "method"), [("source_val", iid), (RULE, leave_one_out), ("oracle_target", oracle)])
def test_domainbed_chooses_the_same_trials_from_the_export(sweep, rule, method):
    output, export = sweep
    theirs, ours = chosen_by_domainbed(records_of(export), method), chosen_by_us(output, rule)
    assert theirs == ours
    assert len(ours) == 2 * 2 * 4
    assert len(set(ours.values())) > 1


def test_the_rules_do_not_all_choose_alike(sweep):
    rules = [chosen_by_us(sweep[0], rule) for rule in ("source_val", RULE, "oracle_target")]
    assert rules[0] != rules[1] != rules[2]


def test_a_trial_whose_inner_run_is_missing_is_not_judged_by_either(sweep):
    output, export = sweep
    evidence = read_evidence(output)
    gone = {
        spec.trial_id for spec in evidence.plan.trials if spec.panel == "inner" and spec.trial == 0 and spec.seed == 0
    }
    cases = evidence.cases[~evidence.cases["trial_id"].isin(gone)]
    ids = set(select(RULE, evidence.plan, cases, evidence.curves).values())
    chosen = {(spec.seed, spec.trial) for spec in evidence.plan.trials if spec.trial_id in ids}
    assert (0, 0) not in chosen
    left = [one for one in records_of(export) if one["trial_id"] not in gone]
    theirs = chosen_by_domainbed(left, leave_one_out)
    assert all(trial != 0 for (_, seed, _), trial in theirs.items() if seed == 0)


def test_each_folder_is_one_that_domainbed_reads(sweep):
    _, export = sweep
    folders = list(export.iterdir())
    assert all((folder / "done").exists() and (folder / "results.jsonl").exists() for folder in folders)
    record = records_of(export)[0]
    assert {"step", "hparams", "args", "env0_in_acc", "env3_out_acc"} <= set(record)
    assert {"algorithm", "dataset", "test_envs", "trial_seed", "hparams_seed"} <= set(record["args"])
