"""A fitted signal: decode it, whole or in part, save it, load it."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as dump_tensors
from torch import nn
from torch.func import functional_call

from lossless_inr import registry
from lossless_inr.engine.passes import slices
from lossless_inr.errors import UserError
from lossless_inr.files import replacing
from lossless_inr.fitting.fit import exact_float32
from lossless_inr.models import format as linr
from lossless_inr.models.storage import unpack
from lossless_inr.models.tiling import Region, Tiling
from lossless_inr.representations._base import Representation
from lossless_inr.signals.signal import sample_dtype, samples_sha256

# Rows evaluated at once while decoding; memory depends on it.
SLICE_ROWS, TILES_AT_ONCE = 16384, 32


@functools.lru_cache(maxsize=16)
def form_of(shape: tuple[int, ...], bits: int, name: str, parameters: tuple) -> Representation:
    """The representation of a tile."""
    return registry.load("representation", name).Form(shape, bits, **dict(parameters))


def build(header: linr.Header, form: Representation, width: int) -> nn.Module:
    """A network of a group, with weights that are yet to be loaded."""
    with torch.random.fork_rng(devices=[]):  # its initial weights are of no use
        network = registry.load("network", header.network).build(
            axes=form.axes,
            outputs=form.outputs,
            width=width,
            hidden_layers=header.hidden_layers,
            **header.network_parameters,
        )
    return network.requires_grad_(False)


@torch.no_grad()
def evaluate(
    network: nn.Module, form: Representation, dtype: torch.dtype = torch.float32
) -> tuple[torch.Tensor, float]:
    """Integers (positions, channels) that a network decodes to, and their smallest margin."""
    device = next(network.parameters()).device
    coordinates = form.coordinates().to(device, dtype)
    decoded, margin = [], torch.tensor(math.inf, dtype=torch.float64, device=device)
    for rows in slices(form.rows, form.rows_per_sample, SLICE_ROWS):
        outputs = network(coordinates[rows])
        decoded.append(form.decode(outputs))
        margin = torch.minimum(margin, form.margin(outputs).double())
    return torch.cat(decoded), float(margin)


@dataclass
class Model:
    """A lossless fit of one signal, tile by tile.

    Attributes
    ----------
    header : Header
        Everything but the weights; see `models.format`.
    weights : list of dict of str to Tensor
        Per group of tiles: parameter -> tensor of shape (tiles, ...), as stored.

    Examples
    --------
    >>> import numpy as np, lossless_inr
    >>> samples = np.arange(192, dtype=np.uint8).reshape(8, 8, 3)
    >>> model = lossless_inr.fit(samples, bits=8)
    >>> bool((model.decode() == samples).all())
    True
    """

    header: linr.Header
    weights: list[dict[str, torch.Tensor]] = field(repr=False)

    # --- facts --------------------------------------------------------------------------

    @property
    def tiling(self) -> Tiling:
        """The grid of tiles."""
        return self.header.tiling

    @property
    def parameters(self) -> int:
        """Parameters of all networks; the scales of int8 weights are not counted."""
        return sum(
            tensor.numel()
            for group in self.weights
            for name, tensor in group.items()
            if not name.endswith(linr.SCALE)
        )

    @property
    def weight_bytes(self) -> int:
        """Bytes of the weights as stored, scales included."""
        return sum(
            tensor.numel() * tensor.element_size()
            for group in self.weights
            for tensor in group.values()
        )

    @property
    def raw_bytes(self) -> int:
        """Bytes of the samples, packed to whole bytes each."""
        return math.prod(self.header.shape) * math.ceil(self.header.bits / 8)

    # --- decoding -----------------------------------------------------------------------

    def decode(
        self,
        region: Region | None = None,
        *,
        planes: int | None = None,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> np.ndarray:
        """The samples, or a part of them.

        Every tile that is needed is decoded whole and compared with its digest, so what is
        returned is what was fitted.

        Parameters
        ----------
        region : tuple of slice, optional
            One slice of step 1 per axis but the channels, inside the signal; default: all.
        planes : int, optional
            Most significant planes to keep; the others are 0. Default: all.
        device : str or torch.device
        dtype : torch.dtype
            Of the arithmetic.

        Returns
        -------
        ndarray of uint8, uint16 or uint32, or of the floats that were fitted
            (height, width, channels) or (samples, channels).

        Raises
        ------
        UserError
            If the region is not one, or a tile does not decode to what was fitted.
        """
        header, tiling = self.header, self.tiling
        region = self._region(region)
        if planes is not None and not 1 <= planes <= header.bits:
            raise UserError(f"planes: {planes} of {header.bits} cannot be decoded")
        exact_float32()
        kind = sample_dtype(header.bits).newbyteorder("=")
        sides = header.shape[:-1]
        sizes = [part.stop - part.start for part in region]
        samples = np.empty((*sizes, header.shape[-1]), kind)
        wanted = set(tiling.overlapping(region))
        for number, rows in self._batches(wanted):
            group = header.groups[number]
            for row, decoded in zip(
                rows, self._decode_tiles(number, rows, device, dtype), strict=True
            ):
                inside, outside = [], []
                place = tiling.region(group.tiles[row])
                for part, whole in zip(place, region, strict=True):
                    begin, stop = max(part.start, whole.start), min(part.stop, whole.stop)
                    inside.append(slice(begin - part.start, stop - part.start))
                    outside.append(slice(begin - whole.start, stop - whole.start))
                samples[tuple(outside)] = decoded[tuple(inside)].astype(kind)
        whole = all(part == slice(0, side) for part, side in zip(region, sides, strict=True))
        # Digests of tiles say nothing of their places.
        if whole and samples_sha256(samples, header.bits) != header.samples_sha256:
            raise UserError("does not decode to what was fitted; the file is damaged")
        if planes is not None:
            low = header.bits - planes
            samples = samples >> kind.type(low) << kind.type(low)
        return samples if header.encoding == "integer" else samples.view(header.encoding)

    def _region(self, region: Region | None) -> Region:
        sides = self.header.shape[:-1]
        if region is None:
            return tuple(slice(0, side) for side in sides)
        if len(region) != len(sides):
            raise UserError(f"region: {len(region)} ranges for a signal of {len(sides)} axes")
        inside = []
        for part, side in zip(region, sides, strict=True):
            begin = 0 if part.start is None else part.start
            stop = side if part.stop is None else part.stop
            if part.step not in (None, 1) or not 0 <= begin < stop <= side:
                raise UserError(f"region: {begin}:{stop} is not inside the signal's 0:{side}")
            inside.append(slice(begin, stop))
        return tuple(inside)

    def _batches(self, wanted: set[int]) -> Iterator[tuple[int, list[int]]]:
        """(group, rows of it) whose tiles have one shape, a few at a time."""
        for number, group in enumerate(self.header.groups):
            by_shape: dict[tuple, list[int]] = {}
            for row, tile in enumerate(group.tiles):
                if tile in wanted:
                    by_shape.setdefault(self.tiling.tile_shape(tile), []).append(row)
            for rows in by_shape.values():
                for k in range(0, len(rows), TILES_AT_ONCE):
                    yield number, rows[k : k + TILES_AT_ONCE]

    @torch.no_grad()
    def _decode_tiles(self, number: int, rows: list[int], device, dtype) -> list[np.ndarray]:
        """Samples of tiles of one group and shape, each compared with its digest."""
        group = self.header.groups[number]
        network, form = self._network(number, self.tiling.tile_shape(group.tiles[rows[0]]))
        single = [
            unpack({name: tensor[row] for name, tensor in self.weights[number].items()})
            for row in rows
        ]
        stacked = {
            name: torch.stack([state[name] for state in single]).to(device, dtype)
            for name in single[0]
        }
        coordinates = form.coordinates().to(device, dtype)

        def outputs(state: dict[str, torch.Tensor], part: torch.Tensor) -> torch.Tensor:
            return functional_call(network, state, (part,))

        parts = []
        for part in slices(form.rows, form.rows_per_sample, max(1, SLICE_ROWS // len(rows))):
            found = torch.vmap(outputs, in_dims=(0, None))(stacked, coordinates[part])
            parts.append(torch.stack([form.decode(each) for each in found]))
        decoded = torch.cat(parts, dim=1).cpu().numpy()
        tiles = []
        for row, each in zip(rows, decoded, strict=True):
            samples, tile = each.reshape(form.shape), group.tiles[row]
            if samples_sha256(samples, self.header.bits) != self.header.tile_sha256[tile]:
                raise UserError(
                    f"tile {tile} does not decode to what was fitted: this machine's arithmetic "
                    f"differs by more than the margin {self.header.margin:.3g}, or the file is "
                    "damaged"
                )
            tiles.append(samples)
        return tiles

    def _network(self, number: int, shape: tuple[int, ...]) -> tuple[nn.Module, Representation]:
        form = self._form(shape)
        if (number, shape) not in self._networks:
            network = build(self.header, form, self.header.groups[number].width)
            self._networks[number, shape] = network
        return self._networks[number, shape], form

    def _form(self, shape: tuple[int, ...]) -> Representation:
        header = self.header
        parameters = tuple(sorted(header.representation_parameters.items()))
        return form_of(shape, header.bits, header.representation, parameters)

    def __post_init__(self):
        self._networks: dict[tuple, nn.Module] = {}

    # --- files --------------------------------------------------------------------------

    def _parts(self) -> list[bytes | memoryview]:
        tensors = {
            linr.tensor_name(number, name): tensor.contiguous()
            for number, group in enumerate(self.weights)
            for name, tensor in group.items()
        }
        return linr.assemble(self.header, dump_tensors(tensors))

    def to_bytes(self) -> bytes:
        """The `.linr` file's bytes; the same model gives the same bytes."""
        return b"".join(self._parts())

    def save(self, path: str | Path) -> None:
        """Write a `.linr` file, atomically."""
        with replacing(Path(path)) as file:
            file.writelines(self._parts())

    @classmethod
    def load(cls, path: str | Path) -> Model:
        """Read a `.linr` file.

        Raises
        ------
        UserError
            If it is missing, damaged, tampered with, of another version, or its weights do not
            fit the network that it names.
        """
        return cls.from_bytes(linr.read_bytes(Path(path)), str(path))

    @classmethod
    def from_bytes(cls, content: bytes, where: str = "model") -> Model:
        """Like `load`, from bytes; `where` names them in messages."""
        header, tensors = linr.read_header(content, where)
        linr.check_data(content, header, where)
        try:
            loaded = load_tensors(content)
        except (SafetensorError, ValueError) as error:
            raise UserError(f"{where}: damaged ({error})") from None
        weights: list[dict[str, torch.Tensor]] = [{} for _ in header.groups]
        for name in tensors:
            number, _, parameter = name.partition("/")
            weights[int(number)][parameter] = loaded[name]
            if loaded[name].is_floating_point() and not torch.isfinite(loaded[name]).all():
                raise UserError(f"{where}: tensor '{name}' holds what is no number")
        del content, loaded
        model = cls(header, weights)
        for number in range(len(header.groups)):
            model._check_group(number, where)
        return model

    def _check_group(self, number: int, where: str) -> None:
        """Whether the tensors of a group are those of its network, before one is built."""
        header, group = self.header, self.header.groups[number]
        form = self._form(self.tiling.tile_shape(group.tiles[0]))
        with torch.device("meta"):
            network = build(header, form, group.width)
        wanted = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
        found = {
            name: tuple(tensor.shape[1:])
            for name, tensor in self.weights[number].items()
            if not name.endswith(linr.SCALE)
        }
        scales = _scales(wanted) if group.storage == "int8" else {}
        have = {
            name: tuple(tensor.shape[1:])
            for name, tensor in self.weights[number].items()
            if name.endswith(linr.SCALE)
        }
        if found != wanted or have != scales:
            raise UserError(f"{where}: weights of group {number} do not fit its network")


def _scales(shapes: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    return {
        name + linr.SCALE: (shape[0] if len(shape) > 1 else 1,) for name, shape in shapes.items()
    }


def stack(kinds: dict[int, tuple[int, str]], stored: Iterable[tuple[int, dict]]):
    """Group tiles by width and storage.

    Parameters
    ----------
    kinds : dict
        Tile -> (width, storage).
    stored : iterable of (tile, stored weights)
        In any order; only one is needed at a time.

    Returns
    -------
    groups : list of Group
    weights : list of dict of str to Tensor
    """
    members: dict[tuple[int, str], list[int]] = {}
    for tile, kind in sorted(kinds.items()):
        members.setdefault(kind, []).append(tile)
    groups, place = [], {}
    for (width, storage), tiles in sorted(members.items()):
        place |= {tile: (len(groups), row) for row, tile in enumerate(tiles)}
        groups.append(linr.Group(width=width, storage=storage, tiles=tiles))
    weights: list[dict[str, torch.Tensor]] = [{} for _ in groups]
    for tile, tensors in stored:
        number, row = place[tile]
        for name, tensor in tensors.items():
            if name not in weights[number]:
                shape = (len(groups[number].tiles), *tensor.shape)
                weights[number][name] = torch.empty(shape, dtype=tensor.dtype)
            weights[number][name][row] = tensor
    return groups, weights
