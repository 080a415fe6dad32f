"""Peaks of GPUs by the names that drivers give."""

import pytest

from model.training.devices import PEAK_FLOPS, peak_flops


@pytest.mark.parametrize(
    ("device_name", "name"),
    [
        ("NVIDIA H100 80GB HBM3", "h100"),
        ("NVIDIA H200", "h200"),
        ("NVIDIA A100-SXM4-80GB", "a100"),
        ("NVIDIA L4", "l4"),
        ("NVIDIA L40S", "l40s"),
        ("Tesla V100-SXM2-16GB", "v100"),
        ("NVIDIA GeForce RTX 4090", "rtx-4090"),
    ],
)
def test_a_gpu_is_known_by_the_name_that_its_driver_gives(device_name, name):
    assert peak_flops(device_name) == PEAK_FLOPS[name]


@pytest.mark.parametrize("device_name", ["NVIDIA GeForce RTX 3060", "NVIDIA L400", ""])
def test_the_peak_of_others_is_not_known(device_name):
    assert peak_flops(device_name) is None
