"""Which fits make a table or figure (`spec`, `plan`), and how they are laid out."""
