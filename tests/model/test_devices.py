"""What is read off the machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from raygen.model.devices import peak_gpu_memory, peak_host_memory


def test_the_most_host_memory_stays_when_it_is_given_back() -> None:
    if not Path("/proc/self/status").exists():
        pytest.skip("this system does not say it in /proc")
    block = b"x" * 300_000_000
    peak = peak_host_memory()
    assert peak > 300_000_000
    del block
    assert peak_host_memory() > 0.99 * peak  # the kernel counts by thread and adds up now and then


def test_without_a_gpu_none_of_its_memory_was_held() -> None:
    assert peak_gpu_memory() == 0
