"""config/compression.yaml: what is shipped is valid; faults are one line with their key."""

import pytest

from lossless_inr.coder.container import shipped
from lossless_inr.compression.settings import PATH, VARIANTS, load_settings
from lossless_inr.datasets.catalog import Catalog
from lossless_inr.errors import UserError
from lossless_inr.recombiner import PRIORS


def test_every_signal_network_and_prior_that_is_named_exists():
    catalog = Catalog("config/datasets.tsv")
    for scale in load_settings().scales.values():
        groups = [*scale.shared.values(), *scale.sounds.values(), *scale.recombined.values()]
        for group in [*groups, *filter(None, [scale.own])]:
            for signal in group.signals:
                name = signal.split(" | ")[0].replace(
                    "*", catalog.of_set(signal.split("/")[0])[0].name
                )
                assert catalog.find(name)
        for group in scale.shared.values():
            assert set(group.networks) <= set(shipped())
        for group in scale.recombined.values():
            assert set(group.beside) <= set(shipped())


def test_priors_are_committed_small_files():
    for variant in VARIANTS:
        assert (PRIORS / f"{variant}.npz").stat().st_size < 2_000_000


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("networks: [photo]", "networks: []"), "shared.photos16.networks"),
        (("updates: 20", "updates: 0"), "own.updates"),
        (("variants: [value, planes]", "variants: [valu]"), "variants"),
        (("networks: [photo]", "networks: [photo], prited: mnist"), "prited"),
        (("networks: [photo]", "networks: [photo], printed: mnis"), "did you mean 'mnist'"),
    ],
)
def test_a_fault_is_one_line_with_its_key(tmp_path, change, words):
    text = PATH.read_text()
    assert change[0] in text
    (tmp_path / "config").mkdir()
    (tmp_path / PATH).write_text(text.replace(*change, 1))
    with pytest.raises(UserError, match=r"compression\.yaml") as caught:
        load_settings(tmp_path)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_a_scale_that_compresses_nothing_says_which_do():
    with pytest.raises(UserError, match="smoke, miniature"):
        load_settings().at("quick")
