"""A second opinion: every DICOM, NIfTI and picture test file that pydicom, nibabel and Pillow bring, read by Ivory and by
them. Voxels, geometry and refusals are compared. Differences are listed in second_opinion.json, each with a reason: a new
one fails, and so does one that is gone.

usage: second_opinion.py IVORY [--write]     --write: docs/log/second_opinion.md, of what was found
"""
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from collections import Counter
from pathlib import Path

import h5py
import hdf5plugin  # noqa: F401  (registers the filters)
import nibabel
import numpy as np
import PIL
import pydicom

from other_readers import NoOpinion, Refused, read_dicom, read_nifti, read_picture

HERE = Path(__file__).resolve().parent
LOG = HERE.parents[1] / "docs" / "log" / "second_opinion.md"
KINDS = {"voxels": "other values", "shape": "another size", "geometry": "another place",
         "ivory refuses": "read by the other alone", "other refuses": "read by Ivory alone"}


def pillow_pictures():
    """The pictures of Pillow's source package, which is fetched once."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ivory" / "second-opinion"
    folder = cache / f"pillow-{PIL.__version__}" / "Tests" / "images"
    if not folder.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary=pillow",
                        f"pillow=={PIL.__version__}", "--dest", str(cache)], check=False)
        for archive in cache.glob(f"[Pp]illow-{PIL.__version__}.tar.gz"):
            with tarfile.open(archive) as packed:
                wanted = [member for member in packed if "/Tests/images/" in member.name]
                packed.extractall(cache, wanted, filter="data")
        for unpacked in cache.glob(f"[Pp]illow-{PIL.__version__}"):
            if unpacked.is_dir() and unpacked.name != f"pillow-{PIL.__version__}":
                unpacked.rename(cache / f"pillow-{PIL.__version__}")
    return folder


def files():
    """name → (path, reader)."""
    found = {}
    dicom = Path(pydicom.__file__).parent / "data" / "test_files"
    for path in sorted(dicom.rglob("*")):
        if path.is_file() and path.suffix not in (".py", ".pyc", ".json", ".txt", ".md", ".xml", ".zip"):
            found[f"pydicom/{path.relative_to(dicom)}"] = (path, read_dicom)
    nifti = Path(nibabel.__file__).parent / "tests" / "data"
    for path in sorted(nifti.iterdir()):
        if path.name.endswith((".nii", ".nii.gz", ".hdr")):
            found[f"nibabel/{path.name}"] = (path, read_nifti)
    pictures = pillow_pictures()
    for path in sorted(pictures.rglob("*")) if pictures.is_dir() else []:
        if path.suffix.lower() in (".png", ".jpg", ".jpeg", ".tif", ".tiff"):
            found[f"pillow/{path.relative_to(pictures)}"] = (path, read_picture)
    return found


def channel_of(path):
    """NIfTI files of four dimensions are read channel by channel: the first is compared."""
    try:
        return len(nibabel.load(path).shape) > 3
    except Exception:  # noqa: BLE001
        return False


def read_with_ivory(ivory, found, folder):
    """name → (array, affine) or the reason of a refusal."""
    lines = ['[data.d]', 'layout = "list"', 'cache = "cache"', "volumes = ["]
    by_number = {}
    for i, (name, (path, reader)) in enumerate(found.items()):
        by_number[f"f{i:04}"] = name
        channel = ", channel = 0" if reader is read_nifti and channel_of(path) else ""
        lines.append(f"  {{ name = \"f{i:04}\", image = {json.dumps(str(path))}{channel} }},")
    (folder / "exp.toml").write_text("\n".join(lines + ["]"]) + "\n")
    done = subprocess.run([ivory, "cache", "build", "exp.toml"], cwd=folder, capture_output=True, text=True)
    if done.returncode not in (0, 3):
        raise SystemExit(f"FAILED: ivory cache build ended with {done.returncode}\n{done.stderr[-2000:]}")
    for foreign in ("0x", "itk::", "gdcm::", "libpng", "TIFFRead"):
        if foreign in done.stderr:
            raise SystemExit(f"FAILED: a library's message was passed on: {foreign}")
    read = {}
    manifest = json.loads((folder / "cache" / "manifest.json").read_text())
    for shard in dict.fromkeys(entry["shard"] for entry in manifest["cache"]["volumes"]):
        with h5py.File(folder / "cache" / shard) as file:
            for volume in file["volumes"].values():
                name = volume.attrs["name"]
                name = name.decode() if isinstance(name, bytes) else name
                affine = np.eye(4)
                directions = np.array(volume.attrs["direction"]).reshape(3, 3)
                for axis in range(3):  # slices, rows, columns
                    affine[:3, 2 - axis] = directions[:, axis] * volume.attrs["spacing"][axis]
                affine[:3, 3] = volume.attrs["origin"]
                read[by_number[name]] = volume["image"][:], affine
    skipped = json.loads((folder / "cache" / ".sources.json").read_text())["skipped"]
    reasons = {one["file"]: one["reason"] for one in skipped}
    for name, (path, _) in found.items():
        read.setdefault(name, reasons.get(str(path), "no reason given"))
    return read


def compare(ours, path, reader):
    """("same" or a kind of difference, detail)."""
    try:
        theirs, affine, is_volume = reader(path)
    except NoOpinion as error:
        return "no opinion", str(error)
    except Refused as error:
        return ("both refuse", "") if isinstance(ours, str) else ("other refuses", str(error))
    if isinstance(ours, str):
        return "ivory refuses", ours.replace(str(path), path.name)
    values, place = ours
    if values.shape != theirs.shape:
        return "shape", f"{values.shape} and {theirs.shape}"
    theirs = theirs.astype(np.float64)
    values = values.astype(np.float64)
    if reader is read_picture and theirs.max() <= 255 < values.max():
        values = np.round(values / 257)  # Pillow keeps 8 bits of 16 in colours
    far = np.abs(values - theirs).max()
    near = 1 if reader is read_picture else 1e-6 * max(1.0, np.abs(theirs).max())
    if far > near:
        return "voxels", f"by {far:g} at most, {np.mean(np.abs(values - theirs) > near):.2%} of them"
    if affine is not None and is_volume and np.abs(affine - place).max() > 1e-3:
        return "geometry", f"by {np.abs(affine - place).max():g} at most"
    return "same", ""


def written(counts, found, known):
    """The log."""
    lines = ["# A second opinion", "",
             f"`ctest -R second_opinion`: the test files of pydicom {pydicom.__version__}, nibabel "
             f"{nibabel.__version__} and Pillow {PIL.__version__}, read by Ivory and by them. Values may differ by "
             "rounding (pictures: by 1).", "",
             "| files of | same | both refuse | no decoder there | " + " | ".join(KINDS.values()) + " |",
             "|---|---|---|---|" + "---|" * len(KINDS)]
    for package in ("pydicom", "nibabel", "pillow"):
        row = [counts[package, kind] for kind in ("same", "both refuse", "no opinion", *KINDS)]
        lines.append(f"| {package} | " + " | ".join(map(str, row)) + " |")
    lines += ["", "| difference | files | reason |", "|---|---|---|"]
    for group in known:
        here = [name for name in group["files"] if name in found]
        shown = ", ".join(f"`{name}`" for name in here[:4]) + (f" and {len(here) - 4} more" if len(here) > 4 else "")
        if here:
            lines.append(f"| {KINDS[group['kind']]} | {shown} | {group['why']} |")
    LOG.write_text("\n".join(lines) + "\n")


def main():
    found = files()
    known = json.loads((HERE / "second_opinion.json").read_text())
    expected = {name: group["kind"] for group in known for name in group["files"]}
    counts, news = Counter(), []
    with tempfile.TemporaryDirectory() as folder:
        ours = read_with_ivory(str(Path(sys.argv[1]).resolve()), found, Path(folder))
        for name, (path, reader) in found.items():
            kind, detail = compare(ours[name], path, reader)
            counts[name.split("/")[0], kind] += 1
            is_known = kind if kind in KINDS else ""
            if is_known != expected.get(name, ""):
                news.append(f"{name}: {kind}{', ' + detail if detail else ''}; listed: {expected.get(name, 'nothing')}")
    print("\n".join(news))
    for (package, kind), count in sorted(counts.items()):
        print(f"{package:8} {kind:14} {count}")
    if not any(name.startswith("pillow/") for name in found):
        print("Pillow's source package could not be fetched: no pictures were compared")
    if "--write" in sys.argv:
        written(counts, found, known)
    return 1 if news else 0


if __name__ == "__main__":
    sys.exit(main())
