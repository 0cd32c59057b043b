"""Decode saved weights in a process that never saw the fit, and compare digests.

Only this sets `verified`. A fit is verified when every setting it is decoded under, one and two
threads, float32 and float64, CPU and (where there is one) GPU, gives back every integer: if two
settings disagree, the claim does not hold for somebody.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch

from lossless_inr.engine.passes import slices
from lossless_inr.errors import PluginError, UserError
from lossless_inr.fitting import digests
from lossless_inr.fitting.fit import build_form, build_network, exact_float32, load_weights
from lossless_inr.fitting.record import Check, Record, Verdict
from lossless_inr.private import anonymous
from lossless_inr.signals import Signal, samples_sha256


@torch.no_grad()
def decode(
    record: Record, weights: Path, *, device: str = "cpu", dtype: torch.dtype = torch.float32
) -> tuple[torch.Tensor, float]:
    """Decode a fit's saved weights.

    Parameters
    ----------
    record : Record
    weights : Path
        Written by `save_weights`.
    device : str
    dtype : torch.dtype
        float32 as fitted, or float64 for a second opinion on the same weights.

    Returns
    -------
    samples : Tensor of int64 on the CPU, the signal's shape
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
    for parameter in network.parameters():
        parameter.data = parameter.to(dtype.to_complex() if parameter.is_complex() else dtype)
    network.to(device)
    coordinates = form.coordinates().to(device, dtype)
    decoded = []
    margin = torch.tensor(math.inf, dtype=torch.float64, device=device)
    for rows in slices(form.rows, form.rows_per_sample, 4096):
        outputs = network(coordinates[rows])
        decoded.append(form.decode(outputs))
        # torch's minimum, unlike Python's, keeps a NaN once there is one.
        margin = torch.minimum(margin, form.margin(outputs).double())
    samples = form.samples(torch.cat(decoded))
    return samples.reshape(record.spec.shape).cpu(), float(margin)


def settings() -> list[tuple[str, int, torch.dtype]]:
    """(device, CPU threads, dtype) under which a fit must decode to the same integers."""
    on_cpu = [("cpu", 1, torch.float32), ("cpu", 2, torch.float32), ("cpu", 1, torch.float64)]
    return on_cpu + ([("cuda", 1, torch.float32)] if torch.cuda.is_available() else [])


def verify(record: Record, signal: Signal, folder: Path) -> Verdict:
    """Whether the saved weights give back every integer of `signal`, under every setting.

    `reproduced` says that they decode to the integers the fit itself saw at its end, which is
    expected of unfinished fits too (compared in float32 on the CPU with one thread).
    """
    facts = {"record_digest": digests.of_json(record.model_dump()), "verified": False}
    if record.status == "failed":
        return Verdict(**facts, note="the fit failed; there is nothing to verify")
    threads_before = torch.get_num_threads()
    checks = []
    try:
        # What is not lossless is decoded once, to see that its weights are what it saw.
        for device, threads, dtype in settings()[: None if record.status == "lossless" else 1]:
            torch.set_num_threads(threads)
            samples, margin = decode(
                record, folder / "weights.safetensors", device=device, dtype=dtype
            )
            digest = samples_sha256(samples.numpy(), record.spec.bits)
            checks.append(
                Check(
                    device=device,
                    threads=threads,
                    dtype=str(dtype).removeprefix("torch."),
                    decoded_sha256=digest,
                    lossless=digest == signal.sha256,
                    margin=margin if math.isfinite(margin) else None,
                )
            )
    except (UserError, PluginError) as error:
        return Verdict(**facts, note=anonymous(str(error)))
    finally:
        torch.set_num_threads(threads_before)
    facts["verified"] = record.status == "lossless" and all(check.lossless for check in checks)
    wrong = [f"{c.device}, {c.threads} threads, {c.dtype}" for c in checks if not c.lossless]
    disagree = record.status == "lossless" and wrong
    return Verdict(
        **facts,
        reproduced=checks[0].decoded_sha256 == record.decoded_sha256,
        decoded_sha256=checks[0].decoded_sha256,
        margin=checks[0].margin,
        checks=checks,
        note=f"not lossless under: {'; '.join(wrong)}" if disagree else "",
    )
