"""dense_v_net.json: Dense V-Net written anew from its description (Gibson et al., 2018; NiftyNet), without dropout."""
import torch
import torch.nn.functional as F
from torch import nn

from fill import write
from volume_networks import golden


class Unit(nn.Module):
    def __init__(self, inputs, outputs, kernel=3, stride=1, relu=True):
        super().__init__()
        self.conv, self.bn = nn.Conv3d(inputs, outputs, kernel, stride, bias=False), nn.BatchNorm3d(outputs)
        self.relu = relu

    def forward(self, x):
        missing = self.conv.kernel_size[0] - self.conv.stride[0]
        h = self.bn(self.conv(F.pad(x, [missing // 2, missing - missing // 2] * 3)))
        return F.relu(h) if self.relu else h


class Stack(nn.Module):
    def __init__(self, inputs, count, width):
        super().__init__()
        self.units = nn.ModuleList(Unit(inputs + i * width, width) for i in range(count))

    def forward(self, x):
        for unit in self.units:
            x = torch.cat([x, unit(x)], 1)
        return x


class DenseVNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.image_norm, self.initial = nn.BatchNorm3d(1), Unit(1, 24, 5, 2, relu=False)
        self.stacks = nn.ModuleList([Stack(25, 5, 4), Stack(24, 10, 8), Stack(24, 10, 16)])
        self.downs = nn.ModuleList([Unit(45, 24, stride=2), Unit(104, 24, stride=2)])
        self.skips = nn.ModuleList([Unit(45, 12), Unit(104, 24), Unit(184, 24)])
        self.segmentation = nn.Module()
        self.segmentation.conv = nn.Conv3d(61, 2, 3, padding=1)


def averaged(x):
    """Of the voxels that are there, in windows of 3 at every second one."""
    def total(y):
        return F.conv3d(F.pad(y, [0, 1] * 3), torch.ones(1, 1, 3, 3, 3, dtype=y.dtype), stride=2)
    return total(x) / total(torch.ones_like(x))


def doubled(x, axis):
    """TensorFlow 1: voxel 2i is voxel i, voxel 2i + 1 lies half way to the next one."""
    nexts = torch.cat([x, x.narrow(axis, x.shape[axis] - 1, 1)], axis).narrow(axis, 1, x.shape[axis])
    return torch.stack([x, (x + nexts) / 2], axis + 1).flatten(axis, axis + 1)


def enlarged(x, times):
    for _ in range(times):
        before = x
        for axis in (2, 3, 4):
            before = doubled(before, axis)
        x = before
    return x


def by_four(x):
    """Four times the size at once is not twice the double: at the end the last voxel is repeated, not interpolated to."""
    for axis in (2, 3, 4):
        n = x.shape[axis]
        at = torch.arange(4 * n) / 4
        low, high = at.long(), (at.long() + 1).clamp(max=n - 1)
        share = (at - low).to(x.dtype).reshape([-1 if i == axis else 1 for i in range(5)])
        x = x.index_select(axis, low) * (1 - share) + x.index_select(axis, high) * share
    return x


def features(net, x):
    image = net.image_norm(averaged(x))
    a = net.stacks[0](torch.cat([net.initial(x), image], 1))
    b = net.stacks[1](net.downs[0](a))
    c = net.stacks[2](net.downs[1](b))
    dense = torch.cat([net.skips[0](a), enlarged(net.skips[1](b), 1), by_four(net.skips[2](c)), image], 1)
    return [a, b, c, c.mean((2, 3, 4)), enlarged(net.segmentation.conv(dense), 1)]


write("dense_v_net", {"niftynet": golden(DenseVNet(), features, (2, 1, 16, 24, 32))})
