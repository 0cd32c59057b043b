"""Reproducible benchmark suite for lossless implicit neural representations (INRs).

A network f(coordinates) is fitted to one signal; it is lossless when every decoded integer is
right. Rooms, each importing only those before it:

`signals`          which integers must come back exactly
`metrics`          exact error counts, and ratios made from counts (arrays only)
`representations`  samples <-> coordinates, targets and loss (Eq. 8 of the paper, and siblings)
`networks`         coordinates -> outputs; one file each
`fitting`          the loop, recipes, records, verification
`experiments`      which fits make a table or figure, and how it is laid out
`report`           how it is shown; reads files only
"""

__version__ = "0.1.0"
