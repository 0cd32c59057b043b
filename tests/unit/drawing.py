"""Records of fits that no network ran, whose figures can be worked out by hand."""

import numpy as np
import pandas as pd

from lossless_inr.experiments.tables import row_of
from lossless_inr.fitting.recipe import Settings
from lossless_inr.fitting.record import FitSpec, Quality, Record
from lossless_inr.signals import Signal

ROWS, MACS = 4, 10
EACH = 6 * ROWS * MACS  # FLOPs of an iteration
TRUTH = np.array([0, 255, 128, 7], dtype=np.uint8).reshape(2, 2, 1)


class Drawn:
    """A table of fits with its files, in the layout of `results/<scale>`."""

    def __init__(self, folder):
        self.results, self.prepared = folder / "results", folder / "prepared"
        self.rows, self.signals = [], {}
        self.signal("tiny/2x2/a", TRUTH)

    def signal(self, name, samples, kind="photo", bits=8, title="", encoding="integer"):
        signal = Signal(name, samples, bits, kind, title=title or name, encoding=encoding)
        signal.save(self.prepared / f"{name}.npz")
        self.signals[name] = signal

    def fit(self, *decoded, signal="tiny/2x2/a", status="budget_exhausted", **changes):
        """A fit that decoded to these samples, one iteration after the other."""
        truth = self.signals[signal]
        last = len(decoded) - 1
        values = {
            "signal": signal,
            "kind": truth.kind,
            "shape": list(truth.samples.shape),
            "bits": truth.bits,
            "code": "offset" if truth.encoding == "integer" else truth.encoding,
            "network": "siren",
            "width": 8,
            "hidden_layers": 1,
            "representation": "direct",
            "recipe": "published",
            "settings": Settings(),
            "iterations": last if status == "lossless" else max(last, 0),
            "seed": 0,
        }
        spec = FitSpec(**values | changes)
        facts = {"code_digest": "", "signal_sha256": "", "provenance": {}}
        facts |= {"spec": spec, "spec_digest": spec.digest, "status": status}
        if decoded:
            curve, best = self._save(spec, truth, decoded)
            quality = {"ber": 0.0, "rmse": 0.0, "psnr": 0.0, "ssim": None}
            quality |= {"wrong_bits": 0, "squared_error": int(curve.squared_error[best])}
            facts |= {"best": Quality(**quality), "iterations": last, "parameters": 100}
            looked = 0 if status == "lossless" else 4 * ROWS * MACS
            facts |= {"rows": ROWS, "macs_per_row": MACS, "flops": (last + 1) * EACH - looked}
        row = row_of(Record(**facts), None, spec.folder, truth.metadata())
        self.rows.append(row)
        return spec.digest

    def _save(self, spec, truth, decoded):
        samples = [np.asarray(d).reshape(truth.samples.shape) for d in decoded]
        wrong = [s.astype(int) ^ truth.samples for s in samples]
        counts = {f"plane_{k}": [int((w >> k & 1).sum()) for w in wrong] for k in range(spec.bits)}
        squared = [int(((s.astype(int) - truth.samples) ** 2).sum()) for s in samples]
        steps = np.arange(len(samples))
        curve = pd.DataFrame({"iteration": steps, "squared_error": squared} | counts)
        folder = self.results / spec.folder
        folder.mkdir(parents=True)
        curve.to_parquet(folder / "curve.parquet")
        best = int(np.argmin(squared))
        np.savez(folder / "decoded.npz", last=samples[-1], best=samples[best])
        return curve, best

    @property
    def table(self):
        table = pd.DataFrame(self.rows)
        types = {k: "Int64" for k in ("flops", "rows", "best_squared_error", "parameters")}
        return table.astype(types)
