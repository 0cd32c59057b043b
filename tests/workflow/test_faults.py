"""Bad input and interruptions, with the real workflow: one clear line, nothing lost."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
from harness import SMOKE
from PIL import Image

from lossless_inr.cli import OUT_OF_TIME

ONE_FIT = """\
title: one
layout: table
scales:
  smoke:
    shape: {{hidden_layers: 1, width: 16}}
    signals: [{signals}]
    fits:
      - {{signals: all, network: siren, representation: bithead, recipe: fast, iterations: 300}}
"""

HEADER = (
    "set\tname\ttitle\tkind\tbits\tsource_bits\tsource_shape\tsource\tsha256\tprepare\toffset\t"
    "licence\tcitation\n"
)


def row(name, source, *, kind="photo", bits=8, source_bits=8, shape="16x16x3", prepare="resize"):
    cells = ["mine", name, f"My {name}", kind, bits, source_bits, shape, f"file:{source}"]
    return "\t".join(map(str, [*cells, "", prepare, "", "mine", ""])) + "\n"


def only(project, rows: str, signals: str) -> str:
    """Make the project fit these signals alone; returns the config file to run with."""
    project.write("mine/datasets.tsv", HEADER + rows)
    project.write("mine/experiments/one.yaml", ONE_FIT.format(signals=signals))
    project.write(
        "mine/config.yaml",
        SMOKE + "datasets: mine/datasets.tsv\nexperiments: mine/experiments\n",
    )
    return "mine/config.yaml"


def photograph(path, shape=(16, 16, 3), seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    Image.fromarray(values).save(path)


def clear_failure(code: int, output: str, *words: str) -> None:
    assert code != 0
    assert "Traceback" not in output, output
    lines = [line for line in output.splitlines() if all(word in line for word in words)]
    assert lines, f"no line with {words} in:\n{output}"


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        ("config/smoke.yaml", "scale: smoke", "scal: smoke", ["'scal'", "'scale'"]),
        ("config/smoke.yaml", "shards: 2", "shards: many", ["fit.shards", "'many'"]),
        ("config/smoke.yaml", "shards: 2", "shards: 0", ["fit.shards", "0"]),
        ("config/smoke.yaml", "shards: 2", "shard: 2", ["'fit.shard'", "'shards'"]),
        ("config/smoke.yaml", "device: cpu", "device: tpu", ["fit.device", "'tpu'"]),
        ("config/smoke.yaml", "scale: smoke", "scale: smoke\nscale: quick", ["duplicate"]),
        ("config/experiments/table1.yaml", "network: siren", "network: sirne", ["'siren'"]),
        ("config/experiments/table1.yaml", "recipe: fast", "recipe: fsat", ["'fast'"]),
        ("config/experiments/table1.yaml", "x12/astronaut", "x12/astronut", ["12x12/astronaut"]),
        ("config/experiments/table1.yaml", "12x12/astronaut", "9999x9999/astronaut", ["512x512"]),
        ("config/experiments/table1.yaml", "iterations: 300", "iteration: 300", ["'iterations'"]),
        ("config/experiments/table1.yaml", "iterations: 300", "iterations: -3", ["iterations"]),
        ("config/experiments/table1.yaml", "iterations: 300", "iterations: 1.5", ["iterations"]),
        ("config/experiments/table1.yaml", "  smoke:", "  smok:", ["'smok'", "'smoke'"]),
        ("config/experiments/figure3.yaml", "experiment: table1", "experiment: x", ["table1"]),
        ("config/recipes/fast.yaml", "warmup: 20", "warmpu: 20", ["'warmpu'", "'warmup'"]),
        ("config/recipes/fast.yaml", "rate: 1.4e-3", "rate: -1", ["rate", "-1"]),
        ("config/recipes/fast.yaml", "applies_to: [bitplane, bitchannel, bithead]",
         "applies_to: [bitplane]",
         ["does not apply", "bithead"]),
        ("config/datasets.tsv", "\tastronaut\t", "\tastro naut\t", ["'astro naut'", "line 2"]),
        ("config/datasets.tsv", "\tastronaut\t", "\t../../astronaut\t", ["../../astronaut"]),
        ("config/datasets.tsv", "\tastronaut\t", "\t</script>\t", ["</script>", "line 2"]),
        ("config/datasets.tsv", "\tastronaut\t", "\t{astronaut}\t", ["{astronaut}", "line 2"]),
        ("config/datasets.tsv", "\tastronaut\t", "\tastro'naut\t", ["naut", "line 2"]),
        ("config/datasets.tsv", "\tkind\t", "\tkidn\t", ["'kidn'", "'kind'"]),
    ],
)  # fmt: skip
def test_a_mistake_in_a_file_is_one_line_before_any_job(project, file, old, new, words):
    project.replace(file, old, new)
    code, output = project.run()
    clear_failure(code, output, "error: ", *words)
    assert len(output.strip().splitlines()) == 1, output
    assert not project.records()


def test_missing_config_and_missing_tables_are_named(project):
    clear_failure(*project.run(configfile="config/nowhere.yaml"), "config/nowhere.yaml", "no such")
    (project.folder / "config/datasets.tsv").unlink()
    clear_failure(*project.run(), "config/datasets.tsv", "no such")


def test_bad_signal_files_are_named_and_the_good_one_is_still_prepared(project):
    folder = project.folder / "mine"
    photograph(folder / "good.png")
    photograph(folder / "cut.png")
    (folder / "cut.png").write_bytes((folder / "cut.png").read_bytes()[:200])
    photograph(folder / "grey.png", shape=(16, 16))
    Image.fromarray(np.zeros((16, 16), np.uint16)).save(folder / "deep.png")
    (folder / "text.png").write_text("not a picture")
    np.save(folder / "float.npy", np.zeros((16, 16, 3)))
    config = only(
        project,
        row("good", "mine/good.png")
        + row("cut", "mine/cut.png")
        + row("gone", "mine/gone.png")
        + row("grey", "mine/grey.png")
        + row("deep", "mine/deep.png", bits=8)
        + row("text", "mine/text.png")
        + row("float", "mine/float.npy"),
        ", ".join(
            f"mine/8x8/{n}" for n in ["good", "cut", "gone", "grey", "deep", "text", "float"]
        ),
    )
    code, output = project.run(configfile=config)
    clear_failure(code, output, "error: ", "cut.png", "truncated or damaged")
    clear_failure(code, output, "error: ", "gone.png", "no such file")
    clear_failure(code, output, "error: ", "grey.png", "16x16x1", "16x16x3")
    clear_failure(code, output, "error: ", "deep.png", "set source_bits to 16")
    clear_failure(code, output, "error: ", "text.png", "not a PNG")
    clear_failure(code, output, "error: ", "float.npy", "float64")
    assert (project.folder / "data/prepared/mine/8x8/good.npz").exists()


def test_constant_one_sample_and_noise_signals_are_lossless(project):
    folder = project.folder / "mine"
    folder.mkdir()
    np.save(folder / "constant.npy", np.full((8, 8, 3), 77, np.uint8))
    np.save(folder / "one.npy", np.full((1, 1), 40000, np.uint16))
    np.save(folder / "noise.npy", np.random.default_rng(0).integers(0, 256, (8, 8, 1), np.uint8))
    config = only(
        project,
        row("constant", "mine/constant.npy", shape="8x8x3", prepare="crop")
        + row("one", "mine/one.npy", kind="audio", bits=16, source_bits=16, shape="1x1",
              prepare="crop")
        + row("noise", "mine/noise.npy", shape="8x8x1", prepare="crop"),
        "mine/8x8/constant, mine/1/one, mine/8x8/noise",
    )  # fmt: skip
    code, output = project.run(configfile=config)
    assert code == 0, output
    table = (project.folder / "results/smoke/tables/one.csv").read_text()
    assert table.count(",lossless,True,") == 3


def test_a_diverging_fit_is_a_result_and_the_report_is_built(project):
    project.write("config/recipes/wild.yaml", "title: wild\napplies_to: [direct]\nrate: 1e30\n")
    photograph(project.folder / "mine/good.png")
    config = only(project, row("good", "mine/good.png"), "mine/8x8/good")
    block = "- {signals: all, network: siren, representation: direct, recipe: wild, iterations: 60}"
    text = (project.folder / "mine/experiments/one.yaml").read_text()
    project.write("mine/experiments/one.yaml", f"{text}      {block}\n")
    code, output = project.run(configfile=config)
    assert code == 0, output
    assert ",diverged," in (project.folder / "results/smoke/tables/one.csv").read_text()
    assert "diverged" in (project.folder / "reports/smoke/report.html").read_text()


def _wait_for_records(project, count: int, process) -> None:
    deadline = time.monotonic() + 120
    while len(project.records()) < count:
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.02)


def test_sigkill_in_the_middle_keeps_finished_fits_and_the_rerun_goes_on(project):
    process = project.start()
    _wait_for_records(project, 3, process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    kept = project.records()
    code, output = project.run("--until", "verify")
    assert code == 0, output
    after = project.records()
    assert all(after[name] == written for name, written in kept.items())
    assert output.count("(finished before)") >= len(kept)
    assert len(after) > len(kept)


def test_ctrl_c_in_the_middle_ends_in_words_and_the_rerun_goes_on(project):
    process = project.start()
    _wait_for_records(project, 2, process)
    os.killpg(process.pid, signal.SIGINT)  # what a terminal does
    output, _ = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "Traceback" not in output, output
    kept = project.records()
    code, output = project.run("--until", "fit")
    assert code == 0, output
    assert all(project.records()[name] == written for name, written in kept.items())


@pytest.mark.parametrize(
    ("script", "says"), [(".snakemake/scripts/a.py", ""), ("mine.py", "KeyboardInterrupt")]
)
def test_ctrl_c_during_the_imports_of_a_script_and_of_no_other_program_is_silent(
    script, says, tmp_path, root
):
    for name, text in {
        script: "import sys, time\nprint('importing', flush=True)\ntime.sleep(60)\n",
        "user/sitecustomize.py": "print('of the user')\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    folders = [root / "workflow/start", tmp_path / "user"]
    with subprocess.Popen(
        [sys.executable, tmp_path / script],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(map(str, folders))},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell's background jobs ignore SIGINT, and their children would inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:
        assert [process.stdout.readline() for _ in range(2)] == ["of the user\n", "importing\n"]
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    assert process.returncode == -signal.SIGINT
    assert errors.strip().endswith(says) and bool(errors) == bool(says)


def test_a_piece_stops_at_its_time_and_what_is_finished_can_be_shown(project):
    photograph(project.folder / "mine/good.png")
    # More bits than a network of 16 wide can hold.
    config = only(project, row("good", "mine/good.png"), "mine/16x16/good")
    endless = (
        "- {signals: all, network: siren, representation: direct, recipe: published, "
        "iterations: 10000000}"
    )
    text = (project.folder / "mine/experiments/one.yaml").read_text()
    project.write("mine/experiments/one.yaml", f"{text}      {endless}\n")
    code, output = project.run("--cores", "2", configfile=config, options=("--hours", "0.007"))
    assert code == OUT_OF_TIME, output
    assert "Traceback" not in output, output
    assert "2 of 2 fits are left" in output
    assert "stopped after 0.007 h, as asked: 1 of 2 fits are finished" in output
    kept = project.records()
    assert len(kept) == 1
    code, output = project.run("--cores", "2", configfile=config, options=("--partial",))
    assert code == 0, output
    assert project.records() == kept
    table = pd.read_parquet(project.folder / "results/smoke/tables/one.parquet")
    assert list(table.representation) == ["bithead"]


def test_two_runs_in_one_folder_do_not_mix(project):
    process = project.start("--until", "fit")
    _wait_for_records(project, 1, process)
    code, output = project.run()
    clear_failure(code, output, "another run already works in this folder")
    first, _ = process.communicate(timeout=300)
    assert process.returncode == 0, first


def test_a_failing_fit_fails_the_run_after_the_report_and_is_tried_again(project):
    network = project.folder / "lossless_inr/networks/broken.py"
    source = (project.folder / "lossless_inr/networks/siren.py").read_text()
    network.write_text(
        source.replace("    network = Coord", "    raise OSError('no')\n    network = Coord")
    )
    photograph(project.folder / "mine/good.png")
    config = only(project, row("good", "mine/good.png"), "mine/8x8/good")
    experiment = "mine/experiments/one.yaml"
    project.replace(experiment, "network: siren", "network: [siren, broken]")
    code, output = project.run(configfile=config)
    clear_failure(code, output, "error: 1 fits failed", "broken-bithead-fast")
    report = (project.folder / "reports/smoke/report.html").read_text()
    assert "1 failed" in report and "OSError: no" in report
    kept = project.records()
    network.write_text(source)
    code, output = project.run(configfile=config)
    assert code == 0, output
    changed = {name for name, written in project.records().items() if kept[name] != written}
    assert len(changed) == 1 and "/broken-bithead" in next(iter(changed))


def test_a_report_is_built_and_complete_where_every_published_fit_failed(project):
    """Nothing can be sooner than a fit of which nothing is known."""
    fits = "        return run_fits(specs, signals, folders, *options)\n"
    fault = (
        "        if specs[0].recipe == 'published':\n            raise MemoryError('none left')\n"
    )
    project.replace("lossless_inr/fitting/fit.py", fits, fault + fits)
    code, output = project.run()
    clear_failure(code, output, "fits failed", "its record says why")
    table = pd.read_parquet(project.folder / "results/smoke/fits.parquet")
    failed = table[table.recipe == "published"]
    assert len(failed) and set(failed.status) == {"failed"} and failed.flops.isna().all()
    assert "lossless" in set(table.status)
    report = (project.folder / "reports/smoke/report.html").read_text()
    assert f"{len(failed)} failed" in report and "MemoryError: none left" in report
