"""Decode saved weights in a process that never saw the fit, and compare digests.

Only this sets `verified`. It runs on the CPU in float32 whatever device fitted the weights.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch

from lossless_inr.errors import UserError
from lossless_inr.fitting import digests
from lossless_inr.fitting.engine import slices
from lossless_inr.fitting.fit import build_form, build_network, exact_float32, load_weights
from lossless_inr.fitting.record import Record, Verdict
from lossless_inr.signals import Signal, samples_sha256


@torch.no_grad()
def decode(record: Record, weights: Path) -> tuple[torch.Tensor, float]:
    """Decode a fit's saved weights on the CPU in float32.

    Returns
    -------
    samples : Tensor of int64, the signal's shape
    margin : float
        Smallest distance of any output to its decision boundary: |logit| for the bit forms,
        grey levels for `direct`; NaN if any output is.

    Raises
    ------
    UserError
        If the weights are missing or damaged.
    """
    exact_float32()
    form = build_form(record.spec)
    network = build_network(record.spec, form)
    load_weights(network, weights)
    coordinates = form.coordinates()
    decoded, margin = [], torch.tensor(math.inf, dtype=torch.float64)
    for rows in slices(form, record.slice_rows or 4096):
        outputs = network(coordinates[rows])
        decoded.append(form.decode(outputs))
        # torch's minimum, unlike Python's, keeps a NaN once there is one.
        margin = torch.minimum(margin, form.margin(outputs).double())
    return torch.cat(decoded).reshape(record.spec.shape), float(margin)


def verify(record: Record, signal: Signal, folder: Path) -> Verdict:
    """Whether the saved weights give back every integer of `signal`.

    `reproduced` says that they decode to the integers the fit itself saw at its end, which is
    expected of unfinished fits too.
    """
    context = {
        "record_digest": digests.of_json(record.model_dump()),
        "device": "cpu",
        "threads": torch.get_num_threads(),
    }
    if record.status == "failed":
        note = "the fit failed; there is nothing to verify"
        return Verdict(
            verified=False, reproduced=False, decoded_sha256=None, margin=None, note=note, **context
        )
    try:
        samples, margin = decode(record, folder / "weights.safetensors")
    except UserError as error:
        return Verdict(
            verified=False,
            reproduced=False,
            decoded_sha256=None,
            margin=None,
            note=str(error),
            **context,
        )
    digest = samples_sha256(samples.numpy(), record.spec.bits)
    return Verdict(
        verified=record.status == "lossless" and digest == signal.sha256,
        reproduced=digest == record.decoded_sha256,
        decoded_sha256=digest,
        margin=margin if math.isfinite(margin) else None,
        **context,
    )
