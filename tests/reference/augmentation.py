"""Crops resized by torch.nn.functional.interpolate, and Gaussian blurs by numpy: augmentation.json.

Needs torch 2.11 and numpy.
"""
import numpy as np
import torch
import torch.nn.functional as F

from fill import fill, write

ROWS, COLUMNS = 37, 41
# row, column, rows, columns of the crop; rows, columns of the output; anti-aliased?
RESIZES = [(0, 0, 37, 41, 16, 16, True), (3, 5, 30, 33, 9, 13, True), (3, 5, 30, 33, 9, 13, False),
           (10, 20, 8, 9, 17, 18, True), (10, 20, 8, 9, 17, 18, False), (36, 40, 1, 1, 3, 3, True), (5, 0, 21, 41, 40, 8, True),
           (0, 7, 37, 3, 5, 24, False)]
BLURS = [(13, 11, 0.1), (13, 11, 0.7), (9, 17, 2.0)]  # the last reaches over the borders


def resize(image, row, column, rows, columns, out_rows, out_columns, antialias):
    crop = torch.from_numpy(image)[None, None, row:row + rows, column:column + columns]
    return F.interpolate(crop, (out_rows, out_columns), mode="bilinear", align_corners=False, antialias=antialias)[0, 0]


def blur(image, sigma):
    radius = int(np.ceil(3 * sigma))
    weight = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    weight /= weight.sum()
    for axis in (0, 1):
        pad = [(0, 0), (0, 0)]
        pad[axis] = (radius, radius)
        padded = np.pad(image, pad, mode="edge")
        windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * radius + 1, axis=axis)
        image = windows @ weight
    return image


image = fill((ROWS, COLUMNS), 1)
write("augmentation", {
    "shape": [ROWS, COLUMNS],
    "resizes": [{"box": list(r[:4]), "size": list(r[4:6]), "antialias": r[6],
                 "values": [round(float(v), 7) for v in resize(image, *r).flatten()]} for r in RESIZES],
    "blurs": [{"shape": [r, c], "sigma": s, "values": [round(float(v), 7) for v in blur(fill((r, c), 2), s).flatten()]}
              for r, c, s in BLURS],
})
