"""What the network of the coder sees of a bit: integers, the same in encoder and decoder.

Everything is about the interval that the higher bits of a sample leave: [low, low + 2**(k + 1)),
with bit k asking whether the sample is in its upper half. Each predictor of the sample says how far
it is from the middle of the interval, in half intervals; so one small network serves all planes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Rows above, columns to both sides that a neighbour may lie away.
ABOVE, BESIDE = 3, 3
UNIT = 64  # integers per 1.0 of a feature
LARGEST = 127
WAVES = (1, 2, 4, 8)
# floor(8 log2(1 + v)), by integers alone: the same on every machine.
_LOGARITHM = np.array(
    [min(LARGEST, ((v + 1) ** 8).bit_length() - 1) for v in range(1 << 12)], dtype=np.int32
)


@dataclass(frozen=True)
class Sight:
    """What a network may see.

    Attributes
    ----------
    neighbours : bool
        Causal neighbours and the channels before; without them only coordinates and higher bits
        are left, an INR alone.
    coordinates : bool
        Triangle waves of row and column: the positional encoding of the INR.
    window : bool
        The 24 nearest causal neighbours as they are, for drawings (digits) rather than photographs.
    """

    neighbours: bool = True
    coordinates: bool = True
    window: bool = False


class Context:
    """Samples that are known so far, and the features of any position.

    Parameters
    ----------
    shape : tuple of int
        (images, height, width, channels).
    bits : int
        1 to 16.
    sight : Sight
    samples : ndarray of int, optional
        All of them, in training and in the encoder. The decoder fills `set` in.
    """

    def __init__(self, shape, bits: int, sight: Sight, samples: np.ndarray | None = None):
        images, self.height, self.width, self.channels = shape
        self.bits, self.sight = bits, sight
        # Outside of the image everything is 0.
        padded = (images, self.height + ABOVE, self.width + 2 * BESIDE, self.channels)
        self.known = np.zeros(padded, np.int32)
        if samples is not None:
            self.known[:, ABOVE:, BESIDE:-BESIDE] = samples

    def at(self, image, row, column, channel: int) -> np.ndarray:
        """Samples of positions, int32."""
        return self.known[image, row + ABOVE, column + BESIDE, channel]

    def put(self, image, row, column, channel: int, samples: np.ndarray) -> None:
        """Make samples known."""
        self.known[image, row + ABOVE, column + BESIDE, channel] = samples

    def samples(self) -> np.ndarray:
        """All of them, int32 (images, height, width, channels); 0 where not known."""
        return self.known[:, ABOVE:, BESIDE:-BESIDE]

    def _around(self, image, row, column, channel: int) -> list[np.ndarray]:
        """W, N, NW, NE, WW, NN, NNE and the median predictor of JPEG-LS."""
        places = ((0, -1), (-1, 0), (-1, -1), (-1, 1), (0, -2), (-2, 0), (-2, 1))
        found = [self.at(image, row + y, column + x, channel) for y, x in places]
        west, north, corner = found[:3]
        gradient = west + north - corner
        median = np.clip(gradient, np.minimum(west, north), np.maximum(west, north))
        return [*found, median]

    def of_position(self, image, row, column, channel: int) -> tuple[np.ndarray, np.ndarray]:
        """What does not depend on the plane.

        Parameters
        ----------
        image, row, column : ndarray of int, (n,)
        channel : int

        Returns
        -------
        predictors : ndarray of int32, (n, predictors)
            Guesses of the sample, in its own units.
        others : ndarray of int32, (n, features)
            In -128 .. 127.
        """
        middle = np.full(len(row), 1 << (self.bits - 1), np.int32)
        predictors, others = [middle], []
        if self.sight.neighbours:
            west, north, corner, east, far_west, far_north, far_east, median = self._around(
                image, row, column, channel
            )
            predictors = [
                median, west, north, corner, east, west + north - corner, 2 * north - far_north,
                2 * west - far_west, north + east - far_east, (west + east) >> 1,
                west + ((east - corner) >> 1),
            ]  # fmt: skip
            sizes = [
                west - corner, north - corner, north - east, west - far_west, north - far_north,
                west - north,
            ]  # fmt: skip
            for before in range(self.channels - 1):
                if before >= channel:  # not known yet: the median again, which adds nothing
                    predictors += [median] * 4
                    sizes += [np.zeros_like(west)] * 3
                    continue
                its_west, its_north, *_, its_median = self._around(image, row, column, before)
                here = self.at(image, row, column, before)
                predictors += [
                    median + here - its_median, west + here - its_west, north + here - its_north,
                    (west + north + 2 * here - its_west - its_north) >> 1,
                ]  # fmt: skip
                sizes += [here - its_median, here - its_west, here - its_north]
            shift = max(0, self.bits - 12)
            others += [_LOGARITHM[np.minimum(np.abs(s) >> shift, 4095)] for s in sizes]
            if self.sight.window:
                down = max(0, self.bits - 7)
                for up in range(ABOVE + 1):
                    for x in range(-BESIDE, BESIDE + 1):
                        if up == 0 and x == 0:
                            break
                        # Wavefronts advance two columns a row: further to the right is not known.
                        if x < 2 * up:
                            others.append(self.at(image, row - up, column + x, channel) >> down)
        if self.sight.coordinates:
            for place, size in ((row, self.height), (column, self.width)):
                for wave in WAVES:
                    phase = (place * wave * 256 // size) % 256
                    others.append(np.abs(phase - 128) - 64)
        empty = np.zeros((len(row), 0), np.int32)
        return (
            np.stack(predictors, 1).astype(np.int32),
            np.stack(others, 1).astype(np.int32) if others else empty,
        )

    def of_plane(self, predictors, others, low: np.ndarray, plane) -> np.ndarray:
        """Features of one bit of each position.

        Parameters
        ----------
        predictors, others : ndarray
            See `of_position`.
        low : ndarray of int32, (n,)
            The sample with bit `plane` and all below it 0.
        plane : int or ndarray of int, (n,)

        Returns
        -------
        ndarray of float32, (n, features)
            Integers in -128 .. 127.
        """
        plane = np.asarray(plane, np.int32)
        middle = low + (1 << plane)
        twice = (2 * predictors - 2 * middle[:, None] + 1).astype(np.int32)
        shift = plane[:, None] if plane.ndim else plane
        near = np.clip((twice * (UNIT // 2)) >> shift, -LARGEST - 1, LARGEST)
        # In units of the sample as well: low planes are told by the size of the error.
        far = np.clip(twice[:, ::11] if self.sight.neighbours else twice, -LARGEST - 1, LARGEST)
        return np.concatenate([near, far, others], axis=1, dtype=np.float32)

    @property
    def features(self) -> int:
        """How many features a bit has."""
        zero = np.zeros(1, np.int64)
        position = self.of_position(zero, zero, zero, 0)
        return self.of_plane(*position, np.zeros(1, np.int32), 0).shape[1]
