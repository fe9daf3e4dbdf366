"""v_net.json: MONAI's V-Net (1.6.1), without dropout, which is random."""
from monai.networks.nets import VNet

from fill import write
from volume_networks import golden, without_dropout


def features(net, x):
    levels = [net.in_tr(x)]
    for stage in (net.down_tr32, net.down_tr64, net.down_tr128, net.down_tr256):
        levels.append(stage(levels[-1]))
    return levels + [levels[-1].mean((2, 3, 4)), net(x)]


def net(**options):
    return without_dropout(VNet(spatial_dims=3, **options))


# Running statistics move with every forward pass in training, so that mode comes last.
write("v_net", {"monai": golden(net(in_channels=1, out_channels=2), features, (2, 1, 16, 16, 16))})
