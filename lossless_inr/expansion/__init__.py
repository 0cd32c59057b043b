"""Bit-depth expansion (paper, Table 5): q-bit images to m bits, by rules and by fitted networks."""
