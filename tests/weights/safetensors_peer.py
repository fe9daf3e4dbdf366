"""write FILE: a file of every dtype by the safetensors package.  read FILE: what it finds in one, as JSON."""
import json
import sys

import numpy as np
from safetensors import deserialize, safe_open
from safetensors.numpy import save_file

ELEMENT_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "U16": 2,
                 "U32": 4, "U64": 8, "BOOL": 1, "C64": 8, "F8_E4M3": 1, "F8_E5M2": 1}


def write(path):
    arrays = {str(np.dtype(t)): np.arange(6).reshape(2, 3).astype(t) for t in
              ("f8", "f4", "f2", "i8", "i4", "i2", "i1", "u1", "u2", "u4", "u8", "?")}
    arrays["scalar"] = np.array(2.5)
    arrays["empty"] = np.zeros((0, 3), "f4")
    save_file(arrays, path, metadata={"format": "np", "author": "Größe"})


def read(path):
    with open(path, "rb") as file:
        content = dict(deserialize(file.read()))
    with safe_open(path, "np") as file:
        metadata = file.metadata()
    tensors = {}
    for name, entry in content.items():
        assert len(entry["data"]) == int(np.prod(entry["shape"])) * ELEMENT_BYTES[entry["dtype"]]
        tensors[name] = {"dtype": entry["dtype"], "shape": entry["shape"], "data": bytes(entry["data"]).hex()}
    print(json.dumps({"metadata": metadata, "tensors": tensors}))


{"write": write, "read": read}[sys.argv[1]](sys.argv[2])
