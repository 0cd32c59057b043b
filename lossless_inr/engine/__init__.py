"""The fitting engine: one loop, three ways to compute a pass, exact counts.

`loop` fits; `passes` computes loss, counts and gradients of all rows (by autograd, by hand, or in
`sine_network.cpp`); `state` holds the weights and Adam. It knows networks and representations,
but nothing of files of results. Importing this package does not import torch.
"""
