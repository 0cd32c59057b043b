"""Command line: thin calls into the rooms."""

from __future__ import annotations

import contextlib
import json
import math
import signal
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from lossless_inr.errors import PluginError, UserError, suggest

app = typer.Typer(
    add_completion=True,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Reproducible benchmark suite for lossless implicit neural representations.",
)

INTERRUPTED = 130
OUT_OF_TIME = 3
# Damaged files that are named one by one.
SHOWN = 8
NEW = ("network", "representation", "recipe", "signal-set", "experiment")
KINDS = ("networks", "representations", "recipes", "signals", "datasets", "experiments")


def _load_plan(changes: dict, configfile: Path):
    from lossless_inr.experiments.plan import Plan
    from lossless_inr.experiments.spec import Config
    from lossless_inr.schema import read_yaml, validate

    data = read_yaml(configfile) or {}
    if not isinstance(data, dict):
        raise UserError(f"{configfile}: expected keys and values")
    return Plan(validate(Config, data | changes, str(configfile)))


@app.command()
def run(
    scale: Annotated[
        str, typer.Option(help="smoke, quick, fetched, miniature, miniature-full or paper.")
    ] = "",
    only: Annotated[
        list[str] | None, typer.Option(help="A table or figure, e.g. table3; repeat for more.")
    ] = None,
    partial: Annotated[
        bool, typer.Option("--partial", help="Only show the fits that are finished.")
    ] = False,
    hours: Annotated[
        float | None, typer.Option(min=0.001, help="Stop after so long; run again to go on.")
    ] = None,
    configfile: Annotated[Path, typer.Option(help="Settings.")] = Path("config/config.yaml"),
    snakemake_arguments: Annotated[
        list[str] | None, typer.Argument(help="After --: passed on to snakemake.")
    ] = None,
) -> None:
    """Run the workflow at one scale and print where the report is.

    Checks config and specs first, so that bad input is one line before any job; clears the lock
    that a killed run leaves behind; names files that are not what was written, to make them again;
    then hands over to Snakemake. A rerun goes on where the last
    run stopped. With --hours, a long scale is run in pieces: what is left is estimated first, and
    a piece that ends by its time exits with 3. A dry run (-- -n) ends with FLOPs and GPU hours.

    Example: lossless-inr run --scale quick -- --cores 1
    """
    if not Path("Snakefile").is_file():
        raise UserError("no Snakefile here; run this in the project's top folder")
    from lossless_inr.compression.settings import TABLES, load_settings

    # Tables of compression have no fits: they are no experiments, but are asked for like these.
    compress = [name for name in TABLES if name in (only or [])]
    only = [name for name in only or [] if name not in TABLES]
    changes = ({"scale": scale} if scale else {}) | ({"only": only} if only else {})
    plan = _load_plan(changes | ({"partial": True} if partial else {}), configfile)
    if compress:
        load_settings().at(plan.scale)
    if hours is not None:
        typer.echo(_pieces(plan, hours))
    arguments = snakemake_arguments or []
    dry = bool({"-n", "--dry-run", "--dryrun"} & set(arguments))
    from lossless_inr import devices, executors
    from lossless_inr.runs import only_run

    executors.offer(arguments)
    arguments = arguments + devices.scheduling(
        arguments, plan.config.fit.device, plan.config.fit.per_gpu
    )
    with only_run():
        if not dry:
            _tell_damage(plan.scale)
        command = [sys.executable, "-m", "snakemake", "--configfile", str(configfile)]
        command += ["--config", f"scale={plan.scale}"]
        command += [f"only={json.dumps(only)}"] if only else []
        command += [f"compress={json.dumps(compress)}"] if compress else []
        command += ["partial=True"] if partial else []
        code = _run_to_end([*command, *arguments], hours)
    if code == OUT_OF_TIME:
        done = len(plan.all_fits) - len(_unfinished(plan))
        typer.echo(
            f"stopped after {hours:g} h, as asked: {done} of {len(plan.all_fits)} fits are "
            "finished; the same command goes on, --partial shows them"
        )
        raise typer.Exit(OUT_OF_TIME)
    if dry and (only or not compress):
        from lossless_inr.experiments.estimate import as_text

        typer.echo("\n" + as_text(plan))
    if code != 0:
        typer.echo(
            "error: the run did not finish; see above, then run the same command again", err=True
        )
        raise typer.Exit(code if 0 < code < 126 else 1)
    names = (["report"] if only or not compress else []) + (["compression"] if compress else [])
    for name in names:
        report = Path("reports") / plan.scale / f"{name}.html"
        if report.is_file():
            typer.echo(f"\nReport: {report}")


def _tell_damage(scale: str) -> None:
    """Name what is damaged and made again, a few lines of it."""
    from lossless_inr.files import refusal
    from lossless_inr.seals import inspect

    try:
        damages = inspect(scale)
    except OSError as error:
        raise UserError(f"{error.filename or 'results'}: {refusal(error)}") from None
    for damage in damages[:SHOWN]:
        typer.echo(f"damaged: {damage}", err=True)
    if damages:
        more = f" (and {len(damages) - SHOWN} more)" if len(damages) > SHOWN else ""
        typer.echo(f"what is damaged{more} is made again", err=True)


@app.command()
def unlock() -> None:
    """Remove the locks that a killed run left in this folder, and say which.

    `run` does so by itself; this is for plain snakemake. Locks of a run that lives are left.
    """
    from lossless_inr.runs import unlock as remove

    for line in remove():
        typer.echo(line)


def _unfinished(plan) -> list:
    from lossless_inr.fitting.reuse import elsewhere

    results = Path("results") / plan.scale
    return [
        fit
        for fit in plan.all_fits
        if not (results / fit.folder / "record.json").is_file() and not any(elsewhere(results, fit))
    ]


def _pieces(plan, hours: float) -> str:
    """What is left of a scale, in hours and in pieces."""
    import os

    from lossless_inr.experiments.estimate import local_hours

    left, cores = _unfinished(plan), os.cpu_count() or 1
    base = plan.scale.removesuffix("-full")
    estimate = local_hours(left, cores, Path(f"results/reference/{base}/records.jsonl"))
    text = f"{len(left)} of {len(plan.all_fits)} fits are left"
    if estimate is not None:
        text += (
            f": at most about {estimate:.1f} h on {cores} cores (estimated from the committed "
            f"records), {math.ceil(estimate / hours)} pieces of {hours:g} h"
        )
    return text


def _run_to_end(command: list[str], hours: float | None = None) -> int:
    """Run Snakemake; on Ctrl-C wait until its jobs have stopped, instead of leaving them behind.

    After `hours` it is stopped as Ctrl-C would, and OUT_OF_TIME returned.
    """
    import psutil

    process = subprocess.Popen(command)
    timeout = None if hours is None else hours * 3600
    while True:
        try:
            code = process.wait(timeout)
            return code if timeout is not None or hours is None else OUT_OF_TIME
        except KeyboardInterrupt:
            # The terminal has sent the signal to Snakemake too.
            continue
        except subprocess.TimeoutExpired:
            timeout = None
            family = psutil.Process(process.pid)
            for member in (*family.children(recursive=True), family):
                with contextlib.suppress(psutil.NoSuchProcess):
                    member.send_signal(signal.SIGINT)


@app.command()
def plan(
    scale: Annotated[str, typer.Option(help="As for run.")] = "",
    only: Annotated[list[str] | None, typer.Option(help="As for run.")] = None,
    configfile: Annotated[Path, typer.Option(help="Settings.")] = Path("config/config.yaml"),
) -> None:
    """Count the fits of a scale and estimate their FLOPs and GPU hours; nothing is run.

    Example: lossless-inr plan --scale paper
    """
    from lossless_inr.compression.settings import TABLES
    from lossless_inr.experiments.estimate import as_text

    if only and set(only) <= set(TABLES):
        typer.echo(f"{', '.join(only)}: no fits; see config/compression.yaml")
        return
    only = [name for name in only or [] if name not in TABLES]
    changes = ({"scale": scale} if scale else {}) | ({"only": only} if only else {})
    typer.echo(as_text(_load_plan(changes, configfile)))


@app.command()
def keep(
    scale: Annotated[str, typer.Option(help="A scale that was run here.")],
    folder: Annotated[Path, typer.Option(help="Where to.")] = Path("results/reference"),
) -> None:
    """Keep records and tables of a finished scale in results/reference, to be committed.

    Weights and curves stay behind. Records of other fits that are there already stay. Tables 6
    and 7 go to `compression` there.

    Example: lossless-inr keep --scale miniature
    """
    from lossless_inr.compression import gather
    from lossless_inr.experiments import reference

    if tables := gather.keep(Path("results") / scale, folder / "compression"):
        typer.echo(f"{', '.join(tables)} in {folder / 'compression'}")
        if not (Path("results") / scale / "verified").is_dir():
            return
    entries = reference.keep(Path("results") / scale, folder / scale)
    typer.echo(f"{len(entries)} records in {folder / scale}")


@app.command()
def export(
    scale: Annotated[str, typer.Option(help="A scale that was run here.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The archive, *.zip.")],
    weights: Annotated[bool, typer.Option("--weights", help="With the fitted weights.")] = False,
    configfile: Annotated[Path, typer.Option(help="Settings.")] = Path("config/config.yaml"),
) -> None:
    """Write a finished scale to one self-describing file: records, curves, specs, checksums.

    Example: lossless-inr export --scale miniature -o miniature.zip
    """
    from lossless_inr.sharing.archive import export as write

    typer.echo(write(_load_plan({"scale": scale}, configfile), output, weights=weights))


@app.command()
def report(
    archive: Annotated[Path, typer.Option("--from", help="An archive of `export`.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The page.")] = Path("report.html"),
) -> None:
    """Build the whole report of an archive, anybody's; nothing is fitted.

    Example: lossless-inr report --from miniature.zip
    """
    from lossless_inr.sharing.archive import report_from

    report_from(archive, output)
    typer.echo(f"Report: {output}")


@app.command()
def merge(
    sources: Annotated[
        list[Path], typer.Argument(help="Archives, results/<scale>, or folders of records.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for records.jsonl.")],
) -> None:
    """Join the records of several machines; conflicts are named.

    Example: lossless-inr merge a.zip b.zip -o joined
    """
    from lossless_inr.sharing.merge import merge as join

    entries, notes = join(sources, output)
    for note in notes:
        typer.echo(note, err=True)
    typer.echo(f"{len(entries)} records in {output}")


@app.command()
def rerun(
    record: Annotated[Path, typer.Argument(help="A record.json of an earlier run.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the new fit.")] = Path(
        "results/rerun"
    ),
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    threads: Annotated[int, typer.Option(min=1, max=256, help="CPU threads.")] = 1,
) -> None:
    """Repeat one fit from its record alone, and compare the outcome.

    Example: lossless-inr rerun results/quick/records/.../seed0/record.json
    """
    from lossless_inr.datasets.catalog import Catalog
    from lossless_inr.fitting.fit import Resources, run_fit
    from lossless_inr.fitting.record import Record
    from lossless_inr.signals import Signal

    old = Record.load(record)
    prepared = Path("data/prepared") / f"{old.spec.signal}.npz"
    if prepared.is_file():
        signal = Signal.load(prepared)
    else:
        signal = Catalog(Path("config/datasets.tsv")).prepare(old.spec.signal)
    if signal.sha256 != old.signal_sha256:
        raise UserError(f"{record}: was fitted to other samples of '{old.spec.signal}'")
    new = run_fit(old.spec, signal, output, Resources(device=device, threads=threads))
    for name, one in (("before", old), ("now", new)):
        ber = f"{one.last.ber:.3e}" if one.last else "none"
        typer.echo(f"{name:7s} {one.status}, {one.iterations} iterations, last BER {ber}")
    typer.echo(f"Record: {output / 'record.json'}")


Force = Annotated[bool, typer.Option("--force", help="Write over an existing file.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]


@app.command()
def fit(
    source: Annotated[Path, typer.Argument(help="PNG, TIFF, DICOM, WAV, FLAC or .npy.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The model, *.linr.")],
    recipe: Annotated[str, typer.Option(help="One that applies to the bit head.")] = "fast",
    size: Annotated[str, typer.Option(help="WIDTHxHEIGHT, or native: as it is.")] = "native",
    tile: Annotated[str, typer.Option(help="Largest side of a tile, or auto.")] = "auto",
    margin: Annotated[
        float, typer.Option(min=0, max=100, help="|logit| to go on for after the last wrong bit.")
    ] = 1.0,
    smallest: Annotated[
        bool, typer.Option("--smallest", help="Try narrower networks first: slower, smaller.")
    ] = False,
    device: Device = "auto",
    seed: Annotated[int, typer.Option(min=0)] = 0,
    budget: Annotated[str, typer.Option(help="E.g. 90s, 10min, 2h; default: none.")] = "",
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes on a CPU; default: one per core.")
    ] = None,
    force: Force = False,
) -> None:
    """Fit your own image or sound losslessly; the file is verified before it counts.

    Ctrl-C, a kill or the end of the budget keeps what is finished beside the output; the same
    command goes on. Exit codes: 0 done, 2 bad input, 3 the budget ended, 130 interrupted.

    Example: lossless-inr fit photo.png -o photo.linr
    """
    from lossless_inr.engine.loop import OutOfTime
    from lossless_inr.models import command

    try:
        line = command.fit(
            source,
            output,
            recipe=recipe,
            size=size,
            tile=tile,
            margin=margin,
            smallest=smallest,
            device=device,
            seed=seed,
            budget=budget,
            workers=workers,
            force=force,
        )
    except OutOfTime:
        typer.echo(
            f"stopped after {budget}, as asked; not lossless yet. Finished tiles are kept in "
            f"{output}.state, the same command goes on",
            err=True,
        )
        raise typer.Exit(OUT_OF_TIME) from None
    typer.echo(line)


@app.command()
def decode(
    model: Annotated[Path, typer.Argument(help="A .linr file.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="PNG, TIFF, WAV, FLAC, .npy.")],
    region: Annotated[str, typer.Option(help="Of an image: x0:x1,y0:y1.")] = "",
    times: Annotated[str, typer.Option("--time", help="Of a sound: begin:end, seconds.")] = "",
    planes: Annotated[str, typer.Option(help="Leading bit planes only, e.g. 15:8.")] = "",
    device: Device = "cpu",
    force: Force = False,
) -> None:
    """Give back the samples of a model, exactly; each tile is checked against its digest.

    Example: lossless-inr decode photo.linr -o photo.png
    """
    from lossless_inr.models import command

    typer.echo(
        command.decode(
            model, output, region=region, times=times, planes=planes, device=device, force=force
        )
    )


@app.command()
def verify(
    model: Annotated[Path, typer.Argument(help="A .linr file.")],
    source: Annotated[Path, typer.Argument(help="The file that it was fitted to.")],
) -> None:
    """Exit with 0 only if the model decodes to every sample of the file.

    Example: lossless-inr verify photo.linr photo.png
    """
    from lossless_inr.models import command

    equal, line = command.verify(model, source)
    typer.echo(line)
    raise typer.Exit(0 if equal else 1)


@app.command()
def info(
    model: Annotated[Path, typer.Argument(help="A .linr file.")],
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable output.")] = False,
) -> None:
    """Say what a model holds: network, parameters, bits per sample, margin, provenance.

    Example: lossless-inr info photo.linr --json
    """
    from lossless_inr.models import command

    facts = command.info(model)
    if as_json:
        typer.echo(json.dumps(facts, indent=1))
        return
    for name, value in facts.items():
        shown = f"{value:.4g}" if isinstance(value, float) else value
        typer.echo(f"{name.replace('_', ' '):24s} {shown}")


@app.command()
def compare(
    files: Annotated[list[Path], typer.Argument(help="Images or sounds.")],
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable output.")] = False,
) -> None:
    """Put usual lossless codecs beside the model of each file (same name, .linr or .lic).

    Example: lossless-inr compare photo.png
    """
    from lossless_inr.models import command

    rows = command.compare(files)
    if as_json:
        typer.echo(json.dumps(rows, indent=1))
        return
    import pandas as pd

    typer.echo(pd.DataFrame(rows).to_string(index=False, float_format=lambda v: f"{v:,.3f}"))


@app.command()
def compress(
    source: Annotated[Path, typer.Argument(help="PNG, TIFF, DICOM or .npy.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The file, *.lic.")],
    updates: Annotated[
        int, typer.Option(min=0, help="Of the picture's own network; 0: a shipped one.")
    ] = 3000,
    force: Force = False,
) -> None:
    """Compress a picture exactly: a network's bit probabilities drive an arithmetic coder.

    Example: lossless-inr compress photo.png -o photo.lic
    """
    from rich.console import Console

    from lossless_inr.coder import command

    console = Console(stderr=True)
    with console.status("training") as status:
        line, _ = command.compress(
            source, output, updates=updates, force=force,
            progress=lambda update, rate: status.update(
                f"{update}/{updates} updates, {rate:.2f} bits per pixel"
            ),
        )  # fmt: skip
    typer.echo(line)


@app.command()
def decompress(
    source: Annotated[Path, typer.Argument(help="A .lic file.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="PNG, TIFF or .npy.")],
    force: Force = False,
) -> None:
    """Give back the picture of a .lic file, exactly.

    Example: lossless-inr decompress photo.lic -o photo.png
    """
    from lossless_inr.coder import command

    typer.echo(command.decompress(source, output, force=force))


@app.command()
def data(
    dataset: Annotated[str, typer.Argument(help="A set of config/datasets.tsv.")],
    mirror: Annotated[
        str, typer.Option(help="Folder that holds the files; tried before any address.")
    ] = "",
    size: Annotated[
        list[str] | None, typer.Option(help="E.g. 64x64 or native; default: the set's own.")
    ] = None,
    only: Annotated[list[str] | None, typer.Option(help="Names; default: all.")] = None,
) -> None:
    """Fetch a data set and prepare its signals; what is there already is left alone.

    Example: lossless-inr data kodak --mirror ~/mirror --size 256x256
    """
    from lossless_inr.datasets.command import fetch_and_prepare

    fetch_and_prepare(dataset, mirror=mirror, sizes=size, only=only)


@app.command()
def regress(
    quick: Annotated[bool, typer.Option("--quick", help="The quick part, under a minute.")] = False,
    accept: Annotated[
        str | None, typer.Option(help="Why what is measured becomes the baseline.")
    ] = None,
    part: Annotated[
        list[str] | None, typer.Option(help="facts, traces or fits; default: all.")
    ] = None,
    threads: Annotated[int, typer.Option(min=1, max=256, help="CPU threads.")] = 1,
    baseline: Annotated[Path, typer.Option(help="Accepted numbers.")] = Path("benchmarks/baseline"),
    report: Annotated[Path, typer.Option(help="For report.md and junit.xml.")] = Path(
        "reports/regress"
    ),
) -> None:
    """Compare small fits of every method with the accepted ones; exit with 1 if any is worse.

    Example: lossless-inr regress --quick
    """
    from lossless_inr.regress.command import gate

    parts = tuple(part) if part else ("facts", "traces", "fits")
    passed = gate(
        quick=quick, accept=accept, parts=parts, threads=threads, folder=baseline, report=report
    )
    raise typer.Exit(0 if passed else 1)


@app.command("list")
def list_(
    kind: Annotated[str, typer.Argument(help=" | ".join(KINDS))],
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable output.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Try each network or representation; exit 1 on a fault.")
    ] = False,
    only: Annotated[list[str] | None, typer.Option(help="Names; default: all.")] = None,
) -> None:
    """List what is there, by file name, without importing torch.

    With --check, each network or representation is tried against the contract of its kind, in a
    process of its own with a time limit.
    """
    from lossless_inr import registry
    from lossless_inr.datasets.catalog import Catalog
    from lossless_inr.experiments.spec import Config, load_experiments
    from lossless_inr.fitting.recipe import load_recipes
    from lossless_inr.schema import load

    if kind not in KINDS:
        raise UserError(f"unknown kind '{kind}'{suggest(kind, KINDS)}")
    config = load(Config, Path("config/config.yaml"))
    registry.use(config.plugins)
    if check and kind not in ("networks", "representations"):
        raise UserError("--check: networks and representations can be checked")
    if kind in ("networks", "representations"):
        single = kind[:-1]
        wanted = [registry.check(single, n) for n in only] if only else registry.names(single)
        faults = {n: registry.fault(single, n) for n in wanted}
        if check:
            from lossless_inr.extend.check import in_own_process

            faults = {n: in_own_process(single, n) for n in faults}
        rows = {
            n: f"not usable: {fault}" if fault else registry.describe(single, n).label
            for n, fault in faults.items()
        }
    elif kind == "recipes":
        rows = {
            n: f"for {', '.join(r.applies_to)}" for n, r in load_recipes(config.recipes).items()
        }
    elif kind == "signals":
        entries = Catalog(Path(config.datasets)).rows()
        rows = {f"{e.set}/<size>/{e.name}": f"{e.kind}, {e.bits} bit: {e.title}" for e in entries}
    elif kind == "datasets":
        catalog = Catalog(Path(config.datasets))
        rows = {name: catalog.describe(name) for name in catalog.sets()}
    else:
        rows = {n: e.title for n, e in load_experiments(Path(config.experiments)).items()}
    if only:
        for name in only:
            if name not in rows:
                raise UserError(f"{kind}: unknown '{name}'{suggest(name, rows)}")
        rows = {name: rows[name] for name in only}
    if as_json:
        typer.echo(json.dumps(rows, indent=1))
    else:
        width = max(map(len, rows), default=0)
        for name, text in rows.items():
            typer.echo(f"{name:{width}s}  {text}")
    if check:
        # Not on standard output, which --json is read from.
        wrong = sum(map(bool, faults.values()))
        told = f"; {wrong} {'does' if wrong == 1 else 'do'} not" if wrong else ""
        typer.echo(f"{len(faults) - wrong} of {len(faults)} keep their contract{told}", err=True)
        if wrong:
            raise typer.Exit(1)


@app.command()
def new(
    kind: Annotated[str, typer.Argument(help=" | ".join(NEW))],
    name: Annotated[str, typer.Argument(help="Becomes the file's name.")],
    folder: Annotated[
        Path | None, typer.Option(help="A plug-in folder of your own, for networks and forms.")
    ] = None,
) -> None:
    """Write a working, commented file to start from; nothing else has to be edited.

    Example: lossless-inr new network triangle
    """
    from lossless_inr.experiments.spec import Config
    from lossless_inr.extend.new import create
    from lossless_inr.schema import load

    config = load(Config, Path("config/config.yaml"))
    typer.echo(create(kind, name, config=config, folder=folder))


def main() -> None:
    """Entry point: bad input is one line on stderr and exit code 2."""
    try:
        app()
    except (UserError, PluginError) as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(2)
    except SystemExit as end:
        if end.code == INTERRUPTED:  # how Typer ends on Ctrl-C, without a word
            typer.echo("interrupted; the same command goes on from here", err=True)
        raise


if __name__ == "__main__":
    main()
