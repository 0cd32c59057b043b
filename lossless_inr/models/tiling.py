"""Cutting a signal into tiles of nearly equal size, and finding those that a region needs."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

from lossless_inr.errors import UserError

Region = tuple[slice, ...]


def usual_side(shape: tuple[int, ...], bits: int) -> int:
    """Side of a tile whose network costs the least time per sample.

    Measured on two CPU cores (docs/models.md): work per sample grows with the network, and so
    with the tile; below some 600 samples a tile's fixed costs and harder fits outweigh that.
    """
    if len(shape) == 2:
        return 512
    return 16 if shape[-1] >= 3 and bits <= 8 else 24


@dataclass(frozen=True)
class Tiling:
    """A grid of tiles over the axes of a signal.

    Attributes
    ----------
    shape : tuple of int
        (height, width, channels) or (samples, channels).
    counts : tuple of int
        Tiles along each axis but the last.
    """

    shape: tuple[int, ...]
    counts: tuple[int, ...]

    @classmethod
    def of(cls, shape: tuple[int, ...], side: int) -> Tiling:
        """Tiles of at most `side`; sizes along an axis differ by one at most."""
        if side < 1:
            raise UserError(f"tile: {side} is no size; write 1 or more, or auto")
        return cls(tuple(shape), tuple(math.ceil(size / side) for size in shape[:-1]))

    @property
    def tiles(self) -> int:
        """Number of tiles, numbered in C order."""
        return math.prod(self.counts)

    def bounds(self, axis: int) -> list[int]:
        """Where tiles begin along an axis, and its end."""
        size, count = self.shape[axis], self.counts[axis]
        return [size * k // count for k in range(count + 1)]

    def region(self, tile: int) -> Region:
        """The part of the signal that a tile is."""
        place = []
        for size, count in zip(self.shape[-2::-1], self.counts[::-1], strict=True):
            tile, k = divmod(tile, count)
            place.append(slice(size * k // count, size * (k + 1) // count))
        return tuple(reversed(place))

    @property
    def largest(self) -> tuple[int, ...]:
        """Shape of the largest tile, channels included."""
        sides = (-(-size // count) for size, count in zip(self.shape, self.counts, strict=False))
        return (*sides, self.shape[-1])

    def tile_shape(self, tile: int) -> tuple[int, ...]:
        """Shape of a tile, channels included."""
        return (*(part.stop - part.start for part in self.region(tile)), self.shape[-1])

    def overlapping(self, region: Region) -> list[int]:
        """Tiles that share samples with a region of step 1 inside the signal."""
        chosen = []
        for axis, part in enumerate(region):
            bounds = self.bounds(axis)
            chosen.append(
                [
                    k
                    for k in range(self.counts[axis])
                    if bounds[k] < part.stop and part.start < bounds[k + 1]
                ]
            )
        tiles = []
        for place in itertools.product(*chosen):
            tile = 0
            for k, count in zip(place, self.counts, strict=True):
                tile = tile * count + k
            tiles.append(tile)
        return tiles
