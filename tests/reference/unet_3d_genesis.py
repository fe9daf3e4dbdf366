"""unet_3d_genesis.json: the 3D U-Net of Models Genesis, written anew from its description (Zhou et al., 2021)."""
import torch
import torch.nn.functional as F
from torch import nn

from fill import write
from volume_networks import golden


class Convolution(nn.Module):
    def __init__(self, inputs, outputs, always):
        super().__init__()
        self.conv1, self.bn1, self.always = nn.Conv3d(inputs, outputs, 3, padding=1), nn.BatchNorm3d(outputs), always

    def forward(self, x):
        b = self.bn1
        of_batch = self.always or self.training
        h = F.batch_norm(self.conv1(x), None if of_batch else b.running_mean, None if of_batch else b.running_var,
                         b.weight, b.bias, of_batch, 0.0, b.eps)
        return F.relu(h)


class Stage(nn.Module):
    def __init__(self, inputs, middle, outputs, always, up=0):
        super().__init__()
        if up:
            self.up_conv = nn.ConvTranspose3d(up, up, 2, 2)
        self.ops = nn.Sequential(Convolution(inputs, middle, always), Convolution(middle, outputs, always))

    def forward(self, x, skip=None):
        return self.ops(x if skip is None else torch.cat([self.up_conv(x), skip], 1))


class UNet(nn.Module):
    def __init__(self, always):
        super().__init__()
        self.down_tr64, self.down_tr128 = Stage(1, 32, 64, always), Stage(64, 64, 128, always)
        self.down_tr256, self.down_tr512 = Stage(128, 128, 256, always), Stage(256, 256, 512, always)
        self.up_tr256 = Stage(768, 256, 256, always, 512)
        self.up_tr128 = Stage(384, 128, 128, always, 256)
        self.up_tr64 = Stage(192, 64, 64, always, 128)
        self.out_tr = nn.Module()
        self.out_tr.final_conv = nn.Conv3d(64, 2, 1)


def features(net, x):
    a = net.down_tr64(x)
    b = net.down_tr128(F.max_pool3d(a, 2))
    c = net.down_tr256(F.max_pool3d(b, 2))
    d = net.down_tr512(F.max_pool3d(c, 2))
    dense = net.up_tr64(net.up_tr128(net.up_tr256(d, c), b), a)
    return [a, b, c, d, d.mean((2, 3, 4)), net.out_tr.final_conv(dense)]


if __name__ == "__main__":
    write("unet_3d_genesis", {
        "standard": golden(UNet(False), features, (2, 1, 8, 8, 16)),
        "batch-always": golden(UNet(True), features, (2, 1, 8, 8, 16), ("eval",)),
    })
