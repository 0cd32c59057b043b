"""Config and experiment specs as validated data. Imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from lossless_inr import registry
from lossless_inr.analysis.printed import PAPER_SCALE, printed_cells
from lossless_inr.compression.settings import TABLES as COMPRESSION_TABLES
from lossless_inr.errors import UserError, suggest
from lossless_inr.schema import Strict, load
from lossless_inr.signals.codes import INTEGER_CODES

SCALES = ("smoke", "quick", "fetched", "miniature", "miniature-full", "paper")
Scale = Literal["smoke", "quick", "fetched", "miniature", "miniature-full", "paper"]
Names = str | Annotated[list[str], Field(min_length=1)]


def _distinct(value: str | list[str]) -> str | list[str]:
    if isinstance(value, list) and len(set(value)) != len(value):
        raise ValueError("a name is listed twice")
    return value


NameList = Annotated[Names, AfterValidator(_distinct)]
Baselines = Annotated[str | list[str], AfterValidator(_distinct)]


class FitConfig(Strict):
    """How fits run on this machine; none of it changes a result."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    per_gpu: Annotated[int, Field(ge=1, le=64)] = 1
    threads: Annotated[int, Field(ge=1, le=256)] = 1
    shards: Annotated[int, Field(ge=1, le=10_000)] | Literal["auto"] = "auto"
    shard_minutes: Annotated[float, Field(gt=0)] = 15.0
    slice_rows: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    compiled: bool = True
    batch: Annotated[int, Field(ge=1, le=1024)] | Literal["auto"] = "auto"


class FetchConfig(Strict):
    """Where data sets come from."""

    mirror: str = ""
    limit: Annotated[float, Field(ge=1)] = 7200.0


class Config(Strict):
    """`config/config.yaml`; every key is explained there."""

    scale: Scale = "quick"
    only: list[str] = []
    compress: Annotated[list[Literal[COMPRESSION_TABLES]], AfterValidator(_distinct)] = []
    partial: bool = False
    datasets: str = "config/datasets.tsv"
    experiments: str = "config/experiments"
    recipes: str = "config/recipes"
    plugins: list[str] = []
    fetch: FetchConfig = FetchConfig()
    fit: FitConfig = FitConfig()


class Shape(Strict):
    """Size of the networks of a scale.

    `width: paper-ratio` picks, per signal, the multiple of 4 whose SIREN with a bit coordinate
    comes nearest to the paper's parameters per bit (0.84 at 8 bits, 0.42 at 16).
    `paper-ratio-shared` lets networks that stand side by side (digits) have that many together.
    """

    hidden_layers: Annotated[int, Field(ge=0, le=100)] = 5
    width: Annotated[int, Field(ge=1, le=16384)] | Literal["paper-ratio", "paper-ratio-shared"] = (
        "paper-ratio"
    )


IntegerCode = Literal[INTEGER_CODES]


class FitBlock(Strict):
    """Fits of an experiment: the product of every name listed, times `seeds`.

    `network`, `representation` and `signals` may be `all`. `network_parameters` and
    `representation_parameters` need a single network and representation. `shape` is that of the
    scale, or the network's own where its authors have one, unless it is given here. With
    `equal_flops`, `iterations` counts those of the paper's bit-plane form, and each fit gets as
    many as cost the same FLOPs. `code` is how the integers of a sample are written in bits, one or
    several of offset (the default), twos-complement, sign-magnitude. `cell` names the row of the
    printed table that these fits answer to; `{network}` in it is the network.
    """

    signals: NameList
    network: NameList
    representation: NameList
    recipe: NameList
    seeds: Annotated[int, Field(ge=1, le=1000)] = 1
    iterations: Annotated[int, Field(ge=0, le=10_000_000)]
    equal_flops: bool = False
    code: IntegerCode | list[IntegerCode] | None = None
    network_parameters: dict[str, float] = {}
    representation_parameters: dict[str, int | float | str] = {}
    shape: Shape | None = None
    cell: str | None = None


class ExperimentScale(Strict):
    """What an experiment fits at one scale; `all` in a block's `signals` means `signals`.

    A signal may be written as `kodak/32x32/kodim05 | skimage/32x32/coffee`: the first whose file
    is here or in the mirror, else the last; `| nothing` leaves it out instead. `baselines` are
    outside programs that run on the signals of its fits: names of files in
    `workflow/rules/baselines`, or `all`.
    """

    shape: Shape = Shape()
    signals: Annotated[list[str], Field(min_length=1), AfterValidator(_distinct)]
    fits: Annotated[list[FitBlock], Field(min_length=1)]
    baselines: Baselines = []


class Extension(Strict):
    """The fits of another scale of the same experiment, with more signals and more seeds.

    Every block takes each of `signals` that has the shape and bit depth of one of its own, beside
    its own; and at least `seeds` seeds.
    """

    extends: str
    signals: Annotated[list[str], AfterValidator(_distinct)] = []
    seeds: Annotated[int, Field(ge=1, le=1000)] = 1


class Selection(Strict):
    """Fits of another experiment that a figure shows; each filter keeps what it lists.

    `iterations` lists budgets. `more` are fits of the figure's own, shown after those.
    """

    experiment: str
    signals: NameList | None = None
    network: NameList | None = None
    representation: NameList | None = None
    recipe: NameList | None = None
    iterations: Annotated[list[int], Field(min_length=1)] | None = None
    seeds: Annotated[int, Field(ge=1)] | None = None
    more: ExperimentScale | None = None


class Beside(Strict):
    """A printed data set, and which of our data stand beside it.

    Signals of the set of this name answer to it. At scales smaller than the paper's, other data
    of the same kind and bit depth stand beside it for orientation, the first that fits.
    """

    kind: Literal["photo", "scan", "audio", "digit", "synthetic"]
    bits: Annotated[int, Field(ge=1, le=16)]
    set: str


class Experiment(Strict):
    """`config/experiments/<name>.yaml`: a table or figure, and the fits it is made of.

    Either `scales` (it declares its fits; `extend` widens one of them to another scale) or
    `select` (per scale, it shows fits of another, and `more`). One that is `on_request` runs only
    when it is named: `make matrix`, or `only: [matrix]` in the config.
    """

    title: str
    caption: str = ""
    published: str | None = None
    beside: list[Beside] = []
    layout: Literal[
        "table",
        "convergence",
        "profile",
        "planes",
        "errors",
        "reconstructions",
        "bits",
        "capacity",
        "bound",
        "precision",
        "spectrum",
    ]
    on_request: bool = False
    scales: dict[str, ExperimentScale] = {}
    extend: dict[str, Extension] = {}
    select: dict[str, Selection] = {}

    def at(self, scale: str) -> ExperimentScale | Extension | Selection | None:
        """What this experiment does at a scale, if anything."""
        return self.scales.get(scale) or self.extend.get(scale) or self.select.get(scale)

    def printed_set(self, signal: str, kind: str, bits: int, scale: str) -> str | None:
        """The printed data set that a signal stands beside at a scale, if any.

        Examples
        --------
        >>> beside = [{"kind": "photo", "bits": 8, "set": name} for name in ("kodak", "div2k")]
        >>> table = Experiment(title="", layout="table", published="table1", beside=beside)
        >>> table.printed_set("div2k/256x256/0801", "photo", 8, "paper")
        'div2k'
        >>> table.printed_set("skimage/32x32/coffee", "photo", 8, "miniature")
        'kodak'
        >>> table.printed_set("skimage/256x256/coffee", "photo", 8, "paper")
        """
        own = signal.split("/")[0]
        for beside in self.beside:
            if beside.set == own:
                return own
        for beside in self.beside:
            if scale != PAPER_SCALE and (beside.kind, beside.bits) == (kind, bits):
                return beside.set
        return None

    def blocks(self) -> list[tuple[str, FitBlock]]:
        """Every block of fits of its own, with its key."""
        own = [(f"scales.{scale}", content) for scale, content in self.scales.items()]
        own += [
            (f"select.{scale}.more", selection.more)
            for scale, selection in self.select.items()
            if selection.more is not None
        ]
        return [
            (f"{key}.fits[{number}]", block)
            for key, content in own
            for number, block in enumerate(content.fits)
        ]

    @property
    def at_scales(self) -> list[str]:
        """Scales at which it does something."""
        return [*self.scales, *self.extend, *self.select]


def as_list(names: str | list[str]) -> list[str]:
    """A single name or a list of names, as a list."""
    return [names] if isinstance(names, str) else list(names)


def methods(kind: str, names: str | list[str]) -> list[str]:
    """Names of plug-ins of a kind; `all` are those of `registry.every`."""
    return registry.every(kind) if names == "all" else as_list(names)


def load_experiments(folder: Path) -> dict[str, Experiment]:
    """All experiments of a folder; the file name is the name.

    Raises
    ------
    UserError
        For the first fault, with its file and key.
    """
    folder = Path(folder)
    experiments = {}
    for path in sorted(folder.glob("*.yaml")):
        experiment = load(Experiment, path)
        if bool(experiment.scales) == bool(experiment.select):
            raise UserError(f"{path}: give either 'scales' (its own fits) or 'select', not both")
        for scale in experiment.at_scales:
            if scale not in SCALES:
                raise UserError(f"{path}: unknown scale '{scale}'{suggest(scale, SCALES)}")
        for scale, extension in experiment.extend.items():
            if scale in experiment.scales:
                raise UserError(f"{path}: '{scale}' is under 'scales' and under 'extend'")
            if extension.extends not in experiment.scales:
                hint = suggest(extension.extends, experiment.scales)
                raise UserError(
                    f"{path}: extend.{scale}.extends: no scale '{extension.extends}' here{hint}"
                )
        for key, block in experiment.blocks():
            _check_names(block, f"{path}: {key}")
        _check_published(experiment, str(path))
        experiments[path.stem] = experiment
    if not experiments:
        raise UserError(f"{folder}: no experiment (*.yaml); correct 'experiments' in the config")
    for name, experiment in experiments.items():
        for scale, selection in experiment.select.items():
            source = experiments.get(selection.experiment)
            where = f"{folder / name}.yaml: select.{scale}.experiment"
            if source is None:
                known = suggest(selection.experiment, experiments)
                raise UserError(f"{where}: unknown experiment '{selection.experiment}'{known}")
            if scale not in (*source.scales, *source.extend):
                raise UserError(
                    f"{where}: '{selection.experiment}' declares no fits at scale '{scale}'"
                )
    return experiments


def _check_published(experiment: Experiment, where: str) -> None:
    named = [
        (f"{key}.cell", methods("network", block.network), block.cell)
        for key, block in experiment.blocks()
        if block.cell is not None
    ]
    if experiment.published is None:
        if experiment.beside or named:
            key = "beside" if experiment.beside else named[0][0]
            raise UserError(f"{where}: '{key}' needs 'published', the printed table")
        return
    cells = printed_cells()
    tables = list(cells.table.unique())
    if experiment.published not in tables:
        hint = suggest(experiment.published, tables)
        raise UserError(f"{where}: published: no printed table '{experiment.published}'{hint}")
    cells = cells[cells.table == experiment.published]
    for number, beside in enumerate(experiment.beside):
        if beside.set not in set(cells.set):
            hint = suggest(beside.set, set(cells.set))
            raise UserError(f"{where}: beside[{number}].set: unknown '{beside.set}'{hint}")
    rows = list(cells.row.unique())
    for key, networks, cell in named:
        for network in networks:
            row = cell.replace("{network}", network)
            if row not in rows and "{network}" not in cell:
                raise UserError(f"{where}: {key}: no printed row '{row}'{suggest(row, rows)}")


def _check_names(fits: FitBlock, where: str) -> None:
    for kind in registry.ROOMS:
        names = methods(kind, getattr(fits, kind))
        given = getattr(fits, f"{kind}_parameters")
        if given and len(names) != 1:
            raise UserError(f"{where}: {kind}_parameters needs a single {kind}")
        try:
            for name in names:
                described = registry.describe(kind, name)
                for key, value in given.items():
                    _check_parameter(f"{kind} '{name}'", key, value, described)
        except UserError as error:
            raise UserError(f"{where}: {error}") from None


def _check_parameter(who: str, key: str, value, described: registry.Description) -> None:
    known = described.parameters
    if key not in known:
        raise UserError(f"{who} has no parameter '{key}'{suggest(key, known)}")
    if value not in described.choices.get(key, (value,)):
        offered = ", ".join(f"{one:g}" for one in described.choices[key])
        raise UserError(f"{who}: {key}: {value} is none of {offered}")
    if key in described.ranges:
        low, high = described.ranges[key]
        if not low <= value <= high:
            raise UserError(f"{who}: {key}: {value} is outside {low:g} to {high:g}")
