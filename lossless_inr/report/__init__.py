"""How results are shown. Reads files only; never imports torch."""
