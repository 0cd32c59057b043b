"""The `.linr` file: safetensors with a versioned header and checksums (docs/format.md).

Reading trusts nothing: lengths, names, shapes and digests are checked before a tensor is made.
Imports no torch.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import reprlib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import FailFast, Field, model_validator

from lossless_inr.errors import UserError
from lossless_inr.files import refusal
from lossless_inr.models.tiling import Tiling
from lossless_inr.schema import Strict, validate
from lossless_inr.signals.codes import FLOAT_CODES

VERSION = 2
# Version 1 had integers of at most 24 bits only, and no `encoding`.
READ = (1, 2)
MOST_BITS, MOST_INTEGER_BITS = 64, 32
# The only key of safetensors' metadata: more would come in an order of their own.
KEY = "linr"
# Larger directories would describe signals of more than 10**8 samples; parsing takes 20 times it.
LARGEST_DIRECTORY = 32 * 2**20
# The smallest first. `int8`: one float32 scale per row of a matrix, and one per vector.
STORAGES = {"int8": "I8", "float16": "F16", "bfloat16": "BF16", "float32": "F32"}
BYTES = {"I8": 1, "F16": 2, "BF16": 2, "F32": 4}
SCALE = ".scale"
# Name of a tensor: its group and the parameter.
TENSOR = re.compile(r"([0-9]{1,3})/([A-Za-z0-9_.]{1,64})")
# The best seen so far is 4 bits a parameter; a header that claims twice that lies about its size.
MOST_BITS_PER_PARAMETER = 8
# Of a tile: what decoding one may take in memory is bounded before it begins.
MOST_POSITIONS = 2**22
MOST_RATE = 2**31 - 1

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Size = Annotated[int, Field(ge=1, le=2**31)]
# A word of the file's maker, never a path.
Name = Annotated[str, Field(max_length=255, pattern=r"^[^/\\\x00-\x1f]*$")]
# What scales a network's arguments: finite, and nothing to divide by zero with.
Factor = Annotated[float, Field(gt=0, le=1e4)]


class Group(Strict):
    """Tiles whose networks have one width and are stored in one way."""

    width: Annotated[int, Field(ge=1, le=16384)]
    storage: Literal["int8", "float16", "bfloat16", "float32"]
    tiles: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1), FailFast()]


class Header(Strict):
    """What a `.linr` file holds, apart from its weights.

    `shape` is (height, width, channels) or (samples, channels); `signed` says that the numbers
    were signed and are held as offset binary; `encoding` that they are words of IEEE 754 floats,
    if it is not integer. `counts` are the tiles along each axis; `margin`
    is the smallest |logit| of the stored weights over all tiles. Digests are those of
    `signals.samples_sha256`, of the whole and of each tile; `data_sha256` is of the weights.
    """

    version: Literal[1, 2] = VERSION
    kind: Literal["image", "sound"]
    shape: Annotated[list[Size], Field(min_length=2, max_length=3)]
    bits: Annotated[int, Field(ge=1, le=MOST_BITS)]
    signed: bool = False
    encoding: Literal["integer", "float16", "float32", "float64"] = "integer"
    sample_rate: Annotated[int, Field(ge=1, le=MOST_RATE)] | None = None
    source: Name = ""
    # One pair only: a file from elsewhere chooses no code, and its arguments are bounded.
    network: Literal["siren"]
    network_parameters: dict[Literal["omega_first", "omega_hidden"], Factor] = {}
    hidden_layers: Annotated[int, Field(ge=0, le=100)]
    representation: Literal["bithead"]
    representation_parameters: dict[Literal["loss"], Literal["bce"]] = {}
    counts: Annotated[list[Size], Field(min_length=1, max_length=2)]
    groups: Annotated[list[Group], Field(min_length=1, max_length=64), FailFast()]
    samples_sha256: Digest
    tile_sha256: Annotated[list[Digest], FailFast()]
    data_sha256: Digest
    margin: Annotated[float, Field(ge=0)]
    recipe: Name = ""
    provenance: dict[str, Any] = {}

    @model_validator(mode="after")
    def _consistent(self) -> Header:
        if len(self.shape) != (3 if self.kind == "image" else 2):
            raise ValueError(f"an {self.kind} has no shape of {len(self.shape)} numbers")
        if self.bits != FLOAT_CODES.get(self.encoding, self.bits):
            raise ValueError(f"{self.encoding} has no {self.bits} bits")
        if self.encoding != "integer" and self.signed:
            raise ValueError("floats carry their sign; signed is of integers")
        if self.encoding == "integer" and self.bits > MOST_INTEGER_BITS:
            raise ValueError(f"integers have at most {MOST_INTEGER_BITS} bits")
        if len(self.counts) != len(self.shape) - 1:
            raise ValueError("counts: one per axis is needed")
        if any(c > s for c, s in zip(self.counts, self.shape, strict=False)):
            raise ValueError("counts: more tiles than samples along an axis")
        if math.prod(self.counts) != len(self.tile_sha256):
            raise ValueError(f"{len(self.tile_sha256)} digests of {math.prod(self.counts)} tiles")
        listed = sorted(tile for group in self.groups for tile in group.tiles)
        if listed != list(range(len(self.tile_sha256))):
            raise ValueError("groups: each tile must be in one group")
        if math.prod(self.tiling.largest[:-1]) > MOST_POSITIONS:
            raise ValueError(f"counts: a tile of more than {MOST_POSITIONS:,} positions")
        return self

    @property
    def tiling(self) -> Tiling:
        """The grid of tiles."""
        return Tiling(tuple(self.shape), tuple(self.counts))


def tensor_name(group: int, parameter: str) -> str:
    """Name of the stacked tensor of one parameter of a group."""
    return f"{group}/{parameter}"


class Tensor(Strict):
    """One entry of safetensors' directory."""

    dtype: Literal["I8", "F16", "BF16", "F32"]
    shape: Annotated[list[Annotated[int, Field(ge=0, le=2**40)]], Field(max_length=8), FailFast()]
    data_offsets: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=2, max_length=2)]


def _no_twins(pairs: list[tuple[str, Any]]) -> dict:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is there twice")
    return found


def header_checksum(header: dict, tensors: dict) -> str:
    """sha256 of the header and the directory of tensors in canonical JSON."""
    content = {"header": header, "tensors": tensors}
    return hashlib.sha256(
        json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
    ).hexdigest()


def split(content: bytes | memoryview, where: str) -> tuple[dict, memoryview]:
    """Directory and data of safetensors bytes.

    Raises
    ------
    UserError
        If the bytes end early, or the directory is none.
    """
    view = memoryview(content)
    length = int.from_bytes(view[:8], "little")
    if len(view) < 8 or length > len(view) - 8:
        raise UserError(f"{where}: truncated, or not a .linr file")
    if length > LARGEST_DIRECTORY:
        raise UserError(f"{where}: a header of {length:,} bytes is refused; not a .linr file")
    try:
        directory = json.loads(bytes(view[8 : 8 + length]), object_pairs_hook=_no_twins)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where}: damaged header ({type(error).__name__})") from None
    if not isinstance(directory, dict):
        raise UserError(f"{where}: damaged header (no keys)")
    return directory, view[8 + length :]


def read_header(content: bytes | memoryview, where: str) -> tuple[Header, dict[str, Tensor]]:
    """Header and directory of tensors, checked against each other and the length of the data.

    The weights themselves are not read: see `check_data`.

    Raises
    ------
    UserError
        For whatever is not as it must be.
    """
    directory, data = split(content, where)
    metadata = directory.pop("__metadata__", None)
    if not isinstance(metadata, dict) or not isinstance(metadata.get(KEY), str):
        raise UserError(f"{where}: not a .linr file (no '{KEY}' in its header)")
    try:
        told = json.loads(metadata[KEY], object_pairs_hook=_no_twins)
    except (ValueError, RecursionError):
        raise UserError(f"{where}: damaged header") from None
    facts = told.get("header") if isinstance(told, dict) else None
    version = facts.get("version") if isinstance(facts, dict) else None
    if version not in READ:
        known = " and ".join(map(str, READ))
        raise UserError(f"{where}: .linr version {version}; this program reads {known}")
    try:
        whole = told.get("sha256") == header_checksum(facts, directory)
    except RecursionError:
        whole = False
    if not whole:
        raise UserError(f"{where}: the header does not match its checksum; get the file again")
    header = validate(Header, facts, where)
    tensors = {}
    for name, entry in directory.items():
        if not TENSOR.fullmatch(name):
            raise UserError(f"{where}: tensor {reprlib.repr(name)} belongs to no group of tiles")
        tensors[name] = validate(Tensor, entry, f"{where}: {name}")
    _check_tensors(header, tensors, len(data), where)
    return header, tensors


def _check_tensors(header: Header, tensors: dict[str, Tensor], size: int, where: str) -> None:
    end = parameters = 0
    for name, tensor in sorted(tensors.items(), key=lambda item: item[1].data_offsets):
        count = math.prod(tensor.shape)
        begin, stop = tensor.data_offsets
        if begin != end or stop - begin != count * BYTES[tensor.dtype]:
            raise UserError(f"{where}: tensor '{name}' does not fill its place; damaged")
        end = stop
        number = int(TENSOR.fullmatch(name)[1])
        if number >= len(header.groups):
            raise UserError(f"{where}: tensor '{name}' belongs to no group of tiles")
        group, scale = header.groups[number], name.endswith(SCALE)
        wanted = "F32" if scale else STORAGES[group.storage]
        if tensor.dtype != wanted or not tensor.shape or tensor.shape[0] != len(group.tiles):
            raise UserError(f"{where}: tensor '{name}' does not fit its group of tiles")
        parameters += 0 if scale else count
    if end != size:
        raise UserError(f"{where}: {size:,} bytes of weights where {end:,} are declared; damaged")
    if math.prod(header.shape) * header.bits > parameters * MOST_BITS_PER_PARAMETER:
        raise UserError(
            f"{where}: declares {math.prod(header.shape):,} samples, more than its {parameters:,} "
            "parameters could hold; refused"
        )


def check_data(content: bytes | memoryview, header: Header, where: str) -> None:
    """Compare the weights with their digest.

    Raises
    ------
    UserError
        If they differ.
    """
    _, data = split(content, where)
    if hashlib.sha256(data).hexdigest() != header.data_sha256:
        raise UserError(f"{where}: the weights do not match their checksum; get the file again")


def plain_name(text: str) -> str:
    """A file's name as a header takes it: without path, control characters and surrogates."""
    text = text.encode("utf-8", "replace").decode()
    return re.sub(r"[/\\\x00-\x1f]", "_", text)[:255]


def relabel(content: bytes | memoryview, metadata: dict[str, str]) -> list[bytes | memoryview]:
    """Safetensors bytes with other metadata, in parts: the tensors are not copied."""
    directory, data = split(content, "weights")
    directory["__metadata__"] = metadata
    text = json.dumps(directory, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return [len(text).to_bytes(8, "little") + text, data]


def assemble(header: Header, content: bytes) -> list[bytes | memoryview]:
    """The parts of a file, one after another.

    Parameters
    ----------
    header : Header
        Its `data_sha256` is set here.
    content : bytes
        The weights as safetensors.
    """
    directory, data = split(content, "weights")
    header = header.model_copy(update={"data_sha256": hashlib.sha256(data).hexdigest()})
    directory.pop("__metadata__", None)
    facts = header.model_dump(mode="json")
    told = {"header": facts, "sha256": header_checksum(facts, directory)}
    return relabel(content, {KEY: json.dumps(told, sort_keys=True, allow_nan=False)})


def read_bytes(path: Path) -> bytes:
    """The file's bytes.

    Raises
    ------
    UserError
        If it is missing, a folder, or cannot be read.
    """
    try:
        with open(path, "rb") as file:
            # A film of gigabytes is refused before it is read.
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= min(LARGEST_DIRECTORY, os.fstat(file.fileno()).st_size - 8):
                raise UserError(f"{path}: truncated, or not a .linr file")
            file.seek(0)
            return file.read()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise UserError(f"{path}: a folder, not a .linr file") from None
    except OSError as error:
        raise UserError(f"{path}: {refusal(error)}") from None
