import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lossless_inr.errors import UserError
from lossless_inr.models.tiling import Tiling

sides = st.lists(st.integers(1, 40), min_size=1, max_size=2)


@given(sides, st.integers(1, 3), st.integers(1, 50))
def test_tiles_cover_a_signal_once_and_differ_by_one_at_most(sizes, channels, side):
    tiling = Tiling.of((*sizes, channels), side)
    seen = np.zeros(sizes, int)
    shapes = set()
    for tile in range(tiling.tiles):
        seen[tiling.region(tile)] += 1
        shapes.add(tiling.tile_shape(tile))
    assert (seen == 1).all()
    for axis in range(len(sizes)):
        along = {shape[axis] for shape in shapes}
        assert max(along) <= side and max(along) - min(along) <= 1
    assert {shape[-1] for shape in shapes} == {channels}
    assert tiling.largest == max(shapes)


@given(sides, st.integers(1, 50), st.data())
def test_a_region_needs_the_tiles_that_share_samples_with_it_and_no_other(sizes, side, data):
    tiling = Tiling.of((*sizes, 1), side)
    region = tuple(
        slice(*sorted(data.draw(st.lists(st.integers(0, n), min_size=2, max_size=2, unique=True))))
        for n in sizes
    )
    wanted = set(itertools.product(*(range(part.start, part.stop) for part in region)))
    needed = [
        tile
        for tile in range(tiling.tiles)
        if wanted & set(itertools.product(*(range(p.start, p.stop) for p in tiling.region(tile))))
    ]
    assert tiling.overlapping(region) == needed


def test_a_tile_of_no_size_is_refused():
    with pytest.raises(UserError, match="tile: 0"):
        Tiling.of((4, 4, 3), 0)
