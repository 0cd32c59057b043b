"""Coordinates to outputs, one file per network; a file's name is the network's name.

A network file has a docstring that is its citation, a `LABEL`, and a function
`build(*, axes, outputs, width, hidden_layers, **its own parameters) -> torch.nn.Module`.
Nothing is registered anywhere. Importing this package does not import torch.
"""
