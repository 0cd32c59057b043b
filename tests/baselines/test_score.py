"""Every metric is the suite's own, and whatever a program writes, it is a row."""

import json
import math
import os

import numpy as np
import pytest

from lossless_inr.baselines.score import score


def only(folder, signal):
    (one,) = score(folder, "mine", signal)
    return one


def test_a_lossless_reconstruction_is_found_to_be_one_and_its_code_is_measured(answer, signal):
    signal.samples.astype("<u2").tofile(answer / "reconstruction.raw")
    (answer / "code").write_bytes(b"x" * 117)
    one = only(answer, signal)
    assert one.status == "lossless" and one.decoded_sha256 == signal.sha256
    assert one.code_bytes == 117
    assert one.bits_per_sample == 8 * 117 / (12 * 13 * 3)
    assert (one.encode_seconds, one.decode_seconds, one.seconds_by) == (0.5, 0.5, "suite")
    assert one.quality.ber == 0 and one.quality.psnr == math.inf and one.quality.ssim == 1


def test_two_wrong_bits_are_lossy_and_counted(answer, signal):
    wrong = signal.samples.copy()
    wrong[3, 4, 1] ^= 5
    np.save(answer / "reconstruction.npy", wrong)
    one = only(answer, signal)
    size = signal.samples.size
    difference = int(wrong[3, 4, 1]) - int(signal.samples[3, 4, 1])
    assert one.status == "lossy" and one.quality.wrong_bits == 2
    assert one.quality.ber == 2 / (size * 12)
    rmse = math.sqrt(difference**2 / size)
    assert one.quality.psnr == pytest.approx(20 * math.log10(4095 / rmse))
    assert one.quality.ssim < 1
    assert one.code_bytes is None and one.bits_per_sample is None


def _npy(folder, array):
    np.save(folder / "reconstruction.npy", array)


def _claim(folder, signal, text, code=b"12345"):
    signal.samples.tofile(folder / "reconstruction.raw")
    if code is not None:
        (folder / "code").write_bytes(code)
    (folder / "claims.json").write_text(text)


BROKEN = {
    "nothing": (lambda f, s: None, "wrote no reconstruction"),
    "short": (lambda f, s: (f / "reconstruction.raw").write_bytes(b"1"), "has 1 bytes, not 936"),
    "nan": (lambda f, s: _npy(f, np.full(s.samples.shape, np.nan)), "float64 and holds NaN"),
    "float": (lambda f, s: _npy(f, s.samples.astype(np.float32)), "float32, not uint16"),
    "signed": (lambda f, s: _npy(f, s.samples.astype(np.int16)), "int16, not uint16"),
    "shape": (lambda f, s: _npy(f, s.samples[..., 0]), "shape (12, 13)"),
    "range": (lambda f, s: _npy(f, s.samples | 4096), "12 bits end at 4095"),
    "pickle": (lambda f, s: _npy(f, np.array([{}], object)), "damaged"),
    "damaged": (lambda f, s: (f / "reconstruction.npy").write_bytes(b"\x93NUMPY"), "damaged"),
    "smaller": (lambda f, s: _claim(f, s, '{"code_bytes": 4}'), "its file has 5"),
    "no code": (lambda f, s: _claim(f, s, '{"code_bytes": 4}', None), "wrote no file 'code'"),
    "empty": (lambda f, s: _claim(f, s, "{}", b""), "code is empty"),
    "slow": (lambda f, s: _claim(f, s, '{"encode_seconds": 2}'), "claims 2 s, but ran for 1 s"),
    "minus": (lambda f, s: _claim(f, s, '{"encode_seconds": -1}'), "encode_seconds is -1"),
    "not a number": (lambda f, s: _claim(f, s, '{"encode_seconds": NaN}'), "is nan"),
    "text": (lambda f, s: _claim(f, s, '{"encode_seconds": "1"}'), "is no number"),
    "metric": (lambda f, s: _claim(f, s, '{"psnr": 99}'), "unknown key 'psnr'"),
    "no json": (lambda f, s: _claim(f, s, "["), "not a JSON object"),
    "link": (lambda f, s: os.symlink("/dev/zero", f / "reconstruction.raw"), "is a link"),
    "notes gone": (lambda f, s: (f / "run.json").unlink(), "no readable run.json"),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_answer_is_a_failed_row_with_its_reason(answer, signal, case):
    write, reason = BROKEN[case]
    write(answer, signal)
    one = only(answer, signal)
    assert one.status == "failed" and reason in one.reason
    assert one.quality is None and one.code_bytes is None


def test_a_larger_claim_changes_nothing_and_own_seconds_count_within_ours(answer, signal):
    _claim(answer, signal, '{"code_bytes": 9, "encode_seconds": 0.25, "decode_seconds": 0.125}')
    one = only(answer, signal)
    assert one.status == "lossless" and one.code_bytes == 5
    assert (one.encode_seconds, one.decode_seconds, one.seconds_by) == (0.25, 0.125, "program")


def test_a_step_that_failed_fails_the_row_though_a_reconstruction_lies_there(answer, signal):
    signal.samples.tofile(answer / "reconstruction.raw")
    steps = [{"step": "encode", "command": [], "seconds": 1.0, "reason": "exit code 3: no"}]
    (answer / "run.json").write_text(json.dumps(steps))
    assert only(answer, signal).reason == "encode: exit code 3: no"


def test_each_method_of_a_program_is_a_row_and_one_broken_does_not_touch_the_others(answer, signal):
    for name in ("good", "bad", "silent"):
        (answer / name).mkdir()
    signal.samples.tofile(answer / "good/reconstruction.raw")
    (answer / "bad/reconstruction.raw").write_bytes(b"")
    (answer / "silent/not_applicable.txt").write_text("sound only")
    rows = {one.variant: one for one in score(answer, "mine", signal)}
    assert {name: one.status for name, one in rows.items()} == {
        "good": "lossless", "bad": "failed", "silent": "not applicable",
    }  # fmt: skip
    assert rows["silent"].reason == "sound only"
