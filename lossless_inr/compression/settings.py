"""`config/compression.yaml`: what Tables 6 and 7 compress, at each scale. Imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from lossless_inr.errors import UserError, suggest
from lossless_inr.schema import Strict, load

TABLES = ("table6", "table7")
PATH = Path("config/compression.yaml")
# Shared parts of RECOMBINER, one file each in `recombiner/priors`.
VARIANTS = ("value", "planes", "planes-free")
Name = Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
Names = Annotated[list[str], Field(min_length=1)]


class SharedSet(Strict):
    """Images of one shape: every codec, and networks that are not in the files.

    `signals` are names as in experiments; `set/size/*` is a whole set. With `at_hand` the set is
    left out, and named, where its files are neither here nor in the mirror.
    """

    signals: Names
    networks: Names
    printed: str | None = None
    at_hand: bool = False


class SoundSet(Strict):
    """Sounds, by FLAC."""

    signals: Names


class OwnNetworks(Strict):
    """Images that get a network each, which travels in the file."""

    signals: Names
    updates: Annotated[int, Field(ge=1)]


class Recombined(Strict):
    """Images that RECOMBINER compresses with priors of `recombiner/priors`.

    `images` of them are drawn without replacement (seed 0), in parts that run side by side.
    `updates` come before the first block of an image, `tune` after each. Networks `beside` are
    those of the exact coder, on the same images.
    """

    signals: Names
    variants: Annotated[list[Literal[VARIANTS]], Field(min_length=1)]
    images: Annotated[int, Field(ge=1)]
    part: Annotated[int, Field(ge=1)]
    updates: Annotated[int, Field(ge=1)]
    tune: Annotated[int, Field(ge=1)]
    beside: list[str] = []
    printed: str | None = None

    @property
    def parts(self) -> int:
        """Number of parts."""
        return -(-self.images // self.part)


class CompressionScale(Strict):
    """One scale."""

    shared: dict[Name, SharedSet] = {}
    sounds: dict[Name, SoundSet] = {}
    own: OwnNetworks | None = None
    recombined: dict[Name, Recombined] = {}


class Compression(Strict):
    """The file."""

    scales: dict[str, CompressionScale]

    def at(self, scale: str) -> CompressionScale:
        """Settings of a scale.

        Raises
        ------
        UserError
            If the scale compresses nothing.
        """
        if scale not in self.scales:
            raise UserError(
                f"{PATH}: nothing is compressed at scale '{scale}'{suggest(scale, self.scales)}; "
                f"it has: {', '.join(self.scales)}"
            )
        return self.scales[scale]


def load_settings(root: Path = Path(".")) -> Compression:
    """Read and check the file.

    Raises
    ------
    UserError
        For the first fault: file, key, what is wrong.
    """
    from lossless_inr.published import load_published

    found = load(Compression, root / PATH)
    published = load_published()
    for scale, content in found.scales.items():
        for part, table in (("shared", "table6"), ("recombined", "table7")):
            for name, group in getattr(content, part).items():
                known = published[table]
                if group.printed is not None and group.printed not in known:
                    raise UserError(
                        f"{PATH}: scales.{scale}.{part}.{name}.printed: {table} prints no set "
                        f"'{group.printed}'{suggest(group.printed, known)}"
                    )
    return found
