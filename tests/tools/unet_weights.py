"""A U-Net of segmentation_models_pytorch in, fine-tuned, and out again under the same names.

usage: unet_weights.py IVORY RUN-EXPERIMENT, a folder to write to is made and removed. Names and shapes are those that
tests/reference/unet.py took from the package itself.
"""
import json
import pathlib
import subprocess
import sys
import tempfile

import cpu_torch

cpu_torch.prepare()
import safetensors.torch  # noqa: E402
import torch  # noqa: E402

ivory, run_experiment = sys.argv[1:3]
golden = pathlib.Path(__file__).parents[1] / "reference" / "unet_resnet18.json"
shapes = {name: torch.Size(shape) for name, shape in json.loads(golden.read_text())["tensors"]}

# A learning rate that no float feels: what the task saves is what it began with.
EXPERIMENT = """
[experiment]
name = "unet"
output = "out"
threads = 1
[data.scans]
layout = "phantom"
phantom = { volumes = 3, size = [8, 32, 32], labels = [1, 2], seed = 1 }
[model]
slice_backbone = { name = "resnet", depth = 18 }
weights = "unet.pth"
[[task]]
name = "organs"
plugin = { name = "segmentation", balanced = false }
from = ["weights"]
data = "scans"
classes = [{ name = "a", labels = [1] }, { name = "b", labels = [2] }]
splits = { train = ["phantom-000"], validation = ["phantom-001"], test = ["phantom-002"] }
size = 32
epochs = 1
batch_size = 2
optimiser = { name = "sgd", lr = 1e-30 }
"""


def run(*command, code=0):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.returncode == code, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def a_unet():
    torch.manual_seed(4)
    state = {}
    for name, shape in shapes.items():
        if name.endswith("num_batches_tracked"):
            state[name] = torch.tensor(9)
        elif name.endswith("running_var"):
            state[name] = torch.ones(shape)
        else:
            state[name] = 0.05 * torch.randn(shape)
    return state


def main(folder):
    given = a_unet()
    torch.save({"state_dict": {"model." + name: tensor for name, tensor in given.items()}, "epoch": 3}, folder / "unet.pth")
    (folder / "unet.toml").write_text(EXPERIMENT)
    log = run("env", "-C", folder, f"IVORY_CACHE={folder}/caches", run_experiment, "unet.toml")
    for part in ("f_intra: below 'state_dict.model.encoder.'", "decoder: below 'state_dict.model.decoder.'",
                 "segmentation_head: below 'state_dict.model.segmentation_head.'"):
        line = next(line for line in log.splitlines() if "unet.pth into " + part in line)
        assert "100.0 % of the parameters" in line and "missing" not in line, line
    trained, = folder.glob("out/store/task-organs-*/weights.safetensors")

    # What load_state_dict(strict=True) of smp.Unet("resnet18", classes=3) asks for: these names, no other, these shapes
    for format_, load in (("torch", lambda file: torch.load(file, weights_only=True)),
                          ("safetensors", safetensors.torch.load_file)):
        run(ivory, "weights", "export", trained, folder / "out.weights", "--format", format_)
        state = load(folder / "out.weights")
        assert {name: tensor.shape for name, tensor in state.items()} == shapes
        for name, tensor in state.items():
            assert tensor.dtype == given[name].dtype, name
            if "running_" not in name and "num_batches" not in name:
                assert torch.equal(tensor, given[name]), name
        assert state["encoder.bn1.num_batches_tracked"] == 13, "four steps of training were taken"

    given["decoder.blocks.2.conv1.1.bias"][3] = float("nan")
    torch.save(given, folder / "unet.pth")
    log = run("env", "-C", folder, f"IVORY_CACHE={folder}/caches", run_experiment, "unet.toml", code=2)
    assert "into decoder: tensor 'decoder.blocks.2.conv1.1.bias' holds NaN" in log, log


with tempfile.TemporaryDirectory() as temporary:
    main(pathlib.Path(temporary))
