"""RECOMBINER: an image as one sample of a Bayesian INR's weights, sent by relative entropy coding.

`model` the network and its shared parts, `prior` what is learnt of a training set, `posterior` the
fit of one image and the choice of its blocks, `file` the bit stream. Of the rest of the package
only `compression` imports this.

Source: He et al., RECOMBINER (ICLR 2024), from its description; the combination with bit planes is
one sentence in Han et al. (CVPR 2025), section 5, and what it leaves open is a choice said in
`model`.
"""

from pathlib import Path

PRIORS = Path(__file__).parent / "priors"
