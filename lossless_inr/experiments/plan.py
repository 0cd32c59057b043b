"""From specs to the list of fits of a scale, and their shards. Imports no torch."""

from __future__ import annotations

import itertools
import logging
from pathlib import Path

from lossless_inr import registry
from lossless_inr.datasets.catalog import Catalog
from lossless_inr.datasets.store import Store
from lossless_inr.errors import UserError, suggest
from lossless_inr.experiments.shards import Shard, spread
from lossless_inr.experiments.spec import (
    Config,
    Experiment,
    ExperimentScale,
    Extension,
    Selection,
    Shape,
    as_list,
    load_experiments,
    methods,
)
from lossless_inr.fitting.forms import check_code, check_parameters, passes_per_iteration
from lossless_inr.fitting.recipe import Recipe, load_recipes
from lossless_inr.fitting.record import FitSpec
from lossless_inr.fitting.sizes import paper_ratio_width

LOG = logging.getLogger(__name__)
# `kodak/32x32/kodim05 | nothing`: left out where its file is not here.
NOTHING = "nothing"
# Outside programs: one file of rules each.
BASELINES = Path("workflow/rules/baselines")


def plain_fits(fits: list[FitSpec], cells: dict[str, str], sets: dict[str, str]) -> list[dict]:
    """What tells the rows of a table apart, for each fit; `cell` is its row of the printed one,
    in the part about `printed_set`.
    """
    names = ("signal", "kind", "bits", "network", "representation", "variant", "recipe", "width")
    return [
        {name: getattr(fit, name) for name in names}
        | {
            "digest": fit.digest,
            "shape": "x".join(map(str, fit.shape)),
            "budget": fit.iterations,
            "cell": cells.get(fit.digest),
            "printed_set": sets.get(fit.digest),
        }
        for fit in fits
    ]


def own_shape(network: str) -> Shape | None:
    """The size that a network's authors give it, if its file has one."""
    shape = registry.describe("network", network).shape
    return Shape(**shape) if shape else None


def plan_fit(
    catalog: Catalog,
    recipe: Recipe,
    *,
    signal: str,
    network: str,
    representation: str,
    recipe_name: str,
    shape: Shape,
    iterations: int,
    seed: int,
    network_parameters: dict[str, float] | None = None,
    representation_parameters: dict[str, int | float | str] | None = None,
    equal_flops: bool = False,
    code: str | None = None,
) -> FitSpec:
    """One fit with every setting resolved to plain numbers.

    With `equal_flops`, `iterations` counts those of the bit-plane form. `code` is how integers
    are written in bits, offset binary unless it is given; floats are their words.

    Raises
    ------
    UserError
        If the signal is unknown, the recipe does not apply, or a parameter cannot be.
    """
    entry, size = catalog.find(signal)
    samples = entry.prepared_shape(size)
    if None in samples:
        raise UserError(
            f"signal '{signal}': the table does not know its size; write source_shape without '?'"
        )
    if code is not None and entry.encoding != "integer":
        raise UserError(f"signal '{signal}': its words are {entry.encoding}; take 'code' out")
    code = code or ("offset" if entry.encoding == "integer" else entry.encoding)
    parameters = {
        # A parameter that is None unless it is given is no part of the fit: digests stay.
        kind: {
            key: value
            for key, value in (registry.describe(kind, name).parameters | (given or {})).items()
            if value is not None
        }
        for kind, name, given in (
            ("network", network, network_parameters),
            ("representation", representation, representation_parameters),
        )
    }
    try:
        check_parameters(representation, parameters["representation"], entry.bits)
        check_code(representation, parameters["representation"], entry.bits, code)
    except UserError as error:
        raise UserError(f"signal '{signal}': {error}") from None
    passes = passes_per_iteration(
        representation, parameters["representation"], entry.bits, samples[-1]
    )
    if equal_flops:
        iterations = round(iterations * entry.bits / passes)
    width = shape.width
    if isinstance(width, str):
        together = passes if width == "paper-ratio-shared" and representation == "digits" else 1
        width = paper_ratio_width(samples, shape.hidden_layers, int(together))
    settings = recipe.resolve(
        network=network,
        representation=representation,
        bits=entry.bits,
        width=width,
        iterations=iterations,
    )
    return FitSpec(
        signal=signal,
        kind=entry.kind,
        shape=list(samples),
        bits=entry.bits,
        code=code,
        network=network,
        network_parameters=parameters["network"],
        width=width,
        hidden_layers=shape.hidden_layers,
        representation=representation,
        representation_parameters=parameters["representation"],
        recipe=recipe_name,
        settings=settings,
        iterations=iterations,
        seed=seed,
    )


class Plan:
    """Everything that the specs ask for at the config's scale.

    Parameters
    ----------
    config : Config
    root : Path
        Project folder; paths of the config are relative to it.

    Attributes
    ----------
    experiments : dict of str to Experiment
        Those that do something at this scale.
    fits : dict of str to list of FitSpec
        Per experiment, in the order of its spec.
    cells : dict of str to dict
        Per experiment that declares fits: digest of a fit -> row of the printed table.
    sets : dict of str to dict
        Per experiment: digest of a fit -> printed data set that it stands beside.
    left_out : set of str
        Signals `set/size/*` of sets whose names are not here yet.
    planned : dict of str to int
        Number of fits per experiment, before a partial plan drops those without a record.
    planned_fits : dict of str to list of dict
        The fits counted there, as plain data (see `plain_fits`).
    baselines : dict of str to list of str
        Outside program -> signals that it runs on.
    """

    def __init__(self, config: Config, root: Path = Path(".")):
        self.config, self.scale = config, config.scale
        registry.use(config.plugins, root)
        for line in registry.faults():
            LOG.warning("%s; left out of 'all'", line)
        self.catalog = Catalog(root / config.datasets, root)
        self.recipes = load_recipes(root / config.recipes)
        every = load_experiments(root / config.experiments)
        every = self._only(every, config.only)
        self.experiments = {n: e for n, e in every.items() if e.at(self.scale) is not None}
        if not self.experiments:
            scales = sorted({s for e in every.values() for s in e.at_scales})
            raise UserError(
                f"no experiment in {config.experiments} has scale '{self.scale}'"
                f" (they have: {', '.join(scales)})"
            )
        self.fits: dict[str, list[FitSpec]] = {}
        self.cells: dict[str, dict[str, str]] = {}
        self.left_out: set[str] = set()
        self._known_baselines = sorted(p.stem for p in (root / BASELINES).glob("*.smk"))
        asked: dict[str, list[str]] = {}
        self._store = Store(self.catalog, config.fetch.mirror or None)
        for name, experiment in self.experiments.items():
            content = experiment.at(self.scale)
            key = "extend" if isinstance(content, Extension) else "scales"
            where = f"{config.experiments}/{name}.yaml: {key}.{self.scale}"
            if isinstance(content, Extension):
                content = self._extended(experiment.scales[content.extends], content, where)
            if isinstance(content, ExperimentScale):
                self.fits[name], self.cells[name] = self._expand(content, where)
                asked[name] = self._baselines(content.baselines, where)
                self._check_beside(experiment, f"{config.experiments}/{name}.yaml")
        for name, experiment in self.experiments.items():
            if self.scale in experiment.select:
                where = f"{config.experiments}/{name}.yaml: select.{self.scale}"
                selection = experiment.select[self.scale]
                chosen = self._select(selection, where)
                if selection.more is not None:
                    own, self.cells[name] = self._expand(selection.more, f"{where}.more")
                    known = {fit.digest for fit in chosen}
                    chosen = chosen + [fit for fit in own if fit.digest not in known]
                self.fits[name] = chosen
        self.planned = {name: len(fits) for name, fits in self.fits.items()}
        self.sets = {name: self._printed_sets(name) for name in self.fits}
        self.planned_fits = {
            name: plain_fits(fits, self.cells.get(name, {}), self.sets[name])
            for name, fits in self.fits.items()
        }
        if config.partial:
            self._keep_finished(root / "results" / self.scale)
        self.baselines: dict[str, list[str]] = {}
        for name, programs in asked.items():
            for program in programs:
                known = self.baselines.setdefault(program, [])
                known += dict.fromkeys(
                    fit.signal for fit in self.fits.get(name, []) if fit.signal not in known
                )

    def _baselines(self, names: str | list[str], where: str) -> list[str]:
        """Outside programs by name."""
        if names == "all":
            return self._known_baselines
        for name in as_list(names):
            if name not in self._known_baselines:
                raise UserError(
                    f"{where}.baselines: no file {BASELINES}/{name}.smk"
                    f"{suggest(name, self._known_baselines)}"
                )
        return as_list(names)

    def _printed_sets(self, name: str) -> dict[str, str]:
        experiment = self.experiments[name]
        found = {
            fit.digest: experiment.printed_set(fit.signal, fit.kind, fit.bits, self.scale)
            for fit in self.fits[name]
        }
        return {digest: beside for digest, beside in found.items() if beside is not None}

    def _keep_finished(self, results: Path) -> None:
        """Drop fits without a record, and experiments that have none left."""
        for name, fits in list(self.fits.items()):
            self.fits[name] = [f for f in fits if (results / f.folder / "record.json").is_file()]
            if not self.fits[name]:
                del self.fits[name], self.experiments[name]
                self.cells.pop(name, None)
        if not self.fits:
            raise UserError(f"partial: no fit of scale '{self.scale}' has a record in {results}")

    def _only(self, every: dict[str, Experiment], names: list[str]) -> dict[str, Experiment]:
        """The experiments named, and those whose fits they show.

        Without a name, all but those that run on request only.
        """
        kept = {}
        for name in names or [n for n, e in every.items() if not e.on_request]:
            if name not in every:
                raise UserError(f"only: unknown experiment '{name}'{suggest(name, every)}")
            content = every[name].at(self.scale)
            if names and content is None:
                raise UserError(f"only: '{name}' has no scale '{self.scale}'")
            if isinstance(content, Selection):
                kept[content.experiment] = every[content.experiment]
            kept[name] = every[name]
        return kept

    def _check_beside(self, experiment: Experiment, where: str) -> None:
        """Refuse a printed data set that no signal of any scale stands beside."""
        if not experiment.beside:
            return
        names = [
            choice.strip()
            for scale in experiment.scales.values()
            for block in scale.fits
            for name in (scale.signals if block.signals == "all" else as_list(block.signals))
            for choice in name.split("|")
        ]
        sets = {name.split("/")[0] for name in names}
        kinds = set()
        for name in names:
            if name != NOTHING and not name.endswith("/*"):
                entry, _ = self.catalog.find(name)
                kinds.add((entry.kind, entry.bits))
        for number, beside in enumerate(experiment.beside):
            if beside.set not in sets and (beside.kind, beside.bits) not in kinds:
                raise UserError(
                    f"{where}: beside[{number}]: no signal is of the set '{beside.set}', and none "
                    f"is a {beside.kind} of {beside.bits} bits: no fit would answer to it"
                )

    def _extended(
        self, scale: ExperimentScale, extension: Extension, where: str
    ) -> ExperimentScale:
        """A scale whose blocks have more signals, of the sizes and depths they have, and seeds."""

        def kind_of(name: str) -> tuple:
            entry, size = self.catalog.find(name)
            return entry.prepared_shape(size), entry.bits

        def wider(names: list[str]) -> list[str]:
            own = {kind_of(name) for name in names}
            return list(dict.fromkeys([*names, *(n for n in more if kind_of(n) in own)]))

        try:
            more = self.named(extension.signals)
            blocks = []
            for block in scale.fits:
                names = scale.signals if block.signals == "all" else as_list(block.signals)
                changes = {
                    "signals": wider(self.named(names)),
                    "seeds": max(block.seeds, extension.seeds),
                }
                blocks.append(block.model_copy(update=changes))
        except UserError as error:
            raise UserError(f"{where}: {error}") from None
        return scale.model_copy(update={"fits": blocks})

    def named(self, names: list[str]) -> list[str]:
        """Signals with `set/size/*` written out; a set whose names are not here yet is left out."""
        found: list[str] = []
        for name in names:
            if not name.endswith("/*"):
                found += [chosen] if (chosen := self._at_hand(name)) != NOTHING else []
                continue
            group, size = name.split("/")[:2]
            if group in self.catalog.unlisted:
                if name not in self.left_out:
                    LOG.warning(
                        "%s: left out; its names come with: make data DATASET=%s", name, group
                    )
                self.left_out.add(name)
                continue
            found += [f"{group}/{size}/{entry.name}" for entry in self.catalog.of_set(group)]
        return found

    def at_hand(self, signals: list[str]) -> bool:
        """Whether the files of all these are here or in the mirror; the network is not asked."""
        entries = (self.catalog.find(signal)[0] for signal in signals)
        files = {(entry.download, entry.member): entry for entry in entries}
        return all(map(self._store.at_hand, files.values()))

    def _at_hand(self, names: str) -> str:
        """One of `first | second | ...`: the first whose file is here, else the last."""
        if names.strip() == NOTHING:
            raise UserError("'nothing' alone is no signal; write: signal | nothing")
        choices = [name.strip() for name in names.split("|")]
        for name in choices[:-1]:
            if self._store.at_hand(self.catalog.find(name)[0]):
                return name
        return choices[-1]

    def _expand(self, scale: ExperimentScale, where: str) -> tuple[list[FitSpec], dict[str, str]]:
        """Fits of a scale, and which printed row each answers to."""
        fits: dict[str, FitSpec] = {}
        cells: dict[str, str] = {}
        answers: dict[tuple, tuple[str, str]] = {}
        for number, block in enumerate(scale.fits):
            here = f"{where}.fits[{number}]"
            listed = scale.signals if block.signals == "all" else as_list(block.signals)
            try:
                signals = self.named(listed)
            except UserError as error:
                raise UserError(f"{here}: {error}") from None
            every = itertools.product(
                signals,
                methods("network", block.network),
                methods("representation", block.representation),
                as_list(block.recipe),
                as_list(block.code) if block.code is not None else [None],
                range(block.seeds),
            )
            for signal, network, representation, recipe, code, seed in every:
                fit = self._fit(
                    scale, block, signal, network, representation, recipe, code, seed, here
                )
                fits.setdefault(fit.digest, fit)
                if block.cell:
                    cell = block.cell.replace("{network}", network)
                    cells[fit.digest] = cell
                    digest, first = answers.setdefault((cell, signal, seed), (fit.digest, here))
                    if digest != fit.digest:
                        raise UserError(
                            f"{first} and {here}: two fits of {signal}, seed {seed}, answer to the "
                            f"printed row '{cell}'; take 'cell' from one"
                        )
        return list(fits.values()), cells

    def _fit(
        self, scale, block, signal, network, representation, recipe, code, seed, where
    ) -> FitSpec:
        try:
            return plan_fit(
                self.catalog,
                self._recipe(recipe),
                signal=signal,
                network=network,
                network_parameters=block.network_parameters,
                representation=representation,
                representation_parameters=block.representation_parameters,
                recipe_name=recipe,
                shape=block.shape or own_shape(network) or scale.shape,
                iterations=block.iterations,
                equal_flops=block.equal_flops,
                code=code,
                seed=seed,
            )
        except UserError as error:
            raise UserError(f"{where}: {error}") from None

    def _recipe(self, name: str) -> Recipe:
        if name not in self.recipes:
            raise UserError(f"unknown recipe '{name}'{suggest(name, self.recipes)}")
        return self.recipes[name]

    def _select(self, selection: Selection, where: str) -> list[FitSpec]:
        source = self.fits[selection.experiment]
        chosen = source
        for key in ("signals", "network", "representation", "recipe"):
            wanted = getattr(selection, key)
            if wanted is None:
                continue
            attribute = "signal" if key == "signals" else key
            wanted = self.named(as_list(wanted)) if key == "signals" else as_list(wanted)
            present = {getattr(fit, attribute) for fit in source}
            for name in wanted:
                if name not in present:
                    raise UserError(
                        f"{where}.{key}: no fit of '{selection.experiment}' has "
                        f"'{name}'{suggest(name, present)}"
                    )
            chosen = [fit for fit in chosen if getattr(fit, attribute) in wanted]
        for budget in selection.iterations or []:
            budgets = sorted({fit.iterations for fit in source})
            if budget not in budgets:
                raise UserError(
                    f"{where}.iterations: no fit of '{selection.experiment}' has a budget of "
                    f"{budget} (they have: {', '.join(map(str, budgets))})"
                )
        if selection.iterations is not None:
            chosen = [fit for fit in chosen if fit.iterations in selection.iterations]
        if selection.seeds is not None:
            chosen = [fit for fit in chosen if fit.seed < selection.seeds]
        if not chosen:
            raise UserError(f"{where}: the filters leave no fit; loosen them")
        return chosen

    @property
    def all_fits(self) -> list[FitSpec]:
        """Every distinct fit of the scale."""
        return list({fit.digest: fit for fits in self.fits.values() for fit in fits}.values())

    def shards(self) -> dict[str, Shard]:
        """Fits spread over shards of about equal cost (see `shards.spread`)."""
        return spread(self.all_fits, self.config.fit, self.scale)
