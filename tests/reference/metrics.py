"""Makes metrics.json: scores by scikit-learn and numpy for tests/eval/metrics_reference_test.cpp.

Needs numpy and scikit-learn (requirements.txt): python tests/reference/metrics.py
"""
import json
import pathlib

import numpy as np
from sklearn.metrics import f1_score, jaccard_score, roc_auc_score

rng = np.random.default_rng(7)

labels = (rng.random(60) < 0.4).astype(int)
scores = np.round(labels * 0.3 + rng.normal(size=60), 1)  # one decimal: many ties

predicted = rng.random((3, 6, 7)) < 0.5
truth = (rng.random((3, 6, 7)) < 0.3) | (predicted & (rng.random((3, 6, 7)) < 0.5))

features = rng.normal(size=(12, 7)) * np.array([5, 3, 2, 1, 0.5, 0.1, 0.0])
singular = np.linalg.svd(features, compute_uv=False)
p = singular / singular.sum()
p = p[p > 1e-12]

assignments = rng.dirichlet(np.full(5, 0.3), size=9)
assignments[0] = [0, 1, 0, 0, 0]
with np.errstate(divide="ignore", invalid="ignore"):
    rows = -np.nansum(np.where(assignments > 0, assignments * np.log(assignments), 0), axis=1)
mean = assignments.mean(0)

golden = {
    "auc": {"scores": scores.tolist(), "labels": labels.tolist(), "value": roc_auc_score(labels, scores)},
    "overlap": {
        "predicted": predicted.astype(int).tolist(),
        "truth": truth.astype(int).tolist(),
        "iou": jaccard_score(truth.ravel(), predicted.ravel()),
        "dice": f1_score(truth.ravel(), predicted.ravel()),
    },
    "effective_rank": {"features": features.tolist(), "value": float(np.exp(-(p * np.log(p)).sum()))},
    "assignments": {
        "rows": assignments.tolist(),
        "mean_row_entropy": float(rows.mean()),
        "perplexity": float(np.exp(-(mean * np.log(mean)).sum())),
    },
}
out = pathlib.Path(__file__).with_suffix(".json")
out.write_text(json.dumps(golden, indent=1) + "\n")
