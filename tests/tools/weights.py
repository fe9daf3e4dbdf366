"""Weights between Python and Ivory: torchvision's ResNet-50 in, features and files out, equal on both sides.

usage: weights.py IVORY, a folder to write to is made and removed.
"""
import pathlib
import subprocess
import sys
import tempfile

import h5py
import numpy

import cpu_torch

cpu_torch.prepare()
import safetensors.torch  # noqa: E402
import torch  # noqa: E402
import torchvision  # noqa: E402

ivory = sys.argv[1]


def run(*arguments, code=0):
    done = subprocess.run([ivory, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == code, f"ivory {arguments}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def features_of(model, images):
    """Torchvision's pooled feature, and the averages of its five levels."""
    captured = []
    hooks = [module.register_forward_hook(lambda _, __, out: captured.append(out.mean((2, 3))))
             for module in (model.layer1, model.layer2, model.layer3, model.layer4, model.avgpool)]
    with torch.no_grad():
        model.eval()(images)
    for hook in hooks:
        hook.remove()
    return captured


def expect_close(ours, theirs):
    """1e-5 of the largest value: both sides sum up to 4608 products in fp32, in another order."""
    assert ours.shape == theirs.shape, (ours.shape, theirs.shape)
    error = (ours - theirs).abs().max() / theirs.abs().max()
    assert error < 1e-5, f"differs by {error:.1e} of the largest value"


def layouts(folder):
    """Checkpoints as SwAV's and VISSL's code write them: heads beside the trunk, and the optimiser's state."""
    net = torchvision.models.resnet18(weights=None)
    optimiser = torch.optim.SGD(net.parameters(), lr=0, momentum=0.9)
    net(torch.randn(2, 3, 64, 64)).sum().backward()
    optimiser.step()
    trunk = {name: tensor for name, tensor in net.state_dict().items() if not name.startswith("fc.")}
    heads = {"projection_head.0.weight": torch.randn(8, 512), "prototypes.weight": torch.randn(5, 8)}
    module = {"module." + name: tensor for name, tensor in {**trunk, **heads}.items()}
    base = {"model": {"trunk": {"_feature_blocks." + name: tensor for name, tensor in trunk.items()},
                      "heads": {"0.prototypes0.weight": torch.randn(5, 8)}}, "meta": {}}
    files = {
        "release.pth.tar": ("module.", module),
        "swav.pth.tar": ("state_dict.module.", {"epoch": 9, "state_dict": module, "optimizer": optimiser.state_dict()}),
        "vissl.torch": ("classy_state_dict.base_model.model.trunk._feature_blocks.", {
            "iteration": 3, "loss": 5.5, "classy_state_dict": {
                "train": True, "base_model": base, "optimizer": {"optim": optimiser.state_dict()}}}),
    }
    safetensors.torch.save_file(trunk, folder / "trunk.safetensors")
    for name, (prefix, content) in files.items():
        torch.save(content, folder / name)
        report = run("weights", "import", folder / name, folder / "layout.safetensors", "--backbone", "resnet", "--option",
                     "depth=18")
        assert f"below '{prefix}'" in report and "100.0 %" in report and "missing" not in report, report
        assert f"{len(trunk)} equal, 0 different" in run("weights", "compare", folder / "trunk.safetensors",
                                                         folder / "layout.safetensors"), name


def types(folder):
    """What a double does not hold is told apart; what Python's torch.load cannot read is not written."""
    pairs = [(torch.tensor([1 + 2j]), torch.tensor([1 + 3j]), 1),
             (torch.tensor([2 ** 53]), torch.tensor([2 ** 53 + 1]), 1),
             (torch.tensor([1.0, float("nan")]), torch.tensor([1.0, float("nan")]), 0),
             (torch.tensor([3]), torch.tensor([3.0]), 0)]
    for first, second, code in pairs:
        torch.save({"x": first}, folder / "first.pth")
        torch.save({"x": second}, folder / "second.pth")
        said = run("weights", "compare", folder / "first.pth", folder / "second.pth", code=code)
        assert ("x: differs by at most 1\n" in said) == bool(code), said
    for dtype in (torch.uint16, torch.uint32, torch.uint64, torch.float8_e5m2):
        safetensors.torch.save_file({"x": torch.ones(3).to(dtype)}, folder / "types.safetensors")
        said = run("weights", "export", folder / "types.safetensors", folder / "types.pth", "--format", "torch", code=2)
        assert "tensor 'x' of type" in said and "safetensors holds it" in said, said
        assert not (folder / "types.pth").exists()


def grey(folder):
    """A network for colours in one channel: of a grey image the features of its three equal channels."""
    net = torchvision.models.resnet18(weights=None)
    torch.save(net.state_dict(), folder / "colour.pth")
    images = torch.randn(3, 1, 64, 64)
    numpy.save(folder / "grey.npy", images.numpy())
    backbone = ("--backbone", "resnet", "--option", "depth=18", "--option", "in_channels=1")
    report = run("weights", "import", folder / "colour.pth", folder / "grey.safetensors", *backbone)
    assert "100.0 %" in report and "missing" not in report, report
    assert safetensors.torch.load_file(folder / "grey.safetensors")["conv1.weight"].shape == (64, 1, 7, 7)
    run("features", folder / "grey.npy", folder / "grey_features.safetensors", *backbone, "--weights",
        folder / "grey.safetensors")
    ours = safetensors.torch.load_file(folder / "grey_features.safetensors")
    *levels, pooled = features_of(net, images.expand(-1, 3, -1, -1))
    expect_close(ours["pooled"], pooled.flatten(1))
    for level, map_ in enumerate(levels):
        expect_close(ours[f"level{level + 1}"], map_)


def main(folder):
    torch.manual_seed(3)
    model = torchvision.models.resnet50(weights=None)
    for name, buffer in model.named_buffers():  # statistics that are not those of a fresh network
        if name.endswith("running_mean"):
            buffer.normal_(0, 0.05)
        if name.endswith("running_var"):
            buffer.uniform_(0.8, 1.2)
    state = {"module." + name: tensor for name, tensor in model.state_dict().items()}
    torch.save({"state_dict": state, "epoch": 5}, folder / "checkpoint.pth")
    images = torch.randn(3, 3, 64, 64)
    numpy.save(folder / "images.npy", images.numpy())
    safetensors.torch.save_file({"images": images}, folder / "images.safetensors")
    *expected, pooled = features_of(model, images)
    backbone = ("--backbone", "resnet", "--option", "depth=50")

    assert "epoch = 5" in run("weights", "show", folder / "checkpoint.pth")
    report = run("weights", "import", folder / "checkpoint.pth", folder / "in.safetensors", *backbone)
    assert "below 'state_dict.module.'" in report and "100.0 %" in report and "unexpected: fc.weight" in report, report

    # Features of the file itself and of what was imported, in three formats
    for weights, images_file, out in (("checkpoint.pth", "images.npy", "f.safetensors"),
                                      ("in.safetensors", "images.safetensors", "f.h5")):
        run("features", folder / images_file, folder / out, *backbone, "--weights", folder / weights, "--batch", 2)
    ours = safetensors.torch.load_file(folder / "f.safetensors")
    with h5py.File(folder / "f.h5") as file:
        again = {name: torch.from_numpy(file[name][:]) for name in file}
    for features in (ours, again):
        expect_close(features["pooled"], pooled.flatten(1))
        for level, map_ in enumerate(expected):
            expect_close(features[f"level{level + 1}"], map_)
    run("features", folder / "images.npy", folder / "f.npy", *backbone, "--weights", folder / "in.safetensors",
        "--kind", "pooled")
    expect_close(torch.from_numpy(numpy.load(folder / "f.npy")), ours["pooled"])

    # Out again, into a fresh torchvision network
    run("weights", "export", folder / "in.safetensors", folder / "out.pth", "--format", "torch")
    run("weights", "export", folder / "in.safetensors", folder / "out.safetensors")
    for loaded in (torch.load(folder / "out.pth", weights_only=True), safetensors.torch.load_file(folder / "out.safetensors")):
        fresh = torchvision.models.resnet50(weights=None)
        missing, unexpected = fresh.load_state_dict(loaded, strict=False)
        assert missing == ["fc.weight", "fc.bias"] and not unexpected, (missing, unexpected)
        expect_close(features_of(fresh, images)[-1].flatten(1), ours["pooled"])
    assert "318 equal, 0 different" in run("weights", "compare", folder / "out.pth", folder / "out.safetensors")
    assert "2 only in the first" in run("weights", "compare", folder / "checkpoint.pth", folder / "out.pth",
                                        "--first-prefix", "state_dict.module.", code=1)

    # What does not fit
    assert "did you mean 'depth'" in run("weights", "import", folder / "out.pth", folder / "x.safetensors", "--backbone",
                                         "resnet", "--option", "deptj=50", code=2)
    assert "must match" in run("weights", "import", folder / "out.pth", folder / "x.safetensors", "--backbone", "resnet",
                               "--option", "depth=18", code=2)
    run("weights", "show", folder / "nothing.pth", code=3)
    assert not (folder / "x.safetensors").exists()


with tempfile.TemporaryDirectory() as temporary:
    main(pathlib.Path(temporary))
    layouts(pathlib.Path(temporary))
    grey(pathlib.Path(temporary))
    types(pathlib.Path(temporary))
