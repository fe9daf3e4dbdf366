"""Peers of cube_loader_benchmark: random cubes of 64 x 64 x 32 voxels with their masks, half of them about the target.

  python cube_loader_peer.py --kind memmap --dir DATA --lockstep

memmap: MONAI's RandCropByPosNegLabeld on numpy memory maps of uncompressed volumes (DATA/npy, DATA/label_npy), the
  places of target and background found beforehand. persistent: the same behind MONAI's PersistentDataset.
queue: torchio's Queue with its LabelSampler, of uncompressed NIfTI (DATA/nii, DATA/label_nii).
--prepare writes the masks that are missing: voxels above 250 HU.
Run it in the folder of the peers' programs. Four cubes are taken of a volume at a time; batches of eight.
"""
import atexit
import glob
import os
import shutil
import sys
import tempfile
import warnings

sys.path.insert(0, os.getcwd())
import common  # noqa: E402

warnings.filterwarnings("ignore")
parser = common.parser(__doc__)
parser.add_argument("--kind", default="memmap", choices=["memmap", "persistent", "queue"])
parser.add_argument("--dir", default="data/ct")
parser.add_argument("--batch", type=int, default=8)
parser.add_argument("--batches", type=int, default=1, help="batches per timed call")
parser.add_argument("--count", type=int, default=4, help="cubes of a volume at a time")
parser.add_argument("--prepare", action="store_true", help="write the masks and end")
parser.add_argument("--turn", action="store_true", help="with random flips, rotations and scales")
args = parser.parse_args()
torch = common.set_threads(args.threads)
import numpy as np  # noqa: E402
from torch.utils.data import DataLoader  # noqa: E402

SIZE = (32, 64, 64)


def prepare():
    import nibabel
    for image in glob.glob(f"{args.dir}/npy/*.npy"):
        label = image.replace("/npy/", "/label_npy/")
        nifti = image.replace("/npy/", "/label_nii/").replace(".npy", ".nii")
        if os.path.exists(label) and os.path.exists(nifti):
            continue
        mask = (np.load(image, mmap_mode="r") > 250).astype(np.uint8)
        os.makedirs(os.path.dirname(label), exist_ok=True)
        os.makedirs(os.path.dirname(nifti), exist_ok=True)
        np.save(label, mask)
        nibabel.save(nibabel.Nifti1Image(np.ascontiguousarray(mask.transpose(2, 1, 0)), np.eye(4), dtype=np.uint8), nifti)


def endless(loader):
    while True:
        yield from loader


def monai_batches():
    import monai
    from monai.data import Dataset, PersistentDataset, list_data_collate
    from monai.transforms import (Compose, FgBgToIndicesd, MapTransform, RandAffined, RandCropByPosNegLabeld,
                                  ScaleIntensityRanged, SelectItemsd)

    class LoadNpy(MapTransform):
        mode = "c" if args.kind == "memmap" else None

        def __call__(self, data):
            return {key: np.load(data[key], mmap_mode=self.mode)[None] for key in self.keys}

    monai.data.set_track_meta(False)  # its meta data cost more than the cropping
    keys = ["image", "label"]
    scale = ScaleIntensityRanged("image", a_min=-1000, a_max=1000, b_min=0, b_max=1, clip=True)
    places = dict(fg_indices_key="label_fg_indices", bg_indices_key="label_bg_indices")
    crop = RandCropByPosNegLabeld(keys, label_key="label", spatial_size=SIZE, pos=1, neg=1, num_samples=args.count,
                                  **places)
    turn = [RandAffined(keys, prob=1, rotate_range=[0.17] * 3, scale_range=[0.1] * 3, mode=("bilinear", "nearest"),
                        padding_mode="border")] if args.turn else []
    last = SelectItemsd(keys)
    files = [{"image": image, "label": image.replace("/npy/", "/label_npy/")}
             for image in sorted(glob.glob(f"{args.dir}/npy/*.npy"))]
    load, find = LoadNpy(keys), FgBgToIndicesd("label", fg_postfix="_fg_indices", bg_postfix="_bg_indices")
    if args.kind == "memmap":
        data = Dataset([find(load(file)) for file in files], Compose([crop, scale, *turn, last]))
    else:
        folder = tempfile.mkdtemp(prefix="cube-loader-")
        atexit.register(shutil.rmtree, folder)
        data = PersistentDataset(files, Compose([load, scale, find, crop, *turn, last]), cache_dir=folder)
    return endless(DataLoader(data, batch_size=args.batch // args.count, shuffle=True, collate_fn=list_data_collate))


def queue_batches():
    import torchio as tio
    subjects = [tio.Subject(image=tio.ScalarImage(image), label=tio.LabelMap(image.replace("/nii/", "/label_nii/")))
                for image in sorted(glob.glob(f"{args.dir}/nii/*.nii"))]
    steps = [tio.RescaleIntensity((0, 1), in_min_max=(-1000, 1000))]
    sampler = tio.LabelSampler(SIZE[::-1], label_name="label", label_probabilities={0: 1, 1: 1})
    queue = tio.Queue(tio.SubjectsDataset(subjects, transform=tio.Compose(steps)), max_length=4 * args.count,
                      samples_per_volume=args.count, sampler=sampler, num_workers=0)
    return endless(tio.SubjectsLoader(queue, batch_size=args.batch, num_workers=0))


if args.prepare:
    prepare()
    sys.exit()
batches = queue_batches() if args.kind == "queue" else monai_batches()


def call():
    for _ in range(args.batches):
        batch = next(batches)
    return None if batch is None else 0


common.bench("cube_loader", args.kind, f"{args.batch} cubes of 64x64x32", call, args.batch * args.batches, args)
