"""Whether this machine has a GPU for a model, asked without torch where the answer is no. Light: no torch.

Torch's own answer is the one a run goes by, and importing it takes seconds. So its import waits for a sign of a driver, which a
laptop or a head node does not have. Where there is a driver and no torch, this machine only plans, and the driver counts.
"""

from __future__ import annotations

from pathlib import Path

DRIVERS = ("/proc/driver/nvidia", "/dev/nvidiactl", "/dev/nvmap", "/dev/dxg", "/dev/kfd")
"""Files of NVIDIA's driver (the second where /proc hides it, the third on Jetson), of WSL's, and of AMD's, whose torch
says cuda too.
"""


def gpu_is_usable() -> bool:
    """Whether a model can use a GPU here, as ``torch.cuda.is_available()`` says; without torch, whether there is a
    driver.
    """
    if not any(Path(driver).exists() for driver in DRIVERS):
        return False
    try:
        import torch
    except ImportError:
        return True
    return torch.cuda.is_available()
