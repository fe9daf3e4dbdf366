"""resnet{18,34,50,101}.json: torchvision's networks (torchvision 0.26.0, torch 2.11.0), filled by name, in double.

Features of a grey batch repeated to three channels, with running and with batch statistics, and some gradients.
"""
import math

import torch
import torchvision

from fill import fill, summary, write


def fill_by_name(net):
    state = {n: t for n, t in net.state_dict().items() if not n.endswith("num_batches_tracked")}
    for salt, name in enumerate(sorted(state)):
        tensor = state[name]
        if tensor.dim() == 4:
            scale, shift = math.sqrt(6 / (tensor.shape[0] * tensor.shape[2] * tensor.shape[3])), 0.0
        elif name.endswith("bias") or name.endswith("running_mean"):
            scale, shift = 0.2, 0.0
        else:
            scale, shift = 0.3, 1.0
        tensor.copy_(torch.from_numpy(fill(tuple(tensor.shape), salt, scale, shift)))


def features(net, x):
    levels = [net.relu(net.bn1(net.conv1(x)))]
    h = net.maxpool(levels[0])
    for layer in (net.layer1, net.layer2, net.layer3, net.layer4):
        h = layer(h)
        levels.append(h)
    return levels + [net.avgpool(h).flatten(1)]


def golden(depth):
    net = getattr(torchvision.models, f"resnet{depth}")(num_classes=1)
    net.fc = torch.nn.Identity()
    net = net.double()
    with torch.no_grad():
        fill_by_name(net)
    x = torch.from_numpy(fill((2, 1, 64, 64), 7)).expand(-1, 3, -1, -1)
    with torch.no_grad():
        evaluated = features(net.eval(), x)
    trained = features(net.train(), x)
    sum(torch.from_numpy(fill(tuple(f.shape), 500 + i)).mul(f).mean() for i, f in enumerate(trained)).backward()
    names = ["conv1.weight", "bn1.weight", "layer1.0.conv2.weight", "layer2.0.downsample.0.weight",
             "layer3.1.bn1.bias", "layer4.1.conv1.weight"]
    parameters = dict(net.named_parameters())
    write(f"resnet{depth}", {
        "parameters": {n: list(p.shape) for n, p in parameters.items()},
        "eval": [summary(f.numpy()) for f in evaluated],
        "train": [summary(f.detach().numpy()) for f in trained],
        "running_var": summary(net.layer2[0].bn2.running_var.numpy()),
        "gradients": {n: summary(parameters[n].grad.numpy()) for n in names},
    })


for depth in (18, 34, 50, 101):
    golden(depth)
