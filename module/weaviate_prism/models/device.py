"""Running a model's forward pass: threads of torch, no gradients, and what its errors mean for the scheduler."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Iterator

import torch

from weaviate_prism.cores import usable_cores
from weaviate_prism.models.threads import use_threads
from weaviate_prism.scheduling.scheduler import DeviceLost


@contextlib.contextmanager
def on_device(device: str, threads: int) -> Iterator[None]:
    """`threads`: of the CPU for each operation; 0: as many as there are cores.

    Raises:
        MemoryError: the device has no memory left for this batch; a smaller one may fit.
        DeviceLost: an error that sticks to the process.
    """
    before = torch.get_num_threads()  # of the pass that this one overtakes, if it does
    use_threads(threads or usable_cores())
    try:
        with torch.inference_mode():
            yield
    except RuntimeError as error:
        raise _meaning(error, device) from error
    finally:
        use_threads(before)


def _meaning(error: RuntimeError, device: str) -> Exception:
    on_gpu = isinstance(error, torch.OutOfMemoryError)
    if on_gpu or "DefaultCPUAllocator" in str(error):  # which has no exception of its own
        traceback.clear_frames(error.__traceback__)  # they hold the failed batch's activations
        if on_gpu:
            torch.cuda.empty_cache()
        return MemoryError()
    accelerator = getattr(torch, "AcceleratorError", ())
    if device == "cuda" and (isinstance(error, accelerator) or "CUDA error" in str(error)):
        return DeviceLost(str(error))
    return error
