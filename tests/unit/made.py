"""A finished scale in the layout of `results/<scale>`, written by hand: nothing is fitted."""

import math

import numpy as np
import pandas as pd
from PIL import Image

from lossless_inr.experiments.plan import plain_fits
from lossless_inr.experiments.tables import collect, fits_table
from lossless_inr.files import sha256_of
from lossless_inr.fitting import digests
from lossless_inr.fitting.recipe import Settings
from lossless_inr.fitting.record import FitSpec, Quality, Record, Timing
from lossless_inr.metrics import psnr, rmse
from lossless_inr.signals import Signal

NASTY = (
    'Picture </script><script>alert(1)</script> {{ 7 * 7 }} "quoted" <img src=x onerror=alert(2)>'
)
PROVENANCE = {
    "device": "cpu",
    "ended": "2026-01-02T03:04:05+00:00",
    "git": {"commit": "0" * 40, "dirty": False},
    "machine": {"processor": "A <b>processor</b>", "packages": {"numpy": "2"}},
}


def signals() -> dict[str, Signal]:
    random = np.random.default_rng(0)
    pictures = {
        name: Signal(
            name=f"set/8x8/{name}",
            samples=random.integers(0, 256, (8, 8, 3)).astype(np.uint8),
            bits=8,
            kind="photo",
            title=title,
        )
        for name, title in (("a", NASTY), ("b", "Second"))
    }
    wave = 32768 + 20000 * np.sin(np.arange(200) / 9)
    sound = Signal("set/200/c", wave.round().astype(np.uint16)[:, None], 16, "audio", "Sound")
    return {one.name: one for one in (*pictures.values(), sound)}


def spec(signal: Signal, **changes) -> FitSpec:
    values = {
        **{"signal": signal.name, "kind": signal.kind, "shape": list(signal.samples.shape)},
        **{"bits": signal.bits, "network": "siren", "width": 8, "hidden_layers": 1},
        **{"representation": "bitplane", "recipe": "published", "settings": Settings()},
        **{"iterations": 40, "seed": 0},
    }
    return FitSpec(**values | changes)


def write_fit(one: FitSpec, signal: Signal, results, lossless_at: int | None) -> dict:
    """Write the files of a fit whose wrong bits fall to 0, or nearly; return its verified entry."""
    folder = results / one.folder
    folder.mkdir(parents=True)
    iterations = one.iterations if lossless_at is None else lossless_at
    truth = signal.samples.astype(np.int64)
    best = truth.copy()
    if lossless_at is None:
        best[0, 0] ^= 1
    error = best - truth
    squared, samples = int((error**2).sum()), truth.size
    share = np.linspace(0.5, 0, iterations + 1)
    curve = pd.DataFrame({"iteration": np.arange(iterations + 1), "loss": share})
    curve["squared_error"], curve["seconds"] = squared, 0.0
    for plane in range(one.bits):
        curve[f"plane_{plane}"] = np.round(share * samples).astype(int)
    if lossless_at is None:
        curve.loc[iterations, "plane_0"] = int((error != 0).sum())
    curve.to_parquet(folder / "curve.parquet", index=False)
    np.savez_compressed(folder / "decoded.npz", last=best, best=best)
    wrong = int((error != 0).sum())
    quality = Quality(
        wrong_bits=wrong,
        squared_error=squared,
        ber=wrong / (samples * one.bits),
        rmse=rmse(squared, samples),
        psnr=psnr(squared, samples, one.bits),
        ssim=1.0 if one.kind == "photo" and not wrong else None,
    )
    rows = math.prod(one.shape[:-1]) * (one.bits if one.representation == "bitplane" else 1)
    record = Record(
        spec=one,
        spec_digest=one.digest,
        code_digest="0" * 64,
        signal_sha256=signal.sha256,
        status="budget_exhausted" if lossless_at is None else "lossless",
        iterations=iterations,
        best=quality,
        last=quality,
        best_iteration=iterations,
        parameters=100,
        macs_per_row=1000,
        rows=rows,
        flops=6 * rows * 1000 * (iterations + 1),
        samples_seen=rows * (iterations + 1),
        precision="float32",
        engine="autograd",
        timing=Timing(fit=1, evaluation=0, saving=0, startup=1, threads=1, exclusive=True),
        files={path.name: sha256_of(path) for path in folder.iterdir()},
        provenance=PROVENANCE,
    )
    record.save(folder)
    verdict = {
        "record_digest": digests.of_json(record.model_dump()),
        "verified": lossless_at is not None,
        "reproduced": True,
        "margin": 0.25,
    }
    return {"spec_digest": one.digest, "folder": one.folder, "verdict": verdict}


def experiment(layout: str, title: str, **changes) -> dict:
    values = {"title": title, "caption": "A <caption>.", "published": None, "beside": []}
    return values | {"layout": layout} | changes


class Scale:
    """Two photographs and a sound; `partial` leaves out the second photograph's bit planes."""

    def __init__(self, root, partial: bool = False):
        self.results, self.prepared = root / "results/tiny", root / "prepared"
        found = signals()
        for one in found.values():
            one.save(self.prepared / f"{one.name}.npz")
        a, b, sound = found.values()
        planned = [
            (spec(a, iterations=1580), 20),
            (spec(b, iterations=1580), 30),
            (spec(a, representation="direct"), None),
            (spec(b, representation="direct"), None),
            *((spec(a, representation="bithead", recipe="fast", seed=k), 5 + k) for k in range(2)),
            (spec(sound, representation="bithead", recipe="fast"), 7),
        ]
        specs = [one for one, _ in planned]
        self.cells = {specs[k].digest: "bitplane" for k in (0, 1)}
        self.sets = {one.digest: "kodak" for one in specs if one.kind == "photo"}
        short = spec(b, iterations=10)  # a figure's fit that stops early on purpose
        drawn = [specs[0], short]
        entries = [
            write_fit(one, found[one.signal], self.results, at)
            for one, at in [*planned, (short, None)]
            if not (partial and one is specs[1])
        ]
        fits = collect(entries, self.results, self.prepared)
        fits.to_parquet(self.results / "fits.parquet", index=False)
        present = set(fits.spec_digest)
        wanted = [one.digest for one in specs if one.digest in present]
        (self.results / "tables").mkdir()
        table = fits_table(fits, wanted, self.cells, self.sets)
        table.to_parquet(self.results / "tables/table1.parquet")
        folder = self.results / "figures"
        folder.mkdir()
        (folder / "figure9.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"/>')
        Image.new("RGB", (4, 4)).save(folder / "figure9.png")
        pd.DataFrame({"signal": ["<i>", "b"], "value": [0.5, 2.0]}).to_csv(
            folder / "figure9.csv", index=False
        )
        beside = [{"kind": "photo", "bits": 8, "set": "kodak"}]
        self.arguments = {
            "scale": "tiny",
            "experiments": {
                "table1": experiment("table", "Table 1", published="table1", beside=beside),
                "figure9": experiment("convergence", "Figure 9"),
            },
            "results": self.results,
            "prepared": self.prepared,
            "planned": {"table1": len(specs), "figure9": 2, "never": 3},
            "planned_fits": {
                "table1": plain_fits(specs, self.cells, self.sets),
                "figure9": plain_fits(drawn, {}, {}),
            },
        }
        self.fits = fits
