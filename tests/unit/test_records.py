import getpass
import json
import math
import os
import re
import shutil
import socket
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import noise_signal, refusal, spec_of

from lossless_inr.engine.loop import OutOfTime
from lossless_inr.experiments.tables import (
    FIRST_COLUMNS,
    collect,
    depth_label,
    fits_table,
    iterations_text,
    summary_table,
)
from lossless_inr.fitting import digests
from lossless_inr.fitting import fit as fitting
from lossless_inr.fitting.fit import (
    Resources,
    choose_device,
    group_key,
    groups,
    run_fit,
    run_fits,
    run_or_record_failure,
    run_or_record_failures,
    sole_writer,
    use_threads,
)
from lossless_inr.fitting.recipe import Settings
from lossless_inr.fitting.record import Record
from lossless_inr.fitting.reuse import elsewhere, take_over
from lossless_inr.fitting.verify import verify
from lossless_inr.metrics import psnr, rmse

SIGNAL = noise_signal()
SPECS = {
    "lossless": spec_of(SIGNAL),
    "exhausted": spec_of(SIGNAL, settings=Settings(rate=1.0), recipe="restless", iterations=2),
    "runs off": spec_of(SIGNAL, settings=Settings(rate=1e38), recipe="off", hidden_layers=2),
    # sin of infinity is no number: the very first loss is NaN.
    "never starts": spec_of(SIGNAL, network_parameters={"omega_first": 1e39}, recipe="never"),
    # Raises inside the fit: the direct form has no focus.
    "broken": spec_of(SIGNAL, representation="direct"),
}
STATUSES = {
    "lossless": "lossless",
    "exhausted": "budget_exhausted",
    "runs off": "diverged",
    "never starts": "diverged",
    "broken": "failed",
}
# The lock of a finished fit is free, but a lock file that is deleted can be held twice.
LOCK = ".lock"
FILES = {"weights.safetensors", "curve.parquet", "decoded.npz", "record.json", LOCK}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Results of every kind of outcome, in the layout of `results/<scale>`, to be read only."""
    results = tmp_path_factory.mktemp("results")
    for spec in SPECS.values():
        run_or_record_failure(spec, SIGNAL, results / spec.folder)
    SIGNAL.save(results / f"prepared/{SIGNAL.name}.npz")
    return results


@pytest.fixture
def results(finished, tmp_path):
    """A copy of them, to be changed."""
    shutil.copytree(finished, tmp_path / "results")
    return tmp_path / "results"


def record_of(results, name):
    return Record.load(results / SPECS[name].folder / "record.json")


def verdict_of(results, name):
    return verify(record_of(results, name), SIGNAL, results / SPECS[name].folder)


def entry_of(results, name, **changes):
    """What a shard's verification says about one fit, after `changes` of its record."""
    record = record_of(results, name).model_copy(update=changes)
    folder = record.spec.folder
    record.save(results / folder)
    source = results / SPECS[name].folder / "weights.safetensors"
    if source.exists() and folder != SPECS[name].folder:
        shutil.copy(source, results / folder)
    verdict = verify(record, SIGNAL, results / folder)
    return {"spec_digest": record.spec_digest, "folder": folder, "verdict": verdict.model_dump()}


def collected(results, *entries):
    return collect(list(entries), results, results / "prepared")


# --- running a fit ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["lossless", "exhausted", "runs off", "never starts"])
def test_a_fit_writes_its_files_and_nothing_else(finished, name):
    folder = finished / SPECS[name].folder
    assert {path.name for path in folder.iterdir()} == FILES
    assert record_of(finished, name).status == STATUSES[name]


def test_a_fault_of_ours_leaves_a_record_that_says_so(finished):
    folder = finished / SPECS["broken"].folder
    assert {path.name for path in folder.iterdir()} == {"record.json", LOCK}
    record = record_of(finished, "broken")
    assert record.status == "failed"
    assert record.error == "ValueError: the direct form has no focus"


def test_the_record_answers_its_specification_on_its_signal(finished):
    record, spec = record_of(finished, "lossless"), SPECS["lossless"]
    assert record.spec == spec
    assert record.spec_digest == spec.digest
    assert record.signal_sha256 == record.decoded_sha256 == SIGNAL.sha256
    assert record.code_digest == digests.of_code("siren", "bithead")
    assert (record.rows, record.macs_per_row) == (36, 2 * 16 + 16 * 16 + 16 * 8)
    assert record.parameters == record.macs_per_row + 16 + 16 + 8
    assert record.samples_seen == 36 * (record.iterations + 1)
    for quality in (record.best, record.last):
        assert (quality.wrong_bits, quality.squared_error, quality.ber) == (0, 0, 0.0)
        assert (quality.psnr, quality.rmse, quality.ssim) == (math.inf, 0.0, None)


def test_the_curve_and_the_integers_of_a_fit_agree_with_its_record(finished):
    folder, record = finished / SPECS["exhausted"].folder, record_of(finished, "exhausted")
    curve = pd.read_parquet(folder / "curve.parquet")
    assert curve.iteration.tolist() == [0, 1, 2]
    wrong = curve[[f"plane_{i}" for i in range(8)]].sum(axis=1)
    with np.load(folder / "decoded.npz") as archive:
        last, best = archive["last"], archive["best"]
    assert last.dtype == SIGNAL.samples.dtype
    difference = last.astype(int) - SIGNAL.samples
    assert record.last.squared_error == curve.squared_error.iloc[-1] == (difference**2).sum()
    assert record.last.wrong_bits == wrong.iloc[-1] == np.unpackbits(last ^ SIGNAL.samples).sum()
    assert record.last.psnr == psnr(record.last.squared_error, 36, 8)
    assert record.best_iteration == curve.squared_error.argmin() < 2  # else this shows nothing
    assert record.best.squared_error == curve.squared_error.min()
    assert record.best.wrong_bits == wrong.min()
    assert ((best.astype(int) - SIGNAL.samples) ** 2).sum() == record.best.squared_error


def test_best_is_never_worse_than_last(finished):
    for name in ("lossless", "exhausted", "runs off"):
        best, last = record_of(finished, name).best, record_of(finished, name).last
        assert best.wrong_bits <= last.wrong_bits and best.ber <= last.ber
        assert best.squared_error <= last.squared_error and best.rmse <= last.rmse
        assert best.psnr >= last.psnr


def test_a_fit_repeats_to_the_same_integers_and_counts(finished, tmp_path):
    again = run_fit(SPECS["lossless"], SIGNAL, tmp_path)
    before = record_of(finished, "lossless")
    keys = ("status", "iterations", "best", "last", "decoded_sha256", "flops", "samples_seen")
    assert {k: getattr(again, k) for k in keys} == {k: getattr(before, k) for k in keys}


def test_the_recipe_does_not_change_the_initial_weights(tmp_path):
    weights = []
    for recipe, settings in (("one", Settings()), ("two", Settings(rate=1e-2))):
        spec = spec_of(SIGNAL, recipe=recipe, settings=settings, iterations=0)
        run_fit(spec, SIGNAL, tmp_path / recipe)
        weights.append(load_file(tmp_path / recipe / "weights.safetensors"))
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])


@pytest.mark.parametrize("change", [{"shape": [6, 7, 1]}, {"bits": 7}])
def test_a_signal_of_another_shape_or_depth_is_refused(tmp_path, change):
    line = refusal(run_fit, spec_of(SIGNAL, **change), SIGNAL, tmp_path / "fit")
    assert SIGNAL.name in line and "planned for" in line
    assert not (tmp_path / "fit").exists()


def test_an_absent_or_unknown_device_is_refused(tmp_path):
    assert choose_device("cpu").type == "cpu"
    assert "'gpu'" in refusal(choose_device, "gpu")
    if torch.cuda.is_available():
        assert choose_device("cuda").type == choose_device("auto").type == "cuda"
    else:
        assert choose_device("auto").type == "cpu"
        cuda = Resources(device="cuda")
        line = refusal(run_fit, SPECS["lossless"], SIGNAL, tmp_path / "fit", cuda)
        assert "device: auto" in line
        assert not (tmp_path / "fit").exists()


# --- how fits run on this machine -----------------------------------------------------------


def test_more_threads_than_cores_are_cut_with_one_warning(caplog):
    cores = os.cpu_count()
    assert use_threads(cores) == cores and not caplog.records
    assert use_threads(cores + 30) == torch.get_num_threads() == cores
    (line,) = [record.getMessage() for record in caplog.records]
    assert str(cores + 30) in line and str(cores) in line


def test_a_fit_that_another_process_is_writing_is_refused_and_left_alone(tmp_path):
    with sole_writer([tmp_path]):
        line = refusal(run_fit, SPECS["lossless"], SIGNAL, tmp_path)
        assert str(tmp_path) in line and "another process" in line
        assert {path.name for path in tmp_path.iterdir()} == {LOCK}
    assert run_fit(SPECS["lossless"], SIGNAL, tmp_path).status == "lossless"


@pytest.mark.parametrize("compiled", [True, False])
def test_the_slice_is_clamped_to_the_signal_and_an_empty_one_refused(tmp_path, compiled):
    options = Resources(slice_rows=10**9, compiled=compiled)
    assert run_fit(SPECS["lossless"], SIGNAL, tmp_path, options).slice_rows == 36
    with pytest.raises(ValueError, match="slice_rows"):
        run_fit(SPECS["lossless"], SIGNAL, tmp_path, Resources(slice_rows=0))


def test_a_fit_that_is_out_of_time_keeps_its_state_and_goes_on_to_the_same_record(tmp_path):
    spec = spec_of(SIGNAL, settings=Settings(), iterations=40)
    whole = run_fit(spec, SIGNAL, tmp_path / "whole")
    parts = 0
    while not (tmp_path / "parts/record.json").exists():
        try:
            # In the past: every look is one too many, so each part is one iteration.
            run_fit(spec, SIGNAL, tmp_path / "parts", Resources(deadline=0.0))
        except OutOfTime:
            parts += 1
            assert (tmp_path / "parts/state.safetensors").exists()
    resumed = Record.load(tmp_path / "parts/record.json")
    assert parts == 40
    assert not (tmp_path / "parts/state.safetensors").exists()
    # The curve has seconds in it.
    differing = {"timing": True, "provenance": True, "peak_memory_mib": True}
    differing["files"] = {"curve.parquet"}
    assert resumed.model_dump(exclude=differing) == whole.model_dump(exclude=differing)
    one, other = (load_file(tmp_path / name / "weights.safetensors") for name in ("whole", "parts"))
    assert all(torch.equal(one[key], other[key]) for key in one)
    curves = [pd.read_parquet(tmp_path / n / "curve.parquet") for n in ("whole", "parts")]
    pd.testing.assert_frame_equal(*(curve.drop(columns="seconds") for curve in curves))
    assert curves[1].seconds.is_monotonic_increasing
    assert resumed.timing.fit >= curves[1].seconds.iloc[-2]


def test_a_batch_writes_the_record_of_each_fit_as_if_it_were_alone(tmp_path):
    signals = [noise_signal(), noise_signal(name="tiny/6x6/other")]
    signals[1].samples[:] = 255 - signals[1].samples
    specs = [spec_of(signal, seed=seed) for signal in signals for seed in (0, 1)]
    chosen = [signals[0], signals[0], signals[1], signals[1]]
    folders = [tmp_path / str(k) for k in range(4)]
    records = run_fits(specs, chosen, folders)
    for spec, signal, folder, record in zip(specs, chosen, folders, records, strict=True):
        assert Record.load(folder / "record.json") == record
        assert record.spec == spec and record.timing.batch == 4 and not record.timing.exclusive
        alone = run_fit(spec, signal, tmp_path / "alone")
        assert (alone.status, alone.iterations) == (record.status, record.iterations)
        assert alone.flops == record.flops
        assert verify(record, signal, folder).verified


def test_a_batch_of_fits_of_different_settings_is_a_mistake(tmp_path):
    specs = [SPECS["lossless"], SPECS["exhausted"]]
    with pytest.raises(ValueError, match="signal and seed"):
        run_fits(specs, [SIGNAL, SIGNAL], [tmp_path / "a", tmp_path / "b"])


def test_groups_hold_fits_that_differ_by_signal_and_seed_only():
    seeds = [spec_of(SIGNAL, seed=seed) for seed in range(5)]
    other = spec_of(SIGNAL, width=20)
    mixed = [seeds[0], other, *seeds[1:]]
    assert groups(mixed, "cpu", None) == [[spec] for spec in mixed]
    assert groups(mixed, "cpu", 4) == [seeds[:4], [other], seeds[4:]]
    assert group_key(seeds[0]) == group_key(seeds[1]) != group_key(other)


def test_a_fault_in_a_batch_costs_only_the_fit_that_has_it(tmp_path, monkeypatch):
    specs = [spec_of(SIGNAL, seed=seed) for seed in range(3)]
    folders = [tmp_path / str(seed) for seed in range(3)]
    build = fitting.build_network

    def broken(spec, form):
        if spec.seed == 1:
            raise RuntimeError("no such luck")
        return build(spec, form)

    monkeypatch.setattr(fitting, "build_network", broken)
    records = run_or_record_failures(specs, [SIGNAL] * 3, folders)
    assert [record.status for record in records] == ["lossless", "failed", "lossless"]
    assert records[1].error == "RuntimeError: no such luck"


# --- reading records ----------------------------------------------------------------------


@pytest.mark.parametrize("name", SPECS)
def test_a_record_survives_writing_and_reading(finished, tmp_path, name):
    record = record_of(finished, name)
    record.save(tmp_path)
    assert Record.load(tmp_path / "record.json") == record
    assert [path.name for path in tmp_path.iterdir()] == ["record.json"]


def test_an_infinite_psnr_is_a_word_in_the_file_and_a_number_in_python(finished):
    text = (finished / SPECS["lossless"].folder / "record.json").read_text()
    data = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert data["best"]["psnr"] == data["last"]["psnr"] == "inf"
    assert record_of(finished, "lossless").best.psnr == math.inf


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda text: text[: len(text) // 2], "damaged record"),
        (lambda text: "", "damaged record"),
        (lambda text: "[]", "schema version None"),
        (lambda text: "{}", "schema version None"),
        (lambda text: text.replace('"schema_version": 1', '"schema_version": 0'), "version 0"),
        (lambda text: text.replace('"status"', '"statsu"'), "did you mean 'status'?"),
        (lambda text: text.replace('"hidden_layers": 1', '"hidden_layer": 1'), "hidden_layers"),
        (lambda text: text.replace('"lossless"', '"perfect"'), "'perfect'"),
        (lambda text: text.replace('"psnr": "inf"', '"psnr": "-inf"'), "psnr"),
        (lambda text: text.replace('"bits": 8', '"bits": 65'), "spec.bits"),
        (lambda text: text.replace('"bits": 8', '"bits": "8"'), "spec.bits"),
    ],
)
def test_a_damaged_or_older_record_is_refused_and_fitted_again(results, damage, words):
    folder = results / SPECS["lossless"].folder
    path = folder / "record.json"
    path.write_text(damage(path.read_text()))
    line = refusal(Record.load, path)
    assert str(path) in line and words in line
    assert Record.load_if_current(folder, SPECS["lossless"], SIGNAL.sha256) is None


def test_a_missing_record_is_refused_and_fitted(tmp_path):
    assert "no such record" in refusal(Record.load, tmp_path / "record.json")
    assert Record.load_if_current(tmp_path, SPECS["lossless"], SIGNAL.sha256) is None


@pytest.mark.parametrize("name", [name for name in SPECS if name != "broken"])
def test_a_finished_fit_is_current_whatever_its_outcome(finished, name):
    spec = SPECS[name]
    found = Record.load_if_current(finished / spec.folder, spec, SIGNAL.sha256)
    assert found == record_of(finished, name)


def test_a_failed_fit_is_never_current(finished):
    spec = SPECS["broken"]
    assert Record.load_if_current(finished / spec.folder, spec, SIGNAL.sha256) is None


@pytest.mark.parametrize(
    "changes",
    [{"spec_digest": "0" * 64}, {"code_digest": "0" * 64}, {"signal_sha256": "0" * 64}],
    ids=lambda changes: next(iter(changes)),
)
def test_a_record_of_another_spec_code_or_signal_is_not_current(results, changes):
    folder = results / SPECS["lossless"].folder
    record_of(results, "lossless").model_copy(update=changes).save(folder)
    assert Record.load_if_current(folder, SPECS["lossless"], SIGNAL.sha256) is None


def test_a_fit_that_another_scale_has_finished_is_taken_over_whole(results, tmp_path):
    spec, here = SPECS["lossless"], tmp_path / "another scale"
    assert take_over(here, spec, "0" * 64) is None  # other samples
    assert take_over(here, SPECS["broken"], SIGNAL.sha256) is None
    assert not here.exists()
    record = take_over(here, spec, SIGNAL.sha256)
    assert record == record_of(results, "lossless") == record_of(here, "lossless")
    assert {p.name for p in (here / spec.folder).iterdir()} == FILES - {LOCK}
    assert verdict_of(here, "lossless").verified
    assert list(elsewhere(here, spec)) == [results / spec.folder]
    shutil.rmtree(results)
    assert take_over(here, spec, SIGNAL.sha256) is None  # its own is no other scale's


def test_a_record_is_current_for_its_own_spec_and_signal_only(finished):
    spec = SPECS["lossless"]
    folder, other = finished / spec.folder, spec.model_copy(update={"seed": 1})
    assert Record.load_if_current(folder, other, SIGNAL.sha256) is None
    assert Record.load_if_current(folder, spec, "0" * 64) is None


def leaves(value):
    if isinstance(value, dict):
        return [leaf for item in value.items() for part in item for leaf in leaves(part)]
    if isinstance(value, list):
        return [leaf for item in value for leaf in leaves(item)]
    return [str(value)]


@pytest.mark.parametrize("name", ["lossless", "broken"])
def test_provenance_names_no_user_host_or_absolute_path(finished, name):
    provenance = record_of(finished, name).provenance
    assert {"git", "ended"} <= set(provenance)
    private = {getpass.getuser(), socket.gethostname(), socket.getfqdn(), Path.home().name}
    for text in leaves(provenance):
        assert not re.search(r"(^|[\s\"'=:(])(/|~|[A-Za-z]:\\)", text), text
        assert private.isdisjoint(re.split(r"[^\w.-]+", text)), text


def test_provenance_says_what_a_comparison_of_seconds_needs(finished):
    provenance = record_of(finished, "lossless").provenance
    assert provenance["device"] in ("cpu", "cuda")
    assert provenance["machine"]["processor"]
    assert provenance["machine"]["packages"]["torch"] == torch.__version__
    timing = record_of(finished, "lossless").timing
    assert timing.fit > 0 and timing.saving > 0 and timing.threads == 1


# --- verification -------------------------------------------------------------------------


def test_the_weights_of_a_lossless_fit_verify(finished):
    verdict = verdict_of(finished, "lossless")
    assert verdict.verified and verdict.reproduced
    assert verdict.decoded_sha256 == SIGNAL.sha256
    assert verdict.margin > 0
    assert verdict.note == ""


@pytest.mark.parametrize("name", ["exhausted", "runs off", "never starts"])
def test_an_unfinished_fit_reproduces_but_never_verifies(finished, name):
    verdict = verdict_of(finished, name)
    assert verdict.reproduced
    assert not verdict.verified


def test_a_fit_that_decodes_to_no_number_has_no_margin(finished):
    assert verdict_of(finished, "never starts").margin is None


def test_a_failed_fit_has_nothing_to_verify(finished):
    verdict = verdict_of(finished, "broken")
    assert not verdict.verified and not verdict.reproduced
    assert "failed" in verdict.note


def test_right_integers_alone_do_not_verify_a_fit_that_never_claimed_to_be_lossless(finished):
    record = record_of(finished, "lossless").model_copy(update={"status": "budget_exhausted"})
    verdict = verify(record, SIGNAL, finished / SPECS["lossless"].folder)
    assert verdict.reproduced and not verdict.verified


def test_a_wrongly_claimed_lossless_fit_does_not_verify(finished):
    record = record_of(finished, "exhausted").model_copy(update={"status": "lossless"})
    verdict = verify(record, SIGNAL, finished / SPECS["exhausted"].folder)
    assert verdict.reproduced and not verdict.verified


@pytest.mark.parametrize("key", ["layers.0.weight", "layers.1.bias", "layers.2.weight"])
def test_one_flipped_weight_is_noticed(results, key):
    path = results / SPECS["lossless"].folder / "weights.safetensors"
    weights = load_file(path)
    flat = weights[key].view(-1)
    k = int(flat.abs().argmax())
    flat[k] = -flat[k]
    save_file(weights, path)
    verdict = verdict_of(results, "lossless")
    assert not verdict.verified and not verdict.reproduced
    assert verdict.decoded_sha256 != SIGNAL.sha256


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99, None])
def test_truncated_or_missing_weights_are_not_verified_and_the_note_says_why(results, share):
    path = results / SPECS["lossless"].folder / "weights.safetensors"
    content = path.read_bytes()
    path.unlink() if share is None else path.write_bytes(content[: int(share * len(content))])
    verdict = verdict_of(results, "lossless")
    assert not verdict.verified and not verdict.reproduced
    assert "missing, damaged" in verdict.note and "\n" not in verdict.note
    assert verdict.decoded_sha256 is None and verdict.margin is None


def test_weights_that_are_no_numbers_do_not_verify(results):
    path = results / SPECS["lossless"].folder / "weights.safetensors"
    save_file({k: torch.full_like(v, math.nan) for k, v in load_file(path).items()}, path)
    assert not verdict_of(results, "lossless").verified


# --- collecting ---------------------------------------------------------------------------


def test_every_outcome_becomes_a_row(results):
    table = collected(results, *(entry_of(results, name) for name in SPECS if "never" not in name))
    assert table.status.tolist() == [STATUSES[n] for n in SPECS if "never" not in n]
    lossless, exhausted, _, broken = (row for _, row in table.iterrows())
    assert lossless.verified is True and lossless.psnr == math.inf and lossless.ssim is not None
    assert lossless.iterations_to_lossless == record_of(results, "lossless").iterations
    assert lossless.parameters_per_bit == lossless.parameters / (36 * 8)
    assert (lossless.label, lossless.depth, lossless["shape"]) == ("SIREN", "8 bit", "6x6x1")
    assert pd.isna(exhausted.verified) and pd.isna(exhausted.iterations_to_lossless)
    assert math.isfinite(exhausted.psnr)
    assert pd.isna(broken.psnr) and pd.isna(broken.flops) and "no focus" in broken.error


def test_collecting_a_scale_has_the_same_types_whatever_its_outcomes(results):
    tables = [collected(results, entry_of(results, name)) for name in ("lossless", "broken")]
    for column in ("verified", "psnr", "ber", "flops", "parameters", "iterations_to_lossless"):
        assert tables[0][column].dtype == tables[1][column].dtype, column


def test_a_record_edited_after_verification_is_refused(results):
    entry = entry_of(results, "exhausted")
    path = results / entry["folder"] / "record.json"
    data = json.loads(path.read_text())
    data["best"]["wrong_bits"] -= 1
    path.write_text(json.dumps(data))
    line = refusal(collected, results, entry)
    assert str(path) in line and "was changed after it was written" in line
    assert Record.load_if_current(path.parent, SPECS["exhausted"], SIGNAL.sha256) is None
    del data["record_digest"]
    path.write_text(json.dumps(data))
    assert "was changed after it was written" in refusal(collected, results, entry)
    data["record_digest"] = digests.of_json(data)  # by somebody who knows
    path.write_text(json.dumps(data))
    line = refusal(collected, results, entry)
    assert str(path) in line and "changed after it was verified" in line


def test_two_records_for_one_fit_are_refused(results):
    entry = entry_of(results, "lossless")
    copy = entry | {"folder": entry["folder"] + "-copy"}
    shutil.copytree(results / entry["folder"], results / copy["folder"])
    line = refusal(collected, results, entry, copy)
    assert "two records" in line and entry["folder"] in line and copy["folder"] in line


def test_a_verdict_that_is_not_one_is_refused(results):
    entry = entry_of(results, "lossless")
    entry["verdict"]["verfied"] = entry["verdict"].pop("verified")
    assert "did you mean 'verified'?" in refusal(collected, results, entry)


def test_an_experiments_table_has_its_own_fits_in_its_own_order(results):
    fits = collected(results, *(entry_of(results, n) for n in ("lossless", "exhausted", "broken")))
    wanted = [SPECS["broken"].digest, SPECS["lossless"].digest]
    table = fits_table(fits, wanted)
    assert table.spec_digest.tolist() == wanted
    assert list(table.columns[: len(FIRST_COLUMNS)]) == FIRST_COLUMNS
    assert set(table.columns) == {*fits.columns, "cell", "printed_set"}
    assert "1 of 3 fits have no record" in refusal(fits_table, fits, [*wanted, "0" * 64])


# --- summaries ----------------------------------------------------------------------------


def test_text_of_iterations_counts_signals_and_says_how_a_zero_was_found():
    rows = [("a", 40, "lossless"), ("a", 44, "lossless"), ("b", 100, "budget_exhausted")]
    group = pd.DataFrame(rows, columns=["signal", "iterations", "status"])
    group = group.assign(budget=100, exactness="checked every 4")
    assert iterations_text(group) == "> 71 (1 of 2), checked every 4"
    assert iterations_text(group[:2]) == "42, checked every 4"
    assert iterations_text(group[2:]) == "> 100 (0 of 1)"
    assert iterations_text(group.assign(status="failed")) == "failed"


def test_the_table_says_how_a_zero_was_found(results):
    exact = entry_of(results, "lossless")
    spec = record_of(results, "lossless").spec.model_copy(update={"seed": 9})
    checked = entry_of(
        results, "lossless", spec=spec, spec_digest=spec.digest, check_every=4, precision="bfloat16"
    )
    table = collected(results, exact, checked)
    assert table.exactness.tolist() == ["exact", "checked every 4"]
    assert table.precision.tolist() == ["float32", "bfloat16"]


def seed_entry(results, name, seed, **quality):
    """The record of `name` for another seed, with other counts as its best."""
    record = record_of(results, name)
    spec = record.spec.model_copy(update={"seed": seed})
    best = record.best.model_copy(update=quality)
    return entry_of(results, name, spec=spec, spec_digest=spec.digest, best=best)


def test_psnr_and_rmse_of_a_summary_are_pooled_over_fits(results):
    errors = (0, 1, 3599)
    entries = [
        seed_entry(results, "exhausted", seed, squared_error=error)
        for seed, error in enumerate(errors)
    ]
    (row,) = (row for _, row in summary_table(collected(results, *entries)).iterrows())
    assert (row.fits, row.signals, row.lossless) == (3, 1, 0)
    assert row.psnr_pooled == psnr(3600, 3 * 36, 8) == pytest.approx(32.9, abs=0.01)
    assert row.rmse_pooled == rmse(3600, 3 * 36)


def test_a_summary_counts_outcomes_per_method(results):
    names = ("lossless", "exhausted", "runs off", "broken")
    entries = [entry_of(results, name) for name in names]
    entries.append(seed_entry(results, "lossless", 1))
    table = collected(results, *entries)
    summary = summary_table(table[table.status != "failed"]).set_index("recipe")
    columns = ["fits", "lossless", "verified", "diverged", "failed"]
    assert summary.loc["quick", columns].tolist() == [2, 2, 2, 0, 0]
    assert summary.loc["restless", columns].tolist() == [1, 0, 0, 0, 0]
    assert summary.loc["off", columns].tolist() == [1, 0, 0, 1, 0]
    assert summary.loc["quick", "psnr_pooled"] == math.inf
    assert summary.loc["quick", "iterations_median"] == record_of(results, "lossless").iterations


def test_a_method_all_of_whose_fits_failed_has_a_summary_row(results):
    table = collected(results, entry_of(results, "broken"))
    (row,) = (row for _, row in summary_table(table).iterrows())
    assert (row.fits, row.failed, row.lossless) == (1, 1, 0)
    assert pd.isna(row.psnr_pooled)


@pytest.mark.parametrize(
    ("bits", "informative", "label"),
    [
        (16, 16, "16 bit"),
        (16, 14, "16 bit"),
        (16, 13, "13 bits in 16"),
        (16, 8, "8 bits in 16"),
        (16, 0, "0 bits in 16"),
        (12, 9, "9 bits in 12"),
        (8, 8, "8 bit"),
        (8, 5, "5 bits in 8"),
    ],
)
def test_depth_label_says_how_deep_a_signal_really_is(bits, informative, label):
    assert depth_label(bits, informative) == label
