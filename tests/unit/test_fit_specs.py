import json

import pytest
from tiny import QUICK, noise_signal, spec_of

from lossless_inr.engine.settings import SparsePhase
from lossless_inr.fitting.recipe import Settings
from lossless_inr.fitting.record import FitSpec
from lossless_inr.fitting.seeding import derive_seed
from lossless_inr.fitting.sizes import PAPER_PARAMETERS, mlp_parameters, paper_ratio_width
from lossless_inr.schema import validate

# --- specifications and seeds -------------------------------------------------------------


def changed(value):
    """Another value of the same type."""
    if isinstance(value, str):
        return value + "x"
    if isinstance(value, list):
        return [value[0] + 1, *value[1:]]
    if isinstance(value, dict):
        return value | {"omega_first": 7.0}
    return value + 1


SETTINGS_CHANGES = {
    "rate": 1e-5,
    "output_factor": 2.0,
    "bias_factor": 0.5,
    "beta1": 0.8,
    "beta2": 0.9,
    "epsilon": 1e-15,
    "warmup": 3,
    "decay": "cosine",
    "horizon": 7,
    "floor": 0.5,
    "focus": 2.0,
    "output_init": "zero",
    "precision": "tf32",
    "sparse": (SparsePhase(until=3, divisor=2),),
    "margin": 1.0,
}


def changed_specs():
    spec = spec_of(noise_signal())
    for field in FitSpec.model_fields:
        if field != "settings":
            yield field, spec.model_copy(update={field: changed(getattr(spec, field))})
    for field, value in SETTINGS_CHANGES.items():
        settings = QUICK.model_copy(update={field: value})
        yield f"settings.{field}", spec.model_copy(update={"settings": settings})


def test_every_setting_has_a_change_to_test():
    assert set(SETTINGS_CHANGES) == set(Settings.model_fields)


def test_digests_and_folders_change_with_every_field_of_a_specification():
    spec = spec_of(noise_signal())
    others = dict(changed_specs())
    for kind in ("digest", "folder"):
        values = [getattr(s, kind) for s in (spec, *others.values())]
        assert len(set(values)) == len(values), kind


def test_digest_survives_writing_and_reading():
    spec = spec_of(noise_signal(), network_parameters={"omega_first": 30})
    again = validate(FitSpec, json.loads(json.dumps(spec.model_dump())), "spec")
    assert again == spec
    assert again.digest == spec.digest
    assert again.folder == spec.folder


def test_digest_is_pinned():
    # A new value here means that every finished fit of every user is fitted again.
    spec = spec_of(noise_signal(), settings=Settings(), network_parameters={"omega_first": 30.0})
    assert spec.digest[:12] == "ad792e1ea2e1"


def test_folder_names_the_signal_the_method_and_the_seed():
    spec = spec_of(noise_signal(), seed=7)
    assert spec.folder.startswith("records/tiny/6x6/noise/siren-bithead-quick-")
    assert spec.folder.endswith("/seed7")


def test_seeds_of_a_method_share_a_folder_and_other_settings_do_not():
    spec = spec_of(noise_signal())
    parent = spec.folder.rpartition("/")[0]
    assert spec.model_copy(update={"seed": 1}).folder.rpartition("/")[0] == parent
    assert spec.model_copy(update={"width": 17}).folder.rpartition("/")[0] != parent


def test_seeds_depend_on_their_axes_and_not_on_their_order():
    seeds = {
        derive_seed(signal="a", repeat=0),
        derive_seed(signal="a", repeat=1),
        derive_seed(signal="b", repeat=0),
        derive_seed(signal="a", repeat="0"),
        derive_seed(image="a", repeat=0),
        derive_seed(signal="a"),
    }
    assert len(seeds) == 6
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert derive_seed(repeat=0, signal="a") == derive_seed(signal="a", repeat=0)


@pytest.mark.parametrize(
    ("shape", "low", "high"),
    [((32, 32, 3), 64, 64), ((32, 32, 1), 36, 36), ((256, 256, 3), 508, 516)],
)
def test_paper_ratio_width(shape, low, high):
    assert low <= paper_ratio_width(shape, 5) <= high


def test_the_paper_ratio_is_the_papers_network_on_the_papers_image():
    assert mlp_parameters(3, 3, 512, 5) == PAPER_PARAMETERS == 1_316_867
    assert pytest.approx(0.84, abs=0.005) == PAPER_PARAMETERS / (256 * 256 * 3 * 8)
