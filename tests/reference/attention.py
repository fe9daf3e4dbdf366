"""attention.json: forward and backward of 1-D deformable attention and of transformers that are made of it, in double.

"release", "authors_release": the public package that the authors' model is built of (deformable-attention 0.0.20,
DeformableAttention1D), with its sampling clamped at the ends (method.md section 3; the package pads with zeros) by
replacing grid_sample's padding.
The others: the paper's own form (LayerNorm, align_corners, biased q, k, v), written here with a dense interpolation
matrix instead of gathering.
"""
import functools

import torch
import torch.nn.functional as F

import deformable_attention.deformable_attention_1d as package
from fill import fill, summary, write

GRID_SAMPLE = F.grid_sample
torch.set_default_dtype(torch.double)  # the package makes its query grid in the default type


def tensor(shape, salt, scale=1.0, shift=0.0):
    return torch.from_numpy(fill(tuple(shape), salt, scale, shift))


def filled(shapes):
    """Leaves by name, with salts in the order of the names."""
    return {n: tensor(s, 100 + i, 0.5).requires_grad_() for i, (n, s) in enumerate(sorted(shapes.items()))}


def record(x, y, weights, positions):
    (y * tensor(y.shape, 3)).sum().backward()
    return {"output": summary(y.detach().numpy()), "positions": summary(positions.detach().numpy()),
            "input_gradient": summary(x.grad.numpy()),
            "gradients": {n: summary(w.grad.numpy()) for n, w in weights.items()},
            "shapes": {n: list(w.shape) for n, w in weights.items()}}


def package_net(dim_head, groups):
    package.F.grid_sample = functools.partial(border_sample, GRID_SAMPLE)
    return package.DeformableAttention1D(dim=64, dim_head=dim_head, heads=8, downsample_factor=4, offset_scale=2,
                                         offset_groups=groups, offset_kernel_size=6)


def named(net):
    theirs = {"to_q.weight": net.to_q.weight, "to_k.weight": net.to_k.weight, "to_v.weight": net.to_v.weight,
              "to_out.weight": net.to_out.weight, "to_out.bias": net.to_out.bias,
              "offset_depthwise.weight": net.to_offsets[0].weight, "offset_depthwise.bias": net.to_offsets[0].bias,
              "offset_pointwise.weight": net.to_offsets[2].weight}
    mlp = net.rel_pos_bias.mlp
    for ours, layer in zip((0, 2, 4), (mlp[0][0], mlp[1][0], mlp[2])):
        theirs[f"bias_mlp.{ours}.weight"], theirs[f"bias_mlp.{ours}.bias"] = layer.weight, layer.bias
    return theirs


def key_positions(key_grid, batch, groups, length):
    coordinates = 2 * key_grid / (key_grid.shape[-1] - 1) - 1
    return (((coordinates + 1) * length - 1) / 2).clamp(0, length - 1).reshape(batch, groups, -1)


def release():
    net = package_net(dim_head=4, groups=4)
    theirs = named(net)
    with torch.no_grad():
        for salt, name in enumerate(sorted(theirs)):
            theirs[name].copy_(tensor(theirs[name].shape, 100 + salt, 0.5))
    x = tensor((2, 24, 64), 1).requires_grad_()  # [B, length, channels]
    y, key_grid = net(x.transpose(1, 2), return_vgrid=True)
    return record(x, y.transpose(1, 2), theirs, key_positions(key_grid, 2, 4, 24))


def border_sample(sample, *args, **options):
    return sample(*args, **{**options, "padding_mode": "border"})


def paper(w, x, heads, width, groups, r, kernel, scale):
    """The paper's form of attention over [B, L, C]; a table when w has one, else the bias network."""
    B, L, C = x.shape
    keys = max(1, L // r)
    linear = lambda t, n: t @ w[f"{n}.weight"][:, :, 0].T + w[f"{n}.bias"]
    split = lambda t: t.reshape(B, -1, heads, width).transpose(1, 2)  # [B, heads, n, width]
    q = linear(x, "to_q")  # [B, L, heads·width]
    inner = heads * width // groups
    padding = (keys - 1) * r + kernel - L
    h = F.pad(q.transpose(1, 2).reshape(B * groups, inner, L), (padding // 2, padding - padding // 2))
    h = F.conv1d(h, w["offset_depthwise.weight"], w["offset_depthwise.bias"], stride=r, groups=inner)
    h = F.layer_norm(h.transpose(1, 2), (inner,), w["offset_norm.weight"], w["offset_norm.bias"])
    offsets = torch.tanh(F.gelu(h) @ w["offset_pointwise.weight"][0]).squeeze(-1) * scale  # [B·g, keys]
    wanted = torch.arange(keys) * ((L - 1) / (keys - 1)) + offsets
    positions = wanted.clamp(0, L - 1)
    hat = (1 - (positions[:, None, :] - torch.arange(L)[None, :, None]).abs()).clamp_min(0)  # [B·g, L, keys]
    samples = (x.transpose(1, 2).reshape(B * groups, C // groups, L) @ hat).reshape(B, C, keys).transpose(1, 2)
    logits = split(q) @ split(linear(samples, "to_k")).transpose(2, 3) / width**0.5
    if "bias_table" in w:
        distance = torch.arange(L)[None, :, None] - positions[:, None, :] + L - 1  # [B·g, L, keys]
        at = (1 - (distance[..., None] - torch.arange(2 * L - 1)).abs()).clamp_min(0)  # [B·g, L, keys, 2L - 1]
        bias = torch.einsum("bglkt,ght->bghlk", at.reshape(B, groups, L, keys, -1),
                            w["bias_table"].reshape(groups, heads // groups, -1))
    else:
        distance = (torch.arange(L)[None, :, None] - wanted[:, None, :]) * 2 / (L - 1)  # between -1 … 1 on the axis
        h = (distance.sign() * (distance.abs() + 1).log())[..., None]
        for n in (0, 2, 4):
            h = F.linear(h, w[f"bias_mlp.{n}.weight"], w[f"bias_mlp.{n}.bias"])
            h = h.relu() if n < 4 else h
        bias = h.reshape(B, groups, L, keys, -1).permute(0, 1, 4, 2, 3)
    mixed = torch.softmax(logits + bias.reshape(B, heads, L, keys), -1) @ split(linear(samples, "to_v"))
    return linear(mixed.transpose(1, 2).reshape(B, L, heads * width), "to_out"), positions.reshape(B, groups, keys)


def paper_shapes(L, C, heads, width, groups, kernel, bias):
    inner, per_group = heads * width, heads * width // groups
    shapes = {"to_q.weight": (inner, C, 1), "to_q.bias": (inner,), "to_k.weight": (inner, C, 1), "to_k.bias": (inner,),
              "to_v.weight": (inner, C, 1), "to_v.bias": (inner,), "to_out.weight": (C, inner, 1), "to_out.bias": (C,),
              "offset_depthwise.weight": (per_group, 1, kernel), "offset_depthwise.bias": (per_group,),
              "offset_norm.weight": (per_group,), "offset_norm.bias": (per_group,),
              "offset_pointwise.weight": (1, per_group, 1)}
    if bias == "table":
        return shapes | {"bias_table": (heads, 2 * L - 1)}
    sizes = (1, 16, 16, heads // groups)
    for i, n in enumerate((0, 2, 4)):
        shapes |= {f"bias_mlp.{n}.weight": (sizes[i + 1], sizes[i]), f"bias_mlp.{n}.bias": (sizes[i + 1],)}
    return shapes


def attention(bias):
    L, C, heads, width, groups, r, kernel = 12, 20, 4, 6, 2, 3, 5
    w = filled(paper_shapes(L, C, heads, width, groups, kernel, bias))
    x = tensor((2, L, C), 1).requires_grad_()
    y, positions = paper(w, x, heads, width, groups, r, kernel, 1.5)
    return record(x, y, w, positions)


def layers(count, attention_shapes, D, ffn):
    """Shapes of a transformer's layers by the names that the plugin has."""
    shapes = {}
    for l in range(count):
        shapes |= {f"layers.{l}.attention.{n}": s for n, s in attention_shapes.items()}
        shapes |= {f"layers.{l}.norm{n}.{p}": (D,) for n in (1, 2) for p in ("weight", "bias")}
        shapes |= {f"layers.{l}.ffn.0.weight": (ffn, D), f"layers.{l}.ffn.0.bias": (ffn,),
                   f"layers.{l}.ffn.2.weight": (D, ffn), f"layers.{l}.ffn.2.bias": (D,)}
    return shapes


def transformer(w, x, count, over_slices, attend):
    """x [B, F, D] → holistic feature; attend(layer, [B, L, C]) → [B, L, C], key positions."""
    positions = []
    for l in range(count):
        mixed, where = attend(l, x if over_slices else x.transpose(1, 2))
        positions.append(where)
        h = x + (mixed if over_slices else mixed.transpose(1, 2))
        h = F.layer_norm(h, h.shape[-1:], w[f"layers.{l}.norm1.weight"], w[f"layers.{l}.norm1.bias"])
        g = F.linear(F.gelu(F.linear(h, w[f"layers.{l}.ffn.0.weight"], w[f"layers.{l}.ffn.0.bias"])),
                     w[f"layers.{l}.ffn.2.weight"], w[f"layers.{l}.ffn.2.bias"])
        x = F.layer_norm(h + g, h.shape[-1:], w[f"layers.{l}.norm2.weight"], w[f"layers.{l}.norm2.bias"])
    mean = x.mean(1)
    return mean / mean.norm(dim=1, keepdim=True), positions[-1]


def of_layer(w, l):
    prefix = f"layers.{l}.attention."
    return {n[len(prefix):]: t for n, t in w.items() if n.startswith(prefix)}


def learned(w, frames, D):
    return w["positions"]


def sinusoids(w, frames, D):
    at = torch.arange(frames)[:, None] / 10000 ** (2 * (torch.arange(D) // 2) / D)
    return torch.where(torch.arange(D) % 2 == 0, at.sin(), at.cos())


def no_encoding(w, frames, D):
    return torch.zeros(frames, D)


def small_transformer(over_slices, bias, encoding):
    frames, D, heads, width, groups, r, kernel = 8, 12, 4, 3, 2, 2, 4
    L, C = (frames, D) if over_slices else (D, frames)
    shapes = layers(2, paper_shapes(L, C, heads, width, groups, kernel, bias), D, 8)
    w = filled(shapes | ({"positions": (frames, D)} if encoding is learned else {}))
    x = tensor((3, frames, D), 1).requires_grad_()
    z, positions = transformer(w, x + encoding(w, frames, D), 2, over_slices,
                               lambda l, t: paper(of_layer(w, l), t, heads, width, groups, r, kernel, 2.0))
    return record(x, z, w, positions)


def authors_release():
    D = 24
    nets = [package_net(dim_head=64, groups=8) for _ in range(2)]
    theirs = [named(net) for net in nets]
    w = filled(layers(2, {n: tuple(t.shape) for n, t in theirs[0].items()}, D, 10))
    with torch.no_grad():
        for l in range(2):
            for n, t in of_layer(w, l).items():
                theirs[l][n].copy_(t)
    x = tensor((2, 64, D), 1).requires_grad_()

    def attend(l, t):  # [B, D, 64]
        y, key_grid = nets[l](t.transpose(1, 2), return_vgrid=True)
        return y.transpose(1, 2), key_positions(key_grid, 2, 8, D)

    z, positions = transformer(w, x, 2, False, attend)
    used = {n: theirs[int(n[7])][n.split("attention.")[1]] if ".attention." in n else t for n, t in w.items()}
    return record(x, z, used, positions)


write("attention", {"table": attention("table"), "mlp": attention("mlp"), "release": release(),
                    "slices_learned": small_transformer(True, "table", learned),
                    "slices_mlp": small_transformer(True, "mlp", no_encoding),
                    "embedding_sinusoidal": small_transformer(False, "mlp", sinusoids),
                    "embedding_table": small_transformer(False, "table", no_encoding),
                    "authors_release": authors_release()})
