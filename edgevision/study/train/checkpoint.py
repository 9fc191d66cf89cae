"""What a training keeps, so that a run that was stopped goes on. In: a network, its optimiser, what else it is. Out: a file, and back."""

from __future__ import annotations

from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import nn

from edgevision.errors import InputError


def keep(path: Path, network: nn.Module, optimiser: torch.optim.Optimizer, **rest: object) -> None:
    """Written beside, then renamed: a run that is killed leaves the last one whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"network": network.state_dict(), "optimiser": optimiser.state_dict(), **rest}, path.with_suffix(".part"))
    path.with_suffix(".part").replace(path)


def restore(path: Path, network: nn.Module, optimiser: torch.optim.Optimizer) -> dict[str, Any]:
    """Set both as they were kept; gives the rest. Raises InputError for a file of another network, or none at all."""
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True)
        network.load_state_dict(state.pop("network"))
        optimiser.load_state_dict(state.pop("optimiser"))
    except (OSError, RuntimeError, KeyError, EOFError, ValueError, UnpicklingError) as error:
        raise InputError(f"{path}: not a checkpoint of this network ({type(error).__name__}); delete it to begin anew") from error
    return state
