"""The real recogniser on real recordings."""

import numpy as np
import pytest

from lossless_inr.datasets.catalog import float_words
from lossless_inr.errors import UserError
from lossless_inr.speech.recogniser import recognise
from lossless_inr.speech.transcripts import sound_values

ONE, SEVEN = "1_theo_2", "7_theo_3"


def digit(samples: np.ndarray) -> str:
    return recognise(samples, 8000, vocabulary="digits")


def test_digits_are_recognised_in_any_order_and_again(read):
    names = (ONE, SEVEN, SEVEN, ONE)
    assert [digit(read(name)) for name in names] == ["one", "seven", "seven", "one"]


def test_integers_floats_words_and_channels_are_the_same_sound(read):
    samples = read(SEVEN)
    offset = (samples.astype(np.int64) + 2**15).astype(np.uint16)
    words = float_words(offset, 16)
    values = sound_values(words, 32, "float32")
    assert values.dtype == np.float32
    assert np.array_equal(values, samples / 2.0**15)
    assert np.array_equal(sound_values(offset, 16), samples / 2.0**15)
    assert digit(values) == digit(np.stack([samples, samples], axis=1)) == "seven"


def test_words_that_are_no_number_or_too_loud_are_heard_all_the_same(read):
    values = read(ONE) / np.float32(2**15)
    values[::7] = np.nan
    values[1::7], values[2::7] = np.inf, np.float32(-3e38)
    assert digit(values) == digit(values)


def test_silence_has_no_english_words():
    assert recognise(np.zeros(8000, np.float32), 22_050) == ""


@pytest.mark.parametrize(
    ("samples", "rate", "vocabulary", "message"),
    [
        (np.zeros(9), 0, "digits", "sampling rate 0: expected a positive"),
        (np.zeros(9), 8000.5, "digits", "sampling rate 8000.5: expected a positive"),
        (np.zeros(0), 8000, "digits", r"shape \(0,\)"),
        (np.zeros(9, np.uint16), 8000, "digits", "uint16 samples"),
        (np.zeros(9), 8000, "digit", "no vocabulary 'digit'.*digits"),
    ],
)
def test_bad_input_is_one_line(samples, rate, vocabulary, message):
    with pytest.raises(UserError, match=message) as raised:
        recognise(samples, rate, vocabulary=vocabulary)
    assert "\n" not in str(raised.value)
