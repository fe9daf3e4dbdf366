"""unetr.json: MONAI's UNETR (1.6.1), small; its unused norms of cross-attention are left out."""
from monai.networks.nets import UNETR

from fill import write
from volume_networks import golden


def features(net, x):
    last, hidden = net.vit(x)
    grid = [side // 16 for side in x.shape[2:]]
    levels = [t.transpose(1, 2).reshape(len(x), -1, *grid) for t in (hidden[3], hidden[6], hidden[9], last)]
    return levels + [last.mean(1), net(x)]


def net(in_channels):
    return UNETR(in_channels, 2, (16, 32, 48), feature_size=4, hidden_size=24, mlp_dim=40, num_heads=3)


write("unetr", {
    "grey": golden(net(1), features, (2, 1, 16, 32, 48), ("eval",), ("norm_cross_attn",)),
    "two_channels": golden(net(2), features, (1, 2, 16, 32, 48), ("eval",), ("norm_cross_attn",)),
})
