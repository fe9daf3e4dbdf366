"""average_precision.json: pycocotools (2.0.11) on boxes from fill.py, with ties, crowds, images without boxes or without
detections, and a class that no image has.
"""
import contextlib
import io

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from fill import fill, write

IMAGES, CLASSES = 12, 4


def boxes(count, salt):
    """x_min, y_min, x_max, y_max with whole numbers: overlaps tie, and hit thresholds exactly."""
    v = np.floor((fill((count, 4), salt) + 1) * 8)
    return np.concatenate([v[:, :2], v[:, :2] + 4 + v[:, 2:]], 1)


def classes(count, salt, most):
    return 1 + np.floor((fill((count,), salt) + 1) / 2 * most).astype(int)


def image(i, kind):
    """Class 4 is never in the truth; of some images one of both lists is empty."""
    truths = 0 if i % 5 == 3 else 3 + i % 4
    found = 0 if i % 7 == 5 else 8 + i % 6
    truth = {"boxes": boxes(truths, 100 + i), "classes": classes(truths, 200 + i, 3),
             "crowd": (fill((truths,), 300 + i) > 0.6) & (kind == "crowd")}
    near = truth["boxes"][np.arange(found) % truths] if truths and kind != "random" else None
    detections = boxes(found, 400 + i)
    if near is not None:  # half of them lie near a box of the truth
        shift = np.round(fill((found, 4), 500 + i) * 2)
        use = fill((found,), 600 + i) > 0
        detections = np.where(use[:, None], near + shift, detections)
        detections[:, 2:] = np.maximum(detections[:, 2:], detections[:, :2] + 1)
    chosen = classes(found, 700 + i, CLASSES)
    if near is not None:
        chosen = np.where(fill((found,), 600 + i) > 0, truth["classes"][np.arange(found) % truths], chosen)
    return truth, {"boxes": detections, "classes": chosen, "scores": np.floor((fill((found,), 800 + i) + 1) * 10) / 20}


def evaluate(kind, best):
    truths, found = [], []
    for i in range(IMAGES):
        truth, detections = image(i, kind)
        for b, c, crowd in zip(truth["boxes"], truth["classes"], truth["crowd"]):
            truths.append({"id": len(truths) + 1, "image_id": i + 1, "category_id": int(c), "iscrowd": int(crowd),
                           "bbox": [b[0], b[1], b[2] - b[0], b[3] - b[1]], "area": (b[2] - b[0]) * (b[3] - b[1])})
        for b, c, s in zip(detections["boxes"], detections["classes"], detections["scores"]):
            found.append({"image_id": i + 1, "category_id": int(c), "score": float(s),
                          "bbox": [b[0], b[1], b[2] - b[0], b[3] - b[1]]})
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {"images": [{"id": i + 1} for i in range(IMAGES)], "annotations": truths, "info": {},
                        "categories": [{"id": c} for c in range(1, CLASSES + 1)]}
        coco.createIndex()
        run = COCOeval(coco, coco.loadRes(found), "bbox")
        run.params.maxDets = [best]
        run.params.areaRng, run.params.areaRngLbl = [[0, 1e10]], ["all"]
        run.evaluate()
        run.accumulate()
    precision = run.eval["precision"][:, :, :, 0, 0]  # [thresholds, recalls, classes]
    values = np.where((precision < 0).any(1), np.nan, precision.mean(1)).T  # [classes, thresholds]
    return [[None if np.isnan(x) else float(x) for x in row] for row in values]


write("average_precision", {"cases": [{"kind": kind, "best": best, "values": evaluate(kind, best)}
                                      for kind, best in (("random", 100), ("near", 100), ("near", 2), ("crowd", 100))]})
