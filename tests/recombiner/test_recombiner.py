"""RECOMBINER's miniature: the file decodes to the exact samples, or says why it does not."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.transform import resize

from lossless_inr.errors import UserError
from lossless_inr.recombiner.file import read, write
from lossless_inr.recombiner.posterior import CANDIDATES, candidates, chosen_numbers, encode
from lossless_inr.recombiner.prior import Prior, divergence, fit_prior, group


@pytest.fixture(scope="module")
def images():
    """Forty smooth images of 28x28, and as many that no prior has seen: uint8 (80, 784)."""
    noise = np.random.default_rng(5).random((80, 5, 5))
    large = [resize(each, (28, 28), order=3) for each in noise]
    return torch.from_numpy((255 * np.clip(large, 0, 1)).astype(np.uint8).reshape(80, 784))


@pytest.fixture(scope="module")
def prior(images):
    return fit_prior("planes", images[:40], bits=None, steps=60, batch=40)


@pytest.fixture(scope="module")
def sent(prior, images):
    """File, samples and the network's own reading of two unseen images."""
    indices, kl = encode(prior, images[40:42], steps=30, tune=1)
    assert indices.shape == (2, prior.count)
    assert (kl > 0).all()
    return [
        (*write(prior, own, image.numpy()), image.numpy())
        for own, image in zip(indices, images[40:42], strict=True)
    ]


def test_one_candidate_is_that_of_all():
    full = candidates(3, 7)
    assert full.shape == (CANDIDATES, 7)
    for index in (0, 1, 12_345, CANDIDATES - 1):
        assert np.array_equal(candidates(3, 7, index), full[index])
    assert not np.array_equal(candidates(4, 7, 1), full[1])
    assert abs(full.mean()) < 0.01
    assert abs(full.std() - 1) < 0.01


def test_file_is_exact_where_the_network_is_not(prior, sent, tmp_path):
    prior.save(tmp_path / "prior.npz")
    assert (tmp_path / "prior.npz").stat().st_size < 2_000_000
    other = Prior.load(tmp_path / "prior.npz")
    for content, plain, image in sent:
        assert np.array_equal(read(other, content), image)
        assert not np.array_equal(plain, image), "the residual was not needed: nothing was tested"


def test_value_file_is_what_the_network_gives(images):
    prior = fit_prior("value", images[:40], bits=200, steps=20, batch=40)
    indices, _ = encode(prior, images[40:41], steps=10, tune=1)
    content, plain = write(prior, indices[0], images[40].numpy())
    assert len(content) == 10 + 2 * prior.count
    assert np.array_equal(read(prior, content), plain)


def test_another_prior_is_refused(prior, sent):
    other = Prior(prior.shared, prior.mean + 1e-3, prior.deviation, prior.blocks, prior.beta)
    with pytest.raises(UserError, match="another prior"):
        read(other, sent[0][0])


def test_cut_and_corrupt_files_never_give_wrong_samples(prior, sent):
    content, _, image = sent[0]
    refused = 0
    for length in range(0, len(content), 3):
        with pytest.raises(UserError):
            read(prior, content[:length])
    generator = np.random.default_rng(1)
    for _ in range(50):
        broken = bytearray(content)
        broken[generator.integers(len(broken))] ^= 1 << int(generator.integers(8))
        try:
            # Bits that nothing reads may flip: the last word of a range coder has some.
            assert np.array_equal(read(prior, bytes(broken)), image)
        except UserError:
            refused += 1
    assert refused > 40


def test_frozen_numbers_are_those_of_the_indices(prior):
    indices = np.arange(prior.count, dtype=np.uint16)
    h = chosen_numbers(prior, indices)
    where = prior.blocks == 2
    z = torch.from_numpy(candidates(2, int(where.sum()), 2))
    expected = (prior.mean[where].double() + prior.deviation[where].double() * z).float()
    assert torch.equal(h[where].float(), expected)


def test_blocks_hold_about_equal_divergence():
    generator = torch.Generator().manual_seed(0)
    each = torch.rand(3000, generator=generator)
    blocks = group(each, 50, generator)
    totals = torch.zeros(50).index_add(0, blocks, each)
    assert (totals - each.sum() / 50).abs().max() < 1
    one = torch.ones(1)
    assert float(divergence(one, one, one, one)) == 0.0
