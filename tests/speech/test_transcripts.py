"""Error rates, and Table 9 from reconstructions to its page; the recogniser is the real one."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lossless_inr.analysis.verdicts import FAILS, HOLDS, OPEN
from lossless_inr.datasets.catalog import float_words
from lossless_inr.errors import UserError
from lossless_inr.published import load_published
from lossless_inr.report.build import environment
from lossless_inr.report.speech_page import speech_page
from lossless_inr.signals import Signal
from lossless_inr.speech.rates import edits, pooled
from lossless_inr.speech.summary import heard_fits, summary, verdict
from lossless_inr.speech.transcripts import transcribe

PHRASE = st.lists(st.sampled_from(["one", "two", "a"]), max_size=6).map(" ".join)


@settings(deadline=None, derandomize=True, database=None, max_examples=25)
@given(PHRASE, PHRASE)
def test_edits_are_none_exactly_between_equal_transcripts(a, b):
    found = edits(a, b)
    assert (found["word_edits"] == 0) == (found["char_edits"] == 0) == (a == b)
    assert found["words"] == len(a.split()) and found["chars"] == len(a)


def test_rates_are_pooled_and_empty_references_left_out():
    rate = pooled([1, 0, 3, 5], [2, 8, 10, 0])
    assert (rate.edits, rate.length, rate.utterances, rate.value) == (4, 20, 3, 0.2)
    assert 0 <= rate.low <= 0.2 <= rate.high <= 0.5
    assert rate == pooled([1, 0, 3], [2, 8, 10])
    assert pooled([1], [2]).low is None
    assert pooled([2], [0]) is None


@pytest.fixture(scope="module")
def scale(tmp_path_factory, read):
    """Two recordings as float32, one sound that says nothing, and what fits made of them."""
    root = tmp_path_factory.mktemp("scale")
    random, rows = np.random.default_rng(0), []

    def fit(signal: Signal, method: str, status: str, decoded, psnr: float, ber: float):
        digest = f"{method}-{signal.name}".replace("/", "-")
        folder = root / "results" / digest
        folder.mkdir(parents=True)
        if decoded is not None:
            np.savez(folder / "decoded.npz", best=decoded, last=np.zeros_like(decoded))
        network, representation = method.split("-")
        rows.append(
            {
                "spec_digest": digest,
                "signal": signal.name,
                "folder": digest,
                "network": network,
                "representation": representation,
                "variant": "",
                "recipe": "published",
                "budget": 100,
                "method": method,
                "status": status,
                "psnr": psnr,
                "ber": ber,
                "label": network.upper(),
            }
        )

    sounds = {name: read(name) for name in ("1_theo_2", "7_theo_3")}
    sounds["nothing"] = np.zeros(800, np.int16)
    for name, samples in sorted(sounds.items()):
        offset = (samples.astype(np.int64) + 2**15).astype(np.uint16)[:, None]
        words = float_words(offset, 16)
        signal = Signal(f"fsdd/native/{name}", words, 32, "audio", encoding="float32")
        path = root / f"prepared/{signal.name}.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        signal.save(path)
        fit(signal, "siren-bitplane", "lossless", words, np.inf, 0.0)
        fit(signal, "siren-direct", "budget", words ^ np.uint32(1), 150.0, 1 / 32)
        noise = random.integers(0, 2**32, words.shape, dtype=np.uint32)
        fit(signal, "diner-direct", "budget", noise, -200.0, 0.5)
        fit(signal, "siren-bithead", "failed", None, np.nan, np.nan)
    fits = pd.DataFrame(rows)
    table = transcribe(fits, root / "results", root / "prepared")
    folder = root / "results/speech"
    folder.mkdir()
    table.to_parquet(folder / "transcripts.parquet", index=False)
    return root / "results", fits, table


def test_each_reconstruction_is_heard_beside_its_original(scale):
    _, _, table = scale
    table = table.set_index("spec_digest")
    assert set(table.reference) == {"one", "seven", ""}
    for method, same in (("siren-bitplane", True), ("siren-direct", True), ("diner-direct", False)):
        row = table.loc[f"{method}-fsdd-native-7_theo_3"]
        assert row.identical == same
        assert (row.word_edits == 0) == same
    failed = table.loc["siren-bithead-fsdd-native-1_theo_2"]
    assert pd.isna(failed.transcript) and failed.reason == "failed: no reconstruction"


def test_summary_counts_what_was_heard_and_what_could_not_be(scale):
    _, fits, table = scale
    rows = summary(heard_fits(fits, table)).set_index("method")
    assert (rows.utterances == 3).all() and (rows.empty_originals == 1).all()
    assert rows.loc["siren-bitplane", ["lossless", "identical", "compared"]].tolist() == [3, 2, 2]
    assert rows.loc["siren-bitplane", ["wer", "cer", "wer_length"]].tolist() == [0, 0, 2]
    assert rows.loc["diner-direct", "wer"] > 0
    failed = rows.loc["siren-bithead"]
    assert failed.not_heard == 3 and failed.compared == 0 and pd.isna(failed.wer)


def test_one_unheard_difference_refutes_the_claim(scale):
    _, fits, table = scale
    heard = heard_fits(fits, table)
    refuted = verdict(heard)
    assert refuted.result == FAILS and refuted.signals == 2
    assert "2 of 2 that are" in refuted.why and "BER" in refuted.why
    seven = heard[heard.signal.str.contains("7_theo")]
    assert verdict(seven[seven.method != "siren-direct"]).result == HOLDS
    assert verdict(seven[seven.status == "lossless"]).result == OPEN
    assert verdict(heard[heard.reference == ""]).result == OPEN


def test_the_page_shows_every_method_and_the_printed_psnr(scale):
    results, fits, _ = scale
    page = speech_page(results, fits, load_published())
    printed = {one["row"].method: one["printed"] for one in page["rows"]}
    assert printed["diner-direct"] == load_published()["table9"]["diner"]
    assert printed["siren-bithead"] is None
    html = environment().get_template("page_speech.html.j2").render(speech=page)
    assert "does not hold" in html and "2 of 2 (100 %)" in html and "(nothing)" in html
    assert "3 without reconstruction" in html
    assert speech_page(results / "nowhere", fits, load_published()) is None


def test_a_broken_reconstruction_and_a_picture_are_one_line(scale, tmp_path):
    results, fits, _ = scale
    one = fits[fits.method == "siren-direct"].head(1)
    (tmp_path / one.folder.iloc[0]).mkdir()
    (tmp_path / one.folder.iloc[0] / "decoded.npz").write_bytes(b"PK no archive")
    with pytest.raises(UserError, match=r"decoded\.npz: cannot be read") as raised:
        transcribe(one, tmp_path, results.parent / "prepared")
    assert "\n" not in str(raised.value)
    picture = Signal("set/2x2/p", np.zeros((2, 2, 1), np.uint8), 8, "photo")
    (tmp_path / "set/2x2").mkdir(parents=True)
    picture.save(tmp_path / "set/2x2/p.npz")
    with pytest.raises(UserError, match="it is a photo; only sounds can be heard"):
        transcribe(one.assign(signal="set/2x2/p"), tmp_path, tmp_path)
