"""Launchers themselves start run-experiment: two processes train together and end with a table. By the wheel's torchrun,
which starts both anew when one dies at its beginning, and by Open MPI's mpirun where it is installed.

usage: launchers.py BUILD
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

EXPERIMENT = (Path(__file__).parent.parent / "support" / "crashing.toml").read_text()


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
    check(len(table["cells"][0]["repetitions"]) == 1, f"the cell is not measured: {table['cells']}")


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
        build = Path(sys.argv[1]).absolute()
        (folder / "tiny.toml").write_text(EXPERIMENT.replace("PLUGINS", f"{build}/lib/test_plugins"))
        os.environ["IVORY_CACHE"] = str(folder / "caches")
        command = [f"{build}/bin/run-experiment", str(folder / "tiny.toml"), "--output"]
        by_torchrun(folder, [*command, str(folder / "torchrun")])  # ends this program where it fails in the end
        check_run(folder / "torchrun" / "tiny")
        if shutil.which("mpirun"):
            by_mpirun([*command, str(folder / "mpirun")])
            check_run(folder / "mpirun" / "tiny")


if __name__ == "__main__":
    main()
