"""SIREN: sin(omega (W x + b)).

Sitzmann et al., "Implicit Neural Representations with Periodic Activation Functions",
NeurIPS 2020; settings as in github.com/vsitzmann/siren.
"""

from lossless_inr.networks._base import CoordinateMLP, Sine, initialise_sine

LABEL = "SIREN"


def build(*, axes, outputs, width, hidden_layers, omega_first=30.0, omega_hidden=30.0):
    """Sine network; `omega_first` and `omega_hidden` scale each layer's argument."""
    network = CoordinateMLP(
        len(axes),
        outputs,
        width,
        hidden_layers,
        Sine(),
        scale=lambda index: omega_first if index == 0 else omega_hidden,
    )
    initialise_sine(network.layers, omega_hidden)
    return network
