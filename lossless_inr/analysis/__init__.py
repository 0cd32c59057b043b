"""What the paper's own numbers say, recomputed: the bound on size and the audit of the print."""
