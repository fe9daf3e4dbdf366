"""resnet_3d.json: 3D residual networks in double, filled by name: features in both modes, gradients, parameters.

MedicalNet's network is written anew from its description (Chen et al., Med3D, 2019): layers 3 and 4 at stride 8 with
dilations 2 and 4. MONAI's variant is the same with strides 16 and 32 and no dilation; r3d_18 is torchvision's (0.26.0,
torch 2.11.0). `resnet_3d.py --monai` also compares both with MONAI's ResNet (1.6.1), where that is installed.
"""
import math
import sys

import torch
import torch.nn.functional as F
import torchvision
from torch import nn

from fill import fill, summary, write

BLOCKS = {18: [2, 2, 2, 2], 34: [3, 4, 6, 3], 50: [3, 4, 6, 3], 101: [3, 4, 23, 3]}
VARIANTS = {"medicalnet": ([1, 2, 1, 1], [1, 1, 2, 4]), "monai": ([1, 2, 2, 2], [1, 1, 1, 1])}


def conv(inputs, outputs, kernel, stride=1, dilation=1):
    return nn.Conv3d(inputs, outputs, kernel, stride, dilation * (kernel // 2), dilation, bias=False)


class Block(nn.Module):
    def __init__(self, inputs, width, outputs, stride, dilation, shortcut, detach):
        super().__init__()
        self.deep, self.stride, self.outputs, self.detach = outputs != width, stride, outputs, detach
        if self.deep:
            self.conv1, self.conv2 = conv(inputs, width, 1), conv(width, width, 3, stride, dilation)
            self.conv3, self.bn3 = conv(width, outputs, 1), nn.BatchNorm3d(outputs)
        else:
            self.conv1, self.conv2 = conv(inputs, width, 3, stride, dilation), conv(width, width, 3, 1, dilation)
        self.bn1, self.bn2 = nn.BatchNorm3d(width), nn.BatchNorm3d(width)
        self.changes = stride != 1 or inputs != outputs
        if self.changes and shortcut == "B":
            self.downsample = nn.Sequential(conv(inputs, outputs, 1, stride), nn.BatchNorm3d(outputs))

    def beside(self, x):
        if hasattr(self, "downsample"):
            return self.downsample(x)
        if not self.changes:
            return x
        fewer = F.avg_pool3d(x, 1, self.stride)
        zeros = fewer.new_zeros(fewer.shape[0], self.outputs - fewer.shape[1], *fewer.shape[2:])
        return torch.cat([fewer.detach() if self.detach else fewer, zeros], 1)

    def forward(self, x):
        h = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.deep:
            h = self.bn3(self.conv3(F.relu(h)))
        return F.relu(h + self.beside(x))


class ResNet(nn.Module):
    def __init__(self, depth, variant, shortcut, detach=False):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv3d(1, 64, 7, 2, 3, bias=False), nn.BatchNorm3d(64)
        inputs, wider = 64, 4 if depth >= 50 else 1
        for l, (stride, dilation) in enumerate(zip(*VARIANTS[variant])):
            width, layer = 64 * 2**l, []
            for b in range(BLOCKS[depth][l]):
                layer.append(Block(inputs, width, wider * width, stride if b == 0 else 1, dilation, shortcut, detach))
                inputs = wider * width
            setattr(self, f"layer{l + 1}", nn.Sequential(*layer))

    def levels(self, x):
        found = [F.relu(self.bn1(self.conv1(x)))]
        h = F.max_pool3d(found[0], 3, 2, 1)
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            found.append(h := layer(h))
        return found


class R3D(nn.Module):
    def __init__(self):
        super().__init__()
        net = torchvision.models.video.r3d_18()
        for name in ("stem", "layer1", "layer2", "layer3", "layer4"):
            setattr(self, name, getattr(net, name))

    def levels(self, x):
        found = [self.stem(x.expand(-1, 3, -1, -1, -1))]
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            found.append(layer(found[-1]))
        return found


def fill_by_name(net):
    state = {n: t for n, t in net.state_dict().items() if not n.endswith("num_batches_tracked")}
    for salt, name in enumerate(sorted(state)):
        tensor = state[name]
        if tensor.dim() == 5:
            scale, shift = math.sqrt(6 / (tensor.shape[0] * tensor[0, 0].numel())), 0.0
        elif name.endswith("bias") or name.endswith("running_mean"):
            scale, shift = 0.2, 0.0
        else:
            scale, shift = 0.3, 1.0
        tensor.copy_(torch.from_numpy(fill(tuple(tensor.shape), salt, scale, shift)))


def features(net, x):
    levels = net.levels(x)
    return levels + [levels[-1].mean((2, 3, 4))]


def run(net, x):
    found = features(net, x)
    net.zero_grad()
    sum(torch.from_numpy(fill(tuple(f.shape), 500 + i)).mul(f).mean() for i, f in enumerate(found)).backward()
    wanted = ("conv1", "bn1", "stem", "layer2.0", "layer3.1.conv2", "layer4.1")
    return {"features": [summary(f.detach().numpy()) for f in found],
            "gradients": {n: summary(p.grad.numpy(), 4) for n, p in net.named_parameters() if n.startswith(wanted)}}


def golden(net, depth, height, width):
    net = net.double()
    with torch.no_grad():
        fill_by_name(net)
    x = torch.from_numpy(fill((2, 1, depth, height, width), 11))
    return {"size": [depth, height, width], "parameters": {n: list(p.shape) for n, p in net.named_parameters()},
            "eval": run(net.eval(), x), "train": run(net.train(), x)}


def compare_with_monai(depth, shortcut):
    from monai.networks.nets import resnet
    theirs = getattr(resnet, f"resnet{depth}")(n_input_channels=1, conv1_t_stride=2, shortcut_type=shortcut,
                                               feed_forward=False, bias_downsample=False).double().eval()
    ours = ResNet(depth, "monai", shortcut).double().eval()
    with torch.no_grad():
        fill_by_name(ours)
        theirs.load_state_dict(ours.state_dict())
        x = torch.from_numpy(fill((2, 1, 32, 32, 64), 7))
        print(depth, shortcut, "largest difference from MONAI:", (theirs(x) - features(ours, x)[-1]).abs().max().item())


if "--monai" in sys.argv:
    for depth, shortcut in ((18, "A"), (34, "A"), (50, "B"), (101, "B")):
        compare_with_monai(depth, shortcut)
# Sizes: a dilation of 4 needs more than 4 voxels at stride 8, batch statistics more than 2 values at the deepest stride.
write("resnet_3d", {
    "medicalnet_18_A": golden(ResNet(18, "medicalnet", "A"), 16, 16, 48),
    "medicalnet_18_A_detached": golden(ResNet(18, "medicalnet", "A", detach=True), 8, 16, 24),
    "medicalnet_18_B": golden(ResNet(18, "medicalnet", "B"), 8, 16, 24),
    "medicalnet_50_B": golden(ResNet(50, "medicalnet", "B"), 8, 16, 24),
    "monai_18_A": golden(ResNet(18, "monai", "A"), 16, 64, 64),
    "r3d_18": golden(R3D(), 8, 32, 32),
})
