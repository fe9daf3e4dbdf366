"""Launchers themselves start run-experiment: two processes train together and end with a table. By the wheel's torchrun,
which starts both anew when one dies at its beginning, and by Open MPI's mpirun where it is installed.

usage: launchers.py RUN_EXPERIMENT
"""
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import cpu_torch

cpu_torch.prepare()
os.environ.pop("LD_LIBRARY_PATH", None)  # the stand-ins are for Python alone

from torch.distributed import run  # noqa: E402

EXPERIMENT = """
[experiment]
name = "together"
threads = 1
[data.scans]
layout = "phantom"
phantom = { volumes = 4, size = [8, 24, 24], labels = [1], seed = 1 }
[model]
slice_backbone = { name = "resnet", depth = 18 }
[[stage]]
name = "slices"
data = ["scans"]
objectives = [{ name = "swav", prototypes = 4, head_width = 16, embedding_width = 8 }]
steps = 2
batch_size = 8
[stage.views.slice]
crops = [{ count = 2, size = 32 }]
[[task]]
name = "organ"
plugin = { name = "segmentation", decoder_channels = [16, 8, 8, 4, 4] }
from = ["slices"]
data = "scans"
classes = [{ name = "organ", labels = [1] }]
size = 32
epochs = 1
batch_size = 8
[table]
caption = "Together"
rows = [{ label = "Pre-trained", from = "slices" }]
columns = [{ label = "IoU", task = "organ" }]
"""


def check(condition, message):
    if not condition:
        raise SystemExit(f"FAILED: {message}")


# The second process dies before it has met the first, once.
LAME = """#!/bin/bash
if [[ $TORCHELASTIC_RESTART_COUNT == 0 && $RANK == 1 ]]; then exit 3; fi
exec "$@"
"""


def check_run(folder):
    log = (folder / "log.txt").read_text()
    check("in 2 processes" in log, f"not trained together:\n{log}")
    table = json.loads((folder / "table.json").read_text())
    check(len(table["cells"][0]["trials"]) == 1, f"the cell is not measured: {table['cells']}")


def by_torchrun(folder, command):
    lame = folder / "lame"
    lame.write_text(LAME)
    lame.chmod(0o755)
    run.main(["--no-python", "--nproc-per-node", "2", "--max-restarts", "1", "--standalone", str(lame), *command])
    print("ok: torchrun started two processes, and again when one had died")


def by_mpirun(command):
    subprocess.run(["mpirun", "--allow-run-as-root", "--oversubscribe", "-np", "2", *command], check=True)
    print("ok: mpirun started two processes")


def main():
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "together.toml").write_text(EXPERIMENT)
        os.environ["IVORY_CACHE"] = str(folder / "caches")
        command = [sys.argv[1], str(folder / "together.toml"), "--output"]
        by_torchrun(folder, [*command, str(folder / "torchrun")])  # ends this program where it fails in the end
        check_run(folder / "torchrun" / "together")
        if shutil.which("mpirun"):
            by_mpirun([*command, str(folder / "mpirun")])
            check_run(folder / "mpirun" / "together")


if __name__ == "__main__":
    main()
