"""How samples become coordinates and targets, and come back exactly. One file each.

`direct` regresses values; `bitplane` is the paper (Eq. 8): the bit index is one more
coordinate; `bithead` predicts all bits of a sample in one pass. Importing this package does
not import torch: names are listed from the folder by `lossless_inr.registry`.
"""
