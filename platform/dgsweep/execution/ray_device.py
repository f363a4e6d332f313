"""The accelerator of a Train worker, before a trial and after it."""

import gc

import ray.train.torch

from dgsweep.execution.job import TrialJob


def take_device(job: TrialJob) -> None:
    """Make the accelerator that Train gave to this rank the current one, with this trial's share of its memory."""
    if job.device == "cuda":
        import torch

        device = ray.train.torch.get_device()
        torch.cuda.set_device(device)
        if job.gpus < 1:
            torch.cuda.set_per_process_memory_fraction(job.gpus, device)


def clear_memory(job: TrialJob) -> None:
    """Leave the next trial of this process what a new process would have."""
    gc.collect()
    if job.device == "cuda":
        import torch

        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
