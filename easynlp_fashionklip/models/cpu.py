"""How computing on the CPU is set up: chosen by what the machine has, shown, overridable."""

from __future__ import annotations

import torch

from easynlp_fashionklip.models import allocator


def cpu_half_is_faster() -> bool:
    """Whether bfloat16 beats float32 on this CPU: it needs matrix units (AMX) or AVX-512's bfloat16 products.

    Others compute bfloat16 by converting to float32 and back. Measured with AMX, one thread, forward and backward:
    MobileNetV2 at 112 px 1.5x, ViT-B/32 1.6x.
    """
    asked = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    return torch.backends.mkldnn.is_available() and any(
        bool(getattr(torch.cpu, name, lambda: False)()) for name in asked
    )


def configure_cpu(threads: int = 0, keep_freed_memory: bool = True) -> None:
    """Apply what the user has set, before the first model is built.

    Args:
        threads: of this process's operations; 0 leaves OMP_NUM_THREADS or torch's choice, the cores it may use.
        keep_freed_memory: whether freed memory stays with the process; see `models.allocator`.
    """
    if threads:
        torch.set_num_threads(threads)
    if not keep_freed_memory:
        allocator.leave_as_it_is()


def cpu_settings(workers: int, half: bool) -> list[tuple[str, str]]:
    """Name and value of each setting as it is now, for the table shown at the start of a run.

    Args:
        workers: processes that decode pictures for this one.
        half: whether it trains in bfloat16.
    """
    kept = allocator.keep_freed_memory()
    instructions = torch.backends.cpu.get_cpu_capability() + (" with bfloat16" if cpu_half_is_faster() else "")
    return [
        ("CPU", instructions),
        ("threads", f"{torch.get_num_threads()} for computing, {workers} processes for decoding"),
        ("precision", "bfloat16 forward and backward, float32 weights" if half else "float32"),
        ("memory", "freed blocks are kept" if kept else "freed blocks go back to the kernel"),
    ]
