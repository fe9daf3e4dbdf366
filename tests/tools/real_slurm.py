#!/usr/bin/env python3
"""real_slurm.py BUILD: run-experiment under a Slurm of this machine alone, which is started for it (as root, with Debian's
slurm-wlm and munge; exit code 77 without them) and stopped at the end: array jobs that depend on each other, a part whose
time ends, one that is preempted, one that crashes, a job that is killed as a whole, and a stage of two processes of srun that
is stopped and goes on. What was preempted, or killed and submitted again, ends with the table of an undisturbed run."""
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

EXPERIMENT = (pathlib.Path(__file__).parent.parent / "support" / "crashing.toml").read_text()

SLURM = """ClusterName=tiny
SlurmctldHost=HOST(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=ROOT/munge.socket,cred_expire=10
CryptoType=crypto/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=2,bf_interval=2
ReturnToService=2
JobRequeue=1
SlurmctldPidFile=ROOT/slurmctld.pid
SlurmdPidFile=ROOT/slurmd.pid
SlurmdSpoolDir=ROOT/spool
StateSaveLocation=ROOT/state
SlurmctldLogFile=ROOT/slurmctld.log
SlurmdLogFile=ROOT/slurmd.log
SlurmctldPort=PORT1
SlurmdPort=PORT2
NodeName=HOST NodeAddr=127.0.0.1 CPUs=2 State=UNKNOWN
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
PartitionName=main Nodes=HOST Default=YES MaxTime=INFINITE State=UP PriorityTier=1
PartitionName=urgent Nodes=HOST MaxTime=INFINITE State=UP PriorityTier=2
"""


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


class Cluster:
    """munged, slurmctld and slurmd, with all their files in one folder."""

    def __init__(self, root):
        self.root = root

    def start(self):
        root = self.root
        host = socket.gethostname().split(".")[0]
        (root / "spool").mkdir()
        (root / "state").mkdir()
        root.chmod(0o755)
        key = root / "key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        text = SLURM.replace("ROOT", str(root)).replace("HOST", host)
        for name, port in zip(("PORT1", "PORT2"), free_ports(2)):
            text = text.replace(name, str(port))
        (root / "slurm.conf").write_text(text)
        os.environ["SLURM_CONF"] = str(root / "slurm.conf")
        subprocess.run(["munged", "--force", f"--socket={root}/munge.socket", f"--key-file={key}",
                        f"--pid-file={root}/munged.pid", f"--log-file={root}/munged.log", f"--seed-file={root}/seed"],
                       check=True)
        subprocess.run(["slurmctld", "-c"], check=True)
        subprocess.run(["slurmd", "-N", host], check=True)
        wait_until(lambda: "idle" in output("sinfo", "--noheader"), "the node is idle")

    def stop(self):
        for name in ("slurmd", "slurmctld", "munged"):
            try:
                pid = int((self.root / f"{name}.pid").read_text())
                os.kill(pid, signal.SIGTERM)
            except (OSError, ValueError):
                continue
            wait_until(lambda: not alive(pid), f"{name} has ended")


def alive(pid):
    try:
        return ") Z" not in pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def output(*command):
    """Raises CalledProcessError where the command fails: nothing printed is an answer only of one that did not."""
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def wait_until(holds, what, seconds=400):
    deadline = time.monotonic() + seconds
    while not answered(holds):
        if time.monotonic() > deadline:
            queue = subprocess.run(["squeue"], capture_output=True, text=True)
            raise SystemExit(f"after {seconds} s it is not so that {what}\n{queue.stdout}{queue.stderr}")
        time.sleep(0.2)


def answered(holds):
    """False also while Slurm, under load or just begun, does not answer."""
    try:
        return holds()
    except subprocess.CalledProcessError:
        return False


def expect(text, part):
    if part not in text:
        raise SystemExit(f"expected\n{part}\nin\n{text}")


class Run:
    """One experiment with its own results."""

    def __init__(self, build, root, name, *options):
        self.output = root / name
        self.words = [f"{build}/bin/run-experiment", str(root / "tiny.toml"), "--output", str(self.output), *options]

    def __call__(self, *more):
        done = subprocess.run([*self.words, *more], capture_output=True, text=True)
        return done.stdout + done.stderr

    def submit(self):
        """The ids of its jobs."""
        said = self("--launcher", "slurm")
        expect(said, "Jobs: ")
        return said.split("Jobs: ")[1].split(" (")[0].split()

    def trains(self):
        return any('"step",' in file.read_text() for file in self.output.glob("store/stage-*/metrics.jsonl"))

    def status(self):
        return self("--status")

    def kill_with_its_script(self):
        """As the kernel does where a job's memory is up; scancel would let it save."""
        [lock] = self.output.glob("store/stage-*/.lock")
        pid = int(lock.read_text().split("\n")[0])
        script = int(pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
        for one in (script, pid):
            os.kill(one, signal.SIGKILL)


def over(jobs):
    """Of all jobs, since squeue fails when it is asked for one that Slurm has forgotten; %F: the array's id."""
    return lambda: not set(jobs) & set(output("squeue", "--noheader", "--format=%F").split())


def ends(name):
    return ["--set", f'stage.slices.objectives=[{{name="crashing", end="{name}"}}]']


LONG = ["--set", "stage.slices.steps=1000000"]
MIDDLE = ["--set", "stage.slices.steps=500"]  # long enough to be disturbed in


def cells_of(run):
    table = json.loads((run.output / "tiny" / "table.json").read_text())
    assert all(cell["repetitions"] for cell in table["cells"]), table
    return table["cells"]


def undisturbed_cells(build, root):
    run = Run(build, root, "plain", *MIDDLE)
    if not run.output.exists():
        run()
    return cells_of(run)


def an_undisturbed_one_ends_with_its_table(build, root):
    run = Run(build, root, "undisturbed", "--set", "experiment.trials=2")
    wait_until(over(run.submit()), "all jobs have ended")
    expect(run.status(), "tiny: done 3\n")
    table = json.loads((run.output / "tiny" / "table.json").read_text())
    assert len(table["cells"][0]["repetitions"]) == 2, table


def a_part_whose_time_ends_saves_and_is_queued_again(build, root):
    run = Run(build, root, "out-of-time", *LONG)
    jobs = run.submit()
    wait_until(run.trains, "the stage trains")
    expect(run.status(), f", Slurm job {jobs[0]}_0)")
    # What --signal=B:USR1@120 does two minutes before the time limit.
    subprocess.run(["scancel", "--batch", "--signal=USR1", f"{jobs[0]}_0"], check=True)
    wait_until(lambda: "Restarts=1" in output("scontrol", "show", "job", f"{jobs[0]}_0"), "the job is queued again")
    wait_until(lambda: "interrupted 1" in run.status(), "the part has saved")
    expect(run.status(), " of 1000000: it goes on from there\n  To continue, where Slurm has not queued it again: ")
    subprocess.run(["scancel", *jobs], check=True)


def a_preempted_part_saves_and_goes_on_afterwards(build, root):
    run = Run(build, root, "preempted", *MIDDLE)
    jobs = run.submit()
    part = f"{jobs[0]}_0"
    wait_until(run.trains, "the stage trains")
    urgent = output("sbatch", "--parsable", "--partition=urgent", "--exclusive", "--output=/dev/null", "--wrap=sleep 5").strip()
    wait_until(lambda: "JobState=PENDING" in output("scontrol", "show", "job", part), "the part's job is queued again")
    wait_until(lambda: "interrupted 1" in run.status(), "the part has saved")
    expect(run.status(), " of 500: it goes on from there\n")
    again = run("--launcher", "slurm")
    expect(again, f"tiny: 0 parts submitted to Slurm\n[ivory] 2 parts are left to the jobs that have them: {jobs[0]} {jobs[1]}\n")
    subprocess.run(["scancel", again.split("Jobs: ")[1].split(" (")[0]], check=True)  # one job that collects is enough
    wait_until(over([urgent]), "what came first has ended")
    log = run.output / "tiny" / "slurm" / "1" / "0-0-0.out"
    expect(log.read_text(), "stage slices: stopped at step ")
    wait_until(lambda: "stage slices: goes on from step " in log.read_text(), "the part goes on")
    wait_until(over(jobs), "the part, what needs it and the collecting job have ended")
    expect(run.status(), "tiny: done 2\n")
    assert cells_of(run) == undisturbed_cells(build, root), run.status()


def a_crash_and_a_killed_job_are_told(build, root):
    crashed = Run(build, root, "crashed", *ends("segv"))
    wait_until(over(crashed.submit()), "all jobs have ended")
    expect(crashed.status(), "tiny: failed 1, to do 1\n  stage slices: failed: crashed with SIGSEGV (Segmentation fault)\n")
    killed = Run(build, root, "killed", *MIDDLE)
    jobs = killed.submit()
    wait_until(killed.trains, "the stage trains")
    killed.kill_with_its_script()
    wait_until(over(jobs), "all jobs have ended")
    expect(killed.status(), f"stage slices: failed: killed with its Slurm job {jobs[0]}_0 (")
    assert list(killed.output.glob("store/stage-*/failed.json")), "the collecting job wrote it down"
    wait_until(over(killed.submit()), "what was submitted again has ended")
    expect(killed.status(), "tiny: done 2\n")
    assert cells_of(killed) == undisturbed_cells(build, root), killed.status()


def a_stage_of_two_processes_saves_and_goes_on(build, root):
    run = Run(build, root, "joined", *MIDDLE)
    script, log = root / "joined.sh", root / "joined.out"
    words = " ".join(f"'{word}'" for word in run.words)
    script.write_text(f"#!/bin/bash\nsrun {words}\ncode=$?\necho \"srun ended with $code\"\n"
                      "if ((code == 75)); then scontrol requeue \"$SLURM_JOB_ID\"; fi\nexit \"$code\"\n")
    job = output("sbatch", "--parsable", "--requeue", "--ntasks=2", f"--output={log}", "--open-mode=append",
                 str(script)).strip()
    wait_until(run.trains, "the stage trains")
    subprocess.run(["scancel", "--signal=USR1", job], check=True)  # what --signal=USR1@180 does before the time limit
    wait_until(lambda: "Restarts=1" in output("scontrol", "show", "job", job), "the job is queued again")
    wait_until(over([job]), "it has gone on and ended")
    for words in ("in 2 processes", "srun ended with 75", "stage slices: goes on from step ", "srun ended with 0"):
        expect(log.read_text(), words)
    expect(run.status(), "tiny: done 2\n")
    cells_of(run)


def main():
    missing = [name for name in ("munged", "slurmctld", "slurmd", "sbatch", "srun") if not shutil.which(name)]
    if missing or os.geteuid() != 0:
        print(f"skipped: it needs root and Debian's slurm-wlm and munge; missing: {' '.join(missing) or 'root'}")
        sys.exit(77)
    build = pathlib.Path(sys.argv[1]).absolute()
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        (root / "tiny.toml").write_text(EXPERIMENT.replace("PLUGINS", f"{build}/lib/test_plugins"))
        os.environ["IVORY_CACHE"] = str(root / "caches")
        (root / "cluster").mkdir()
        cluster = Cluster(root / "cluster")
        try:
            try:
                cluster.start()
            except (OSError, subprocess.CalledProcessError, SystemExit) as failure:  # daemons that may not run here
                for log in cluster.root.glob("*.log"):
                    print(log.name, log.read_text(errors="replace")[-2000:], sep="\n")
                print(f"skipped: this machine lets no Slurm begin: {failure}")
                sys.exit(77)
            for test in (an_undisturbed_one_ends_with_its_table, a_part_whose_time_ends_saves_and_is_queued_again,
                         a_preempted_part_saves_and_goes_on_afterwards, a_crash_and_a_killed_job_are_told,
                         a_stage_of_two_processes_saves_and_goes_on):
                begin = time.monotonic()
                test(build, root)
                print(f"ok: {test.__name__} ({time.monotonic() - begin:.0f} s)", flush=True)
        finally:
            subprocess.run(["scancel", "--user=root"])
            cluster.stop()


main()
