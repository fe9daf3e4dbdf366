"""What the generators of 3D networks share: networks filled by name, their features, logits and gradients."""
import math

import torch

from fill import fill, summary

NOT_FILLED = ("num_batches_tracked", "relative_position_index")


def fill_by_name(net, skip=()):
    """As tests/plugins/networks3d/whole_network.h does: the salt is the place among the sorted names."""
    state = {n: t for n, t in net.state_dict().items() if not any(s in n for s in (*NOT_FILLED, *skip))}
    with torch.no_grad():
        for salt, name in enumerate(sorted(state)):
            tensor = state[name]
            scale, shift = 0.3, 1.0
            if tensor.dim() == 3:
                scale, shift = 0.2, 0.0
            elif tensor.dim() > 1:
                scale, shift = math.sqrt(3 / (tensor.numel() / tensor.shape[0])), 0.0
            elif name.endswith(("bias", "running_mean")):
                scale, shift = 0.2, 0.0
            tensor.copy_(torch.from_numpy(fill(tuple(tensor.shape), salt, scale, shift)))


def run(net, features, x):
    """`features` gives every level, the pooled feature and the logits."""
    found = features(net, x)
    net.zero_grad()
    sum(torch.from_numpy(fill(tuple(f.shape), 500 + i)).mul(f).mean() for i, f in enumerate(found)).backward()
    return {"features": [summary(f.detach().numpy()) for f in found],
            "gradients": {n: summary(p.grad.numpy(), 2) for n, p in net.named_parameters() if p.grad is not None}}


def golden(net, features, shape, modes=("eval", "train"), unused=()):
    """Parameters whose names contain one of `unused` are part of the reference but not of its function."""
    net = net.double()
    fill_by_name(net, unused)
    x = torch.from_numpy(fill(shape, 11))
    names = {n: list(p.shape) for n, p in net.named_parameters() if not any(u in n for u in unused)}
    return {"shape": list(shape), "parameters": names} | {mode: run(net.train(mode == "train"), features, x)
                                                          for mode in modes}


def without_dropout(net):
    for module in net.modules():
        if "Dropout" in type(module).__name__:
            module.p = 0.0
    return net
