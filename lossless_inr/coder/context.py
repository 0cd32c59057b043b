"""What the network of the coder sees of a bit: integers, the same in encoder and decoder.

Everything is about the interval that the higher bits of a sample leave: [low, low + 2**(k + 1)),
with bit k asking whether the sample is in its upper half. Each predictor of the sample says how far
it is from the middle of the interval, in half intervals; so one small network serves all planes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lossless_inr.signals.signal import sample_dtype

# Rows above, columns to both sides that a neighbour may lie away.
ABOVE, BESIDE = 3, 3
UNIT = 64  # integers per 1.0 of a feature
LARGEST = 127
WAVES = (1, 2, 4, 8)
# Rows down and columns right of a position: W, N, NW, NE, WW, NN, NNE.
NEAR = ((0, -1), (-1, 0), (-1, -1), (-1, 1), (0, -2), (-2, 0), (-2, 1))
# Wavefronts advance two columns a row: further to the right is not known.
WINDOW = tuple(
    (-up, x)
    for up in range(ABOVE + 1)
    for x in range(-BESIDE, BESIDE + 1)
    if x < (2 * up if up else 0)
)
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


@dataclass(frozen=True)
class Band:
    """What rows are of, if they are some of a taller picture's.

    Attributes
    ----------
    top : int
        The first of them in the picture.
    height : int
        Of the picture.
    above : ndarray of int, (images, 0 to 3, width, channels)
        The rows just above.
    """

    top: int
    height: int
    above: np.ndarray


class Context:
    """Samples that are known so far, and the features of any position.

    Features stand one above another, (features, n) of n positions: what is done to one feature of
    all positions is then done along memory.

    Parameters
    ----------
    shape : tuple of int
        (images, height, width, channels).
    bits : int
        1 to 16.
    sight : Sight
    samples : ndarray of int, optional
        All of them, in training and in the encoder. The decoder `put`s them in.
    band : Band, optional
        Without it the rows are a picture of their own.
    """

    def __init__(
        self,
        shape: tuple[int, int, int, int],
        bits: int,
        sight: Sight,
        samples: np.ndarray | None = None,
        band: Band | None = None,
    ):
        images, self.height, self.width, self.channels = shape
        self.bits, self.sight = bits, sight
        # Outside of the image everything is 0.
        padded = (images, self.height + ABOVE, self.width + 2 * BESIDE, self.channels)
        self._known = np.zeros(padded, sample_dtype(bits))
        if samples is not None:
            self._known[:, ABOVE:, BESIDE:-BESIDE] = samples
        top, height = 0, self.height
        if band is not None:
            top, height = band.top, band.height
            self._known[:, ABOVE - band.above.shape[1] : ABOVE, BESIDE:-BESIDE] = band.above
        self._flat = self._known.reshape(-1)
        self._places = [self._offsets(channel) for channel in range(self.channels)]
        self._row_waves = _waves(np.arange(top, top + self.height), height)
        self._column_waves = _waves(np.arange(self.width), self.width)

    def _offsets(self, channel: int) -> np.ndarray:
        """Where its neighbours lie in memory from channel 0 of a position, int64 (k, 1)."""
        near = [(y, x, channel) for y, x in NEAR]
        for before in range(channel):
            near += [(y, x, before) for y, x in ((0, 0), *NEAR)]
        if self.sight.window:
            near += [(y, x, channel) for y, x in WINDOW]
        line = self.width + 2 * BESIDE
        return np.array([[(y * line + x) * self.channels + c] for y, x, c in near], np.int64)

    def _index(self, image, row, column) -> np.ndarray:
        """Of channel 0 of positions, in memory."""
        lines, line = self._known.shape[1:3]
        return ((image * lines + row + ABOVE) * line + column + BESIDE) * self.channels

    def at(self, image, row, column, channel: int) -> np.ndarray:
        """Samples of positions, int32."""
        return self._flat[self._index(image, row, column) + channel].astype(np.int32)

    def put(self, image, row, column, channel: int, samples: np.ndarray) -> None:
        """Make samples known."""
        self._flat[self._index(image, row, column) + channel] = samples

    def samples(self) -> np.ndarray:
        """All of them, uint8 or uint16 (images, height, width, channels); 0 where not known."""
        return self._known[:, ABOVE:, BESIDE:-BESIDE]

    def of_position(self, image, row, column, channel: int) -> tuple[np.ndarray, np.ndarray]:
        """What does not depend on the plane.

        Parameters
        ----------
        image, row, column : ndarray of int, (n,)
        channel : int

        Returns
        -------
        predictors : ndarray of int32, (predictors, n)
            Guesses of the sample, in its own units.
        others : ndarray of int32, (features, n)
            In -128 .. 127.
        """
        if not self.sight.neighbours:
            predictors = np.full((1, len(row)), 1 << (self.bits - 1), np.int32)
            others = []
        else:
            places = self._index(image, row, column) + self._places[channel]
            known = self._flat[places].astype(np.int32)
            predictors, others = self._of_neighbours(known, channel)
        if self.sight.coordinates:
            others += [self._row_waves[:, row], self._column_waves[:, column]]
        empty = np.zeros((0, len(row)), np.int32)
        return predictors, np.concatenate(others) if others else empty

    def _of_neighbours(self, known: np.ndarray, channel: int) -> tuple[np.ndarray, list]:
        """Predictors, and sizes of differences; `known` is in the order of `_offsets`."""
        west, north, corner, east, far_west, far_north, far_east = known[: len(NEAR)]
        median = _median(west, north, corner)
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
            begin = len(NEAR) + before * (len(NEAR) + 1)
            here, its_west, its_north, its_corner = known[begin : begin + 4]
            its_median = _median(its_west, its_north, its_corner)
            predictors += [
                median + here - its_median, west + here - its_west, north + here - its_north,
                (west + north + 2 * here - its_west - its_north) >> 1,
            ]  # fmt: skip
            sizes += [here - its_median, here - its_west, here - its_north]
        shift = max(0, self.bits - 12)
        others = [_LOGARITHM[np.minimum(np.abs(np.stack(sizes)) >> shift, 4095)]]
        if self.sight.window:
            others.append(known[-len(WINDOW) :] >> max(0, self.bits - 7))
        return np.stack(predictors), others

    def of_bit(self, predictors: np.ndarray, low: np.ndarray, plane) -> np.ndarray:
        """The features of one bit that depend on its plane: the first ones of `of_plane`.

        Parameters
        ----------
        predictors : ndarray of int32, (predictors, n)
            See `of_position`.
        low : ndarray of int32, (n,)
            The sample with bit `plane` and all below it 0.
        plane : int or ndarray of int, (n,)

        Returns
        -------
        ndarray of float32, (features, n)
            Integers in -128 .. 127.
        """
        twice = 2 * predictors - (2 * (low + (1 << plane)) - 1)
        # In units of the sample as well: low planes are told by the size of the error.
        far = twice[::11] if self.sight.neighbours else twice
        count = len(predictors)
        found = np.empty((count + len(far), len(low)), np.float32)
        bounded(far, -LARGEST - 1, LARGEST, found[count:])
        twice *= UNIT // 2
        twice >>= plane
        bounded(twice, -LARGEST - 1, LARGEST, found[:count])
        return found

    def of_plane(self, predictors, others, low: np.ndarray, plane) -> np.ndarray:
        """Features of one bit of each position, as training takes them.

        Parameters
        ----------
        predictors, others : ndarray
            See `of_position`.
        low, plane
            See `of_bit`.

        Returns
        -------
        ndarray of float32, (n, features)
            Integers in -128 .. 127.
        """
        moving = self.of_bit(predictors, low, np.asarray(plane, np.int32))
        return np.ascontiguousarray(np.concatenate([moving, others], dtype=np.float32).T)

    @property
    def features(self) -> int:
        """How many features a bit has."""
        zero = np.zeros(1, np.int64)
        position = self.of_position(zero, zero, zero, 0)
        return self.of_plane(*position, np.zeros(1, np.int32), 0).shape[1]


def bounded(values: np.ndarray, least: int, most: int, out: np.ndarray) -> np.ndarray:
    """`np.clip`, of which the wrapper takes longer than the work on so few numbers."""
    return np.minimum(np.maximum(values, least, out=out), most, out=out)


def _median(west, north, corner) -> np.ndarray:
    """The predictor of JPEG-LS."""
    gradient = west + north - corner
    return np.maximum(np.minimum(gradient, np.maximum(west, north)), np.minimum(west, north))


def _waves(places: np.ndarray, size: int) -> np.ndarray:
    """Triangle waves of coordinates 0 .. size - 1, int32 (4, n)."""
    phases = np.stack([(places * wave * 256 // size) % 256 for wave in WAVES])
    return (np.abs(phases - 128) - 64).astype(np.int32)
