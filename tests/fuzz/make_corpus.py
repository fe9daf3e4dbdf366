"""Inputs that the fuzz targets begin with: tests/fuzz/corpus/{cache,config,dicom,meta_image,nifti,
nrrd,pickle,safetensors,weights}.

Run by hand: python3 tests/fuzz/make_corpus.py (Python's own library is all it needs). What a run of a fuzz target found
is kept beside them as found-* (docs/fuzzing.md); this script does not touch those. The pickles of torch.save come from
tests/reference/torch_files.py.
"""
import bz2
import gzip
import io
import json
import pathlib
import struct
import zipfile

corpus = pathlib.Path(__file__).parent / "corpus"


def write(folder, name, content):
    (corpus / folder).mkdir(parents=True, exist_ok=True)
    (corpus / folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())


# --- safetensors: uint64 length of the header, header, data


def tensors(header, data=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def tensor(dtype, shape, begin, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def safetensors():
    two = {"a": tensor("F32", [2, 1], 0, 8), "b": tensor("I64", [], 8, 16), "__metadata__": {"format": "pt"}}
    write("safetensors", "two", tensors(two, bytes(16)))
    kinds = {"BOOL": 1, "U8": 1, "I8": 1, "I16": 2, "U16": 2, "F16": 2, "BF16": 2, "I32": 4, "U32": 4, "F64": 8, "U64": 8,
             "C64": 8, "F8_E4M3": 1, "F8_E5M2": 1}
    header, at = {}, 0
    for name, width in kinds.items():
        header[name] = tensor(name, [3], at, at + 3 * width)
        at += 3 * width
    write("safetensors", "kinds", tensors(header, b"\x37" * at))
    write("safetensors", "empty", tensors({}))
    write("safetensors", "empty_tensor", tensors({"a": tensor("F32", [0, 3], 0, 0)}))
    write("safetensors", "overlap", tensors({"a": tensor("F32", [2], 0, 8), "b": tensor("F32", [1], 4, 8)}, bytes(8)))
    write("safetensors", "out_of_range", tensors({"a": tensor("F32", [3], 0, 12)}, bytes(8)))
    write("safetensors", "hole", tensors({"a": tensor("F32", [1], 4, 8)}, bytes(8)))
    write("safetensors", "overflow", tensors({"a": tensor("F32", [0, 2**62, 2**62], 0, 0)}))
    write("safetensors", "unknown_dtype", tensors({"a": tensor("F4", [1], 0, 4)}, bytes(4)))
    write("safetensors", "long_header", tensors({}, length=100_000_001))
    write("safetensors", "nested", tensors(b'{"a":' + b"[" * 2000))
    write("safetensors", "twice", tensors(b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},'
                                          b'"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}', b"x"))


# --- pickle and weights: what only a hostile file holds (see torch_files.py for the others)


def archive(records, version=b"3\n", method=zipfile.ZIP_STORED):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        for name, content in records.items():
            file.writestr(zipfile.ZipInfo("archive/" + name), content)
        file.writestr(zipfile.ZipInfo("archive/version"), version, compress_type=method)
    return out.getvalue()


def weights():
    parameter = b"\x80\x02ctorch._utils\n_rebuild_parameter\n)R"
    itself = parameter + b"q\x00h\x00a."  # a parameter of itself
    write("pickle", "parameter_of_itself", itself)
    write("weights", "parameter_of_itself.pth", archive({"data.pkl": itself}))
    many = b"\x80\x02(" + b"N" * 1000 + b"tq\x00cbuiltins\nset\nq\x01" + b"h\x01h\x00R0" * 300 + b"N."
    write("pickle", "arguments_again_and_again", many)
    doubling = b"\x80\x02}q\x000"  # a dictionary twice in another one, twice in another one, …
    for i in range(40):
        doubling += b"}(X\x01\0\0\0ah" + bytes([i]) + b"X\x01\0\0\0bh" + bytes([i]) + b"uq" + bytes([i + 1]) + b"0"
    write("weights", "doubling.pth", archive({"data.pkl": doubling + b"h\x28."}))
    nothing = b"\x80\x02}."
    write("weights", "nothing.pth", archive({"data.pkl": nothing}))
    write("weights", "bomb_version.pth", archive({"data.pkl": nothing}, version=bytes(1 << 22), method=zipfile.ZIP_DEFLATED))
    write("weights", "not_a_version.pth", archive({"data.pkl": nothing}, version=b"three"))
    write("weights", "two.safetensors", tensors({"a": tensor("F32", [2], 0, 8)}, bytes(8)))


# --- config: the file, then settings, each after a zero byte

COMPLETE = """[experiment]
name = "tiny"
seed = 7
trials = 3
[data.head]
layout = "list"
modality = "mr"
window = [0, 200]
spacing = [0, 0, 1.5]
volumes = [{name = "ch2", image = "ch2.nii.gz", label = "aal.nii.gz"}, {name = "b", image = "b.nii", patient = "p2"}]
[model]
slice_backbone = {name = "resnet", depth = 18}
volume_backbone = {name = "deformable-transformer", axis = "slice"}
token_width = 64
frames = 16
[[stage]]
name = "slices"
data = ["head"]
objectives = [{name = "swav", weight = 0.5, prototypes = 30, heads = [4, 4]}]
epochs = 2
batch_size = 16
accumulate = 2
[stage.views.slice]
crops = [{count = 2, size = 64, scale = [0.2, 1]}]
[stage.optimiser]
lr = 0.2
larc = true
[stage.schedule]
warmup_epochs = 1
[[stage]]
name = "volumes"
from = "slices"
data = ["head"]
objectives = [{name = "agreement-3d"}]
steps = 20
[stage.views.volume]
size = 64
[stage.optimiser]
name = "adamw"
betas = [0.9, 0.95]
[[task]]
name = "organs"
plugin = {name = "segmentation", dice = 2}
from = ["volumes", "scratch"]
data = "head"
classes = [{name = "left", labels = [37]}, {name = "right", labels = [38, 39]}]
splits = {train = ["ch2:0-59"], validation = ["ch2:70-90"], test = ["b"]}
epochs = 5
"""

SMALL = """[experiment]
name = "small"
[data.scans]
layout = "phantom"
phantom = {volumes = 2, size = [8, 24, 24], labels = [1], seed = 1}
[model]
slice_backbone = {name = "resnet"}
[[stage]]
name = "slices"
data = ["scans"]
objectives = [{name = "swav"}]
steps = 1
batch_size = 4
"""


# Two sets of data, views on the device, a model that changes on the way, tasks and a table of every kind.
WIDE = """plugins = []
[experiment]
name = "wide"
note = "What came later"
device = "cpu"
threads = 2
output = "results"
[data]
source = "phantom"
[data.scans]
layout = "phantom"
modality = "ct"
phantom = {volumes = 3, size = [8, 24, 24], classes = ["liver", "lesions"], labels = [4, 9], seed = 1, every = 2}
[data.films]
layout = "lits2017"
path = "${FILMS:-films}"
modality = "xray"
max_size = 512
hint = "ask for them"
cache = "caches/films"
[model]
slice_backbone = {name = "resnet"}
volume_backbone = {name = "deformable-transformer", axis = "embedding", dropout = 0.0}
levels = "last"
weights = "start.pth"
min_match = 0.5
[[stage]]
name = "slices"
data = [{name = "scans", weight = 0.7}, {name = "films", weight = 3}]
shuffle_volumes = 4
objectives = [{name = "swav", prototypes = 30, queue = true}, {name = "agreement-3d", weight = 0.25}]
probes = [{task = "organs", every = 2}]
epochs = 6
batch_size = 16
volume_batch_size = 8
precision = "bf16"
channels_last = false
clip_norm = 2
checkpoint_every = 2
keep_last = 3
workers = 0
prefetch_mib = 64
[stage.views]
on = "device"
output = "bf16"
[stage.views.slice]
crops = [{count = 2, size = 64, scale = [0.2, 1]}, {count = 6, size = 32, scale = [0.05, 0.2]}]
flip = 0
intensity = 0.8
blur_sigma = [0.5, 1.5]
[stage.views.volume]
count = 3
frames = 8
anisotropy_factor = [2, 3]
noise_deviation = 0.05
bias_strength = 0
gamma_range = [0.9, 1.1]
[[stage]]
name = "volumes"
from = "slices"
data = ["scans"]
objectives = [{name = "agreement-3d", prototypes = 10}]
steps = 3
model = {frames = 8, levels = "all", min_match = 0}
[stage.schedule]
name = "constant"
warmup_epochs = 0.5
start_lr = 0.01
[[task]]
name = "organs"
plugin = {name = "segmentation"}
from = ["volumes", "weights", "scratch"]
data = "scans"
classes = [{name = "liver", labels = [4, 9]}]
splits = {train = 0.5, validation = 0.25, seed = 3, redraw = true}
augment = false
evaluate_every = 2
trials = 2
epochs = 4
"""
# A part of a data set, patients from a table, a channel of a file, labels by their names.
PARTS = SMALL.replace('layout = "phantom"\nphantom = {volumes = 2, size = [8, 24, 24], labels = [1], seed = 1}',
                      'layout = "lits2017"\npath = "lits"\npatients = "patients.csv"\nonly = {volumes = 3, seed = 2}\n'
                      '[data.other]\nlayout = "folder"\npath = "x"\n[data.other.only]\nparts = ["train", "test"]\n'
                      'splits = {train = ["a*"], validation = ["b"], test = ["c"]}\n[data.list]\nlayout = "list"\n'
                      'volumes = [{name = "a", image = "a.nii", channel = 1}]') + """[[task]]
name = "organs"
plugin = {name = "segmentation"}
from = ["slices"]
data = "scans"
classes = [{name = "liver", labels = ["liver"]}, {name = "lesions", labels = [2]}]
"""
# Several models, of which stages, tasks from scratch and rows name theirs; objectives on both kinds; cubes.
MODELS = SMALL.replace('[model]\nslice_backbone = {name = "resnet"}\n', """[model.joint]
slice_backbone = {name = "resnet"}
volume_backbone = {name = "deformable-transformer"}
[model.deep]
name = "encoder"
encoder = {name = "resnet", depth = 34}
weights = "deep.pth"
""").replace('name = "slices"\n', 'name = "slices"\nmodel = "joint"\n') + """[[stage]]
name = "cubes"
model = "deep"
data = ["scans"]
objectives = [{name = "swav"}, {name = "swav", on = "volumes", weight = 2}]
[stage.views.volume]
extent = "cube"
size = [8, 16, 16]
spacing = 1.5
overlap = 0.25
most_air = 0.9
air_below = 0.1
pad = false
[[task]]
name = "organs"
plugin = {name = "segmentation"}
from = ["slices", "cubes", "scratch:joint", "scratch:deep", "weights:deep"]
data = "scans"
classes = [{name = "liver", labels = [1]}]
[table]
kind = "parameters"
rows = [{label = "Deep", model = "deep"}, {label = "Deeper", model = {slice_backbone = {name = "resnet"}}}]
"""
SWEPT = WIDE + """[sweep]
parameters = {"stage.slices.optimiser.lr" = [0.1, 0.2], "stage.slices.data.films.weight" = [1, 2]}
seeds = [1, 2]
"""
SMOKE = WIDE + """[smoke]
"experiment.trials" = 1
"task.*.epochs" = 1
"stage.*.steps" = 2
"stage.volumes.steps" = 1
"data.*.phantom.size" = [8, 16, 16]
"""


def config():
    write("config", "complete.toml", COMPLETE)
    write("config", "wide.toml", WIDE)
    write("config", "nameless.toml", WIDE.replace('name = "volumes"', 'nmae = "volumes"'))
    write("config", "halving_of_a_task.toml",
          SWEPT + 'halving = {task = "organs", metric = "dice", rungs = [2], keep = 0.3}\n')
    write("config", "halving_of_a_probe.toml",
          SWEPT + 'halving = {stage = "slices", metric = "probes/organs/dice", mode = "max", rungs = [2, 4]}\n')
    write("config", "zipped.toml", WIDE + '[sweep]\nmode = "zip"\nparameters = {"stage.slices.epochs" = [1, 2], '
          '"stage.slices.data.scans.weight" = [1, 2]}\n')
    write("config", "smoke.toml", SMOKE)
    write("config", "parts.toml", PARTS)
    write("config", "models.toml", MODELS)
    write("config", "compared.toml", WIDE + '[table]\ncompare = "scratch"\nrows = [{label = "Ours", from = "volumes", '
          'group = "A"}, {from = "scratch"}, {label = "Theirs", missing = "not there"}]\n'
          'columns = [{label = "Dice", task = ["organs"], score = "dice"}]\n')
    write("config", "parameters.toml", SMALL.split("[[stage]]")[0] + '[table]\nkind = "parameters"\n'
          'rows = [{label = "Small", model = {token_width = 8}}, {label = "Other", missing = "no"}]\n')
    write("config", "stars", SMALL + "\0stage.*.steps=3\0data.*.phantom.seed=9\0stage.slices.probes=[]")
    write("config", "small.toml", SMALL)
    write("config", "settings", SMALL + "\0stage.slices.steps=3\0data.scans.phantom.seed=9\0experiment.name=\"other\"")
    write("config", "sweep.toml", SMALL + '[sweep]\nparameters = {"stage.slices.steps" = [1, 2]}\nseeds = [1, 2]\n')
    write("config", "trials.toml", SMALL + '[sweep]\nmode = "list"\ntrials = [{"experiment.seed" = 3}]\n')
    write("config", "environment.toml", SMALL.replace('"small"', '"${NAME:-small}$${x}"'))
    write("config", "extends.toml", 'extends = "nowhere.toml"\n' + SMALL)
    write("config", "plugins.toml", 'plugins = ["nowhere.so"]\n' + SMALL)
    write("config", "table.toml", COMPLETE + '[table]\ncaption = "C"\nrows = [{label = "Ours", from = "volumes"}]\n'
          'columns = [{label = "Dice", task = "organs", score = "dice"}]\n')
    write("config", "nested.toml", "a = " + "[" * 200 + "]" * 200)
    write("config", "dotted.toml", "a" + ".a" * 200 + " = 1")
    write("config", "odd_values.toml", "a = 1e400\nb = nan\nc = 0xFF\nd = 1979-05-27T07:32:00Z\n'' = '''\nx'''\n")


# --- cache: see cache_fuzz.cpp for the layout of an input

SIGNATURE = b"\x89HDF\r\n\x1a\n"


def lz4_chunk(planes):
    """Stored planes, which need no compression."""
    out = struct.pack(">QI", sum(map(len, planes)), len(planes[0]))
    for plane in planes:
        out += struct.pack(">I", len(plane)) + plane
    return out


def lz4_run(value, count):
    """`count` times one byte: a literal, then a match of distance 1."""
    block = bytes([0x1F, value, 1, 0, count - 6 - 19, 0x50]) + bytes([value]) * 5
    return struct.pack(">QII", count, count, len(block)) + block


def bitshuffled(values):
    """Uint8 values in one block of eight at a time, as literals of LZ4; the rest as it is."""
    whole = len(values) // 8 * 8
    out = struct.pack(">QI", len(values), 8)
    for at in range(0, whole, 8):
        out += struct.pack(">I", 9) + b"\x80" + values[at:at + 8]
    return out + values[whole:]


def stored_volume(shard, chunks, filter, dtype, shape, labels=None, label_dtype="uint8", **changes):
    """Its item of the manifest; its chunks and their index go to the end of the shard."""
    tables = []
    for group in [chunks] + ([labels] if labels else []):
        places = b""
        for chunk in group:
            places += struct.pack("<QQQ", len(shard), len(chunk), 0)
            shard += chunk
        tables.append(len(shard))
        shard += places
    info = {"name": "a", "patient": "p", "modality": "ct", "source_file": "a.nii", "source_hash": "00", "orientation": "LPS",
            "spacing": [1, 1, 1], "origin": [0, 0, 0], "direction": [1, 0, 0, 0, 1, 0, 0, 0, 1], "window": [0, 200],
            "dtype": dtype, "shape": shape, "has_labels": bool(labels), "content_hash": "00", "notes": ""}
    info.update(changes)
    volume = {"info": info, "shard": "a.h5", "shard_bytes": 0, "filter": filter,
              "image_index": {"address": tables[0], "xxh3_64": "0"}}
    if labels:
        volume.update(labels_index={"address": tables[1], "xxh3_64": "0"}, label_dtype=label_dtype)
    return volume


def cache_of(shard, volumes, sealed=True):
    for volume in volumes:
        volume["shard_bytes"] = len(shard)
    document = {"format": "ivory-slice-cache", "version": 1, "xxh3_128": "0",
                "cache": {"identity": "i", "content_hash": "0", "volumes": volumes}}
    return raw_cache_input(json.dumps(document).encode(), bytes(shard), sealed)


def cache_input(chunks, filter, dtype, shape, sealed=True, labels=None, **changes):
    shard = bytearray(SIGNATURE)
    return cache_of(shard, [stored_volume(shard, chunks, filter, dtype, shape, labels, **changes)], sealed)


def shared_shard(names):
    """Volumes of several filters and types in one shard."""
    shard, slices = bytearray(SIGNATURE), [bytes(range(12)), bytes(range(12, 24))]
    packed, wide = [bitshuffled(s) for s in slices], [lz4_chunk([s, s]) for s in slices]
    kinds = [(packed, "bitshuffle", "uint8", {"labels": packed}), (packed, "bitshuffle", "uint8", {}),
             (wide, "lz4", "uint16", {"labels": wide, "label_dtype": "uint16"})]
    return cache_of(shard, [stored_volume(shard, chunks, filter, dtype, [2, 3, 4], **more, name=name, patient=name)
                            for name, (chunks, filter, dtype, more) in zip(names, kinds)])


def raw_cache_input(manifest, shard, sealed):
    return bytes([int(sealed)]) + struct.pack("<H", len(manifest)) + manifest + shard


def cache():
    slices = [bytes(range(12)), bytes(range(12, 24))]
    packed, shape = [bitshuffled(s) for s in slices], [2, 3, 4]
    write("cache", "labels", cache_input(packed, "bitshuffle", "uint8", shape, labels=packed))
    write("cache", "float", cache_input([lz4_chunk([bytes(12)] * 4)] * 2, "lz4", "float32", shape))
    write("cache", "lz4", cache_input([lz4_chunk([s, s]) for s in slices], "lz4", "int16", shape))
    write("cache", "lz4_run", cache_input([lz4_run(7, 64)], "lz4", "uint8", [1, 8, 8]))
    write("cache", "bitshuffle", cache_input(packed, "bitshuffle", "uint8", shape))
    write("cache", "bitshuffle_run", cache_input([lz4_run(7, 64)], "bitshuffle", "uint8", [1, 8, 8]))
    write("cache", "bitshuffle16", cache_input([lz4_run(9, 128)], "bitshuffle", "int16", [1, 8, 8]))
    write("cache", "unsealed", cache_input(packed, "bitshuffle", "uint8", shape, sealed=False))
    write("cache", "filter", cache_input(slices, "none", "uint8", shape))
    huge = [1, 1 << 14, 1 << 14]  # as many pixels as a manifest may announce, of a few bytes
    write("cache", "huge_lz4", cache_input([struct.pack(">QII", 1 << 30, 1 << 28, 4) + b"abcd"], "lz4", "float32", huge))
    write("cache", "huge_bitshuffle", cache_input([struct.pack(">QII", 1 << 30, 1 << 28, 4) + b"abcd"], "bitshuffle",
                                                  "float32", huge))
    write("cache", "shape", cache_input(packed, "bitshuffle", "uint8", [1 << 62, 1 << 62, 4]))
    write("cache", "window", cache_input(packed, "bitshuffle", "uint8", shape, window=[0, 1e-320]))
    write("cache", "shared_shard", shared_shard(["a", "b", "c"]))
    write("cache", "shared_shard_one_name", shared_shard(["a", "a", "a"]))
    write("cache", "labels16", cache_input([lz4_chunk([s]) for s in slices], "lz4", "uint8", shape,
                                           labels=[lz4_chunk([s, s]) for s in slices], label_dtype="uint16"))
    write("cache", "no_json", raw_cache_input(b"no manifest", SIGNATURE, False))
    deep = b'{"format":"ivory-slice-cache","version":1,"xxh3_128":"","cache":' + b"[" * 60000
    write("cache", "nested", raw_cache_input(deep[:30000] + b"]" * (30000 - deep.index(b"[")) + b"}", b"", False))


# --- NIfTI-1


def nifti(voxels, shape, code, order="<", **fields):
    header = bytearray(352)

    def put(offset, kind, *values):
        struct.pack_into(order + kind, header, offset, *values)

    put(0, "i", 348)
    put(40, "8h", len(shape), *shape, *[1] * (7 - len(shape)))
    put(70, "hh", code, 8)
    put(76, "8f", 1, 1, 1, 2, 1, 1, 1, 1)
    put(108, "3f", 352, fields.get("slope", 0), fields.get("intercept", 0))
    put(123, "b", 2)
    put(252, "hh", fields.get("qform", 0), fields.get("sform", 1))
    put(256, "6f", *fields.get("quaternion", [0, 0, 0]), 1, 2, 3)
    put(280, "12f", *fields.get("affine", [1, 0, 0, 5, 0, 1, 0, 6, 0, 0, 2, 7]))
    header[344:348] = b"n+1\0"
    if "offset" in fields:
        put(108, "f", fields["offset"])
    return bytes(header) + voxels


def nifti_files():
    voxels = bytes(range(24))
    shape = [2, 3, 4]
    nan, big = float("nan"), 3e38
    write("nifti", "uint8.nii", nifti(voxels, shape, 2))
    write("nifti", "int16.nii", nifti(voxels * 2, shape, 4, slope=2, intercept=-1000))
    write("nifti", "float64.nii", nifti(struct.pack("<24d", *range(24)), shape, 64, slope=0.5))
    write("nifti", "big_endian.nii", nifti(voxels * 4, shape, 16, order=">"))
    write("nifti", "compressed.nii.gz", gzip.compress(nifti(voxels, shape, 2), mtime=0))
    write("nifti", "compressed_cut.nii.gz", gzip.compress(nifti(voxels, shape, 2), mtime=0)[:-12])
    write("nifti", "qform.nii", nifti(voxels, shape, 2, qform=1, sform=0, quaternion=[0, 0, 1]))
    write("nifti", "no_form.nii", nifti(voxels, shape, 2, sform=0))
    write("nifti", "nan_quaternion.nii", nifti(voxels, shape, 2, qform=1, sform=0, quaternion=[nan, 0, 0]))
    write("nifti", "nan_affine.nii", nifti(voxels, shape, 2, affine=[nan] * 12))
    write("nifti", "far_affine.nii", nifti(voxels, shape, 2, affine=[big, 0, 0, big, 0, big, 0, big, 0, 0, big, -big]))
    write("nifti", "sheared.nii", nifti(voxels, shape, 2, qform=1, affine=[1, 0.5, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0]))
    write("nifti", "planar.nii", nifti(voxels, [6, 4], 2))
    write("nifti", "four.nii", nifti(voxels, [2, 3, 2, 2], 2))
    write("nifti", "huge.nii", nifti(b"", [32767, 32767, 32767], 64))
    write("nifti", "large.nii", nifti(b"", [2048, 2048, 512], 64))
    write("nifti", "far_voxels.nii", nifti(voxels, shape, 2, offset=2.6e8))
    write("nifti", "truncated.nii", nifti(voxels[:5], shape, 2))
    write("nifti", "zero_sform.nii", nifti(voxels, shape, 2, qform=1, affine=[0] * 12))
    write("nifti", "nan_sform.nii", nifti(voxels, shape, 2, qform=1, affine=[nan] * 12))
    write("nifti", "nan_intercept.nii", nifti(voxels, shape, 2, slope=2, intercept=nan))


# --- MetaImage and NRRD: 4 x 3 x 2 voxels of int16 in every form of storage, and what went wrong once

VOXELS = struct.pack("<24h", *range(24))
TEXT = " ".join(str(i) for i in range(24)).encode()


def meta(data, *fields, where="LOCAL", size="4 3 2"):
    lines = ["ObjectType = Image", "NDims = 3", "TransformMatrix = 1 0 0 0 1 0 0 0 1", "Offset = -1 -2 -3",
             "ElementSpacing = 0.8 0.9 2.5", f"DimSize = {size}", *fields, "ElementType = MET_SHORT",
             f"ElementDataFile = {where}"]
    return "\n".join(lines).encode() + b"\n" + data


def damaged(data, at=0.5):
    place = int(at * (len(data) - 1))
    return data[:place] + bytes([data[place] ^ 0x10]) + data[place + 1:]


def meta_files():
    packed = zlib.compress(VOXELS)
    yes, sized = "CompressedData = True", f"CompressedDataSize = {len(packed)}"
    files = {"raw": meta(VOXELS), "text": meta(TEXT, "BinaryData = False"), "zlib": meta(packed, yes, sized),
             "nosize": meta(packed, "CompressedData = 1"), "gzip": meta(gzip.compress(VOXELS, mtime=0), yes),
             "cut": meta(packed[:-10], yes, sized), "flipped": meta(damaged(packed), yes, sized),
             "checksum": meta(damaged(packed, 1), yes, sized), "short": meta(VOXELS[:-3]), "long": meta(VOXELS + b"more"),
             "more_behind": meta(packed + b"more", yes), "text_cut": meta(TEXT[:-9], "BinaryData = False"),
             "text_long": meta(TEXT + b" 7", "BinaryData = False"),
             "huge": meta(packed, yes, size="100000 100000 100000"), "overflow": meta(b"", size="1048575 1048575 1048575"),
             "list": meta(b"a\nb\n", where="LIST"), "pattern": meta(b"", where="s%03d.raw 0 9 1"),
             "hostile_pattern": meta(b"", where="s%n%s.raw 0 9 1"), "steps": meta(b"", where="s%d.raw 0 9 0"),
             "orientation": meta(VOXELS, "AnatomicalOrientation = RPI"), "negative": meta(VOXELS, "ElementSpacing = 1 1 -1"),
             "units": meta(VOXELS, "DistanceUnits = um"), "slope": meta(VOXELS, "ElementToIntensityFunctionSlope = 2"),
             "channels": meta(VOXELS, "ElementNumberOfChannels = 2", size="4 3 1"), "crlf":
             meta(VOXELS).replace(b"\n", b"\r\n", 8)}
    for name, content in files.items():
        write("meta_image", name, content)


def nrrd(data, encoding, *fields, space="left-posterior-superior", directions="(0.8,0,0) (0,0.9,0) (0,0,2.5)",
         sizes="4 3 2", dimension=3):
    lines = ["NRRD0005", "# by hand", "type: short", f"dimension: {dimension}", f"space: {space}", f"sizes: {sizes}",
             f"space directions: {directions}", "space origin: (-1,-2,-3)", "endian: little", f"encoding: {encoding}",
             *fields]
    return "\n".join(lines).encode() + b"\n\n" + data


def nrrd_files():
    packed, small = gzip.compress(VOXELS, mtime=0), bz2.compress(VOXELS)
    files = {"raw": nrrd(VOXELS, "raw"), "text": nrrd(TEXT, "ascii"), "hex": nrrd(VOXELS.hex().encode(), "hex"),
             "gzip": nrrd(packed, "gzip"), "members": nrrd(gzip.compress(VOXELS[:9], mtime=0) +
                                                           gzip.compress(VOXELS[9:], mtime=0), "gz"),
             "bzip2": nrrd(small, "bzip2"), "gzip_cut": nrrd(packed[:-12], "gzip"), "gzip_flipped":
             nrrd(damaged(packed), "gzip"), "bzip2_cut": nrrd(small[:-9], "bz2"), "bzip2_flipped":
             nrrd(damaged(small), "bz2"), "short": nrrd(VOXELS[:-1], "raw"), "long": nrrd(VOXELS + b"x", "raw"),
             "skip": nrrd(b"ab" + VOXELS, "raw", "byte skip: 2"), "from_end": nrrd(b"ab" + VOXELS, "raw", "byte skip: -1"),
             "lines": nrrd(b"a\nb\n" + VOXELS, "raw", "line skip: 2"), "far_skip": nrrd(VOXELS, "raw", "byte skip: 99999999"),
             "las": nrrd(VOXELS, "raw", space="LAS"), "ras": nrrd(VOXELS, "raw", space="right-anterior-superior"),
             "scanner": nrrd(VOXELS, "raw", space="scanner-xyz"), "time": nrrd(VOXELS, "raw", space="LPST", dimension=4,
                                                                                sizes="4 3 2 1", directions=
                                                                                "(1,0,0,0) (0,1,0,0) (0,0,1,0) (0,0,0,1)"),
             "layers": nrrd(VOXELS, "raw", dimension=4, sizes="2 4 3 1", directions="none (1,0,0) (0,1,0) (0,0,1)",),
             "no_numbers": nrrd(VOXELS, "raw", directions="(nan,0,0) (0,inf,0) (0,0,1)"),
             "open_bracket": nrrd(VOXELS, "raw", directions="(1,0,0 (0,1,0) (0,0,1)"),
             "key_value": nrrd(VOXELS, "raw", "my key:=a: b := c"), "list": nrrd(b"", "raw", "data file: LIST\na\nb"),
             "pattern": nrrd(b"", "raw", "data file: s%d.raw 0 9 1"), "huge": nrrd(packed, "gzip", sizes="99999 99999 99999"),
             "no_space": b"NRRD0004\ntype: uchar\ndimension: 3\nsizes: 4 3 2\nspacings: 1 2 nan\nencoding: raw\n\n" +
             bytes(range(24))}
    for name, content in files.items():
        write("nrrd", name, content)


# --- DICOM: explicit little-endian elements


def element(group, number, kind, value):
    value += (b"\0" if kind in ("UI", "OB") else b" ") * (len(value) % 2)
    head = struct.pack("<HH", group, number) + kind.encode()
    wide = kind in ("OB", "OW", "SQ", "UN")
    return head + (struct.pack("<HI", 0, len(value)) if wide else struct.pack("<H", len(value))) + value


def item(content, length=None):
    return struct.pack("<HHI", 0xFFFE, 0xE000, len(content) if length is None else length) + content


def dicom(pixels, *more, sop=b"1.2.840.10008.5.1.4.1.1.2", syntax=b"1.2.840.10008.1.2.1", rows=2, meta_length=None):
    words = [(2, 1), (0x10, rows), (0x11, 3), (0x100, 16)]
    meta_group = element(2, 2, "UI", sop) + element(2, 0x10, "UI", syntax)
    start = element(2, 0, "UL", struct.pack("<I", len(meta_group) if meta_length is None else meta_length))
    body = element(8, 0x16, "UI", sop) + b"".join(element(0x28, n, "US", struct.pack("<H", v)) for n, v in words)
    return bytes(128) + b"DICM" + start + meta_group + body + b"".join(more) + pixels


def dicom_files():
    pixels = element(0x7FE0, 0x10, "OW", bytes(12))
    pieces = struct.pack("<HH", 0x7FE0, 0x10) + b"OB\0\0\xff\xff\xff\xff" + item(b"")
    end, jpeg = item(b"")[:2] + b"\xdd\xe0\0\0\0\0", b"1.2.840.10008.1.2.4.70"
    deep = b"".join(struct.pack("<HH", 0x5200, 0x9230) + b"SQ\0\0\xff\xff\xff\xff" + item(b"", 0xFFFFFFFF) for _ in range(40))
    files = {"slice": dicom(pixels), "short": dicom(element(0x7FE0, 0x10, "OW", bytes(9))), "cut": dicom(pixels)[:-5],
             "frames": dicom(element(0x7FE0, 0x10, "OW", bytes(36)), element(0x28, 8, "IS", b"3")),
             "more_frames": dicom(element(0x7FE0, 0x10, "OW", bytes(36))),
             "dose": dicom(pixels, sop=b"1.2.840.10008.5.1.4.1.1.481.2"), "directory": dicom(b"", sop=b"1.2.840.10008.1.3.10"),
             "jpeg": dicom(pieces + item(b"\xff\xd8\xff\xd9") + end, syntax=jpeg),
             "jpeg_no_end": dicom(pieces + item(b"\xff\xd8\xff\0") + end, syntax=jpeg),
             "jpeg_cut": dicom(pieces + item(b"\xff\xd8", 900), syntax=jpeg), "implicit":
             dicom(struct.pack("<HHI", 0x7FE0, 0x10, 12) + bytes(12), syntax=b"1.2.840.10008.1.2"),
             "first_group": dicom(pixels, meta_length=1 << 30), "preamble": bytes(128) + b"DICM", "deep": dicom(deep),
             "items": dicom(pixels, element(0x5200, 0x9230, "SQ", item(element(0x20, 0x32, "DS", b"1\\2\\3")))),
             "halved": dicom(element(0x7FE0, 0x10, "OB", bytes(24)), element(0x28, 4, "CS", b"YBR_FULL_422"))}
    files["answer"] = struct.pack("<qq", 1, 0) + bytes(400)
    files["answer_long"] = struct.pack("<q", 1 << 62) * 40
    for name, content in files.items():
        write("dicom", name, content)


for make in (safetensors, weights, config, cache, nifti_files, meta_files, nrrd_files, dicom_files):
    make()
