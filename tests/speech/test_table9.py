"""The shipped experiment: its utterances, and the rule that chose them."""

import numpy as np
import pytest
import soundfile

from lossless_inr.errors import UserError
from lossless_inr.schema import read_yaml
from lossless_inr.speech.select import shortest_recognised
from lossless_inr.speech.transcripts import SETS


def test_the_miniature_has_one_float32_utterance_of_each_digit_and_knows_its_rate(root):
    signals = read_yaml(root / "config/experiments/table9.yaml")["scales"]["miniature"]["signals"]
    assert [name.split("/")[2][0] for name in signals] == list("0123456789")
    assert all(name.endswith("-float32") for name in signals)
    assert {name.split("/")[0] for name in signals} <= set(SETS)


def test_the_shortest_recognised_recording_is_chosen(tmp_path, read):
    one = read("1_theo_2")
    files = {
        # Shortest: padded 8-bit content; then one that says another digit, and the right ones.
        "1_a_0": one[:1200] & -256,
        "1_b_0": read("7_theo_3")[:1500],
        "1_c_0": one,
        "1_d_0": np.pad(one, 100),
        "0_a_0": one,
    }
    for name, samples in files.items():
        soundfile.write(tmp_path / f"{name}.wav", samples, 8000, subtype="PCM_16")
    assert shortest_recognised(tmp_path, 1) == "1_c_0"
    with pytest.raises(UserError, match="no recording of 'zero'"):
        shortest_recognised(tmp_path, 0)
