"""optimisers.json: five steps of LARC, SGD and AdamW, and learning rates over whole runs, in double precision.

LARC in numpy from You, Gitman, Ginsburg, "Large Batch Training of Convolutional Networks" (2017), in the form of
apex.parallel.LARC(optimizer, trust_coefficient=0.001, clip=False) around torch.optim.SGD, which SwAV trains with; SGD and
AdamW by torch.optim.
"""
import math

import numpy as np
import torch

from fill import fill, write

STEPS, RATES = 5, [0.3, 0.25, 0.4, 0.1, 0.2]
SHAPES = [(4, 3), (3,), (2, 2, 3, 3), (3,)]  # the last one starts at zero


def start(p):
    return fill(SHAPES[p], salt=p) if p < 3 else np.zeros(SHAPES[p])


def gradient(step, p):
    """That of parameter 1 is zero in step 2."""
    return np.zeros(SHAPES[p]) if (step, p) == (2, 1) else fill(SHAPES[p], salt=100 + 10 * step + p, scale=0.5)


def larc(momentum, weight_decay, trust=0.001, eps=1e-8):
    parameters = [start(p) for p in range(len(SHAPES))]
    buffers = [np.zeros(shape) for shape in SHAPES]
    for step in range(STEPS):
        for p, x in enumerate(parameters):
            g = gradient(step, p)
            x_norm, g_norm = np.linalg.norm(x), np.linalg.norm(g)
            if x_norm != 0 and g_norm != 0:
                adaptive = trust * x_norm / (g_norm + x_norm * weight_decay + eps)
                g = (g + weight_decay * x) * adaptive
            buffers[p] = momentum * buffers[p] + g
            parameters[p] = x - RATES[step] * buffers[p]
    return [x.ravel().tolist() for x in parameters]


def lars(momentum, weight_decay, trust=0.001):
    """Barlow Twins' and MoCo v3's: tensors of one dimension take the plain gradient."""
    parameters = [start(p) for p in range(len(SHAPES))]
    buffers = [np.zeros(shape) for shape in SHAPES]
    for step in range(STEPS):
        for p, x in enumerate(parameters):
            g = gradient(step, p)
            if x.ndim > 1:
                g = g + weight_decay * x
                x_norm, g_norm = np.linalg.norm(x), np.linalg.norm(g)
                g = g * (trust * x_norm / g_norm if x_norm > 0 and g_norm > 0 else 1.0)
            buffers[p] = momentum * buffers[p] + g
            parameters[p] = x - RATES[step] * buffers[p]
    return [x.ravel().tolist() for x in parameters]


def in_groups(make):
    """By torch: parameter 2 at half the rate without decay, the vectors without decay, decay falling from 0.4 to 0.1."""
    parameters = [torch.nn.Parameter(torch.from_numpy(start(p))) for p in range(len(SHAPES))]
    groups = [{"params": [parameters[0]]}, {"params": [parameters[1], parameters[3]], "weight_decay": 0.0},
              {"params": [parameters[2]], "weight_decay": 0.0}]
    optimiser = make(groups)
    for step in range(STEPS):
        for i, group in enumerate(optimiser.param_groups):
            group["lr"] = RATES[step] * (0.5 if i == 2 else 1.0)
        optimiser.param_groups[0]["weight_decay"] = 0.1 + 0.3 * (1 + math.cos(math.pi * step / STEPS)) / 2
        for p, x in enumerate(parameters):
            x.grad = torch.from_numpy(gradient(step, p))
        optimiser.step()
    return [x.detach().numpy().ravel().tolist() for x in parameters]


def vissl_schedule(epochs, warmup_epochs, steps_per_epoch, start_lr, peak, final):
    """Its composite of a linear warm-up and a cosine over the whole training."""
    total, warmup = epochs * steps_per_epoch, warmup_epochs * steps_per_epoch
    first = np.linspace(start_lr, peak, warmup).tolist()
    return first + [final + 0.5 * (peak - final) * (1 + math.cos(math.pi * i / total)) for i in range(warmup, total)]


def by_torch(make):
    parameters = [torch.nn.Parameter(torch.from_numpy(start(p))) for p in range(len(SHAPES))]
    optimiser = make(parameters)
    for step in range(STEPS):
        optimiser.param_groups[0]["lr"] = RATES[step]
        for p, x in enumerate(parameters):
            x.grad = torch.from_numpy(gradient(step, p))
        optimiser.step()
    return [x.detach().numpy().ravel().tolist() for x in parameters]


def swav_schedule(epochs, warmup_epochs, steps_per_epoch, start_lr, peak, final):
    """main_swav.py of facebookresearch/swav."""
    warmup = np.linspace(start_lr, peak, steps_per_epoch * warmup_epochs)
    t = np.arange(steps_per_epoch * (epochs - warmup_epochs))
    total = steps_per_epoch * (epochs - warmup_epochs)
    cosine = np.array([final + 0.5 * (peak - final) * (1 + np.cos(np.pi * i / total)) for i in t])
    return np.concatenate((warmup, cosine)).tolist()


write("optimisers", {
    "rates": RATES,
    "larc": larc(0.9, 1e-6),
    "larc_decayed": larc(0.9, 0.1),
    "lars": lars(0.9, 0.1),
    "nesterov": by_torch(lambda ps: torch.optim.SGD(ps, lr=0.1, momentum=0.9, weight_decay=0.01, nesterov=True)),
    "adamw_groups": in_groups(lambda ps: torch.optim.AdamW(ps, lr=0.1, betas=(0.9, 0.999), weight_decay=0.4)),
    "sgd_groups": in_groups(lambda ps: torch.optim.SGD(ps, lr=0.1, momentum=0.9, weight_decay=0.4)),
    "schedule_whole_course": vissl_schedule(epochs=20, warmup_epochs=2, steps_per_epoch=5, start_lr=0.3, peak=1.2,
                                            final=0.012),
    "sgd": by_torch(lambda ps: torch.optim.SGD(ps, lr=0.1, momentum=0.9, weight_decay=0.01)),
    "adamw": by_torch(lambda ps: torch.optim.AdamW(ps, lr=0.1, betas=(0.8, 0.99), weight_decay=0.05)),
    "schedule": swav_schedule(epochs=40, warmup_epochs=10, steps_per_epoch=5, start_lr=0.3, peak=4.8, final=0.0048),
    # scripts/swav_200ep_bs256_pretrain.sh: no warm-up
    "schedule_without_warmup": swav_schedule(epochs=50, warmup_epochs=0, steps_per_epoch=3, start_lr=0, peak=0.6,
                                             final=0.0006),
    # Stage 3 (method.md, section 5): from 0
    "schedule_from_zero": swav_schedule(epochs=50, warmup_epochs=10, steps_per_epoch=3, start_lr=0, peak=0.01,
                                        final=0.00001),
})
