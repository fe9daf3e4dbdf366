#!/usr/bin/env python3
"""Runs Ivory's benchmarks, each in one run with its peers, and writes their tables into docs/benchmarks.md.

  measure.py BUILD [NAME…]      names: swav, loader, multicrop, cubes, cache, startup, overhead, plan, memory (default:
                                all); data: loader, multicrop, cubes and cache

Peers: IVORY_PEERS names the folder of their programs (pair.py, swav_step.py, slice_loader.py, augment.py), IVORY_PEERS_PYTHON a
Python that has what they import, IVORY_PEERS_DATA the folder that make_ct.py wrote. Without them Ivory is timed alone,
and the table says so.
"""
import datetime
import json
import os
import pathlib
import platform
import shlex
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
PEERS = os.environ.get("IVORY_PEERS")
PYTHON = os.environ.get("IVORY_PEERS_PYTHON", sys.executable)
DATA = os.environ.get("IVORY_PEERS_DATA", "")
DATA_PARTS = ("loader", "multicrop", "cubes", "cache")
TUNED = "MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=100000000000 MALLOC_TOP_PAD_=268435456"


def machine():
    cpu = next(line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name"))
    commit = subprocess.run(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout
    family = [line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith(("cpu family", "model\t"))]
    return (f"{datetime.date.today()}, {cpu} (family {family[0]}, model {family[1]}), {os.cpu_count()} cores, "
            f"Linux {platform.release()}, commit {commit.strip()}")


def pair(rounds, threads, commands):
    """Lock-step rounds of {name: command}; the first is the reference. Rows of pair.py plus every program's memory."""
    env = dict(os.environ, OMP_NUM_THREADS=str(threads), MKL_NUM_THREADS=str(threads), OMP_WAIT_POLICY="passive")
    with tempfile.NamedTemporaryFile(suffix=".json") as out, tempfile.TemporaryDirectory() as logs:
        line = [sys.executable, f"{PEERS}/pair.py", "--rounds", str(rounds), "--out", out.name]
        for name, command in commands.items():
            # READY and the timings go to pair.py; the RESULT line with the peak memory is kept beside.
            line += ["--name", name, f"{command} | tee {logs}/{name.replace(' ', '_')}"]
        subprocess.run(line, cwd=PEERS, env=env, check=True, stdout=subprocess.DEVNULL)
        rows = json.load(open(out.name))["peers"]
        for row in rows:
            text = pathlib.Path(logs, row["peer"].replace(" ", "_")).read_text().splitlines()
            row["result"] = next(json.loads(t[7:]) for t in text if t.startswith("RESULT "))
    return rows


def table(unit, rows):
    """How many times as fast as each peer Ivory was, round by round."""
    lines = [f"| program | {unit}/s, best | median ms | Ivory is … times as fast (range over rounds) | by CPU time | peak MiB |",
             "|---|---|---|---|---|---|"]
    for row in rows:
        ratio = f"{row['ratio_to_ref_med']:.2f} ({row['ratio_min']:.2f}–{row['ratio_max']:.2f})"
        cpu = f"{row['cpu_ms_min'] / rows[0]['cpu_ms_min']:.2f}"
        lines.append(f"| {row['peer']} | {row['rate_best']} | {row['ms_med']:.0f} | "
                     f"{ratio if row is not rows[0] else '1'} | {cpu} | {row['result']['rss_mib']} |")
    return lines


def swav(build):
    lines = []
    for precision, peers in (("fp32", ("cl", "eager", "lightly")), ("bf16", ("bf16_cl", "eager"))):
        for batch in (8, 16):
            ours = f"{build}/bin/swav_benchmark --batch {batch} --precision {precision} --lockstep"
            commands = {"Ivory": ours, "Ivory rgb": ours + " --rgb"}
            for index, peer in enumerate(peers if batch == 8 else peers[:1]):  # more do not fit into 24 GiB together
                theirs = f"{PYTHON} swav_step.py --peer {peer} --lockstep --threads 2 --crops 2x224+6x96 --batch {batch}"
                commands[peer if index else f"{peer}+malloc"] = theirs if index else f"{TUNED} {theirs}"
            lines += ["", f"{precision}, batch {batch}, 2 threads:", ""] + table("images", pair(7, 2, commands))
    return lines


def loader(build):
    cache = pathlib.Path(DATA, "ivory-cache")
    commands = {"Ivory": f"{build}/bin/loader_benchmark --volumes {DATA}/nii_gz --cache {cache} --lockstep"}
    for name in ("npy", "h5_blosc_lz4_bit", "h5_gzip4", "h5_gzip4_shuffle"):
        commands[name] = f"{PYTHON} slice_loader.py --format {name} --dir {DATA} --lockstep --warmup 3"
    rows = pair(15, 1, commands)
    size = {row["peer"]: row["result"]["file_mb"] for row in rows}
    return (["", "One thread, batches of 64 slices 512² → 224²:", ""] + table("slices", rows) + data_loaders(build) +
            ["", f"Size: the cache {size['Ivory']:.1f} MB, gzip 4 + shuffle {size['h5_gzip4_shuffle']:.1f} MB: "
             f"{size['Ivory'] / size['h5_gzip4_shuffle']:.3f} times as large."])


def data_loaders(build):
    """All cores: Ivory's threads, and each peer under a DataLoader with 0 worker processes, 1, … one a core."""
    cache, cores = pathlib.Path(DATA, "ivory-cache"), len(os.sched_getaffinity(0))
    commands = {f"Ivory, {cores} threads": f"{build}/bin/loader_benchmark --cache {cache} --workers {cores} --batches 16 "
                                           f"--warmup 4 --lockstep"}
    for name in ("npy", "h5_blosc_lz4_bit", "h5_gzip4"):
        for workers in range(cores + 1):
            commands[f"{name}, {workers} workers"] = (
                f"{PYTHON} {ROOT}/tests/benchmarks/loader_peer.py --format {name} --dir {DATA} --workers {workers} "
                f"--batches {2 if name == 'h5_gzip4' else 16} --lockstep --warmup 1")
    return ["", f"On {cores} cores, each peer under a PyTorch DataLoader with 0 to {cores} worker processes:", ""] + table(
        "slices", per_item(pair(7, 1, commands)))


def per_item(rows):
    """Calls of different sizes: times of as many items as the reference's call has."""
    for row in rows:
        row["ratio_to_ref_med"], row["ratio_min"], row["ratio_max"] = (
            row[key] * rows[0]["result"]["items"] / row["result"]["items"]
            for key in ("ratio_to_ref_med", "ratio_min", "ratio_max"))
        row["cpu_ms_min"] *= rows[0]["result"]["items"] / row["result"]["items"]
    return rows


def multicrop(build):
    cache = pathlib.Path(DATA, "ivory-cache")
    commands = {"Ivory": f"{build}/bin/loader_benchmark --volumes {DATA}/nii_gz --cache {cache} --multi-crop --batch 16 "
                         f"--batches 1 --lockstep"}
    for name in ("pil", "tv2", "tv2_noaa"):
        commands[name] = f"{PYTHON} augment.py --peer {name} --lockstep"
    return ["", "One thread, 16 images a call:", ""] + table("images", pair(15, 1, commands))


def cubes(build):
    peer = f"{PYTHON} {ROOT}/tests/benchmarks/cube_loader_peer.py --dir {DATA}"
    subprocess.run(shlex.split(f"{peer} --prepare"), cwd=PEERS, check=True)
    lines = []
    for turn, what in (("", "voxels copied"), ("--turn", "each flipped, rotated by up to 10° about every axis and scaled")):
        ours = f"{build}/bin/cube_loader_benchmark --volumes {DATA} --cache {DATA}/ivory-cubes {turn} --lockstep"
        commands = {"Ivory": ours, "memmap": f"{peer} --kind memmap --batches 8 {turn} --lockstep --warmup 5"}
        if not turn:
            commands["persistent"] = f"{peer} --kind persistent --lockstep"
            commands["queue"] = f"{peer} --kind queue --lockstep"
        lines += ["", f"One thread, batches of 8 cubes with masks, {what}:", ""]
        lines += table("cubes", per_item(pair(15, 1, commands)))
    return lines


def cache(build):
    peer = ROOT / "tests/benchmarks/cache_peer.py"
    with tempfile.TemporaryDirectory() as folder:
        some, out = pathlib.Path(folder, "some"), pathlib.Path(folder, "out")
        some.mkdir()
        for file in sorted(pathlib.Path(DATA, "nii_gz").iterdir())[:2]:
            some.joinpath(file.name).symlink_to(file.resolve())
        commands = {"Ivory": f"{build}/bin/cache_benchmark --volumes {some} --cache {out}/ivory --lockstep"}
        for name in ("gzip4", "blosc_lz4", "bitshuffle"):
            commands[name] = f"{PYTHON} {peer} --volumes {some} --cache {out}/{name} --filter {name} --lockstep --warmup 1"
        return ["", "One thread, two volumes of 120 × 512 × 512 a call:", ""] + table("volumes", pair(7, 1, commands))


def run_experiment(build, *arguments):
    env = dict(os.environ)
    env.setdefault("IVORY_PACKAGES", os.path.expanduser("~/.cache/ivory/packages"))
    return subprocess.Popen([f"{build}/bin/run-experiment", *map(str, arguments)], env=env,
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def first_step(build, output):
    """Seconds from the start of the process to the first line of the first stage's metrics."""
    begin = time.perf_counter()
    process = run_experiment(build, ROOT / "experiments/quickstart.toml", "--output", output)
    try:
        while process.poll() is None:
            if any(file.stat().st_size for file in pathlib.Path(output).glob("store/*/metrics.jsonl")):
                return time.perf_counter() - begin
            time.sleep(0.005)
        raise SystemExit("the quickstart ended before its first step")
    finally:
        process.terminate()
        process.wait()


def startup(build):
    seconds = []
    for _ in range(6):  # the first one builds the cache where it is missing
        with tempfile.TemporaryDirectory() as output:
            seconds.append(first_step(build, output))
    return ["", f"Process start to the first training step of the quickstart, cache present, five runs: "
            f"{min(seconds[1:]):.2f}–{max(seconds[1:]):.2f} s, median {statistics.median(seconds[1:]):.2f} s.", "",
            "Scripts with nothing to set up, three calls each: " + "; ".join(
                f"`scripts/{' '.join(words)}` {second_call(words)}" for words in (
                    ("ivory", "--version"), ("run-experiment", "experiments/quickstart.toml", "--dry-run"),
                    ("test", "-N"))) + "."]


def second_call(words):
    """Seconds of a script of this project when all that it sets up is there."""
    return spread(lambda: subprocess.run([ROOT / "scripts" / words[0], *words[1:]], cwd=ROOT, check=True,
                                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL), 3)


def spread(work, times):
    seconds = []
    for _ in range(times):
        begin = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - begin)
    return f"{min(seconds):.2f}–{max(seconds):.2f} s"


OVERHEAD = """
[experiment]
name = "overhead"
[data.many]
layout = "phantom"
phantom = { volumes = 1000, size = [16, 32, 32], labels = [1, 2, 3], seed = 1 }
[model]
slice_backbone = { name = "resnet", depth = 50 }
volume_backbone = { name = "deformable-transformer" }
frames = 16
[[stage]]
name = "slices"
data = ["many"]
objectives = [{ name = "swav", prototypes = 300 }]
steps = 3
batch_size = 4
[stage.views.slice]
crops = [{ count = 2, size = 32 }]
[[stage]]
name = "volumes"
from = "slices"
data = ["many"]
objectives = [{ name = "agreement-3d", prototypes = 30 }]
steps = 3
batch_size = 2
[stage.views.volume]
size = 32
[[task]]
name = "organs"
plugin = { name = "segmentation" }
from = ["volumes"]
data = "many"
classes = [{ name = "bone", labels = [1] }]
splits = { train = ["phantom-000"], validation = ["phantom-001"], test = ["phantom-002"] }
size = 32
steps = 3
batch_size = 2
"""


def one_part(build, output, name, folder):
    """Seconds from process start to the end of the first step, and from that of the last step to the record."""
    record = folder / "done.json"
    record.unlink()
    (folder / "metrics.jsonl").unlink()
    begin = time.time()
    if run_experiment(build, output / "overhead/experiment.toml", "--part", folder.name).wait() != 0:
        raise SystemExit(f"{name} failed")
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    steps = [line["time"] for line in lines if line["kind"] == "step"]
    return steps[0] - begin, record.stat().st_mtime - steps[-1]


def overhead(build):
    with tempfile.TemporaryDirectory() as folder:
        file, output = pathlib.Path(folder, "overhead.toml"), pathlib.Path(folder, "runs")
        file.write_text(OVERHEAD)
        if run_experiment(build, file, "--jobs", "1", "--output", output).wait() != 0:
            raise SystemExit("the experiment failed")
        lines = ["", "| part | process start to first step, s | last step to record, s | together, median s |",
                 "|---|---|---|---|"]
        for node in json.loads((output / "overhead/plan.json").read_text()):
            times = [one_part(build, output, node["label"], output / "store" / node["folder"]) for _ in range(3)]
            spans = [f"{min(span):.2f}–{max(span):.2f}" for span in zip(*times)]
            both = statistics.median(map(sum, times))
            lines.append(f"| {node['label']} | {spans[0]} | {spans[1]} | {both:.2f} |")
    return lines


def dry_run(build, file, output):
    """Seconds of --dry-run, five times."""
    def once():
        if run_experiment(build, file, "--dry-run", "--output", output).wait() != 0:
            raise SystemExit(f"the dry run of {file.name} failed")
    return spread(once, 5)


def finish_half(build, file, output):
    """Begins the run for its plan.json, then records every second node as done."""
    process, plan = run_experiment(build, file, "--output", output), output / "trials/plan.json"
    while not plan.exists() and process.poll() is None:
        time.sleep(0.05)
    process.kill()
    process.wait()
    for node in json.loads(plan.read_text())[::2]:
        folder = output / "store" / node["folder"]
        folder.mkdir(parents=True, exist_ok=True)
        record = {"identity": node["identity"], "label": node["label"], "seconds": 1.0, "steps": 3}
        (folder / "done.json").write_text(json.dumps(record))


def plan(build):
    base = MEMORY.replace("1000", "4")
    task = """[[task]]
name = "organs"
plugin = { name = "segmentation" }
from = ["volumes", "scratch"]
data = "many"
classes = [{ name = "organ", labels = [1] }]
"""

    def sweep_over(points):
        rates = ", ".join(f"{0.01 + i * 1e-5:.5f}" for i in range(points))
        return base + task + f'[sweep]\nparameters = {{ "stage.volumes.optimiser.lr" = [{rates}] }}\n'

    with tempfile.TemporaryDirectory() as folder:
        names = ("hundred.toml", "trials.toml", "sweep.toml", "runs")
        hundred, trials, sweep, output = (pathlib.Path(folder, name) for name in names)
        hundred.write_text(sweep_over(100))
        trials.write_text(base.replace('"memory"', '"trials"\ntrials = 5000') + task)
        sweep.write_text(sweep_over(3333))
        finish_half(build, trials, output)
        return ["", f"`--dry-run`, five runs: a sweep of 100 points: {dry_run(build, hundred, output)}; one experiment of "
                    f"10,001 nodes, half of them done: {dry_run(build, trials, output)}; a sweep of 3,333 points with 9,999 "
                    f"nodes: {dry_run(build, sweep, output)}."]


MEMORY = """
[experiment]
name = "memory"
[data.many]
layout = "phantom"
phantom = { volumes = 1000, size = [16, 32, 32], labels = [1, 2, 3], seed = 1 }
[model]
slice_backbone = { name = "resnet", depth = 18 }
volume_backbone = { name = "deformable-transformer", layers = 1, heads = 4, head_width = 16, groups = 4, ffn = 64 }
token_width = 64
frames = 16
[[stage]]
name = "volumes"
data = ["many"]
objectives = [{ name = "agreement-3d", prototypes = 32 }]
epochs = 12
batch_size = 20
[stage.views.volume]
size = 32
[stage.optimiser]
name = "sgd"
lr = 0.01
"""


def memory(build):
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder, "memory.toml")
        file.write_text(MEMORY)
        if run_experiment(build, file, "--output", folder).wait() != 0:
            raise SystemExit("the stage over 1,000 volumes failed")
        metrics = next(pathlib.Path(folder).glob("store/*/metrics.jsonl")).read_text().splitlines()
    rss = [line["rss_mib"] for line in map(json.loads, metrics) if line["kind"] == "epoch"]
    return ["", "Resident memory at the end of each epoch of a stage over 1,000 volumes (16 × 32 × 32): "
            + ", ".join(f"{value:.0f}" for value in rss) + " MiB."]


def replace(document, name, lines):
    begin, end = f"<!-- {name}: measured -->", f"<!-- {name}: end -->"
    head, rest = document.split(begin)
    return head + begin + "\n" + "\n".join(lines) + "\n\n" + end + rest.split(end, 1)[1]


def main():
    build, names = pathlib.Path(sys.argv[1]).resolve(), sys.argv[2:]
    all_of_them = {f.__name__: f for f in (swav, loader, multicrop, cubes, cache, startup, overhead, plan, memory)}
    names = [one for name in names or all_of_them for one in (DATA_PARTS if name == "data" else (name,))]
    unknown = [name for name in names if name not in all_of_them]
    if unknown:
        raise SystemExit(f"no benchmark is called {shlex.join(unknown)}; known: {', '.join(all_of_them)}, data")
    file = ROOT / "docs/benchmarks.md"
    for name in names:
        if name in ("swav", *DATA_PARTS) and not PEERS:
            print(f"{name}: not run, IVORY_PEERS does not name the folder of the peers' programs", file=sys.stderr)
            continue
        print(f"{name} …", file=sys.stderr)
        lines = ["", f"Measured: {machine()}."] + all_of_them[name](build)
        file.write_text(replace(file.read_text(), name, lines))
        print("\n".join(lines))


main()
