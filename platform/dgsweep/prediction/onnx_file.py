"""A trained network as ONNX, checked against itself before it is kept."""

import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch

from dgsweep.errors import InputError, Problem
from dgsweep.prediction.bundle import plain_network
from dgsweep.prediction.predict import Model
from dgsweep.storage.files import write_bytes

TOLERANCE = 1e-3
"""Largest difference of logits that is accepted, beside a relative one of the same size."""


def write_onnx(model: Model, path: Path) -> float:
    """Write the network for one patch at a time, (1, C, X, Y, Z) -> (1, K+1, X, Y, Z); the largest difference.

    Raises:
        InputError: the packages are missing, the method predicts with more than a network, the network holds something
            that ONNX has not, or the file gives other numbers.
    """
    network = plain_network(model).cpu()
    patch = model.spec.preprocessing.patch
    example = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 1, *patch)).astype(np.float32))
    with torch.no_grad():
        wanted = network(example).numpy()
    content = _exported(network, example, model)
    difference = _difference(content, example.numpy(), wanted)
    if difference > TOLERANCE * max(1.0, float(np.abs(wanted).max())):
        raise _refused(model, f"the file's logits differ by {difference:.2g}", "use the bundle, or `dgsweep predict`")
    write_bytes(path, content)
    return difference


def _exported(network: torch.nn.Module, example: torch.Tensor, model: Model) -> bytes:
    try:
        with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
            warnings.simplefilter("ignore")
            made = torch.onnx.export(
                network, (example,), dynamo=True, input_names=["image"], output_names=["logits"], verbose=False
            )
            file = Path(folder) / "model.onnx"
            made.save(file)  # type: ignore[union-attr]  # None only when a file was named above
            return file.read_bytes()
    except ImportError as error:
        raise _refused(model, f"a package is missing ({error})", "pip install 'dgsweep[onnx]'") from error
    except (torch.onnx.errors.OnnxExporterError, RuntimeError, ValueError, TypeError, LookupError) as error:
        first = str(error).strip().splitlines()[0][:200]
        raise _refused(model, f"{model.spec.network} cannot be translated ({first})", "use the bundle") from error


def _difference(content: bytes, image: np.ndarray, wanted: np.ndarray) -> float:
    """Largest difference of what the file computes; 0 where no runtime is there to compute it."""
    try:
        import onnxruntime
    except ImportError:
        return 0.0
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"image": image})
    return float(np.abs(found - wanted).max())


def _refused(model: Model, found: str, fix: str) -> InputError:
    problem = Problem(where=f"trial {model.spec.trial_id}", found=found, fix=fix)
    return InputError("no ONNX file was written", [problem])
