"""i3d.json: I3D written anew from its description (Carreira and Zisserman, CVPR 2017), with pytorch-i3d's names."""
import torch
import torch.nn.functional as F
from torch import nn

from fill import write
from volume_networks import golden

MIXED = {"3b": (64, 96, 128, 16, 32, 32), "3c": (128, 128, 192, 32, 96, 64), "4b": (192, 96, 208, 16, 48, 64),
         "4c": (160, 112, 224, 24, 64, 64), "4d": (128, 128, 256, 24, 64, 64), "4e": (112, 144, 288, 32, 64, 64),
         "4f": (256, 160, 320, 32, 128, 128), "5b": (256, 160, 320, 32, 128, 128), "5c": (384, 192, 384, 48, 128, 128)}


def same(x, kernel, stride):
    pads = []
    for n, k, s in list(zip(x.shape[2:], kernel, stride))[::-1]:
        missing = max((-(-n // s) - 1) * s + k - n, 0)  # so that there are ⌈n / s⌉ windows
        pads += [missing // 2, missing - missing // 2]
    return F.pad(x, pads)


def pool(x, kernel, stride):
    return F.max_pool3d(same(x, kernel, stride), kernel, stride)


class Unit(nn.Module):
    def __init__(self, inputs, outputs, kernel, stride=1):
        super().__init__()
        self.conv3d = nn.Conv3d(inputs, outputs, kernel, stride, bias=False)
        self.bn = nn.BatchNorm3d(outputs, eps=1e-3, momentum=0.01)

    def forward(self, x):
        return F.relu(self.bn(self.conv3d(same(x, self.conv3d.kernel_size, self.conv3d.stride))))


class Mixed(nn.Module):
    def __init__(self, inputs, widths):
        super().__init__()
        a, b, c, d, e, f = widths
        self.b0, self.b1a, self.b1b = Unit(inputs, a, 1), Unit(inputs, b, 1), Unit(b, c, 3)
        self.b2a, self.b2b, self.b3b = Unit(inputs, d, 1), Unit(d, e, 3), Unit(inputs, f, 1)
        self.outputs = a + c + e + f

    def forward(self, x):
        return torch.cat([self.b0(x), self.b1b(self.b1a(x)), self.b2b(self.b2a(x)),
                          self.b3b(pool(x, (3, 3, 3), (1, 1, 1)))], 1)


class I3D(nn.Module):
    def __init__(self):
        super().__init__()
        self.Conv3d_1a_7x7, self.Conv3d_2b_1x1 = Unit(3, 64, 7, 2), Unit(64, 64, 1)
        self.Conv3d_2c_3x3, inputs = Unit(64, 192, 3), 192
        for name, widths in MIXED.items():
            block = Mixed(inputs, widths)
            setattr(self, "Mixed_" + name, block)
            inputs = block.outputs


def features(net, x):
    found = [net.Conv3d_1a_7x7(x)]
    found.append(net.Conv3d_2c_3x3(net.Conv3d_2b_1x1(pool(found[-1], (1, 3, 3), (1, 2, 2)))))
    for kernel, stride, group in (((1, 3, 3), (1, 2, 2), "3"), ((3, 3, 3), (2, 2, 2), "4"), ((2, 2, 2), (2, 2, 2), "5")):
        h = pool(found[-1], kernel, stride)
        for name in MIXED:
            if name.startswith(group):
                h = getattr(net, "Mixed_" + name)(h)
        found.append(h)
    return found + [found[-1].mean((2, 3, 4))]


# Sides that no stride divides.
write("i3d", {"rgb": golden(I3D(), features, (2, 3, 11, 38, 45))})
