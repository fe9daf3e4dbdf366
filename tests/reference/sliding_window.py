"""sliding_window.json: MONAI's sliding_window_inference (1.6.1, torch 2.11.0) in double, of a network whose output depends
on the place in its window.
"""
import torch
from monai.inferers import sliding_window_inference

from fill import fill, summary, write

CASES = [  # volume, window, overlap, mode
    ([20, 17, 30], [8, 8, 12], 0.25, "constant"),
    ([20, 17, 30], [8, 8, 12], 0.5, "gaussian"),
    ([9, 16, 21], [8, 16, 7], 0.7, "gaussian"),
    ([11, 6, 30], [16, 8, 12], 0.25, "gaussian"),  # two axes are smaller than the window
    ([11, 6, 7], [16, 8, 8], 0.25, "constant"),  # all are
]


def network(x):
    ramp = torch.from_numpy(fill(tuple(x.shape[2:]), 3))
    return torch.cat([x * ramp, x.square() + x.mean((2, 3, 4), keepdim=True)], 1)


cases = []
for volume, window, overlap, mode in CASES:
    x = torch.from_numpy(fill((1, 1, *volume), 1))
    found = sliding_window_inference(x, window, 3, network, overlap=overlap, mode=mode)
    cases.append({"volume": volume, "window": window, "overlap": overlap, "mode": mode,
                  "output": summary(found.numpy(), 64)})
write("sliding_window", {"cases": cases})
