"""No pickle that somebody else could have written is read: found in the code itself, so that none slips in."""

import ast
from collections.abc import Iterator
from pathlib import Path

from code_shape import ROOT

UNPICKLERS = {"pickle", "cloudpickle", "joblib", "dill", "shelve", "marshal"}
RESTORES = {"Tuner.restore", "tune.Tuner.restore", "ExperimentAnalysis", "tune.ExperimentAnalysis"}
"""Ray Tune's own state is cloudpickle; it is never read back."""


def loads(path: Path) -> Iterator[str]:
    """Calls of a file that would run code from the data that they read."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        said = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
        module, _, name = called.rpartition(".")
        if (
            (module in UNPICKLERS and name in {"load", "loads", "open", "Unpickler"})
            or called in RESTORES
            or name == "read_pickle"
            or (called == "torch.load" and said.get("weights_only") != "True")
            or (called in {"np.load", "numpy.load"} and said.get("allow_pickle") != "False")
            or called == "yaml.load"
        ):
            yield f"{path.name}:{node.lineno} {called}"


def test_no_code_of_ours_unpickles() -> None:
    sources = [path for folder in ("platform", "methods") for path in (ROOT / folder).rglob("*.py")]
    assert len(sources) > 300
    assert [found for path in sources for found in loads(path)] == []


def test_every_way_of_unpickling_is_seen(tmp_path: Path) -> None:
    lines = [
        "pickle.load(f)", "cloudpickle.loads(b)", "torch.load(p)", "torch.load(p, weights_only=False)", "np.load(p)",
        "np.load(p, allow_pickle=True)", "pd.read_pickle(p)", "tune.Tuner.restore(p)", "yaml.load(f)", "joblib.load(p)",
    ]  # fmt: skip
    (tmp_path / "bad.py").write_text("\n".join(lines))
    assert len(list(loads(tmp_path / "bad.py"))) == len(lines)
    (tmp_path / "good.py").write_text("torch.load(p, weights_only=True)\nnp.load(p, allow_pickle=False)\njson.load(f)")
    assert list(loads(tmp_path / "good.py")) == []
