"""attention.json: forward and backward of 1-D deformable attention, in double.

"release": the public package that the authors' model is built of (deformable-attention 0.0.20, DeformableAttention1D), with
its sampling clamped at the ends (method.md section 3; the package pads with zeros) by replacing grid_sample's padding.
"table": the paper's own form (table bias, LayerNorm, align_corners, biased q, k, v), written here with a dense
interpolation matrix instead of gathering.
"""
import functools

import torch
import torch.nn.functional as F

import deformable_attention.deformable_attention_1d as package
from fill import fill, summary, write


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


def release():
    package.F.grid_sample = functools.partial(border_sample, F.grid_sample)
    net = package.DeformableAttention1D(dim=64, dim_head=4, heads=8, downsample_factor=4, offset_scale=2,
                                        offset_groups=4, offset_kernel_size=6).double()
    theirs = {"to_q.weight": net.to_q.weight, "to_k.weight": net.to_k.weight, "to_v.weight": net.to_v.weight,
              "to_out.weight": net.to_out.weight, "to_out.bias": net.to_out.bias,
              "offset_depthwise.weight": net.to_offsets[0].weight, "offset_depthwise.bias": net.to_offsets[0].bias,
              "offset_pointwise.weight": net.to_offsets[2].weight}
    for ours, layer in zip((0, 2, 4), (net.rel_pos_bias.mlp[0][0], net.rel_pos_bias.mlp[1][0], net.rel_pos_bias.mlp[2])):
        theirs[f"bias_mlp.{ours}.weight"], theirs[f"bias_mlp.{ours}.bias"] = layer.weight, layer.bias
    with torch.no_grad():
        for salt, name in enumerate(sorted(theirs)):
            theirs[name].copy_(tensor(theirs[name].shape, 100 + salt, 0.5))
    x = tensor((2, 24, 64), 1).requires_grad_()  # [B, length, channels]
    y, key_grid = net(x.transpose(1, 2), return_vgrid=True)
    coordinates = 2 * key_grid / (key_grid.shape[-1] - 1) - 1
    positions = (((coordinates + 1) * 24 - 1) / 2).clamp(0, 23).reshape(2, 4, -1)
    return record(x, y.transpose(1, 2), theirs, positions)


def border_sample(sample, *args, **options):
    return sample(*args, **{**options, "padding_mode": "border"})


def table():
    B, L, C, H, W, G, R, K = 2, 12, 20, 4, 6, 2, 3, 5
    inner = H * W
    w = filled({"to_q.weight": (inner, C, 1), "to_q.bias": (inner,), "to_k.weight": (inner, C, 1), "to_k.bias": (inner,),
                "to_v.weight": (inner, C, 1), "to_v.bias": (inner,), "to_out.weight": (C, inner, 1), "to_out.bias": (C,),
                "offset_depthwise.weight": (inner // G, 1, K), "offset_depthwise.bias": (inner // G,),
                "offset_norm.weight": (inner // G,), "offset_norm.bias": (inner // G,),
                "offset_pointwise.weight": (1, inner // G, 1), "bias_table": (H, 2 * L - 1)})
    x = tensor((B, L, C), 1).requires_grad_()
    linear = lambda t, n: t @ w[f"{n}.weight"][:, :, 0].T + w[f"{n}.bias"]
    q = linear(x, "to_q")  # [B, L, inner]
    grouped = q.transpose(1, 2).reshape(B * G, inner // G, L)
    h = F.conv1d(F.pad(grouped, (1, 1)), w["offset_depthwise.weight"], w["offset_depthwise.bias"], stride=R,
                 groups=inner // G)
    h = F.layer_norm(h.transpose(1, 2), (inner // G,), w["offset_norm.weight"], w["offset_norm.bias"])
    offsets = torch.tanh(F.gelu(h) @ w["offset_pointwise.weight"][0]).squeeze(-1) * 1.5  # [B·G, keys]
    keys = offsets.shape[1]
    assert keys == L // R
    grid = torch.arange(keys, dtype=torch.double) * ((L - 1) / (keys - 1))
    positions = (grid + offsets).clamp(0, L - 1)
    hat = (1 - (positions[:, None, :] - torch.arange(L)[None, :, None]).abs()).clamp_min(0)  # [B·G, L, keys]
    samples = (x.transpose(1, 2).reshape(B * G, C // G, L) @ hat).reshape(B, C, keys).transpose(1, 2)
    split = lambda t: t.reshape(B, -1, H, W).transpose(1, 2)  # [B, H, n, W]
    logits = split(q) @ split(linear(samples, "to_k")).transpose(2, 3) / W**0.5
    distance = torch.arange(L)[None, :, None] - positions[:, None, :] + L - 1  # [B·G, L, keys]
    at = (1 - (distance[..., None] - torch.arange(2 * L - 1)).abs()).clamp_min(0)  # [B·G, L, keys, 2L - 1]
    bias = torch.einsum("bglkt,ght->bghlk", at.reshape(B, G, L, keys, -1), w["bias_table"].reshape(G, H // G, -1))
    mixed = torch.softmax(logits + bias.reshape(B, H, L, keys), -1) @ split(linear(samples, "to_v"))
    y = linear(mixed.transpose(1, 2).reshape(B, L, inner), "to_out")
    return record(x, y, w, positions.reshape(B, G, keys))


write("attention", {"table": table(), "release": release()})
