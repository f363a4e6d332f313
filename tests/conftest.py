"""One thread for every test: tensors are small, and two cores are shared with the processes that tests start."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")
