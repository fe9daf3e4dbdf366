"""What pydicom, nibabel and Pillow say of a file: voxels as Ivory's caches hold them, and where they lie.

Each reader returns (array [slices, rows, columns], affine or None, whether it is a volume) and raises Refused where the
file holds no such thing, or NoOpinion where the reader lacks a decoder.
"""
import warnings

import nibabel
import numpy as np
import pydicom
from nibabel import orientations
from PIL import Image, ImageOps, ImageSequence
from pydicom.pixels import apply_color_lut

Image.MAX_IMAGE_PIXELS = None
warnings.simplefilter("ignore")
WEIGHTS = np.array([0.299, 0.587, 0.114])
TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


class Refused(Exception):
    pass


class NoOpinion(Exception):
    pass


def grey(values):
    mixed = (values[..., :3].astype(np.float64) * WEIGHTS).sum(-1)
    return np.floor(mixed + 0.5).astype(values.dtype) if values.dtype.kind == "u" else mixed


def canonical(array, affine):
    """[x, y, z] with its affine (RAS) → [slices, rows, columns] from inferior, anterior and right, and its affine."""
    axes = orientations.io_orientation(affine)
    turn = orientations.ornt_transform(axes, orientations.axcodes2ornt(("L", "P", "S")))
    turned = orientations.apply_orientation(array, turn)
    return turned.transpose(2, 1, 0), affine @ orientations.inv_ornt_aff(turn, array.shape)


def checked(array):
    """As Ivory's own rules have it."""
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise Refused("NaN or infinity")
    if array.min() == array.max():
        raise Refused("all values are equal")
    return array


def affine_of(origin, first, second, third, spacing):
    affine = np.eye(4)
    for column, (direction, step) in enumerate(zip((first, second, third), spacing)):
        affine[:3, column] = np.asarray(direction) * step
    affine[:3, 3] = origin
    return TO_RAS @ affine


def in_groups(groups, sequence, name):
    for group in groups:
        if sequence in group and len(group[sequence].value) and name in group[sequence].value[0]:
            return group[sequence].value[0][name].value
    return None


def frame_facts(data, count):
    """Of each frame: position, orientation, spacing between rows and columns, slope and intercept."""
    shared = list(data.get("SharedFunctionalGroupsSequence", None) or [])
    frames = list(data.get("PerFrameFunctionalGroupsSequence", None) or [])
    facts = []
    for i in range(count):
        groups = ([frames[i]] if i < len(frames) else []) + shared

        def fact(sequence, name):
            value = in_groups(groups, sequence, name)
            return value if value is not None else data.get(name, None)

        facts.append((fact("PlanePositionSequence", "ImagePositionPatient"),
                      fact("PlaneOrientationSequence", "ImageOrientationPatient"),
                      fact("PixelMeasuresSequence", "PixelSpacing") or data.get("ImagerPixelSpacing", None),
                      fact("PixelValueTransformationSequence", "RescaleSlope"),
                      fact("PixelValueTransformationSequence", "RescaleIntercept")))
    return facts, bool(frames)


def dicom_values(data):
    """[frames, rows, columns] of stored values, colours as grey."""
    try:
        values = data.pixel_array
    except (RuntimeError, NotImplementedError) as error:
        raise NoOpinion(str(error)) from error
    except Exception as error:  # noqa: BLE001  (whatever a damaged file makes it raise)
        raise Refused(str(error)) from error
    if data.get("PhotometricInterpretation") == "PALETTE COLOR":
        values = apply_color_lut(values, data)
    if data.get("SamplesPerPixel", 1) > 1 or data.get("PhotometricInterpretation") == "PALETTE COLOR":
        values = grey(values)
    return values if values.ndim == 3 else values[None]


def read_dicom(path):
    try:
        data = pydicom.dcmread(path, force=True)
        if "Rows" not in data or not any(name in data for name in ("PixelData", "FloatPixelData",
                                                                   "DoubleFloatPixelData")):
            raise Refused("no image")
    except Refused:
        raise
    except Exception as error:  # noqa: BLE001
        raise Refused(str(error)) from error
    values = dicom_values(data)
    facts, placed = frame_facts(data, len(values))
    top = 0 if data.get("PixelRepresentation", 0) else 2 ** data.get("BitsStored", 16) - 1
    top = -1 if data.get("PixelRepresentation", 0) else top
    if data.get("PhotometricInterpretation") == "MONOCHROME1":
        values = top - values.astype(np.int64)
    frames = []
    for frame, (_, _, _, slope, intercept) in zip(values, facts):
        slope, intercept = float(1 if slope is None else slope), float(0 if intercept is None else intercept)
        frames.append(frame if (slope, intercept) == (1, 0) else frame * slope + intercept)
    if len(frames) == 1:
        return checked(np.stack(frames)), None, False
    position, orientation, spacing = facts[0][:3]
    if not placed and (position is None or not data.get("SpacingBetweenSlices", 0)):
        raise Refused("frames without a place")
    across, down = np.array(orientation[:3], float), np.array(orientation[3:], float)
    normal = np.cross(across, down)
    if placed:
        origins = [np.array(one[0], float) for one in facts]
    else:
        origins = [np.array(position, float) + normal * i * float(data.SpacingBetweenSlices)
                   for i in range(len(frames))]
    heights = [float(origin @ normal) for origin in origins]
    order = np.argsort(heights, kind="stable")
    if len({round(height, 3) for height in heights}) < len(heights):
        raise Refused("several frames at one position")
    step = (max(heights) - min(heights)) / (len(heights) - 1)
    array = np.stack([frames[i] for i in order]).transpose(2, 1, 0)
    affine = affine_of(origins[order[0]], across, down, normal, (float(spacing[1]), float(spacing[0]), step))
    array, affine = canonical(array, affine)
    return checked(array), affine, True


def read_nifti(path):
    try:
        image = nibabel.load(path)
        if not isinstance(image, nibabel.Nifti1Image) or isinstance(image, nibabel.Nifti2Image):
            raise Refused("no NIfTI-1")
        values = np.asanyarray(image.dataobj)
    except Refused:
        raise
    except Exception as error:  # noqa: BLE001
        raise Refused(str(error)) from error
    while values.ndim > 3:
        values = values[..., 0]  # as the test asks Ivory for
    if values.ndim < 2 or values.dtype.kind not in "iuf":
        raise Refused("no volume of numbers")
    values = values.reshape(values.shape + (1,) * (3 - values.ndim))
    array, affine = canonical(values, image.affine)
    return checked(array), affine, values.shape[2] > 1


def pixels_of(image):
    mode = image.mode
    if mode in ("RGB", "RGBA", "RGBX", "P", "PA", "YCbCr"):
        return grey(np.asarray(image.convert("RGB")))
    if mode in ("L", "LA", "La"):
        return np.asarray(image.convert("L") if mode != "L" else image)
    if mode == "1":
        return np.asarray(image).astype(np.uint8) * 255
    if mode.startswith("I") or mode == "F":
        return np.asarray(image)
    raise Refused(f"mode {mode}")


def read_picture(path):
    try:
        image = Image.open(path)
        if image.format == "TIFF":
            pages = [pixels_of(ImageOps.exif_transpose(page)) for page in ImageSequence.Iterator(image)]
        else:
            pages = [pixels_of(ImageOps.exif_transpose(image))]
    except Refused:
        raise
    except Exception as error:  # noqa: BLE001
        raise Refused(str(error)) from error
    if len({page.shape for page in pages}) > 1:
        raise Refused("pages of different sizes")
    return checked(np.stack(pages)), None, len(pages) > 1
