"""Peer of cache_benchmark: volumes (.nii.gz) to one HDF5 file each, one slice a chunk, with nibabel and h5py.

  python cache_peer.py --volumes FOLDER --cache FOLDER --filter gzip4 [--lockstep]

Run it in the folder of the peers' programs (their common.py times it). Array order and orientation are Ivory's (slices,
rows, columns; left, posterior, superior). Nothing is hashed, read back or flushed to disk, as Ivory's build does.
"""
import glob
import os
import shutil
import sys

sys.path.insert(0, os.getcwd())
import common  # noqa: E402
import h5py  # noqa: E402
import hdf5plugin  # noqa: E402
import nibabel  # noqa: E402
import numpy as np  # noqa: E402

FILTERS = {
    "gzip4": dict(compression="gzip", compression_opts=4, shuffle=True),
    "blosc_lz4": hdf5plugin.Blosc(cname="lz4", clevel=5, shuffle=hdf5plugin.Blosc.BITSHUFFLE),
    "bitshuffle": hdf5plugin.Bitshuffle(cname="lz4"),
}


def lps(image):
    """[slices, rows, columns]"""
    wanted = nibabel.orientations.axcodes2ornt("LPS")
    turn = nibabel.orientations.ornt_transform(nibabel.io_orientation(image.affine), wanted)
    pixels = nibabel.apply_orientation(np.asarray(image.dataobj), turn)
    return np.ascontiguousarray(pixels.transpose(2, 1, 0)), image.header.get_zooms()


def build(args, files):
    shutil.rmtree(args.cache, ignore_errors=True)
    os.makedirs(args.cache)
    for file in files:
        pixels, spacing = lps(nibabel.load(file))
        name = os.path.basename(file).removesuffix(".nii.gz")
        with h5py.File(f"{args.cache}/{name}.h5", "w") as out:
            data = out.create_dataset("image", data=pixels, chunks=(1, *pixels.shape[1:]), **FILTERS[args.filter])
            data.attrs["spacing"] = spacing


def main():
    parser = common.parser(__doc__)
    parser.add_argument("--volumes", required=True)
    parser.add_argument("--cache", default="cache-peer")
    parser.add_argument("--filter", choices=FILTERS, default="gzip4")
    args = parser.parse_args()
    files = sorted(glob.glob(f"{args.volumes}/*.nii.gz"))
    common.bench("cache_build", "nibabel", args.filter, lambda: build(args, files), len(files), args)
    shutil.rmtree(args.cache, ignore_errors=True)


main()
