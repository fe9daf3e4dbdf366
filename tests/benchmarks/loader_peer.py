"""Peer of loader_benchmark: the peers' slice_loader.py under a PyTorch DataLoader with worker processes.

  python loader_peer.py --format h5_gzip4 --dir DATA --workers 2 --lockstep

Run it in the folder of the peers' programs; options are slice_loader.py's. A timed call begins when what the workers had
made ahead is used up, so that it takes as long as making its batches does, and its processor time is that of the
workers too.
"""
import json
import multiprocessing
import os
import runpy
import statistics
import sys
import time

sys.path.insert(0, os.getcwd())
import common  # noqa: E402

TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds():
    """Of this process and its workers."""
    total = time.process_time()
    for child in multiprocessing.active_children():
        with open(f"/proc/{child.pid}/stat") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        total += (int(fields[11]) + int(fields[12])) / TICKS
    return total


def timed(call):
    begin, cpu = time.perf_counter(), cpu_seconds()
    call()
    return (time.perf_counter() - begin) * 1e3, (cpu_seconds() - cpu) * 1e3


def bench(name, peer, config, call, items, args, bytes_per_call=0, **about):
    """In the place of common.bench."""
    made_ahead = 2 * args.workers  # DataLoader's prefetch_factor
    settle = lambda: [call() for _ in range(-(-made_ahead // args.batches))]  # noqa: E731
    for _ in range(args.warmup):
        call()
    base = dict(bench=name, peer=peer, config=config, threads=args.threads, items=items, **about)
    rows = []
    if args.lockstep:
        print("READY " + json.dumps(base), flush=True)
        for line in sys.stdin:
            if line.strip() == "quit":
                break
            settle()
            ms, cpu = timed(call)
            print(json.dumps(dict(ms=ms, cpu_ms=cpu, items=items)), flush=True)
    else:
        for _ in range(args.repeats):
            settle()
            rows.append(timed(call))
        base.update(ms_min=min(row[0] for row in rows), ms_med=statistics.median(row[0] for row in rows),
                    cpu_ms_min=min(row[1] for row in rows))
    print("RESULT " + json.dumps(dict(base, rss_mib=round(common.peak_rss_mib()))), flush=True)


common.bench = bench
runpy.run_path("slice_loader.py", run_name="__main__")
