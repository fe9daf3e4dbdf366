"""froc.json: the LUNA16 challenge's curve, by scikit-learn's (1.9.1) ROC and numpy's interpolation, on marks from fill.py."""
import numpy as np
from sklearn.metrics import roc_curve

from fill import fill, write

RATES = [0.125, 0.25, 0.5, 1, 2, 4, 8]
SCANS = 8


def scan(s):
    nodules = s % 4
    centres = fill((nodules, 3), 10 + s) * 40
    diameters = np.where(fill((nodules,), 20 + s) > 0.7, -1, 6 + 5 * (fill((nodules,), 30 + s) + 1))
    excluded = fill((nodules,), 40 + s) > 0.5
    marks = 6 + 3 * s
    places = fill((marks, 3), 50 + s) * 40
    if nodules:  # two of three are drawn near a nodule
        near = centres[np.arange(marks) % nodules] + fill((marks, 3), 60 + s) * 5
        places = np.where((np.arange(marks) % 3 < 2)[:, None], near, places)
    scores = np.floor((fill((marks,), 70 + s) + 1) * 20) / 40
    return centres, diameters, excluded, places, scores


def evaluate(most):
    truth, scores, lesions = [], [], 0
    for s in range(SCANS):
        centres, diameters, excluded, places, values = scan(s)
        order = np.argsort(-values, kind="stable")[:most]
        places, values = places[order], values[order]
        free = np.ones(len(values), bool)
        for centre, diameter, out in zip(centres, diameters, excluded):
            radius = (10 if diameter < 0 else diameter) / 2
            hit = ((places - centre) ** 2).sum(1) < radius ** 2
            free &= ~hit
            if out:
                continue
            lesions += 1
            if hit.any():
                truth.append(1)
                scores.append(values[hit].max())
        truth += [0] * int(free.sum())
        scores += values[free].tolist()
    fpr, tpr, _ = roc_curve(truth, scores)
    wrong, found = truth.count(0), truth.count(1)
    sensitivity = np.interp(RATES, fpr * wrong / SCANS, tpr * found / lesions)
    return {"most": most, "nodules": lesions, "found": found, "false_positives": wrong,
            "sensitivity": sensitivity.tolist(), "score": float(sensitivity.mean())}


write("froc", {"cases": [evaluate(100), evaluate(7)]})
