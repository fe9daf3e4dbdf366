"""Lets Python import the wheel's torch on a machine without CUDA's libraries.

torch's Python part loads all of CUDA, which LibTorch on a CPU does without. Where a library is missing, an empty one of its
name stands in: functions are bound when they are first called, which on a CPU none of them is.
"""
import atexit
import importlib.util
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

FOLDER = "IVORY_STAND_INS"


def needed(library):
    text = subprocess.run(["readelf", "-d", library], capture_output=True, text=True, check=True).stdout
    return re.findall(r"NEEDED.*\[(lib(?:cu|nccl|nv)[^]]*)\]", text)


def missing():
    torch = pathlib.Path(importlib.util.find_spec("torch").submodule_search_locations[0])
    wanted = {name for library in (torch / "lib").glob("*.so") for name in needed(library)}
    there = {file.name for file in (torch.parent / "nvidia").rglob("*.so*")} | {f.name for f in (torch / "lib").iterdir()}
    cache = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True).stdout
    return sorted(name for name in wanted - there if f"\t{name} " not in cache)


def prepare():
    """Call it before torch is imported; it may start the program anew, with LD_LIBRARY_PATH set."""
    if FOLDER in os.environ:
        atexit.register(shutil.rmtree, os.environ[FOLDER], ignore_errors=True)
        sys.setdlopenflags(os.RTLD_LAZY)
        return
    names = missing()
    if not names:
        return
    folder = tempfile.mkdtemp(prefix="ivory-stand-ins-")
    for name in names:
        subprocess.run(["clang++-19", "-shared", "-x", "c++", "/dev/null", f"-Wl,-soname,{name}", "-o", f"{folder}/{name}"],
                       check=True)
    os.environ[FOLDER] = folder
    os.environ["LD_LIBRARY_PATH"] = ":".join(filter(None, [folder, os.environ.get("LD_LIBRARY_PATH")]))
    os.execv(sys.executable, [sys.executable, *sys.argv])
