#!/usr/bin/env python3
"""fault_run.py BUILD [--kills N] [--seed S] [--jobs J]: kills run-experiment --jobs, or one of its workers, with SIGKILL
at N random moments; then the experiment must end as one that was never disturbed: the same table and weights, nothing
trained again after it was recorded as done, every record whole, `ivory store verify` content."""
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


class Run:
    def __init__(self, build, root, name, jobs):
        self.output = root / name
        self.command = [f"{build}/bin/run-experiment", str(root / "tiny.toml"), "--output", str(self.output),
                        "--jobs", str(jobs)]
        self.log = root / f"{name}.log"

    def start(self):
        with open(self.log, "a") as log:
            return subprocess.Popen(self.command, stdout=log, stderr=log)

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


def disturb(run, draw, longest):
    """One session with one kill. Returns what was killed, or None when the run ended before."""
    driver = run.start()
    deadline = time.monotonic() + draw.uniform(0.05, longest)
    while driver.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    if driver.poll() is not None:
        return None
    children = workers(driver.pid)
    victim = draw.choice(children) if children and draw.random() < 0.5 else driver.pid
    try:
        os.kill(victim, signal.SIGKILL)
    except ProcessLookupError:
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
        undisturbed = Run(options.build, root, "undisturbed", options.jobs)
        begin = time.monotonic()
        if undisturbed.start().wait() != 0:
            raise SystemExit(f"the undisturbed run failed:\n{undisturbed.log.read_text()}")
        longest = time.monotonic() - begin
        expected, nodes = undisturbed.result(), len(undisturbed.records())

        killed, rounds, known = {"driver": 0, "worker": 0}, 0, {}
        run = Run(options.build, root, f"run{rounds}", options.jobs)
        while sum(killed.values()) < options.kills:
            what = disturb(run, draw, longest / 3)
            if what:
                killed[what] += 1
            now = run.records()
            compare(known, now, "before a kill")
            known = now
            if len(known) == nodes:  # all is done: the next kills disturb a run from its beginning
                finish(options, run, known, expected)
                rounds, known = rounds + 1, {}
                run = Run(options.build, root, f"run{rounds}", options.jobs)
        finish(options, run, known, expected)
    print(f"{killed['driver']} drivers and {killed['worker']} workers killed in {rounds + 1} runs of {nodes} nodes: the same "
          f"tables and weights, no node recorded twice")


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
