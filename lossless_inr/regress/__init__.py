"""The regression gate: fixed small fits, compared with `benchmarks/baseline/*.json`.

`cases` names what is measured, `measure` measures it through the engine that the rules use,
`compare` holds two measurements beside each other, `output` shows the verdicts. Only `measure`
imports torch. What is exact and what is not: docs/regress.md.
"""
