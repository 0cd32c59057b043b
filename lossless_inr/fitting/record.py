"""What one fit is (`FitSpec`) and what came out of it (`Record`). Imports no torch."""

from __future__ import annotations

import functools
import json
import math
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PlainSerializer, model_validator

from lossless_inr import names, registry
from lossless_inr.engine.settings import Settings
from lossless_inr.errors import UserError
from lossless_inr.files import write
from lossless_inr.fitting import digests
from lossless_inr.fitting.forms import passes_per_iteration
from lossless_inr.schema import Strict, validate
from lossless_inr.signals.codes import CODES, FLOAT_CODES

SCHEMA_VERSION = 1
# Key of the record's own digest, in the file only.
DIGEST = "record_digest"

# A record may be anybody's, and these become parts of paths.
Name = Annotated[str, AfterValidator(names.plain)]
PathName = Annotated[str, AfterValidator(names.path)]
Count = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0)]


def _number(value: float | str | None) -> float | None:
    return math.inf if value == "inf" else value


# JSON has no infinity; a lossless PSNR is written as the string "inf".
Decibel = Annotated[
    Annotated[float, Field(allow_inf_nan=True)] | Literal["inf"] | None,
    AfterValidator(_number),
    PlainSerializer(lambda v: "inf" if v == math.inf else v),
]


class FitSpec(Strict):
    """One fit: method x signal x seed, with every setting in plain numbers.

    `signal` is `set/size/name`; `iterations` is the budget in updates; `code` says what the bits
    of a sample mean (see `signals.codes`). Whatever could change
    the result is here, in the code digest, or in the signal's digest.
    """

    signal: PathName
    kind: str
    shape: Annotated[list[int], Field(min_length=2, max_length=3)]
    bits: Annotated[int, Field(ge=1, le=64)]
    # Left out of the dump where it is the default, so that a fit keeps its digest.
    code: Annotated[Literal[CODES], Field(exclude_if=lambda code: code == "offset")] = "offset"
    network: Name
    network_parameters: dict[str, float] = {}
    width: Annotated[int, Field(ge=1)]
    hidden_layers: Annotated[int, Field(ge=0)]
    representation: Name
    representation_parameters: dict[str, int | float | str] = {}
    recipe: Name
    settings: Settings
    iterations: Annotated[int, Field(ge=0)]
    seed: Annotated[int, Field(ge=0)]

    @model_validator(mode="after")
    def _words_fit(self) -> FitSpec:
        length = FLOAT_CODES.get(self.code)
        if (length is None and self.bits > 32) or length not in (None, self.bits):
            raise ValueError(f"{self.code} words of {self.bits} bits are not fitted")
        return self

    @property
    def method(self) -> str:
        """network-representation-recipe."""
        return f"{self.network}-{self.representation}-{self.recipe}"

    @property
    def variant(self) -> str:
        """Parameters of the method that are not its own defaults, e.g. `digit_bits=2`."""
        texts = []
        for kind in ("network", "representation"):
            defaults = registry.describe(kind, getattr(self, kind)).parameters
            given = getattr(self, f"{kind}_parameters")
            texts += [
                f"{k}={v:g}" if isinstance(v, float) else f"{k}={v}"
                for k, v in given.items()
                if defaults.get(k) != v
            ]
        if self.code not in ("offset", *FLOAT_CODES):
            texts.append(f"code={self.code}")
        return ", ".join(texts)

    def model_copy(self, *, update: dict[str, Any] | None = None, deep: bool = False) -> FitSpec:
        """A copy; what was computed of this one's fields is not that of other ones."""
        made = super().model_copy(update=update, deep=deep)
        for name in _COMPUTED:
            made.__dict__.pop(name, None)
        return made

    # Both are asked for some twenty times by a plan.
    @functools.cached_property
    def digest(self) -> str:
        """sha256 of the specification."""
        return digests.of_json(self.model_dump())

    @functools.cached_property
    def folder(self) -> str:
        """Where its results live, relative to `results/<scale>/`."""
        settings = digests.of_json(self.model_dump(exclude={"seed", "signal"}))[:8]
        return f"records/{self.signal}/{self.method}-{settings}/seed{self.seed}"

    @property
    def cost(self) -> float:
        """Rough FLOPs of the whole budget, to balance shards; not a measurement."""
        positions = math.prod(self.shape[:-1])
        rows = positions * passes_per_iteration(
            self.representation, self.representation_parameters, self.bits, self.shape[-1]
        )
        factor = {"wire": 4}.get(self.network, 1)
        return 6.0 * factor * rows * self.hidden_layers * self.width**2 * (self.iterations + 1)


# Of a FitSpec: kept once they are asked for.
_COMPUTED = ("digest", "folder")


class Quality(Strict):
    """Metrics of the decoded integers; `ssim` is null where it is undefined."""

    wrong_bits: Count
    squared_error: Count
    ber: Annotated[float, Field(ge=0, le=1)]
    rmse: Annotated[float, Field(ge=0)]
    psnr: Decibel
    ssim: float | None


class WordErrors(Strict):
    """Errors of the floats that the saved weights decode to (see `metrics.word_errors`)."""

    words: Count
    wrong_words: Count
    not_finite: Count
    special: Count
    ulp_median: float | None
    ulp_max: Count | None


class Timing(Strict):
    """Seconds of one fit, the loop apart from everything around it.

    `fit` is the loop with its integer counts; `evaluation` is SSIM and snapshots; `saving` the
    files; `startup` the imports and building of this process (shared by its shard).
    `exclusive` is false when other fits ran beside it: such seconds are never compared with
    exclusive ones. `batch` fits were computed together; `fit` and `evaluation` are this one's
    equal share. A resumed fit's seconds are those of all its parts.
    """

    fit: Seconds
    evaluation: Seconds
    saving: Seconds
    startup: Seconds
    threads: Annotated[int, Field(ge=1)]
    exclusive: bool
    batch: Annotated[int, Field(ge=1)] = 1


class Record(Strict):
    """One finished fit (`record.json`). `best` takes each metric's best value on its own.

    `precision` is that of the training's products. `check_every` is null when the counts of every
    iteration are exact; with k, every k-th iteration was checked in float32 and `iterations` is
    the first check that read 0. `margin` is the smallest distance to a decision boundary of the
    weights kept, after `margin_iterations` updates.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    spec: FitSpec
    spec_digest: str
    code_digest: str
    signal_sha256: str
    status: Literal["lossless", "budget_exhausted", "diverged", "failed"]
    error: str | None = None
    iterations: Count = 0
    best: Quality | None = None
    last: Quality | None = None
    # Left out of the dump of integers, whose records keep their digest.
    floats: Annotated[WordErrors | None, Field(exclude_if=lambda found: found is None)] = None
    best_iteration: Count | None = None
    ssim_iterations: list[int] = []
    decoded_sha256: str | None = None
    parameters: Count | None = None
    macs_per_row: Count | None = None
    # As `floats`: records from before it was counted keep their digest.
    weight_bytes: Annotated[Count | None, Field(exclude_if=lambda found: found is None)] = None
    rows: Count | None = None
    flops: Count | None = None
    samples_seen: Count | None = None
    precision: str | None = None
    slice_rows: Annotated[int, Field(ge=1)] | None = None
    look_every: Annotated[int, Field(ge=1)] | None = None
    check_every: Annotated[int, Field(ge=1)] | None = None
    engine: str | None = None
    margin: float | None = None
    margin_iterations: Count | None = None
    timing: Timing | None = None
    peak_memory_mib: float | None = None
    # Name -> sha256 of what the fit wrote beside its record. Left out of the dump of records from
    # before it was noted, which keep their digest.
    files: Annotated[dict[Name, str] | None, Field(exclude_if=lambda files: files is None)] = None
    provenance: dict[str, Any]

    @property
    def digest(self) -> str:
        """sha256 of the whole record."""
        return digests.of_json(self.model_dump())

    def is_current(self, spec: FitSpec, signal_sha256: str) -> bool:
        """Whether this record answers `spec` on that signal with today's code."""
        return (
            self.status != "failed"
            and self.spec_digest == spec.digest
            and self.signal_sha256 == signal_sha256
            and self.code_digest == digests.of_code(spec.network, spec.representation)
        )

    def save(self, folder: Path) -> None:
        """Write `record.json` last and atomically: where it exists, the fit is finished.

        The file has the record's own digest in it, so that an edit by hand shows.
        """
        data = self.model_dump() | {DIGEST: self.digest}
        text = json.dumps(data, indent=1, sort_keys=True, allow_nan=False)
        write(Path(folder) / "record.json", f"{text}\n".encode())

    @classmethod
    def load(cls, path: Path) -> Record:
        """Read and check a record.

        Raises
        ------
        UserError
            If the file is missing, damaged, of another schema, or was edited.
        """
        try:
            data = json.loads(Path(path).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise UserError(f"{path}: no such record") from None
        except (ValueError, RecursionError) as error:
            raise UserError(f"{path}: damaged record ({error}); delete it and run again") from None
        version = data.get("schema_version") if isinstance(data, dict) else None
        if version != SCHEMA_VERSION:
            raise UserError(
                f"{path}: record of schema version {version}, expected {SCHEMA_VERSION}"
            )
        sealed = data.pop(DIGEST, None)
        record = validate(cls, data, str(path))
        # Records from before digests were noted have none, nor those of their files.
        if sealed != record.digest and (sealed is not None or record.files is not None):
            raise UserError(
                f"{path}: was changed after it was written (its digest differs); delete it and "
                "run again"
            )
        return record

    @classmethod
    def load_if_current(cls, folder: Path, spec: FitSpec, signal_sha256: str) -> Record | None:
        """The finished record of `spec` in `folder`, or None if it must be fitted (again)."""
        try:
            record = cls.load(Path(folder) / "record.json")
        except UserError:  # missing, damaged or old: all mean that it must be fitted again
            return None
        return record if record.is_current(spec, signal_sha256) else None


class Check(Strict):
    """One decoding of saved weights under one setting."""

    device: str
    threads: Annotated[int, Field(ge=1)]
    dtype: str
    decoded_sha256: str
    lossless: bool
    margin: float | None


class Verdict(Strict):
    """Outcome of decoding one fit's saved weights in a fresh process.

    `margin` and `decoded_sha256` are those of the first check (CPU, one thread, float32).
    """

    record_digest: str
    verified: bool
    reproduced: bool = False
    decoded_sha256: str | None = None
    margin: float | None = None
    checks: list[Check] = []
    note: str = ""
