"""What independent readers say of the real files in IVORY_DATA/format_samples: scans.json.

Needs numpy, nibabel 5.4 (NIfTI), SimpleITK 2.5 (MetaImage, NRRD), pydicom 3.0 (DICOM; JPEG 2000 through SimpleITK).
Arrays are brought to LPS order [slices, rows, columns] here, by numpy: columns to the patient's left, rows to posterior,
slices to superior. Positions are in the RAS frame.
"""
import glob
import os

import nibabel
import numpy as np
import pydicom
import SimpleITK

from fill import write

ROOT = os.path.join(os.environ["IVORY_DATA"], "format_samples")
FILES = ["mha_elastix_lung_ct/3DCT_lung_baseline.mha", "mhd_raw_hippocampus/hippocampus_001.mhd",
         "nifti_sct_spinalcord_t2/t2/t2.nii.gz", "nifti_sct_spinalcord_t2/t2/t2_seg-manual.nii.gz",
         "nrrd_slicerio_chest_ct/CTChest4.nrrd", "nrrd_slicerio_chest_ct/Segmentation.seg.nrrd",
         "mha_elastix_lung_ct/3DCT_lung_baseline_mask.mha", "dicom_ct_jpeg2000_totalsegmentator",
         "dicom_ct_rtstruct_STS_002/image", "dicom_ct_jpeg2000_totalsegmentator_seg.nii.gz"]
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def nifti(path):
    image = nibabel.load(path)
    return np.asanyarray(image.dataobj), image.affine


def sitk(path):
    image = SimpleITK.ReadImage(path)
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    return SimpleITK.GetArrayFromImage(image).transpose(2, 1, 0), LPS_TO_RAS @ affine


def pixels(file, dataset):
    if dataset.file_meta.TransferSyntaxUID.is_compressed:
        return SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(file))[0].astype(np.float64)  # rescaled already
    return dataset.pixel_array * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)


def dicom(folder):
    slices = []
    for file in glob.glob(folder + "/*"):
        dataset = pydicom.dcmread(file)
        if dataset.Modality != "CT":
            continue
        cosines = np.array(dataset.ImageOrientationPatient, float).reshape(2, 3)
        normal = np.cross(*cosines)
        position = np.array(dataset.ImagePositionPatient, float)
        slices.append((normal @ position, position, cosines, np.array(dataset.PixelSpacing, float), pixels(file, dataset)))
    slices.sort(key=lambda s: s[0])
    affine = np.eye(4)
    _, origin, cosines, spacing, _ = slices[0]
    affine[:3, 0], affine[:3, 1] = cosines[0] * spacing[1], cosines[1] * spacing[0]
    affine[:3, 2] = (slices[-1][1] - origin) / (len(slices) - 1)
    affine[:3, 3] = origin
    return np.stack([s[4] for s in slices]).transpose(2, 1, 0), LPS_TO_RAS @ affine


def lps(array, affine):
    """[x, y, z] with any axes → [slices, rows, columns] and the affine of (column, row, slice)."""
    to = nibabel.orientations.axcodes2ornt("LPS")
    change = nibabel.orientations.ornt_transform(nibabel.orientations.io_orientation(affine), to)
    moved = nibabel.orientations.apply_orientation(array, change)
    affine = affine @ nibabel.orientations.inv_ornt_aff(change, array.shape)
    return moved.transpose(2, 1, 0), affine


def describe(name):
    path = os.path.join(ROOT, name)
    raw = dicom(path) if os.path.isdir(path) else nifti(path) if name.endswith(".nii.gz") else sitk(path)
    array, affine = lps(*raw)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    values = array.astype(np.float64)
    places = [[int(f * (n - 1)) for f, n in zip(fractions, array.shape)]
              for fractions in ((0, 0, 0), (1, 1, 1), (.5, .5, .5), (.3, .6, .45), (.8, .4, .55))]
    return {"file": name, "shape": list(array.shape), "spacing": spacing[::-1].tolist(), "origin": affine[:3, 3].tolist(),
            "direction": (affine[:3, :3] / spacing)[:, ::-1].flatten().tolist(),
            "mean": values.mean(), "deviation": values.std(), "low": values.min(), "high": values.max(),
            "voxels": [{"at": p, "value": float(values[tuple(p)])} for p in places]}


write("scans", {"scans": [describe(name) for name in FILES]})
