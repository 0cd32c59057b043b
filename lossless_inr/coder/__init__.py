"""A coder that is lossless by construction: a network's bit probabilities drive a range coder.

A sample is coded bit by bit, most significant first. f(coordinates, plane, causal neighbours,
higher bits) -> logit is a network in integers, so that encoder and decoder agree on any machine;
the file is exact whatever the network, and the better it predicts, the shorter. Not in the paper,
which keeps only what thresholding gets right.
"""
