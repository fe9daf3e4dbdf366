"""swin_unetr.json: MONAI's SwinUNETR (1.6.1), small, with its two orders of patch merging and that before 1.5."""
import torch
from monai.networks.nets import SwinUNETR
from monai.networks.nets.swin_unetr import PatchMergingV2

from fill import write
from volume_networks import golden


class Legacy(PatchMergingV2):
    """MONAI 0.9 to 1.4: 101, 010, 001 where 110, 101, 011 were meant."""

    def forward(self, x):
        order = ["000", "100", "010", "001", "101", "010", "001", "111"]
        parts = [x[:, int(d)::2, int(h)::2, int(w)::2] for d, h, w in order]
        return self.reduction(self.norm(torch.cat(parts, -1)))


def features(net, x):
    levels = net.swinViT(x, True)
    return levels + [levels[-1].mean((2, 3, 4)), net(x)]


def net(merging, window):
    return SwinUNETR(1, 2, feature_size=12, window_size=window, downsample=merging)


# Levels of (32, 16, 16) to (2, 1, 1) tokens: padded and shifted windows, then some of whose sides are the map's.
write("swin_unetr", {
    "fixed": golden(net("merging", 7), features, (1, 1, 64, 32, 32), ("eval",)),
    "legacy": golden(net(Legacy, 4), features, (1, 1, 32, 64, 32), ("eval",)),
    "binary": golden(net("mergingv2", 4), features, (1, 1, 32, 32, 64), ("eval",)),
})
