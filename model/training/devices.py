"""What GPUs compute at most, to say how long a run will take, and how much of it a run uses."""

from __future__ import annotations

PEAK_FLOPS = {
    "v100": 125e12,
    "a100": 312e12,
    "l4": 121e12,
    "l40s": 362e12,
    "rtx-4090": 165e12,
    "h100": 989e12,
    "h200": 989e12,
    "b200": 2250e12,
}
"""FLOPs a second in bfloat16 (V100: float16) of matrix products that are not sparse, of the SXM module where there are
several; by NVIDIA's data sheets."""
USUAL_UTILISATION = 0.33
"""Share of the peak that training reaches: 33% is published of Wan's 14 B on H100s (Megatron), 18 to 23% with FSDP."""


def peak_flops(device_name: str) -> float | None:
    """The peak of a GPU by its driver's name, as `NVIDIA H100 80GB HBM3`; None of one that is not known."""
    words = f" {' '.join(device_name.lower().replace('-', ' ').split())} "
    found = (peak for name, peak in PEAK_FLOPS.items() if f" {name.replace('-', ' ')} " in words)
    return next(found, None)
