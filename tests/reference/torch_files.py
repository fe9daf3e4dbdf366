"""Files of torch.save in the layouts that people publish, and files made to do harm: tests/reference/torch_files/*.

Run by hand with torch 2.11: python tests/reference/torch_files.py
"""
import collections
import io
import os
import pathlib
import struct
import zipfile

import torch

folder = pathlib.Path(__file__).parent / "torch_files"
folder.mkdir(exist_ok=True)


def values(*shape):
    count = 1
    for size in shape:
        count *= size
    return torch.arange(count, dtype=torch.float32).reshape(shape) / 8


def network(prefix=""):
    """conv1, bn1 and layer1.0.conv1 of a tiny residual network."""
    state = collections.OrderedDict()
    state[prefix + "conv1.weight"] = values(4, 3, 3, 3)
    for name in ("weight", "bias", "running_mean", "running_var"):
        state[f"{prefix}bn1.{name}"] = values(4) + 1
    state[prefix + "bn1.num_batches_tracked"] = torch.tensor(7)
    state[prefix + "layer1.0.conv1.weight"] = values(4, 4, 1, 1)
    return state


class Tiny(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = torch.nn.Conv2d(3, 4, 3, bias=False)
        self.bn1 = torch.nn.BatchNorm2d(4)
        self.layer1 = torch.nn.Sequential(torch.nn.Sequential(collections.OrderedDict(
            conv1=torch.nn.Conv2d(4, 4, 1, bias=False))))


def layouts():
    torch.save(network(), folder / "plain.pth")
    torch.save(network(), folder / "protocol4.pth", pickle_protocol=4)
    torch.save(network(), folder / "legacy.pth", _use_new_zipfile_serialization=False)

    tiny = Tiny()
    tiny.load_state_dict(network())
    optimiser = torch.optim.AdamW(tiny.parameters(), lr=0.25)
    sum(p.sum() for p in tiny.parameters()).backward()
    optimiser.step()
    tiny.load_state_dict(network())
    torch.save({"epoch": 12, "arch": "tiny", "state_dict": network("module."), "optimizer": optimiser.state_dict()},
               folder / "checkpoint.pth")
    # segmentation_models_pytorch: a U-Net around the encoder
    unet = network("encoder.")
    unet["decoder.blocks.0.conv1.0.weight"] = values(2, 4, 3, 3)
    unet["segmentation_head.0.weight"] = values(1, 2, 3, 3)
    torch.save(unet, folder / "unet.pth")
    # facebookresearch/swav: DistributedDataParallel over encoder, projection head and prototypes
    swav = network("module.")
    swav["module.projection_head.0.weight"] = values(8, 4)
    swav["module.prototypes.weight"] = values(5, 8)
    torch.save(swav, folder / "swav.pth.tar")
    # VISSL: classy_state_dict → base_model → model → trunk, heads
    model = {"trunk": network("_feature_blocks."), "heads": {"0.prototypes0.weight": values(5, 4)}}
    torch.save({"iteration": 3, "classy_state_dict": {"base_model": {"model": model, "meta": {}}}}, folder / "vissl.torch")
    # A momentum encoder beside the encoder, as MoCo and DINO save it
    twice = network("module.encoder_q.")
    twice.update(network("module.encoder_k."))
    torch.save({"state_dict": twice}, folder / "twice.pth")

    base = values(4, 6)
    torch.save({"bf16": values(3).bfloat16(), "half": values(3).half(), "double": values(3).double(),
                "int": torch.tensor([-1, 2**40]), "bool": torch.tensor([True, False]), "uint16": torch.tensor(
                    [1, 65535], dtype=torch.uint16), "f8": values(4).to(torch.float8_e5m2),
                "transposed": base.t(), "part": base[1:3, 2:5], "again": base, "empty": torch.empty(0, 3),
                "scalar": torch.tensor(1.5), "parameter": torch.nn.Parameter(values(2))}, folder / "kinds.pth")


def zip_with(name, pickle, records=(), **options):
    with zipfile.ZipFile(folder / name, "w", **options) as archive:
        archive.writestr("archive/data.pkl", pickle)
        for record, content in records:
            archive.writestr("archive/" + record, content)
        archive.writestr("archive/version", "3\n")


def tensor_pickle(numel, offset, size, stride):
    """{"w": _rebuild_tensor_v2(storage 0 of `numel` floats, offset, size, stride, …)} by hand."""
    def text(value):
        return b"X" + struct.pack("<I", len(value)) + value

    def integer(value):
        raw = value.to_bytes(8, "little", signed=True)
        return b"\x8a\x08" + raw

    def tuple_of(items):
        return b"(" + b"".join(items) + b"t"

    storage = tuple_of([text(b"storage"), b"ctorch\nFloatStorage\n", text(b"0"), text(b"cpu"), integer(numel)]) + b"Q"
    return (b"\x80\x02}" + text(b"w") + b"ctorch._utils\n_rebuild_tensor_v2\n" +
            tuple_of([storage, integer(offset), tuple_of(map(integer, size)), tuple_of(map(integer, stride)),
                      b"\x89", b"}"]) + b"Rs.")


def harm():
    command = b"touch /tmp/ivory-was-here"
    call = b"\x80\x02cposix\nsystem\n" + b"X" + struct.pack("<I", len(command)) + command + b"\x85R."
    zip_with("os_system.pth", call)
    hidden = b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93\x8c\x011\x85R."
    zip_with("eval.pth", hidden)
    (folder / "plain_pickle.pkl").write_bytes(call)

    four = struct.pack("<4f", 0, 1, 2, 3)
    zip_with("out_of_range.pth", tensor_pickle(4, 1, [2, 2], [2, 1]), [("data/0", four)])
    zip_with("overflow.pth", tensor_pickle(4, 0, [2**40, 2**40], [0, 0]), [("data/0", four)])
    zip_with("empty_overflow.pth", tensor_pickle(4, 0, [0, 2**62, 4], [1, 1, 1]), [("data/0", four)])
    zip_with("negative.pth", tensor_pickle(4, 0, [2, 2], [-1, 1]), [("data/0", four)])
    zip_with("expanded.pth", tensor_pickle(4, 0, [2**33], [0]), [("data/0", four)])
    zip_with("no_storage.pth", tensor_pickle(4, 0, [4], [1]))
    zip_with("bomb.pth", tensor_pickle(1 << 22, 0, [1 << 22], [1]), [("data/0", bytes(1 << 24))],
             compression=zipfile.ZIP_DEFLATED, compresslevel=9)
    zip_with("big_endian.pth", tensor_pickle(4, 0, [4], [1]), [("data/0", four), ("byteorder", "big")])

    # A stored record whose size is 1 TiB by the archive's directory
    content = bytearray((folder / "out_of_range.pth").read_bytes())
    entry = content.find(b"PK\x01\x02", content.find(b"PK\x01\x02") + 1)  # of data/0
    content[entry + 20:entry + 28] = struct.pack("<II", 0xfffffffe, 0xfffffffe)
    (folder / "lying_header.pth").write_bytes(content)

    whole = (folder / "plain.pth").read_bytes()
    (folder / "truncated.pth").write_bytes(whole[:len(whole) // 2])
    legacy = (folder / "legacy.pth").read_bytes()
    (folder / "legacy_truncated.pth").write_bytes(legacy[:-40])

    spoilt = network()
    spoilt["bn1.bias"][2] = float("nan")
    torch.save(spoilt, folder / "nan.pth")
    torch.save({"encoder.blocks.0.weight": values(4, 4)}, folder / "foreign.pth")


layouts()
harm()
assert not os.path.exists("/tmp/ivory-was-here")
