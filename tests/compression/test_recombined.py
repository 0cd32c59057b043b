"""Files of RECOMBINER by the workflow's three steps, with the committed shared parts."""

import numpy as np
import pandas as pd
import pytest

from lossless_inr.compression.recombined import SENT, receive, score, send
from lossless_inr.errors import UserError


@pytest.fixture(scope="module")
def sent(smooth, tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    send("planes", ["0000", "0001"], smooth[:2], folder, updates=3, tune=1)
    return folder


def test_what_is_decoded_is_the_image_and_its_bits_are_the_files(sent, smooth):
    decoded = receive("planes", sent)
    table = score(
        decoded,
        pd.read_csv(sent / SENT, dtype={"name": str}),
        {"0000": smooth[0], "0001": smooth[1]},
    )
    assert table.exact.all() and (table.rmse == 0).all() and np.isinf(table.psnr).all()
    assert (table.network_ber > 0).all(), "the residual was not needed: nothing was tested"
    for row in table.itertuples():
        assert row.file_bits == 8 * (sent / f"{row.name}.rcb").stat().st_size
        assert row.file_bits == row.head_bits + row.block_bits + row.residual_bits
    swapped = {"0000": smooth[1], "0001": smooth[0]}
    assert not score(decoded, pd.read_csv(sent / SENT, dtype={"name": str}), swapped).exact.any()


def test_a_missing_file_is_named(sent, smooth):
    with pytest.raises(UserError, match="0007"):
        score(receive("planes", sent), pd.DataFrame(), {"0007": smooth[0]})


def test_an_image_of_another_shape_is_refused(tmp_path, smooth):
    with pytest.raises(UserError, match=r"\(20, 28, 1\)"):
        send("planes", ["a"], [smooth[0][:20]], tmp_path, updates=1, tune=1)
