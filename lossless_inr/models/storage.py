"""Weights in fewer bits. Whether a tile may use them is decided by decoding it."""

from __future__ import annotations

import torch

from lossless_inr.models.format import SCALE

INT8_TOP = 127


def pack(state: dict[str, torch.Tensor], storage: str) -> dict[str, torch.Tensor]:
    """Weights as they are stored: name -> tensor, and for int8 name + `.scale` -> float32 rows."""
    if storage != "int8":
        return {name: tensor.to(getattr(torch, storage)) for name, tensor in state.items()}
    stored = {}
    for name, tensor in state.items():
        rows = tensor.reshape(tensor.shape[0], -1) if tensor.dim() > 1 else tensor.reshape(1, -1)
        scale = rows.abs().amax(dim=1, keepdim=True) / INT8_TOP
        safe = torch.where(scale > 0, scale, torch.ones_like(scale))
        stored[name] = (rows / safe).round().to(torch.int8).reshape(tensor.shape)
        stored[name + SCALE] = scale.reshape(-1)
    return stored


def unpack(stored: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Float32 weights again; the same on every machine, since each is one product of floats."""
    state = {}
    for name, tensor in stored.items():
        if name.endswith(SCALE):
            continue
        if tensor.dtype == torch.int8:
            scale = stored[name + SCALE]
            wide = tensor.to(torch.float32).reshape(scale.numel(), -1) * scale[:, None]
            state[name] = wide.reshape(tensor.shape)
        else:
            state[name] = tensor.to(torch.float32)
    return state
