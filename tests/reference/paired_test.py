"""Makes paired_test.json: paired t-tests by SciPy for tests/eval/paired_test_reference_test.cpp.

Needs numpy and scipy (scipy 1.17.1 was used): python tests/reference/paired_test.py
"""
import json
import pathlib

import numpy as np
from scipy.stats import ttest_rel

rng = np.random.default_rng(3)
golden = []
for pairs in (2, 3, 4, 5, 6, 7, 10, 25, 40):
    a = np.round(rng.normal(0.6, 0.05, size=pairs), 6)
    b = np.round(a - rng.normal(0.03, 0.04, size=pairs), 6)
    t, p = ttest_rel(a, b)
    golden.append({"a": a.tolist(), "b": b.tolist(), "difference": float((a - b).mean()), "t": float(t), "p": float(p)})

path = pathlib.Path(__file__).with_suffix(".json")
path.write_text(json.dumps(golden, separators=(",", ":")) + "\n")
