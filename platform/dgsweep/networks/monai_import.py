"""Import MONAI without the optional packages that it pulls in when they happen to be installed.

`import monai.networks.nets` takes 6 s where transformers, mlflow and scikit-learn are installed, and a third of that
without them; a cold worker pays it in every trial. einops stays: it is quick to import and the transformers need it.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

OPTIONAL = (
    "transformers", "mlflow", "sklearn", "optuna", "matplotlib", "pandas", "ignite", "tensorboard", "tensorboardX",
    "skimage", "itk", "pynrrd", "nrrd", "h5py", "zarr", "fire", "gdown", "clearml", "lmdb", "onnx", "cucim",
    "openslide", "tifffile", "imagecodecs", "pyamg", "huggingface_hub", "torchvision", "cupy", "pydicom",
)  # fmt: skip


@contextmanager
def without_optional_packages() -> Iterator[None]:
    """Hide optional packages that are not imported yet while MONAI is imported; they stay importable afterwards."""
    hidden = [name for name in OPTIONAL if name not in sys.modules]
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        for name in hidden:
            if sys.modules.get(name, ...) is None:
                del sys.modules[name]
