"""The engine on a CUDA device. Skipped without one; benchmarks/gpu_batch.sh runs it on a GPU."""

import numpy as np
import pytest
import torch

from lossless_inr import registry
from lossless_inr.engine.loop import Loop, fit, fit_many
from lossless_inr.engine.passes import Batch, LayerwisePass
from lossless_inr.engine.settings import Settings
from lossless_inr.engine.state import State

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
CUDA, CPU = torch.device("cuda"), torch.device("cpu")
FAST = Settings(
    rate=1.4e-3,
    output_factor=40.0,
    bias_factor=0.2,
    beta2=0.95,
    warmup=20,
    decay="cosine",
    horizon=80,
    floor=0.1,
    focus=1.0,
    output_init="zero",
)


def samples_of(seed=0, side=16, bits=8):
    return np.random.default_rng(seed).integers(0, 2**bits, (side, side, 3))


def form_of(name="bithead", side=16, bits=8):
    return registry.load("representation", name).Form((side, side, 3), bits)


def network_of(form, seed=0, width=64, hidden_layers=3):
    torch.manual_seed(seed)
    return registry.load("network", "siren").build(
        axes=form.axes, outputs=form.outputs, width=width, hidden_layers=hidden_layers
    )


@pytest.mark.parametrize("name", ["bithead", "bitplane", "direct"])
def test_gradients_and_counts_are_those_of_float64_on_the_cpu(name):
    form = form_of(name)
    settings = Settings(focus=0.0 if name == "direct" else 1.0)
    results = []
    for device, dtype in ((CPU, torch.float64), (CUDA, torch.float32)):
        network = network_of(form).to(device, dtype)
        batch, state = Batch(form, [samples_of()], device), State([network], settings)
        counts = LayerwisePass([network], batch, state, 1000).run(training=True)
        results.append((counts, state.gradients.cpu().double()))
    (exact, wanted), (counts, found) = results
    assert float((found - wanted).norm() / wanted.norm()) < 1e-4
    assert float(counts.loss) == pytest.approx(float(exact.loss), rel=1e-5)


@pytest.mark.parametrize("look_every", [1, 16])
def test_the_first_zero_is_that_of_a_loop_that_looks_after_each_step(look_every):
    form, samples = form_of(), samples_of()
    outcomes = []
    for every in (1, look_every):
        network = network_of(form).to(CUDA)
        outcomes.append(
            fit(network, form, samples, FAST, iterations=500, device=CUDA, look_every=every)
        )
    often, rarely = outcomes
    assert often.status == rarely.status == "lossless"
    assert rarely.iterations == often.iterations
    assert all(torch.equal(rarely.state[key], often.state[key]) for key in often.state)
    decoded = form.decode(network_of(form).to(CUDA)(form.coordinates().to(CUDA)))
    assert decoded.shape == (256, 3)


def test_the_host_waits_for_the_device_at_looks_only(monkeypatch):
    look = Loop._look

    def relaxed(self, *arguments):
        torch.cuda.set_sync_debug_mode("default")
        look(self, *arguments)
        torch.cuda.set_sync_debug_mode("error")

    monkeypatch.setattr(Loop, "_look", relaxed)
    form = form_of(side=32)  # a sound would do as well; SSIM's schedule adds looks of its own
    loop = Loop(
        [network_of(form).to(CUDA)],
        form,
        [samples_of(side=32)],
        FAST,
        iterations=60,
        device=CUDA,
        look_every=16,
        slice_rows=512,
    )
    try:
        torch.cuda.set_sync_debug_mode("error")
        loop.run()
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_a_batch_gives_each_member_its_own_first_zero():
    form = form_of()
    signals = [samples_of(seed) for seed in range(6)]
    options = {"iterations": 500, "device": CUDA, "look_every": 16}
    networks = [network_of(form, seed).to(CUDA) for seed in range(6)]
    together = fit_many(networks, form, signals, FAST, **options)
    for seed, outcome in enumerate(together):
        alone = fit(network_of(form, seed).to(CUDA), form, signals[seed], FAST, **options)
        assert outcome.status == alone.status == "lossless"
        # Batched products round differently, so counts agree within a few iterations.
        assert abs(outcome.iterations - alone.iterations) <= 5
        np.testing.assert_array_equal(outcome.decoded, signals[seed].reshape(-1, 3))


@pytest.mark.parametrize("precision", ["tf32", "bfloat16"])
def test_lower_precision_is_checked_in_float32(precision):
    form, samples = form_of(), samples_of()
    settings = FAST.model_copy(update={"precision": precision})
    network = network_of(form, width=128).to(CUDA)
    outcome = fit(network, form, samples, settings, iterations=800, device=CUDA, look_every=4)
    assert outcome.status == "lossless"
    assert outcome.check_every == 4
    with torch.no_grad():
        decoded = form.decode(network(form.coordinates().to(CUDA)))
    np.testing.assert_array_equal(decoded.cpu().numpy(), samples.reshape(-1, 3))


def test_tf32_is_off_outside_its_own_passes():
    form = form_of()
    settings = FAST.model_copy(update={"precision": "tf32"})
    fit(network_of(form).to(CUDA), form, samples_of(), settings, iterations=3, device=CUDA)
    assert not torch.backends.cuda.matmul.allow_tf32


def test_a_16_bit_step_at_paper_scale_stays_below_2_gib():
    form = form_of("bitplane", side=256, bits=16)
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    network = network_of(form, width=512, hidden_layers=5).to(CUDA)
    samples = samples_of(side=256, bits=16)
    fit(network, form, samples, Settings(), iterations=1, device=CUDA, look_every=16)
    assert torch.cuda.max_memory_allocated() - before < 2 * 2**30
