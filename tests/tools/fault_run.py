#!/usr/bin/env python3
"""fault_run.py BUILD [--kills N] [--seed S] [--jobs J]: kills run-experiment --jobs, one of its workers, or a Slurm job of
run-experiment --launcher slurm, with SIGKILL at N random moments; then the experiment must end as one that was never
disturbed: the same table and weights, nothing trained again after it was recorded as done, every record whole,
`ivory store verify` content. Every third run is one of Slurm; a script stands for sbatch and runs what is submitted."""
import argparse
import hashlib
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time

EXPERIMENT = """
[experiment]
name = "tiny"
seed = 3
trials = 2
threads = 1
[data.scans]
layout = "phantom"
phantom = { volumes = 5, size = [8, 24, 24], labels = [1], seed = 1 }
[model]
slice_backbone = { name = "resnet", depth = 18, in_channels = 1 }
[[stage]]
name = "slices"
data = ["scans"]
objectives = [{ name = "swav", prototypes = 4, head_width = 8, embedding_width = 4, freeze_steps = 1 }]
epochs = 3
batch_size = 8
[stage.views.slice]
crops = [{ count = 2, size = 16, scale = [0.4, 1.0] }]
[[task]]
name = "organ"
plugin = { name = "segmentation", decoder_channels = [16, 8, 8, 4, 4] }
from = ["slices", "scratch"]
data = "scans"
classes = [{ name = "organ", labels = [1] }]
size = 32
epochs = 2
batch_size = 8
[sweep]
parameters = { "stage.slices.optimiser.lr" = [0.05, 0.1] }
"""

SBATCH = pathlib.Path(__file__).parent.parent / "support" / "sbatch.sh"  # stands for Slurm's


class Run:
    def __init__(self, build, root, name, jobs, slurm=False):
        self.output = root / name
        self.slurm = slurm
        how = ["--launcher", "slurm"] if slurm else ["--jobs", str(jobs)]
        self.command = [f"{build}/bin/run-experiment", str(root / "tiny.toml"), "--output", str(self.output)] + how
        self.log = root / f"{name}.log"

    def start(self):
        with open(self.log, "a") as log:
            return subprocess.Popen(self.command, stdout=log, stderr=log)

    def slurm_jobs(self):
        """(script, its run-experiment --part), where one runs: what dies when Slurm kills a job."""
        found = []
        for folder in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                words = (folder / "cmdline").read_bytes().split(b"\0")
                if b"--part" in words and words[1].startswith(str(self.output).encode() + b"/"):
                    parent = (folder / "stat").read_text().rsplit(")", 1)[1].split()[1]
                    found.append((int(parent), int(folder.name)))
            except (OSError, IndexError):
                continue  # it has ended
        return found

    def records(self):
        """Of every node that is done: which file its record is, so that a second one would be seen."""
        found = {}
        for file in sorted(self.output.glob("store/*/done.json")):
            record = json.loads(file.read_text())  # a half-written one ends the test here
            if not file.parent.name.endswith(record["identity"][:12]):
                raise SystemExit(f"{file} is of another node")
            found[file.parent.name] = (file.stat().st_ino, file.stat().st_mtime_ns, record["finished"])
        return found

    def result(self):
        tables = {file.parent.name: json.loads(file.read_text())["cells"]
                  for file in sorted(self.output.glob("tiny/*/table.json"))}
        weights = {file.parent.name: hashlib.sha256(file.read_bytes()).hexdigest()
                   for file in sorted(self.output.glob("store/*/weights.safetensors"))}
        return tables, weights


def workers(driver):
    """Pids of the driver's children."""
    try:
        return [int(pid) for pid in pathlib.Path(f"/proc/{driver}/task/{driver}/children").read_text().split()]
    except OSError:
        return []


def kill(*pids):
    """Whether any of them was there."""
    there = False
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
            there = True
        except ProcessLookupError:
            pass
    return there


def disturb(run, draw, longest):
    """One session with one kill. Returns what was killed, or None when the run ended before."""
    driver = run.start()
    deadline = time.monotonic() + draw.uniform(0.05, longest)
    while driver.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    if driver.poll() is not None:
        return None
    if run.slurm:
        jobs = run.slurm_jobs()
        killed = bool(jobs) and kill(*draw.choice(jobs))
        driver.wait()  # the jobs after it are run
        return "Slurm job" if killed else None
    children = workers(driver.pid)
    victim = draw.choice(children) if children and draw.random() < 0.5 else driver.pid
    if not kill(victim):
        return None
    if victim == driver.pid:
        driver.wait()
        return "driver"
    if draw.random() < 0.5:
        driver.terminate()  # the others save
    driver.wait()
    return "worker"


def compare(before, after, when):
    for name, file in before.items():
        if after.get(name) != file:
            raise SystemExit(f"{name} was done {when} and has another record now: it was run twice")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    draw = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        (root / "tiny.toml").write_text(EXPERIMENT)
        os.environ["IVORY_CACHE"] = str(root / "cache")
        os.environ["PATH"] = f"{root}:{os.environ['PATH']}"
        (root / "sbatch").symlink_to(SBATCH)
        (root / "squeue").symlink_to("/bin/true")  # what was submitted has ended
        undisturbed = Run(options.build, root, "undisturbed", options.jobs)
        begin = time.monotonic()
        if undisturbed.start().wait() != 0:
            raise SystemExit(f"the undisturbed run failed:\n{undisturbed.log.read_text()}")
        longest = time.monotonic() - begin
        expected, nodes = undisturbed.result(), len(undisturbed.records())

        killed, rounds, known, checked, turn = {"driver": 0, "worker": 0, "Slurm job": 0}, 0, {}, 0, 0
        run = Run(options.build, root, f"run{rounds}", options.jobs)
        while sum(killed.values()) < options.kills:
            what = disturb(run, draw, longest * (0.7 if run.slurm else 1 / 3))
            if what:
                killed[what] += 1
                turn += 1
                print(f"kill {sum(killed.values())} of {options.kills}: a {what}, {len(run.records())} of {nodes} nodes "
                      f"done; run {rounds + 1}", flush=True)
            now = run.records()
            compare(known, now, "before a kill")
            checked += len(known)
            known = now
            # All is done, or its turn is over: the next kills disturb a run from its beginning.
            if len(known) == nodes or turn == max(1, options.kills // 6):
                finish(options, run, known, expected)
                rounds, known, turn = rounds + 1, {}, 0
                run = Run(options.build, root, f"run{rounds}", options.jobs, slurm=rounds % 3 == 1)
        finish(options, run, known, expected)
    print(f"\n{killed['driver']} drivers, {killed['worker']} workers and {killed['Slurm job']} Slurm jobs were killed with "
          f"SIGKILL in {rounds + 1} runs of {nodes} nodes (seed {options.seed}):\n"
          f"every run ended with the table and the weights of the undisturbed one; of {checked} records looked at again after "
          f"a kill none was written twice or half; ivory store verify found every store whole")


def finish(options, run, known, expected):
    if run.start().wait() != 0:
        raise SystemExit(f"the disturbed run does not end:\n{run.log.read_text()}")
    compare(known, run.records(), "before the last session")
    if run.result() != expected:
        raise SystemExit(f"another end than the undisturbed run's:\n{run.result()}\nexpected\n{expected}")
    verify = subprocess.run([f"{options.build}/bin/ivory", "store", "verify", "--output", str(run.output)],
                            capture_output=True, text=True)
    if verify.returncode != 0:
        raise SystemExit(f"the store is not whole:\n{verify.stdout}{verify.stderr}")


main()
