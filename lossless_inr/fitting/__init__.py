"""How a network is fitted: recipe, loop, record, verification.

`recipe`, `record` and `digests` are plain data and import no torch, because the workflow plans
with them; `engine`, `fit` and `verify` do the work.
"""
