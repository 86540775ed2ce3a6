"""Resumable state on disk: tensors and plain numbers in one .safetensors file, no pickle, written atomically."""

import json
import zlib
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from geokd.errors import TrainingError
from geokd.files import written_whole


def write_tensors(path: Path, tensors: dict[str, Tensor], facts: dict[str, Any] | None = None) -> None:
    """Write `tensors` and JSON-able `facts` to `path`: whole, or not at all.

    Raises
    ------
    TrainingError
        If the file cannot be written.
    """
    text = json.dumps(facts or {}, sort_keys=True)
    tensors = {name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()}
    try:
        with written_whole(path) as partial:
            known = {"facts": f"{_checksum(tensors, text)} {text}"}  # one entry, as their order in the file varies
            save_file(tensors, partial, known)
    except (OSError, SafetensorError) as error:
        raise TrainingError(f"cannot write {path}: {error}; free space there, then continue with --resume") from error


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what :func:`write_tensors` wrote.

    Raises
    ------
    TrainingError
        If the file cannot be read, or is damaged.
    """
    known = None
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  it is no dict
            text = (file.metadata() or {}).get("facts", "{}")
        if not text.startswith("{"):  # files of geokd 0.1 have no checksum
            known, _, text = text.partition(" ")
        if known not in (None, _checksum(tensors, text)):
            raise ValueError("its content does not match its checksum")
        return tensors, json.loads(text)
    except (OSError, SafetensorError, ValueError) as error:
        raise TrainingError(f"cannot read {path}: {error}; delete it to start this stage again") from error


def _checksum(tensors: dict[str, Tensor], text: str) -> str:
    """Compute a checksum of named tensors and a text, since safetensors files have none."""
    checksum = zlib.crc32(text.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        checksum = zlib.crc32(f"{name} {tensor.dtype} {list(tensor.shape)}".encode(), checksum)
        checksum = zlib.crc32(tensor.reshape(-1).view(torch.uint8).numpy().data, checksum)
    return f"{checksum:08x}"


def pack(modules: dict[str, nn.Module], optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Flatten the state of modules and of one AdamW optimiser into named tensors."""
    tensors = {f"{name}/{k}": v for name, module in modules.items() for k, v in module.state_dict().items()}
    for number, moments in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser/{number}/{key}": value for key, value in moments.items()}
    return tensors


def unpack(tensors: dict[str, Tensor], modules: dict[str, nn.Module], optimiser: torch.optim.Optimizer) -> None:
    """Restore the state that :func:`pack` flattened, in place.

    Raises
    ------
    TrainingError
        If the tensors are those of other networks.
    """
    try:
        for name, module in modules.items():
            own = {k.removeprefix(f"{name}/"): v for k, v in tensors.items() if k.startswith(f"{name}/")}
            module.load_state_dict(own)
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            part, *rest = key.split("/")
            if part == "optimiser":
                state.setdefault(int(rest[0]), {})[rest[1]] = value
        optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
        for parameter, moments in optimiser.state.items():  # with the same memory layout as before
            for key, value in moments.items():
                if value.shape == parameter.shape:
                    moments[key] = torch.empty_like(parameter).copy_(value)
    except (RuntimeError, ValueError, KeyError) as error:
        raise TrainingError(f"the checkpoint is of another network: {error}; start a new run") from error
