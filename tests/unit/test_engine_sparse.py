"""Sparse updates: the first ones see a part of the positions, and only later ones count."""

import numpy as np
import pandas as pd
import pytest
import torch
from pydantic import ValidationError
from tiny import (
    CPU,
    PASSES,
    QUICK,
    begin,
    decoded_by,
    noise_signal,
    random_samples,
    run,
    run_many,
    same_tensors,
    signal_of,
    spec_of,
    truth_of,
)

from lossless_inr.engine.checkpoint import Checkpoint
from lossless_inr.engine.loop import OutOfTime
from lossless_inr.engine.passes import Batch
from lossless_inr.engine.settings import Settings
from lossless_inr.experiments.tables import exactness
from lossless_inr.fitting.fit import Resources, run_fit
from lossless_inr.fitting.verify import verify
from lossless_inr.metrics import count_errors, wrong_bits_per_plane

every_kind = pytest.mark.parametrize("kind", PASSES)
SPARSE = Settings(
    **QUICK.model_dump() | {"sparse": [{"until": 8, "divisor": 4}, {"until": 12, "divisor": 2}]}
)
IMAGE = noise_signal((7, 7, 1))  # 49 positions: parts of unequal size


def sparse_spec(**changes):
    return spec_of(IMAGE, settings=SPARSE, **changes)


def test_each_round_goes_through_every_position_once():
    form, _ = begin(IMAGE, sparse_spec(representation="bitplane"))
    whole = Batch(form, [IMAGE.samples, IMAGE.samples[::-1]], CPU)
    parts = [whole.part(*SPARSE.sparse_part(update)) for update in range(12)]
    assert SPARSE.sparse_part(12) is None and SPARSE.sparse_until == 12
    orders = set()
    for number in ([0, 1, 2, 3], [4, 5, 6, 7], [8, 9], [10, 11]):
        seen = torch.cat([parts[n].coordinates for n in number])
        orders.add(tuple(seen.flatten().tolist()))
        assert len(seen) == form.rows and len(torch.unique(seen, dim=0)) == form.rows
        assert max(parts[n].rows for n in number) - min(parts[n].rows for n in number) <= form.bits
    assert len(orders) == 4  # every round draws anew
    for part in parts:  # rows, targets and truth stay together, for every member
        for row in range(2):
            assert torch.equal(part.targets[row], form.targets(part.truth[row]))
        where = (whole.coordinates[:, None] == part.coordinates).all(-1).int().argmax(0)
        assert torch.equal(whole.targets[:, where], part.targets)


@every_kind
@pytest.mark.parametrize("name", ["bithead", "bitplane"])
def test_losses_and_zero_are_those_of_a_plain_loop_over_the_same_parts(kind, name):
    spec = sparse_spec(representation=name, width=32)
    outcome = run(IMAGE, spec, kind)
    form, network = begin(IMAGE, spec, "autograd")
    network.double()
    rates = {"params": list(network.layers[:-1].parameters()), "lr": SPARSE.rate}
    last = {"params": list(network.layers[-1].parameters()), "lr": SPARSE.rate * 20}
    groups = [
        {**group, "params": [p], "lr": group["lr"] * (0.2 if p.dim() == 1 else 1)}
        for group in (rates, last)
        for p in group["params"]
    ]
    optimizer = torch.optim.Adam(groups, betas=(0.9, 0.95))
    whole = Batch(form, [IMAGE.samples], CPU)
    losses = []
    for update in range(outcome.iterations + 1):
        sparse = SPARSE.sparse_part(update)
        batch = whole.part(*sparse) if sparse else whole
        outputs = network(batch.coordinates.double())[None]
        loss, weight = form.loss(outputs, batch.targets, SPARSE.focus)
        losses.append(float(loss.detach().sum() / weight.sum()))
        optimizer.zero_grad()
        (loss.sum() / weight.sum()).backward()
        optimizer.step()
    np.testing.assert_allclose(outcome.curve.loss, losses, rtol=2e-3)
    assert outcome.status == "lossless" and outcome.iterations >= 12
    assert sum(outcome.curve.wrong_bits[outcome.iterations]) == 0
    fresh = begin(IMAGE, spec, kind)
    np.testing.assert_array_equal(decoded_by(*fresh, outcome.state), truth_of(IMAGE))


def test_counts_of_a_part_are_scaled_to_the_signal_and_are_neither_zero_nor_best():
    flat = signal_of(np.full((12, 12, 1), 200, np.uint8), 8)  # a part is right almost at once
    outcome = run(flat, spec_of(flat, settings=SPARSE))
    planes = outcome.curve.wrong_bits
    assert outcome.status == "lossless" and outcome.iterations == 12
    assert any(sum(counts) == 0 for counts in planes[1:12])
    assert outcome.best_iteration == 12 and min(outcome.ssim) >= 12
    # Before any update about half of all bits of noise are wrong, whatever part was seen.
    start = sum(run(IMAGE, sparse_spec()).curve.wrong_bits[0])
    assert 0.35 < start / (49 * 8) < 0.65


@every_kind
@pytest.mark.parametrize("positions", [1, 3])
def test_a_signal_of_fewer_positions_than_parts_is_fitted(kind, positions):
    tiny = signal_of(random_samples((positions, 1), 8), 8)
    outcome = run(tiny, spec_of(tiny, settings=SPARSE), kind)
    assert outcome.status == "lossless" and np.isfinite(outcome.curve.loss).all()
    np.testing.assert_array_equal(outcome.decoded, truth_of(tiny))


def test_work_is_that_of_the_rows_seen(tmp_path):
    record = run_fit(sparse_spec(width=32), IMAGE, tmp_path, Resources(device="cpu"))
    whole = Batch(begin(IMAGE, sparse_spec())[0], [IMAGE.samples], CPU)
    rows = sum(whole.part(*SPARSE.sparse_part(update)).rows for update in range(12))
    assert rows == 49 * (2 + 2)
    passes = record.iterations + 1 - 12
    assert record.samples_seen == rows + 49 * passes
    assert record.flops == 6 * record.macs_per_row * record.samples_seen
    assert exactness(record) == "exact from 12"
    assert record.best.wrong_bits == 0 and record.best_iteration == record.iterations
    assert verify(record, IMAGE, tmp_path).verified


@pytest.mark.parametrize("budget", [5, 12, 14])
def test_a_budget_that_ends_early_is_counted_over_every_position(tmp_path, budget):
    spec = sparse_spec(iterations=budget, width=4)
    record = run_fit(spec, IMAGE, tmp_path, Resources(device="cpu"))
    assert (record.status, record.iterations) == ("budget_exhausted", budget)
    decoded = np.load(tmp_path / "decoded.npz")["last"].astype(np.int64)
    truth = IMAGE.samples.astype(np.int64)
    assert record.last.wrong_bits == sum(wrong_bits_per_plane(decoded, truth, 8))
    assert record.last.squared_error == count_errors(decoded, truth)
    curve = pd.read_parquet(tmp_path / "curve.parquet")
    assert record.best.squared_error == curve.squared_error[min(12, budget) :].min()
    assert record.best_iteration >= min(12, budget)


@every_kind
@pytest.mark.parametrize("looks", [3, 10, 11, 12])
def test_a_fit_stopped_between_sparse_updates_goes_on_the_same(tmp_path, kind, looks):
    left = iter(range(looks, 0, -1))
    keep = {"checkpoint": Checkpoint(tmp_path / "state", "this fit")}
    with pytest.raises(OutOfTime):
        run(IMAGE, sparse_spec(), kind, stop=lambda: next(left) == 1, **keep)
    resumed, whole = run(IMAGE, sparse_spec(), kind, **keep), run(IMAGE, sparse_spec(), kind)
    assert resumed.curve.loss == whole.curve.loss
    assert resumed.iterations == whole.iterations and resumed.flops == whole.flops
    assert same_tensors(resumed.state, whole.state)


@pytest.mark.parametrize("look_every", [1, 5, 16])
def test_the_result_does_not_depend_on_the_batch_or_the_looks(look_every):
    other = signal_of(random_samples((7, 7, 1), 8, seed=3), 8)
    alone = run(IMAGE, sparse_spec(), "layerwise")
    both = run_many([other, IMAGE], [sparse_spec()] * 2, "layerwise", look_every=look_every)
    assert both[1].iterations == alone.iterations
    np.testing.assert_allclose(both[1].curve.loss, alone.curve.loss, rtol=1e-3)


def test_low_precision_is_checked_in_sparse_phases_too():
    low = SPARSE.model_copy(update={"precision": "bfloat16"})
    flat = signal_of(np.full((7, 7, 1), 200, np.uint8), 8)
    outcome = run(flat, spec_of(flat, settings=low, hidden_layers=2), look_every=4)
    assert outcome.status == "lossless" and outcome.check_every == 4
    assert outcome.iterations < 12 and outcome.iterations % 4 == 3
    np.testing.assert_array_equal(outcome.decoded, truth_of(flat))


@pytest.mark.parametrize(
    ("phases", "told"),
    [
        ([{"until": 8, "divisor": 4}, {"until": 8, "divisor": 2}], "later"),
        ([{"until": 0, "divisor": 4}], "until"),
        ([{"until": 4, "divisor": 1}], "divisor"),
    ],
)
def test_phases_that_make_no_sense_are_refused(phases, told):
    with pytest.raises(ValidationError, match=told):
        Settings(sparse=phases)
