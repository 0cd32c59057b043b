"""The gate catches planted faults: each is a patch of a copy of the package.

Not in the default run (minutes): `make regress-power` runs it and writes the table of catches,
`benchmarks/results/regress-power.csv`.
"""

import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from typing import NamedTuple

import pandas as pd
import pytest

pytestmark = pytest.mark.power


class Fault(NamedTuple):
    """Text to replace in a file, the part of the gate that must see it, and the row it names."""

    file: str
    old: str
    new: str
    part: str
    row: str


FAULTS = {
    "rate x0.5": Fault(
        "lossless_inr/engine/state.py",
        "rate = settings.rate\n",
        "rate = settings.rate * 0.5\n",
        "traces",
        "trace siren bitplane published",
    ),
    "omega off by 10 %": Fault(
        "lossless_inr/networks/siren.py",
        "omega_first=30.0, omega_hidden=30.0):",
        "omega_first=30.0, omega_hidden=33.0):",
        "traces",
        "trace siren bithead fast",
    ),
    "bias initialisation dropped": Fault(
        "lossless_inr/networks/_base.py",
        "        layer.weight.uniform_(-bound, bound)",
        "        layer.weight.uniform_(-bound, bound)\n        layer.bias.zero_()",
        "traces",
        "trace siren direct",
    ),
    "planes reversed": Fault(
        "lossless_inr/representations/_base.py",
        "shift = torch.arange(bits, device=samples.device).view(1, bits, 1)",
        "shift = torch.arange(bits, device=samples.device).flip(0).view(1, bits, 1)",
        "facts",
        "targets bitplane",
    ),
    "off by one in iterations": Fault(
        "lossless_inr/engine/loop.py",
        "iteration = len(self.curve.loss) - 1",
        "iteration = len(self.curve.loss)",
        "fits",
        "fit siren bithead fast",
    ),
    "BER computed on floats": Fault(
        "lossless_inr/metrics/counts.py",
        "    difference = decoded ^ truth\n",
        "    if hasattr(decoded, 'half'):\n"
        "        decoded, truth = decoded.half().long(), truth.half().long()\n"
        "    difference = decoded ^ truth\n",
        "facts",
        "metrics chime",
    ),
    "one seed axis ignored": Fault(
        "lossless_inr/fitting/fit.py",
        "        signal=spec.signal,\n        network=spec.network,",
        '        signal="",\n        network=spec.network,',
        "facts",
        "size siren",
    ),
    "a slice skipped in accumulation": Fault(
        "lossless_inr/engine/passes.py",
        "            if training:\n                (gradient,)",
        "            if training and rows.start == 0:\n                (gradient,)",
        "traces",
        "trace siren bitplane",
    ),
    "best over training off": Fault(
        "lossless_inr/fitting/fit.py",
        "min([counts[0], *wrong[whole]])",
        "max([counts[0], *wrong[whole]])",
        "fits",
        "fit siren direct decayed",
    ),
    "metric range wrong": Fault(
        "lossless_inr/metrics/quality.py",
        "data_range=2**bits - 1",
        "data_range=2**bits",
        "facts",
        "metrics skimage",
    ),
    "verification skipped": Fault(
        "lossless_inr/fitting/verify.py",
        'record.status == "lossless" and all(check.lossless for check in checks)',
        'record.status == "lossless"',
        "fits",
        "fit siren bithead fast",
    ),
    "TF32 allowed in direct": Fault(
        "lossless_inr/representations/_base.py",
        'precisions: tuple[str, ...] = ("float32",)',
        'precisions: tuple[str, ...] = ("float32", "tf32")',
        "facts",
        "targets direct",
    ),
    "TF32 left on": Fault(
        "lossless_inr/fitting/fit.py",
        'torch.set_float32_matmul_precision("highest")',
        'torch.set_float32_matmul_precision("high")',
        "facts",
        "precision",
    ),
    "Adam's bias correction dropped": Fault(
        "lossless_inr/engine/state.py",
        "return 1 / (1 - beta1**self.step), 1 / math.sqrt(1 - beta2**self.step)",
        "return 1.0, 1 / math.sqrt(1 - beta2**self.step)",
        "traces",
        "trace wire direct published",
    ),
    "focus ignored": Fault(
        "lossless_inr/representations/_base.py",
        "        if focus == 0:\n            return each.sum",
        "        if focus >= 0:\n            return each.sum",
        "traces",
        "trace finer bithead fast",
    ),
    "focus of the compiled pass off by 1 %": Fault(
        "lossless_inr/engine/compiled.py",
        "focus=state.settings.focus,\n",
        "focus=state.settings.focus * 0.99,\n",
        "traces",
        "trace siren bithead fast photo float32",
    ),
    "a recipe's rate changed": Fault(
        "config/recipes/fast.yaml",
        "output_factor: 40.0",
        "output_factor: 20.0",
        "traces",
        "trace siren bithead fast",
    ),
    "resampling shifted": Fault(
        "lossless_inr/signals/resample.py",
        "def centre_square(samples: np.ndarray) -> np.ndarray:",
        "def centre_square(samples: np.ndarray) -> np.ndarray:\n"
        "    return _centre(samples[1:])\n\n\n"
        "def _centre(samples: np.ndarray) -> np.ndarray:",
        "facts",
        "signal skimage",
    ),
    "horizon of the decay ten times as long": Fault(
        "lossless_inr/fitting/recipe.py",
        "horizon.base + horizon.per_bit * bits",
        "10 * (horizon.base + horizon.per_bit * bits)",
        # Not "fits": they end within 50 updates, where the longer decay has hardly begun.
        "traces",
        "trace",
    ),
}


def run_gate(folder, root, fault=None):
    """Copy the package and its config, plant the fault, run the gate there."""
    for name in ("lossless_inr", "config"):
        shutil.copytree(root / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    if fault:
        path = folder / fault.file
        text = path.read_text(encoding="utf-8")
        assert text.count(fault.old) >= 1, f"{fault.file} has changed; mend this test"
        path.write_text(text.replace(fault.old, fault.new, 1), encoding="utf-8")
    command = [sys.executable, "-m", "lossless_inr.cli", "regress", "--quick"]
    command += ["--baseline", str(root / "benchmarks/baseline")]
    command += ["--part", fault.part] if fault else []
    return subprocess.run(
        command,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture(scope="module")
def table(root):
    rows = []
    yield rows
    if len(rows) == len(FAULTS):  # not of a run of some of them
        path = root / "benchmarks/results/regress-power.csv"
        pd.DataFrame(rows, columns=["fault", "part", "rows", "first"]).to_csv(path, index=False)


@pytest.mark.parametrize("name", FAULTS)
def test_fault_is_caught(name, root, tmp_path, table):
    fault = FAULTS[name]
    done = run_gate(tmp_path, root, fault)
    report = tmp_path / "reports/regress/junit.xml"
    assert report.exists(), done.stderr  # a fault that stops the gate would prove nothing
    cases = ElementTree.parse(report).iter("testcase")
    failing = [case.get("name") for case in cases if case.find("failure") is not None]
    table.append((name, fault.part, len(failing), failing[0] if failing else "none"))
    assert done.returncode == 1
    assert any(re.match(re.escape(fault.row), row) for row in failing), failing[:5]


def test_copy_without_a_fault_passes(root, tmp_path):
    done = run_gate(tmp_path, root)
    assert done.returncode == 0, done.stdout + done.stderr
