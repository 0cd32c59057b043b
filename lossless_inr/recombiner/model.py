"""The network: Fourier features and a latent map through a sine MLP whose weights are a sample.

Each image has `parameters` numbers h: those of the layers, mapped to weights by a matrix per layer
(w = h A, A = I + U V), and those of a latent map of 2x2, which a small network of convolutions
raises to 32x32. The matrices and the convolutions are shared by all images.

Choices: A of rank 64 beside the identity where the paper's is full, so that a prior is a file below
2 MB (a full A was stable only at a rate thirty times smaller, and behind: squared error 14.3 to 8.3
after 400 steps on 256 digits); 32 latent channels where the paper has 128 (this is a miniature of
28x28 images); highest Fourier frequency 32 instead of 1,024, as no image is wider; sine with the
factor 30 taken into the weights, so that they are of order 1 and one rate suits all.
"""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor, nn
from torch.nn import functional

SIDE, WIDTH, HIDDEN = 32, 32, 3
LATENTS, FEATURES = 32, 16
RANK = 64
PLANES = 8
# What the network gives at a pixel: one value in 0..1, or the logits of eight bits.
OUTPUTS = {"value": 1, "planes": PLANES}


class Shared(nn.Module):
    """What all images share: matrices A, convolutions, and the coordinates of the pixels.

    Parameters
    ----------
    form : {"value", "planes"}
        Grey values in 0 to 1 by squared error (RECOMBINER), or eight logits a pixel, most
        significant plane first, by cross entropy (with bit planes). The bit head stands for the bit
        coordinate of the paper: the same targets and loss, eight times fewer rows.
    height, width : int
        Of the images, at most 32 each; they lie in the corner of the 32x32 grid.
    """

    def __init__(self, form: str, height: int = 28, width: int = 28):
        super().__init__()
        self.form, self.height, self.width = form, height, width
        sizes = [WIDTH] * (HIDDEN + 1) + [OUTPUTS[form]]
        self.shapes = [(a + 1, b) for a, b in itertools.pairwise(sizes)]
        self.down = nn.ParameterList(
            [torch.randn(a * b, RANK) / math.sqrt(a * b) for a, b in self.shapes]
        )
        self.up = nn.ParameterList([torch.zeros(RANK, a * b) for a, b in self.shapes])
        self.raise_ = nn.Sequential(
            nn.Upsample(scale_factor=4), nn.Conv2d(LATENTS, 16, 5, padding=2), nn.LeakyReLU(),
            nn.Upsample(scale_factor=2), nn.Conv2d(16, 16, 3, padding=1), nn.LeakyReLU(),
            nn.Upsample(scale_factor=2), nn.Conv2d(16, FEATURES, 3, padding=1),
        )  # fmt: skip
        self.register_buffer("fourier", fourier(height, width), persistent=False)

    @property
    def parameters_each(self) -> int:
        """Numbers h of one image."""
        return sum(a * b for a, b in self.shapes) + 4 * LATENTS

    def start(self, generator: torch.Generator) -> Tensor:
        """H of a network before training: float32 (parameters_each,)."""
        parts = []
        for a, b in self.shapes:
            layer = torch.rand(a, b, generator=generator) * 2 - 1
            parts.append((layer * math.sqrt(6 / (a - 1))).flatten())
        return torch.cat([*parts, 0.1 * torch.randn(4 * LATENTS, generator=generator)])

    def forward(self, h: Tensor) -> Tensor:
        """Outputs of images given their numbers.

        Parameters
        ----------
        h : Tensor
            (images, parameters_each), float32 or float64.

        Returns
        -------
        Tensor
            (images, height * width, outputs): values in 0 to 1, or logits.
        """
        layers = sum(a * b for a, b in self.shapes)
        latent = self.raise_(h[:, layers:].reshape(-1, LATENTS, 2, 2))
        latent = latent[:, :, : self.height, : self.width].flatten(2).transpose(1, 2)
        x = torch.cat([self.fourier.expand(len(h), -1, -1), latent], 2)
        at = 0
        for number, (a, b) in enumerate(self.shapes):
            own = h[:, at : at + a * b]
            weights = (own + own @ self.down[number] @ self.up[number]).reshape(-1, a, b)
            at += a * b
            x = torch.baddbmm(weights[:, -1:], x, weights[:, :-1])
            if number < HIDDEN:
                x = torch.sin(x)
        return x

    def distortion(self, h: Tensor, samples: Tensor) -> Tensor:
        """What is minimised beside the rate, of each image (images,).

        Sum of squared errors of values in 0 to 1, or bits of cross entropy: the length of the
        residual that makes the image exact.

        Parameters
        ----------
        h : Tensor
            (images, parameters_each).
        samples : Tensor
            uint8 (images, height * width).
        """
        out = self(h)
        if self.form == "value":
            return (out[..., 0] - samples / 255).square().sum(1)
        found = functional.binary_cross_entropy_with_logits(out, planes(samples), reduction="none")
        return found.sum((1, 2)) / math.log(2)


def planes(samples: Tensor) -> Tensor:
    """uint8 (..., pixels) to float (..., pixels, 8), most significant plane first."""
    shifts = torch.arange(PLANES - 1, -1, -1, device=samples.device)
    return ((samples[..., None].long() >> shifts) & 1).to(torch.get_default_dtype())


def fourier(height: int, width: int) -> Tensor:
    """Sine and cosine of four frequencies on each axis: (height * width, 16)."""
    frequencies = torch.exp(torch.linspace(0, math.log(SIDE), FEATURES // 4)) * math.pi
    parts = []
    for axis in torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij"):
        angle = (axis.flatten() / SIDE)[:, None] * frequencies
        parts += [torch.cos(angle), torch.sin(angle)]
    return torch.cat(parts, 1)
