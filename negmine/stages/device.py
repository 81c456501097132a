"""Where exact search computes its proposals."""

from __future__ import annotations

import os
from pathlib import Path

from negmine.config import Config
from negmine.errors import ConfigError
from negmine.retrieval.proposing import Propose, propose_on_cpu

_DRIVERS = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")
"""Files that the drivers of GPUs make (NVIDIA, WSL, AMD): without one, torch is not even imported."""


def proposer(config: Config) -> Propose:
    """What ``index.device`` asks for; ``auto`` is a GPU where there is one, but not in Ray's workers.

    The device decides no result. Raises ConfigError for a GPU that is not there.
    """
    device = config.index.device
    if device == "auto" and (config.engine.kind == "ray" or not _may_have_gpu()):
        device = "cpu"
    if device == "cpu":
        return propose_on_cpu
    import torch

    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device == "auto" and not there:
        return propose_on_cpu
    if int(device.partition(":")[2] or 0) >= there:
        found = "cpu" + "".join(f", cuda:{number}" for number in range(there))
        raise ConfigError(
            f"there is no device '{device}' here",
            where="index.device",
            hint=f"This machine has: {found}. Set index.device: auto to take the best.",
        )
    from negmine.retrieval.device import propose_with_torch

    return propose_with_torch("cuda" if device == "auto" else device)


def _may_have_gpu() -> bool:
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    return not hidden and any(Path(driver).exists() for driver in _DRIVERS)
