"""Peers of volume_step_benchmark: one training step of a 3D network with cross-entropy of two classes, SGD.

  python volume_step_peer.py --network unetr --size 96 96 96 --batch 1 --peer cl --lockstep

peers: eager; cl (channels-last-3d). Networks: MONAI's UNETR, SwinUNETR, VNet, ResNet-18; the U-Net of Models Genesis as
tests/reference writes it. Run it in the folder of the peers' programs.
"""
import os
import pathlib
import sys

sys.path[:0] = [os.getcwd(), str(pathlib.Path(__file__).resolve().parent.parent / "reference")]
import common  # noqa: E402

parser = common.parser(__doc__)
parser.add_argument("--network", default="unet-3d-genesis")
parser.add_argument("--peer", default="cl", choices=["eager", "cl"])
parser.add_argument("--size", type=int, nargs=3, default=[32, 64, 64])
parser.add_argument("--batch", type=int, default=6)
parser.add_argument("--precision", default="fp32", choices=["fp32", "bf16"])
args = parser.parse_args()
torch = common.set_threads(args.threads)


def network():
    if args.network == "unet-3d-genesis":
        from unet_3d_genesis import UNet, features
        net = UNet(False)
        net.forward = lambda x: features(net, x)[-1]
        return net
    from monai.networks import nets
    if args.network == "unetr":
        return nets.UNETR(1, 2, args.size)
    if args.network == "swin-unetr":
        return nets.SwinUNETR(1, 2, feature_size=48)
    if args.network == "v-net":
        return nets.VNet(out_channels=2)
    return nets.resnet18(n_input_channels=1, conv1_t_stride=2, shortcut_type="A", num_classes=2)


net = network().train()
x = torch.randn(args.batch, 1, *args.size)
y = torch.arange(args.batch) % 2 if args.network == "resnet-3d" else (x[:, 0] > 0).long()
if args.peer == "cl":
    net, x = net.to(memory_format=torch.channels_last_3d), x.to(memory_format=torch.channels_last_3d)
optimiser = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-6)


def step():
    with torch.autocast("cpu", torch.bfloat16, enabled=args.precision == "bf16"):
        logits = net(x)
    loss = torch.nn.functional.cross_entropy(logits.float(), y)
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()


common.bench("volume_step", args.peer, args.network, step, args.batch, args, size=args.size, batch=args.batch,
             precision=args.precision)
