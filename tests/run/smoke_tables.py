"""Smoke runs of Tables 3, 4 and 6 with common results: every cell is measured, every shared stage trained once. Then of
Table 5, Figure 7, an ablation of stages and one that sweeps over models, in the same store; with --all of every ablation,
of which otherwise the plans are made.

usage: smoke_tables.py RUN_EXPERIMENT [--all]
"""
import csv
import json
import math
import os
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2]
TABLES = ["table3", "table4", "table6"]
ABLATIONS = sorted(file.stem for file in (SOURCE / "experiments").glob("ablation_*.toml"))
OTHERS = ["table5", "figure7", "ablation_masks", "ablation_levels"]
NO_TASK_YET = {"table5", "figure7"}
STAGES = {"swav-slices", "swav-masked", "swav-volumes", "dc-slices", "dc-masked", "dc-volumes"} | {
    "masked-last", "volumes-last", "volumes-unmasked"}  # of Table 6 alone
MARK = "SMOKE RUN, no result"


def check(condition, message):
    if not condition:
        raise SystemExit(f"FAILED: {message}")


def runnable_cells(name):
    """(row, column) of every cell that a task measures."""
    experiment = tomllib.loads((SOURCE / "experiments" / f"{name}.toml").read_text())
    tasks_of_file = experiment.get("task", [])
    begins_from = {task["name"]: task["from"] for task in tasks_of_file}
    table = experiment.get("table", {})  # else a row for everything that a task begins from, and a column for each task
    columns = [{"label": task["name"], "task": task["name"]} for task in tasks_of_file]
    rows = [{"label": start, "from": start} for task in tasks_of_file for start in task["from"]]
    cells = set()
    for row in table.get("rows", rows):
        for column in table.get("columns", columns):
            tasks = column.get("task", [])
            tasks = [tasks] if isinstance(tasks, str) else tasks
            if any(row.get("from") in begins_from[task] for task in tasks):
                cells.add((row["label"], column["label"]))
    return cells


def check_table(folder, name):
    table = json.loads((folder / "table.json").read_text())
    measured = set()
    for cell in table["cells"]:
        if not cell["repetitions"]:
            continue
        measured.add((cell["row"], cell["column"]))
        for score in cell["repetitions"]:
            check(math.isfinite(score) and 0 <= score <= 1, f"{name}: {cell['row']}, {cell['column']}: {score}")
        check("reason" not in cell, f"{name}: {cell['row']}, {cell['column']}: {cell.get('reason')}")
    wanted = runnable_cells(name)
    check(bool(wanted) != (name in NO_TASK_YET), f"{name} has {len(wanted)} cells that can run")
    check(measured == wanted, f"{name}: not measured: {wanted - measured}; measured besides: {measured - wanted}")
    check(table["smoke"] is True, f"{name}: table.json is not marked")
    for file in ["table.md", "table.tex", "report.html"]:
        check(MARK in (folder / file).read_text(), f"{name}: {file} does not say {MARK}")
    kinds = {line["kind"] for line in csv.DictReader((folder / "table.csv").open())}
    check(kinds == {"smoke"}, f"{name}: table.csv has lines of {kinds}")


def check_stages(store):
    trained = []
    for folder in store.glob("*stage-*"):
        record = json.loads((folder / "done.json").read_text())
        check(folder.name.startswith("smoke-") and record["smoke"] is True, f"{folder.name} is not marked")
        trained.append(record["label"].removeprefix("stage "))
    check(sorted(trained) == sorted(STAGES), f"trained stages: {sorted(trained)}, expected: {sorted(STAGES)}")


def said_of(scratch, names, *options):
    files = [str(SOURCE / "experiments" / f"{name}.toml") for name in names]
    environment = os.environ | {"HOME": scratch, "IVORY_CACHE": str(Path(scratch) / "caches"), "OMP_NUM_THREADS": "1"}
    answer = subprocess.run([sys.argv[1], "--smoke", *files, "--output", f"{scratch}/runs", *options], env=environment,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    check(answer.returncode == 0, f"exit code {answer.returncode}\n{answer.stdout[-4000:]}")
    return answer.stdout


def run(scratch, names, *options):
    """The folders of their runs: of a sweep one for each point."""
    said, output = said_of(scratch, names, *options), Path(scratch) / "runs"
    folders = [(name, table.parent) for name in names for table in (output / f"{name}-smoke").rglob("table.json")
               if "nodes" not in table.parts]
    check({name for name, folder in folders} == set(names), f"tables of {folders}")
    check(said.count(MARK) == len(folders), f"{MARK} is printed {said.count(MARK)} times")
    return folders


def main():
    with tempfile.TemporaryDirectory() as scratch:
        folders = run(scratch, TABLES)
        check_stages(Path(scratch) / "runs" / "store")
        others = OTHERS[:2] + ABLATIONS if "--all" in sys.argv else OTHERS
        folders += run(scratch, others, "--set", "experiment.trials=1")
        for name, folder in folders:
            check_table(folder, name)
        check("together: " in said_of(scratch, ABLATIONS, "--dry-run"), "the ablations have no plan")
    print(f"ok: {len(STAGES)} stages of {TABLES}, {len(folders)} tables, "
          f"{sum(len(runnable_cells(name)) for name, folder in folders)} cells")


if __name__ == "__main__":
    main()
