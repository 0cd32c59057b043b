"""Outside programs: handed a signal, run under a time limit, and scored from what they wrote.

`launch` runs them (standard library only), `score` measures their files, `rate` puts them beside
the fits. Nothing that a program says of itself is taken for a result.
"""
