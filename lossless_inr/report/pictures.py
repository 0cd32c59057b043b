"""Pictures of one fit, small enough that every fit of a scale has its own: no torch, no plots.

Curves and waveforms are lines of SVG that take the page's colours. Images are PNG in their own
size up to `largest_side`, else reduced JPEG; error maps and plane heat maps are palette PNG.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from matplotlib import colormaps
from PIL import Image

from lossless_inr.metrics import LEVEL_BITS, levels
from lossless_inr.report.formats import data_uri, format_flops
from lossless_inr.signals import Signal

# The report stays below 15 MB: what its pictures may take, and what a fit takes without any.
MOST_CHARACTERS, CHARACTERS_OF_TEXT = 6_000_000, 4_500
POINTS, COLUMNS = 60, 96
WIDTH, HEIGHT = 300, 150
LEFT, RIGHT, TOP, BOTTOM = 40, 8, 20, 22
MAGMA = (colormaps["magma"](np.arange(256))[:, :3] * 255).round().astype(np.uint8).tobytes()
LOWEST_BER = 1e-4


@dataclass(frozen=True)
class Line:
    """A polyline in a box of `WIDTH` by `HEIGHT`, with labelled ticks.

    Attributes
    ----------
    points : str
        Of the SVG attribute.
    ticks : list of tuple
        `(x, y, text, side)` with side `left`, `bottom` or `top`.
    end : tuple of float or None
        Where BER first read 0.
    """

    points: str
    ticks: list[tuple[float, float, str, str]] = field(default_factory=list)
    end: tuple[float, float] | None = None


def room_for(fits: int) -> int:
    """Characters that all pictures together may take, in a report of so many fits.

    Up to some 1,000 fits there is room for the pictures of each; of the 2,000 of the paper's
    scale, some have none.

    Examples
    --------
    >>> room_for(250), room_for(2107)
    (6000000, 2000000)
    """
    return int(np.clip(11_000_000 - CHARACTERS_OF_TEXT * fits, 2_000_000, MOST_CHARACTERS))


def largest_side(fits: int) -> int:
    """Side in pixels up to which a thumbnail of one of so many fits may grow."""
    # An RGB picture of noise costs 3 bytes a pixel and 4/3 of that as base64; three pictures each.
    side = math.isqrt(room_for(fits) // (12 * max(1, fits)))
    return int(np.clip(side, 32, 96))


def weight(shown: dict | None) -> int:
    """Characters that the pictures of a fit add to the report, or nearly."""
    if shown is None:
        return 0
    lines = [shown["planes"], *shown.get("images", {}).values(), *shown.get("sound", {}).values()]
    # Each tick is a line and a text.
    return sum(map(len, lines)) + len(shown["ber"].points) + 110 * len(shown["ber"].ticks)


def thin(last: int, points: int = POINTS) -> np.ndarray:
    """At most `points` iterations from 0 to `last`, even in log(1 + t), both ends included."""
    return np.unique(np.round(np.expm1(np.linspace(0, np.log1p(last), points))).astype(int))


def _path(x: np.ndarray, y: np.ndarray) -> str:
    return " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))


def _wrong(curve: pd.DataFrame) -> np.ndarray:
    return curve[[c for c in curve.columns if c.startswith("plane_")]].to_numpy()


def ber_line(curve: pd.DataFrame, fit: pd.Series) -> Line:
    """Bit-error rate against iterations (below) and FLOPs (above), both on a log axis."""
    bits = int(fit.samples) * int(fit.bits)
    wrong = _wrong(curve).sum(axis=1)
    steps = thin(len(wrong) - 1)
    # Zero has no place on a log axis: it is drawn at half of the smallest possible BER.
    ber = np.maximum(wrong[steps] / bits, 0.5 / bits)
    low, high = math.log10(0.5 / bits), 0.0
    span = math.log10(max(2, len(wrong)))

    def across(passes):
        return LEFT + (WIDTH - LEFT - RIGHT) * np.log10(passes) / span

    def down(value):
        return TOP + (HEIGHT - TOP - BOTTOM) * (high - np.log10(value)) / (high - low)

    x, y = across(steps + 1.0), down(ber)
    ticks = [(LEFT, float(down(10.0**e)), f"1e{e}" if e else "1", "left") for e in range(0, -9, -2)]
    ticks = [tick for tick in ticks if tick[1] <= HEIGHT - BOTTOM]
    decades = [t for t in (1, 10, 100, 1000, 10_000, 100_000) if t < len(wrong)]
    ticks += [(float(across(t + 1)), HEIGHT - BOTTOM, f"{t:,}", "bottom") for t in decades]
    each = float(fit.flops) / len(wrong)
    first, last = math.ceil(math.log10(each)), math.floor(math.log10(float(fit.flops)))
    for power in range(first, last + 1):
        text = format_flops(10.0**power).removesuffix("FLOP")
        ticks.append((float(across(10.0**power / each)), TOP, text, "top"))
    end = (float(x[-1]), float(y[-1])) if fit.status == "lossless" else None
    return Line(_path(x, y), ticks, end)


def sound_line(values: np.ndarray, top: float) -> str:
    """Smallest and largest value of each column of a waveform, as one polyline."""
    parts = np.array_split(values.astype(float), min(len(values), COLUMNS))
    ends = np.array(
        [(p.min(), p.max()) if k % 2 else (p.max(), p.min()) for k, p in enumerate(parts)]
    )
    x = np.repeat(np.linspace(0, WIDTH, len(parts)), 2)
    return _path(x, 40 - 38 * ends.reshape(-1) / max(top, 1e-9))


def _encoded(image: Image.Image, format_: str, **options) -> str:
    buffer = io.BytesIO()
    image.save(buffer, format_, **options)
    return data_uri(buffer.getvalue(), f"image/{format_.lower()}")


def picture(
    samples: np.ndarray, bits: int, side: int, limits: tuple[int, int] | None = None
) -> str:
    """Samples as an image; a single channel is stretched to `limits`.

    Parameters
    ----------
    samples : ndarray of int, (height, width, channels)
    bits : int
    side : int
        Larger ones are reduced to it.
    limits : tuple of int, optional
        Black and white of a single channel, by default its own range.
    """
    values = samples.astype(float)
    if samples.shape[-1] == 1:
        low, high = limits or (values.min(), values.max())
        values = (values[..., 0] - low) / max(high - low, 1)
    else:
        values = values[..., :3] / (2**bits - 1)
        if values.shape[-1] == 2:
            values = values[..., 0]
    image = Image.fromarray((np.clip(values, 0, 1) * 255).round().astype(np.uint8))
    if max(image.size) <= side:
        return _encoded(image, "PNG", optimize=True)
    image.thumbnail((side, side))
    return _encoded(image, "JPEG", quality=75)


def _palette(levels: np.ndarray) -> Image.Image:
    image = Image.fromarray((np.clip(levels, 0, 1) * 255).round().astype(np.uint8))
    image.putpalette(MAGMA)
    return image


def error_map(error: np.ndarray, bits: int, side: int) -> str:
    """Largest absolute error over channels, log2(1 + e) of `bits`; black is none."""
    levels = np.log2(1 + np.abs(error).max(axis=-1)) / bits
    image = _palette(levels)
    if max(image.size) > side:
        image.thumbnail((side, side), Image.Resampling.NEAREST)
    return _encoded(image, "PNG", optimize=True)


def plane_map(curve: pd.DataFrame, fit: pd.Series) -> str:
    """BER of each plane (most significant on top) over log(1 + iteration), 1e-4 to 0.5."""
    planes = [f"plane_{k}" for k in reversed(range(int(fit.bits)))]
    ber = curve[planes].to_numpy()[thin(len(curve) - 1, COLUMNS)].T / float(fit.samples)
    levels = np.log(np.clip(ber, LOWEST_BER, 0.5) / LOWEST_BER) / math.log(0.5 / LOWEST_BER)
    return _encoded(_palette(levels), "PNG", optimize=True)


def of_fit(
    fit: pd.Series, curve: pd.DataFrame, best: np.ndarray, signal: Signal, side: int
) -> dict:
    """Everything that a drawer shows of one fit.

    Parameters
    ----------
    fit : Series
        Row of the table of fits.
    curve : DataFrame
    best : ndarray of int
        What the fit decoded to at its best RMSE.
    signal : Signal
    side : int
        See `largest_side`.
    """
    truth, best, bits = signal.samples.astype(np.int64), best.astype(np.int64), signal.bits
    wrong = int((best != truth).sum())
    if signal.encoding != "integer":  # floats are drawn as levels of their range
        best, truth = (levels(x, truth, bits, signal.kind == "audio") for x in (best, truth))
        bits = LEVEL_BITS
    error = best - truth
    shown = {
        "ber": ber_line(curve, fit),
        "planes": plane_map(curve, fit),
        "wrong_samples": wrong,
        "top": 2**bits - 1,
        "largest_error": int(np.abs(error).max()),
    }
    if signal.kind == "audio":
        centre = 2 ** (bits - 1)
        loudest = float(np.abs(truth - centre).max())
        shown["sound"] = {
            "original": sound_line(truth[:, 0] - centre, loudest),
            "reconstruction": sound_line(np.clip(best[:, 0] - centre, -loudest, loudest), loudest),
            "residual": sound_line(error[:, 0], float(max(1, np.abs(error).max()))),
        }
        return shown
    limits = (int(truth.min()), int(truth.max()))
    shown["images"] = {
        "original": picture(truth, bits, side, limits),
        "reconstruction": picture(best, bits, side, limits),
        "error": error_map(error, bits, side),
    }
    return shown
