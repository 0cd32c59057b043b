"""Table 7: files of RECOMBINER, and what a process that has only files and priors reads from them.

`send` writes a file for each image and what the sender alone knows of it; `receive` decodes files
in another process; `score` holds what came out against the images, in a third.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from lossless_inr.errors import UserError
from lossless_inr.files import replacing
from lossless_inr.metrics import psnr
from lossless_inr.metrics.quality import ssim
from lossless_inr.recombiner import PRIORS
from lossless_inr.recombiner.file import HEAD, read, write
from lossless_inr.recombiner.posterior import encode
from lossless_inr.recombiner.prior import Prior

SENT = "sent.csv"


def prior_of(variant: str) -> Prior:
    """The shared parts of a variant, which come with the package.

    Raises
    ------
    UserError
        If they do not.
    """
    path = PRIORS / f"{variant}.npz"
    if not path.is_file():
        raise UserError(
            f"{path.name}: no such shared parts; fit them: benchmarks/recombiner.py {variant}"
        )
    return Prior.load(path)


def send(
    variant: str,
    names: list[str],
    images: list[np.ndarray],
    folder: Path,
    *,
    updates: int,
    tune: int,
    tell=lambda text: None,
) -> None:
    """Write `<name>.rcb` for each image, and `sent.csv`.

    Parameters
    ----------
    variant : str
        Of `settings.VARIANTS`.
    names : list of str
        Of the files.
    images : list of ndarray of uint8, (28, 28, 1)
    folder : Path
    updates, tune : int
        Updates before the first block, and after each.
    tell : callable
        Gets a line now and then.

    Raises
    ------
    UserError
        If an image has another shape than the prior's.
    """
    prior = prior_of(variant)
    size = (prior.shared.height, prior.shared.width, 1)
    for name, image in zip(names, images, strict=True):
        if image.shape != size or image.dtype != np.uint8:
            raise UserError(f"{name}: {image.shape} of {image.dtype}; the prior is for {size}")
    samples = np.stack(images).reshape(len(images), -1)
    begin = time.perf_counter()
    indices, divergence = encode(
        prior, torch.from_numpy(samples), steps=updates, tune=tune, tell=tell
    )
    seconds = (time.perf_counter() - begin) / len(images)
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for name, image, own, kl in zip(names, samples, indices, divergence, strict=True):
        content, plain = write(prior, own, image)
        with replacing(folder / f"{name}.rcb") as file:
            file.write(content)
        rows.append(
            {"name": name, "kl_bits": kl, "encode_s": seconds, "updates": updates, "tune": tune}
            | _quality(plain, image, prior.shared.height, "network_")
        )
    with replacing(folder / SENT, "w", encoding="utf-8") as file:
        pd.DataFrame(rows).to_csv(file, index=False)


def _quality(found: np.ndarray, image: np.ndarray, height: int, prefix: str = "") -> dict:
    """BER, PSNR (dB), SSIM and RMSE (grey levels) of uint8 samples (pixels,)."""
    squared = float(np.square(found.astype(float) - image).sum())
    square = (height, -1, 1)
    numbers = {
        "ber": float((np.unpackbits(found) != np.unpackbits(image)).mean()),
        "psnr": psnr(squared, image.size, 8),
        "ssim": ssim(found.reshape(square), image.reshape(square), 8),
        "rmse": (squared / image.size) ** 0.5,
    }
    return {prefix + key: value for key, value in numbers.items()}


def receive(variant: str, folder: Path) -> pd.DataFrame:
    """Decode every file of a folder; nothing else than these and the shared parts is read.

    Returns
    -------
    DataFrame
        A row per file: its bits by what they are for, seconds, and `samples` (bytes).
    """
    prior, rows = prior_of(variant), []
    for path in sorted(folder.glob("*.rcb")):
        content = path.read_bytes()
        begin = time.perf_counter()
        samples = read(prior, content)
        rows.append(
            {
                "name": path.stem,
                "file_bits": 8 * len(content),
                "head_bits": 8 * HEAD.size,
                "block_bits": 16 * prior.count,
                "residual_bits": 8 * (len(content) - HEAD.size) - 16 * prior.count,
                "decode_s": time.perf_counter() - begin,
                "samples": samples.tobytes(),
            }
        )
    return pd.DataFrame(rows)


def score(decoded: pd.DataFrame, sent: pd.DataFrame, images: dict[str, np.ndarray]) -> pd.DataFrame:
    """Hold what `receive` decoded against the images.

    Parameters
    ----------
    decoded, sent : DataFrame
        Of `receive` and `send`.
    images : dict of str to ndarray of uint8, (height, width, 1)

    Returns
    -------
    DataFrame
        A row per image, with `exact` and the quality of what was decoded; `network_...` is that
        of the network alone, without a residual.

    Raises
    ------
    UserError
        If a file is missing.
    """
    if missing := sorted(set(images) - set(decoded.name)):
        raise UserError(f"{missing[0]}.rcb: no such file; delete its folder and run again")
    rows = []
    for row in decoded.to_dict("records"):
        image = images[row["name"]]
        found = np.frombuffer(row.pop("samples"), np.uint8)
        row |= {"pixels": image.size, "exact": bool(np.array_equal(found, image.reshape(-1)))}
        rows.append(row | _quality(found, image.reshape(-1), image.shape[0]))
    return pd.DataFrame(rows).merge(sent, on="name")
