"""The numbers that tests/support/golden.h fills tensors with, and the summaries that golden files hold."""
import json
import pathlib
import re

import numpy as np

MASK = np.uint64(0xFFFFFFFF)


def fill(shape, salt, scale=1.0, shift=0.0):
    """Doubles in [shift - scale, shift + scale), from a hash of the element's number and the salt."""
    count = int(np.prod(shape))
    x = (np.arange(1, count + 1, dtype=np.uint64) * np.uint64(2654435761) + np.uint64(salt * 40503)) & MASK
    x ^= x >> np.uint64(16)
    x = (x * np.uint64(2246822519)) & MASK
    x ^= x >> np.uint64(13)
    x = (x * np.uint64(3266489917)) & MASK
    x ^= x >> np.uint64(16)
    return (shift + scale * (x.astype(np.float64) / 2147483648.0 - 1.0)).reshape(shape)


def summary(array, values=8):
    flat = np.ascontiguousarray(array, dtype=np.float64).reshape(-1)
    stride = max(1, flat.size // values)
    return {"shape": list(np.shape(array)), "norm": float(np.linalg.norm(flat)),
            "dot": float(flat @ fill(flat.shape, 999)), "values": flat[::stride][:values].tolist()}


def write(name, content):
    path = pathlib.Path(__file__).with_name(name + ".json")
    one_line = lambda numbers: "[" + " ".join(numbers[1].split()) + "]"
    path.write_text(re.sub(r"\[([^][{}\"]*)\]", one_line, json.dumps(content, indent=1)) + "\n")
    print(path, path.stat().st_size, "bytes")
