"""Studies: variants of training at equal budgets, each trained, measured step by step and live, and compared.

A study's file alone defines its variants; nothing here knows one of them.

    OUT/study.toml                    what is compared, as resolved
    OUT/data/                         raw answers, training files by preparation, test sets
    OUT/cells/BASE/VARIANT/SEED/      made.json, a run directory, predictions, rollouts; at last cell.json
    OUT/report/                       results.json, study.md, pictures
"""
