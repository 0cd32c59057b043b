"""What the numbers say: the printed ones recomputed, the measured ones held against them."""
