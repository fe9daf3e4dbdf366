"""surface_metrics.json: MONAI (1.6.1), and medpy's definition by scipy (1.17.1), on masks from fill.py. MONAI's
`use_subvoxels` is DeepMind's definition; its own distances of elements are sorted and weighted here as DeepMind's
percentile is (cumulative area).
"""
import numpy as np
import torch
from monai.metrics import compute_hausdorff_distance, compute_surface_dice
from monai.metrics.utils import get_edge_surface_distance
from scipy.ndimage import binary_erosion, distance_transform_edt

from fill import fill, write

CASES = [([9, 12, 10], [1.0, 1.0, 1.0], 1), ([9, 12, 10], [2.5, 0.7, 1.3], 2), ([5, 30, 21], [3.0, 0.8, 0.6], 3),
         ([24, 31], [1.0, 1.0], 4), ([24, 31], [0.7, 1.9], 5)]


def mask(shape, salt, level):
    return fill(shape, salt) > level


def blobs(shape, salt):
    """Smooth: sums of the numbers over a box of 3 per axis."""
    x = fill(shape, salt)
    for axis in range(len(shape)):
        x = x + np.roll(x, 1, axis) + np.roll(x, -1, axis)
    return x > 0


def medpy_hd95(a, b, spacing):
    edge = lambda m: m & ~binary_erosion(m)
    one = distance_transform_edt(~edge(b), sampling=spacing)[edge(a)]
    other = distance_transform_edt(~edge(a), sampling=spacing)[edge(b)]
    return float(np.percentile(np.hstack([one, other]), 95))


def weighted(distances, areas, share):
    order = np.argsort(distances, kind="stable")
    d, a = distances[order], areas[order]
    return float(d[min(np.searchsorted(np.cumsum(a) / a.sum(), share), len(d) - 1)])


def case(shape, spacing, salt, kind):
    a, b = (blobs(shape, salt), blobs(shape, salt + 50)) if kind == "blobs" else \
        (mask(shape, salt, 0.3), mask(shape, salt + 50, 0.3))
    t = lambda m: torch.from_numpy(m.astype(np.float64))[None, None]
    hd = lambda q: float(compute_hausdorff_distance(t(a), t(b), include_background=True, percentile=q, spacing=spacing))
    nsd = lambda tol, sub: float(compute_surface_dice(t(a), t(b), [tol], include_background=True, spacing=spacing,
                                                      use_subvoxels=sub))
    edges, distances, areas = get_edge_surface_distance(torch.from_numpy(a), torch.from_numpy(b), distance_metric="euclidean",
                                                    spacing=spacing, use_subvoxels=True, symmetric=True)
    d1, d2 = [x.numpy() for x in distances]
    a1, a2 = [area[edge].numpy().astype(np.float64) for area, edge in zip(areas, edges)]
    return {"shape": shape, "spacing": spacing, "salt": salt, "kind": kind, "hd": hd(100), "hd95": hd(95),
            "hd95_pooled": medpy_hd95(a, b, spacing),
            "nsd": [nsd(tol, False) for tol in (0.5, 1.0, 2.0)],
            "elements_nsd": [nsd(tol, True) for tol in (0.5, 1.0, 2.0)],
            "elements_hd95": max(weighted(d1, a1, 0.95), weighted(d2, a2, 0.95)),
            "elements_mean": (float((d1 * a1).sum() / a1.sum()) + float((d2 * a2).sum() / a2.sum())) / 2,
            "area": [float(a1.sum()), float(a2.sum())]}


write("surface_metrics", {"cases": [case(*one, kind) for one in CASES for kind in ("blobs", "noise")]})
