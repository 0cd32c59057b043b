"""Lossless models of a user's own signals: fit, decode, verify, and the `.linr` file.

A large signal is cut into tiles with a small network each. The fitting loop, representations and
networks are those of the benchmark.
"""
