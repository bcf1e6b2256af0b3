"""Reading weights from a file: tensors only, and errors that say what to do."""

import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The flat state dict of a `.safetensors` file or of a `.pth` of plain tensors."""
    if not path.is_file():
        raise FileNotFoundError(f"There is no file of weights '{path}'.")
    damaged = f"'{path}' is damaged or truncated ({path.stat().st_size:,} bytes): delete it and get it again."
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except SafetensorError as error:
            raise ValueError(damaged) from error
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"'{path}' is not a file of plain tensors: it is damaged, or it holds other Python objects, which are not "
            "unpickled because that can run code. Pass a safetensors file, or what torch.save(model.state_dict(), "
            "path) wrote."
        ) from error
    except (RuntimeError, EOFError) as error:
        raise ValueError(damaged) from error
    if not isinstance(state, Mapping) or not all(isinstance(tensor, Tensor) for tensor in state.values()):
        raise ValueError(f"'{path}' is not a flat state dict (name -> tensor): save model.state_dict() and pass that.")
    return dict(state)


def check_tensors(state: Mapping[str, Tensor], expected: Mapping[str, Tensor], source: str) -> None:
    """Raises a ValueError that names some of the tensors in which `state` differs from what is expected."""
    faults = [f"no '{key}'" for key in expected if key not in state]
    faults += [f"unknown '{key}'" for key in state if key not in expected]
    faults += [
        f"'{key}' of shape {tuple(state[key].shape)} instead of {tuple(tensor.shape)}"
        for key, tensor in expected.items()
        if key in state and state[key].shape != tensor.shape
    ]
    if faults:
        more = f" and {len(faults) - 4} more" if len(faults) > 4 else ""
        raise ValueError(f"{source} does not hold the weights of this network: it has {', '.join(faults[:4])}{more}.")
