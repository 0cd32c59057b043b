"""The engine's `published` recipe against a plain re-implementation of the published loop."""

import statistics
import sys

import pytest
import torch

from lossless_inr import registry
from lossless_inr.datasets.catalog import Catalog
from lossless_inr.engine.loop import fit
from lossless_inr.fitting.recipe import load_recipes


@pytest.fixture(scope="module")
def loop(root):
    sys.path.insert(0, str(root / "benchmarks"))
    import published_loop

    return published_loop


@pytest.fixture(scope="module")
def photo(root):
    return Catalog(root / "config/datasets.tsv", root).prepare("skimage/6x6/astronaut")


def _pair(root, loop, photo, *, seed, dtype, steps, width=32, hidden_layers=3):
    form = registry.load("representation", "bitplane").Form(photo.samples.shape, photo.bits)
    torch.manual_seed(seed)
    network = registry.load("network", "siren").build(
        axes=form.axes, outputs=form.outputs, width=width, hidden_layers=hidden_layers
    )
    network = network.to(dtype)
    inputs = loop.published_inputs(form, photo.samples, dtype)
    reference = loop.fit_published(network, *inputs, photo.bits, steps=steps)
    settings = load_recipes(root / "config/recipes")["published"].resolve(
        network="siren", representation="bitplane", bits=photo.bits, width=width, iterations=steps
    )
    if dtype == torch.float64:
        # The engine evaluates float32 coordinates; in float64 both sides get the same ones.
        whole = form.coordinates
        form.coordinates = lambda: whole().to(dtype)
    ours = fit(
        network,
        form,
        photo.samples,
        settings,
        iterations=steps,
        slice_rows=64,
        device=torch.device("cpu"),
    )
    return reference, ours


def test_float64_losses_agree_to_1e_9_for_200_steps(root, loop, photo):
    reference, ours = _pair(root, loop, photo, seed=0, dtype=torch.float64, steps=200)
    count = min(200, len(reference.losses), len(ours.curve.loss))
    assert count == 200
    relative = [
        abs(a - b) / abs(a)
        for a, b in zip(reference.losses[:count], ours.curve.loss[:count], strict=True)
    ]
    assert max(relative) < 1e-9


def test_float64_first_zero_is_the_same_iteration(root, loop, photo):
    reference, ours = _pair(root, loop, photo, seed=0, dtype=torch.float64, steps=1500)
    assert reference.first_zero is not None
    assert ours.status == "lossless"
    assert ours.iterations == reference.first_zero


def test_float32_first_losses_and_first_zeros_agree(root, loop, photo):
    ratios = []
    for seed in range(5):
        reference, ours = _pair(root, loop, photo, seed=seed, dtype=torch.float32, steps=1500)
        for a, b in zip(reference.losses[:10], ours.curve.loss[:10], strict=True):
            assert b == pytest.approx(a, rel=1e-4)
        assert reference.first_zero is not None and ours.status == "lossless"
        ratios.append(ours.iterations / reference.first_zero)
    print(f"first zeros, engine / reference: {[round(r, 3) for r in ratios]}")
    assert abs(statistics.median(ratios) - 1) <= 0.10
