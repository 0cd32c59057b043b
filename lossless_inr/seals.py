"""What each job of the workflow wrote, noted when it was complete, and checked before the next run.

Snakemake takes a file that exists for a file that is whole. A power cut, a full disk or an edit
can leave one that is not, so every job ends by noting sizes, times and digests of its files in
`results/.seals`, and `lossless-inr run` begins by removing what differs: Snakemake then makes it
again, and whatever was made from it. Only files whose size or times changed are read. Imports no
torch.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lossless_inr.files import replacing, sha256_of

SEALS = Path("results/.seals")
# What the workflow makes of a scale's fits, relative to the project; nothing else is removed.
MADE = (
    *("results/{scale}/shards/*.json", "results/{scale}/verified/*.json"),
    *("results/{scale}/*.parquet", "results/{scale}/rate.csv", "results/{scale}/scores.jsonl"),
    *("results/{scale}/tables/*.csv", "results/{scale}/tables/*.parquet"),
    *("results/{scale}/figures/*.csv", "results/{scale}/figures/*.svg"),
    *("results/{scale}/figures/*.png", "results/{scale}/speech/*", "results/{scale}/expansion/*"),
    *("results/{scale}/compression/*.csv", "results/{scale}/compression/*.json"),
    *("results/{scale}/compression/*/*.csv", "results/programs/*"),
    "results/{scale}/compression/**/*.parquet",
    *("results/{scale}/compression/**/images.npz", "reports/{scale}/compression.html"),
    *("reports/{scale}/report.html", "results/{scale}/checked"),
    *("data/prepared/**/*.raw", "data/prepared/**/*.json"),
)
# The same, of outputs that are folders: answers of outside programs, and sent pictures.
FOLDERS = ("results/{scale}/answers/*/*/*/*", "results/{scale}/compression/recombined-*/*/[0-9]*")
# Jobs that serve every scale, and what they make: their logs, and so their seals, lie beside those
# of scales. Signals may also be prepared without a seal (`lossless-inr data`), and are kept.
SHARED = {
    "fetch": ("data/raw/{name}.fetched",),
    "prepare": ("data/prepared/{name}.npz",),
    "hand_over": ("data/prepared/{name}.raw", "data/prepared/{name}.json"),
    "programs": ("results/programs/{name}",),
}
# Snakemake's own file in a folder that is an output.
TIMESTAMP = ".snakemake_timestamp"
# As in `fitting.packs`.
PACKS, CURVE = "packs", "curve.parquet"


@dataclass(frozen=True)
class Damage:
    """A file that is not what its job wrote.

    Attributes
    ----------
    path : str
        Relative to the project.
    what : str
        In words.
    """

    path: str
    what: str

    def __str__(self):
        return f"{self.path}: {self.what}"


def place(log: str) -> Path:
    """Where the seal of the job with this log lies."""
    return SEALS / Path(log).relative_to("logs").with_suffix(".json")


def _files(path: str) -> list[Path]:
    """A file, or those of a folder."""
    if not os.path.isdir(path):
        return [Path(path)]
    return sorted(p for p in Path(path).rglob("*") if p.is_file() and p.name != TIMESTAMP)


def _state(path: str) -> list[int]:
    found = [os.stat(file) for file in _files(path)]
    # The last is not for programs to set: it tells of a change that keeps the time of writing.
    return [
        sum(one.st_size for one in found),
        max((one.st_mtime_ns for one in found), default=0),
        max((one.st_ctime_ns for one in found), default=0),
    ]


def _digest(path: str) -> str:
    """sha256 of a file, or of the names and digests of a folder's files."""
    if not os.path.isdir(path):
        return sha256_of(Path(path))
    found = [[str(file.relative_to(path)), sha256_of(file)] for file in _files(path)]
    return hashlib.sha256(json.dumps(found).encode()).hexdigest()


def seal(log: str, made: Iterable[str], used: Iterable[str], kept: dict[str, str]) -> None:
    """Note the files of a job that has done its work.

    Parameters
    ----------
    log : str
        The job's log, `logs/...`, by which its seal is found.
    made : iterable of str
        Its declared outputs, which are removed when one of the job's files turns out damaged.
    used : iterable of str
        Its inputs. By their digests, and not by anybody's clock, it is known whether an output
        was made from what is there.
    kept : dict of str to str
        Further files -> sha256: those of fits, which mend themselves when their shard runs again.
    """
    facts = {"made": {}, "kept": {}, "used": {}}
    held = _held() if kept else None
    for path in made:
        if os.path.exists(path):
            facts["made"][path] = [*_state(path), _digest(path)]
    for path, digest in kept.items():
        # A curve that is in a pack by now: if the pack goes, it is the shard that must run.
        state = [0, 0, 0] if _packed(Path(path), digest, held) else _state(path)
        facts["kept"][path] = [*state, digest]
    facts["used"] = {path: _digest(path) for path in used if os.path.exists(path)}
    with replacing(place(log), "w", encoding="utf-8") as file:
        json.dump(facts, file)


def _read(path: Path) -> dict[str, dict] | None:
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        for files in (facts["made"], facts["kept"]):
            for size, written, changed, digest in files.values():
                if len(digest) != 64 or size + written + changed < 0:
                    return None
        return facts if all(len(digest) == 64 for digest in facts["used"].values()) else None
    except Exception:  # a damaged file raises anything
        return None


def _differences(facts: dict[str, dict], held: Callable) -> Iterator[Damage]:
    """Damage to the files of one seal; notes the new times of files that are as they were."""
    for files in (facts["made"], facts["kept"]):
        for path, known in files.items():
            try:
                state = _state(path)
                if state == known[:3]:
                    continue
                if state[0] != known[0]:
                    yield Damage(path, f"has {state[0]:,} bytes, {known[0]:,} were written")
                elif _digest(path) != known[3]:
                    yield Damage(path, "is not what was written (its digest differs)")
                else:
                    known[:3] = state
            except FileNotFoundError:
                if files is facts["kept"] and not _packed(Path(path), known[3], held):
                    yield Damage(path, "is missing")
            except OSError as error:
                yield Damage(path, f"cannot be read ({error.strerror})")


def _held() -> Callable[[Path], frozenset[str]]:
    """Digests of the curves in a scale's packs; all are looked into once, and not per curve."""
    # Here and not above: programs of others are started by a process that has the standard library.
    from lossless_inr.fitting import packs

    return functools.cache(packs.curves)


def _packed(path: Path, sha256: str, held: Callable) -> bool:
    """Whether a file is not there as verification has put it, a curve, into a pack."""
    if path.name != CURVE or "records" not in path.parts or path.exists():
        return False
    return sha256 in held(Path(*path.parts[: path.parts.index("records")]))


def inspect(scale: str) -> list[Damage]:
    """Remove what is damaged of a scale, and of the data it uses, for Snakemake to make again.

    Outputs without a seal are removed as well: nothing tells whether they are whole; and those
    that were made from other files than are there now. Fits are not: a fit that is whole says so
    in its own record.

    Parameters
    ----------
    scale : str
        The working folder is the project's.

    Returns
    -------
    list of Damage
        What was found.
    """
    found, seals, unsealed, held = [], {}, set(), _held()
    for path in _seals_of(scale):
        facts = _read(path)
        if facts is None:
            found.append(Damage(str(path), "is damaged; what it tells of is made again"))
            unsealed |= _made_by(path)
            path.unlink()
            continue
        before = json.dumps(facts)
        if damages := list(_differences(facts, held)):
            found += damages
            unsealed |= facts["made"].keys()
            # Without its pack a fit lacks its curve, and is fitted again.
            if gone := [d.path for d in damages if Path(d.path).parent.name == PACKS]:
                _remove(gone)
                held.cache_clear()
            path.unlink()
            continue
        seals[path] = facts
        if json.dumps(facts) != before:
            with replacing(path, "w", encoding="utf-8") as file:
                json.dump(facts, file)
    _remove(unsealed)
    sealed = {name for facts in seals.values() for name in facts["made"]}
    for pattern in (*MADE, *FOLDERS):
        is_made = Path.is_dir if pattern in FOLDERS else Path.is_file
        there = {str(path) for path in Path().glob(pattern.format(scale=scale)) if is_made(path)}
        unsealed |= there - sealed
        _remove(there - sealed)
    _follow(seals, unsealed)
    _settle_clock(name for facts in seals.values() for name in facts["made"])
    return found


def _settle_clock(names: Iterable[str]) -> None:
    """If one of these files is from the future, give all of them one time.

    Snakemake compares times; seals have just told that each was made from what is there.
    """
    now, there = time.time(), [name for name in names if os.path.exists(name)]
    if any(os.stat(name).st_mtime > now for name in there):
        for name in there:
            os.utime(name, (now, now))


def not_from_the_future(names: Iterable[str]) -> None:
    """Give files whose time is still to come the time it is now.

    Snakemake refuses a job whose output is older than its input, and its clock may have been
    set back since that was written.
    """
    now = time.time()
    for name in names:
        # Of a folder, Snakemake takes the time of a file in it.
        for path in (name, os.path.join(name, TIMESTAMP)):
            with suppress(OSError):
                if os.stat(path).st_mtime > now:
                    os.utime(path, (now, now))


def _seals_of(scale: str) -> list[Path]:
    """Seals of a scale; those of packs first, as others ask what is in these."""
    found = [p for part in (scale, *SHARED) for p in sorted((SEALS / part).rglob("*.json"))]
    return sorted(found, key=lambda path: path.parent.name != "verify")


def _made_by(seal: Path) -> set[str]:
    """What the job of a seal makes, by the seal's name; of a scale's jobs nothing: see `MADE`."""
    job, *rest = seal.relative_to(SEALS).with_suffix("").parts
    return {pattern.format(name="/".join(rest)) for pattern in SHARED.get(job, ())}


def _remove(names: Iterable[str]) -> None:
    for name in names:
        if os.path.isdir(name) and not os.path.islink(name):
            shutil.rmtree(name)
        else:
            Path(name).unlink(missing_ok=True)


def _follow(seals: dict[Path, dict], gone: set[str]) -> None:
    """Remove whatever was made from files that are gone, or are others by now, to the end.

    Snakemake by itself does not make a missing file again while everything made from it is there.
    """
    digests = {name: known[3] for facts in seals.values() for name, known in facts["made"].items()}
    waiting = dict(seals)
    while True:
        stale = [
            path
            for path, facts in waiting.items()
            if not gone.isdisjoint(facts["used"])
            or any(digests.get(name, digest) != digest for name, digest in facts["used"].items())
            or not all(map(os.path.exists, facts["made"]))
        ]
        if not stale:
            return
        for path in stale:
            made = waiting.pop(path)["made"]
            _remove(made)
            gone |= made.keys()
            path.unlink()
