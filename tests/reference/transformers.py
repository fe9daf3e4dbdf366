"""vit.json: timm's vision transformer of 64-pixel images. ptu.json: the pyramid transformer U-network on images and on
volumes, written from its description (baselines_2d.md section 8) over tensors by name. Both in double."""
import math

import timm
import torch
import torch.nn.functional as F

from fill import fill, summary, write

torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)


def value_of(salt, name, shape):
    if len(shape) > 1:
        scale, shift = math.sqrt(3 * shape[0] / math.prod(shape)), 0.0
    else:
        scale, shift = (0.2, 0.0) if name.endswith("bias") else (0.3, 1.0)
    return torch.from_numpy(fill(tuple(shape), salt, scale, shift))


def scalar(tensors):
    return sum(torch.from_numpy(fill(tuple(t.shape), 500 + i)).mul(t).mean() for i, t in enumerate(tensors))


def vit():
    net = timm.create_model("vit_tiny_patch16_224", num_classes=0, img_size=64).double()
    parameters = dict(net.named_parameters())
    with torch.no_grad():
        for salt, name in enumerate(sorted(parameters)):
            parameters[name].copy_(value_of(salt, name, parameters[name].shape))
    x = torch.from_numpy(fill((2, 1, 64, 64), 7)).expand(-1, 3, -1, -1)
    tokens = net.forward_features(x)
    made = [tokens[:, 1:].transpose(1, 2).reshape(2, 192, 4, 4), tokens[:, 0]]
    scalar(made).backward()
    names = ["cls_token", "pos_embed", "patch_embed.proj.weight", "blocks.0.attn.qkv.weight", "blocks.5.mlp.fc1.bias",
             "blocks.11.norm2.weight", "norm.weight"]
    counts = {size: sum(p.numel() for p in timm.create_model(f"vit_{size}_patch16_224", num_classes=0).parameters())
              for size in ("tiny", "small", "base")}
    write("vit", {"counts": counts, "shapes": {n: list(p.shape) for n, p in parameters.items()},
                  "features": [summary(t.detach().numpy()) for t in made],
                  "gradients": {n: summary(parameters[n].grad.numpy()) for n in names}})


DOWN, UP = ((48, 1, 6), (128, 2, 4), (256, 4, 2), (512, 8, 1)), ((256, 8, 2), (128, 4, 4), (48, 2, 6))


class Ptu:
    """The tiny network (a block per stage) of 64-pixel images and 16 × 64 × 64 volumes."""

    def __init__(self):
        self.shapes, self.p = {}, {}

    def get(self, name, shape):
        self.shapes[name] = shape
        return self.p.get(name)

    def build(self):
        """Names and shapes, as the released weights have them."""
        for dims, tag in ((2, "2D"), (3, "3D")):
            kernel = lambda n: (n,) * dims
            sides = (64, 64) if dims == 2 else (16, 64, 64)
            grids = []
            for level in (2, 3, 4, 5):
                grids.append([s >> (level - 1 if dims == 3 and i == 0 else level) for i, s in enumerate(sides)])
            stem = f"transformer.patch_embed{tag}0."
            self.shapes.update({stem + "conv.weight": (32, 3 if dims == 2 else 1, *kernel(7)), stem + "norm.weight": (32,),
                                stem + "norm.bias": (32,)})
            before = 32
            for s, (width, _, _) in enumerate(DOWN, 1):
                at = f"transformer.patch_embed{tag}{s}.proj."
                self.shapes.update({at + "conv.weight": (width, before, *kernel(3)), at + "norm.weight": (width,),
                                    at + "norm.bias": (width,),
                                    f"transformer.pos_embed{tag}{s}": (1, 1 + math.prod(grids[s - 1]), width)})
                before = width
            for s, (width, _, _) in enumerate(UP):
                at = f"DecEmbed{tag}{s}.proj."
                self.shapes.update({at + "weight": (before, width, *kernel(2)), at + "bias": (width,),
                                    f"DecPosEmbed{tag}{s}": (1, 1 + math.prod(grids[2 - s]), width)})
                before = width
        self.shapes["transformer.cls_tokens1"] = (1, 1, 48)
        before = 48
        for s, (width, _, short) in enumerate(DOWN, 1):
            if s > 1:
                self.linear(f"transformer.cls_tokens{s}", before, width)
            self.block(f"transformer.block{s}.0.", width, short, True)
            before = width
        for s, (width, _, short) in enumerate(UP):
            self.linear(f"cls_tokens{s}", before, width)
            self.block(f"Decblock{s}.0.", width, short, False)
            before = width
        self.shapes.update({"norm.weight": (48,), "norm.bias": (48,)})
        for salt, name in enumerate(sorted(self.shapes)):
            self.p[name] = value_of(salt, name, self.shapes[name]).requires_grad_()

    def linear(self, name, before, width, bias=True):
        self.shapes[name + ".weight"] = (width, before)
        if bias:
            self.shapes[name + ".bias"] = (width,)

    def block(self, at, width, short, bias):
        for norm in ("norm1", "norm2") + (("attn.norm",) if short > 1 else ()):
            self.shapes.update({f"{at}{norm}.weight": (width,), f"{at}{norm}.bias": (width,)})
        self.linear(at + "attn.q", width, width, bias)
        self.linear(at + "attn.kv", width, 2 * width, bias)
        self.linear(at + "attn.proj", width, width)
        self.linear(at + "mlp.fc1", width, 4 * width)
        self.linear(at + "mlp.fc2", 4 * width, width)
        if short > 1:
            for dims, tag in ((2, "2D"), (3, "3D")):
                self.shapes.update({f"{at}attn.sr{tag}.weight": (width, width, *(short,) * dims), f"{at}attn.sr{tag}.bias": (width,)})

    def apply_linear(self, name, x):
        return F.linear(x, self.p[name + ".weight"], self.p.get(name + ".bias"))

    def layer_norm(self, name, x, eps):
        return F.layer_norm(x, x.shape[-1:], self.p[name + ".weight"], self.p[name + ".bias"], eps)

    def conv_norm(self, at, x, stride):
        y = (F.conv2d if x.dim() == 4 else F.conv3d)(x, self.p[at + "conv.weight"], stride=stride,
                                                     padding=self.p[at + "conv.weight"].shape[-1] // 2)
        dims = list(range(2, x.dim()))
        y = (y - y.mean(dims, keepdim=True)) / (y.var(dims, unbiased=False, keepdim=True) + 1e-5).sqrt()
        shape = (1, -1) + (1,) * (x.dim() - 2)
        return F.leaky_relu(y * self.p[at + "norm.weight"].view(shape) + self.p[at + "norm.bias"].view(shape), 0.01)

    def stage(self, at, positions, x, token, heads, short, eps):
        sides, width = x.shape[2:], x.shape[1]
        n = x.shape[0]
        t = torch.cat([token[:, None], x.flatten(2).transpose(1, 2)], 1) + positions
        h = self.layer_norm(at + "norm1", t, eps)
        source = h
        if short > 1:
            tag = "2D" if len(sides) == 2 else "3D"
            map_ = h[:, 1:].transpose(1, 2).reshape(n, width, *sides)
            conv = F.conv2d if len(sides) == 2 else F.conv3d
            shorter = conv(map_, self.p[f"{at}attn.sr{tag}.weight"], self.p[f"{at}attn.sr{tag}.bias"], stride=short)
            source = self.layer_norm(at + "attn.norm", torch.cat([h[:, :1], shorter.flatten(2).transpose(1, 2)], 1), 1e-5)
        q = self.apply_linear(at + "attn.q", h).reshape(n, -1, heads, width // heads)
        k, v = self.apply_linear(at + "attn.kv", source).reshape(n, -1, 2, heads, width // heads).unbind(2)
        weights = torch.softmax(torch.einsum("nqhd,nkhd->nhqk", q, k) / math.sqrt(width // heads), -1)
        t = t + self.apply_linear(at + "attn.proj", torch.einsum("nhqk,nkhd->nqhd", weights, v).reshape(n, -1, width))
        h = self.layer_norm(at + "norm2", t, eps)
        t = t + self.apply_linear(at + "mlp.fc2", F.gelu(self.apply_linear(at + "mlp.fc1", h)))
        return t[:, 1:].transpose(1, 2).reshape(n, width, *sides), t[:, 0]

    def resized(self, positions, sides, own):
        if list(sides) == list(own):
            return positions
        grid = positions[:, 1:].transpose(1, 2).reshape(1, -1, *own)
        factors = [(s + 0.1) / o for s, o in zip(sides, own)]
        grid = F.interpolate(grid, scale_factor=factors, mode="bicubic" if len(own) == 2 else "trilinear", align_corners=False)
        return torch.cat([positions[:, :1], grid.flatten(2).transpose(1, 2)], 1)

    def forward(self, x):
        dims = x.dim() - 2
        tag, whole = ("2D", (64, 64)) if dims == 2 else ("3D", (16, 64, 64))
        own = lambda level: [s >> (level - 1 if dims == 3 and i == 0 else level) for i, s in enumerate(whole)]
        if dims == 2:
            x = x.expand(-1, 3, -1, -1)
        levels = [self.conv_norm(f"transformer.patch_embed{tag}0.", x, 2 if dims == 2 else (1, 2, 2))]
        map_, token = levels[0], self.p["transformer.cls_tokens1"][0].expand(x.shape[0], -1)
        for s, (width, heads, short) in enumerate(DOWN, 1):
            map_ = self.conv_norm(f"transformer.patch_embed{tag}{s}.proj.", map_, 2)
            if s > 1:
                token = self.apply_linear(f"transformer.cls_tokens{s}", token)
            positions = self.resized(self.p[f"transformer.pos_embed{tag}{s}"], map_.shape[2:], own(s + 1))
            map_, token = self.stage(f"transformer.block{s}.0.", positions, map_, token, heads, short, 1e-6)
            levels.append(map_)
        for s, (width, heads, short) in enumerate(UP):
            at = f"DecEmbed{tag}{s}.proj."
            grow = F.conv_transpose2d if dims == 2 else F.conv_transpose3d
            map_ = grow(map_, self.p[at + "weight"], self.p[at + "bias"], stride=2) + levels[3 - s]
            token = self.apply_linear(f"cls_tokens{s}", token)
            positions = self.resized(self.p[f"DecPosEmbed{tag}{s}"], map_.shape[2:], own(4 - s))
            map_, token = self.stage(f"Decblock{s}.0.", positions, map_, token, heads, short, 1e-5)
        return levels + [self.layer_norm("norm", token, 1e-5)]


def ptu():
    net = Ptu()
    net.build()
    made = {}
    for name, shape in {"image": (2, 1, 64, 64), "larger_image": (1, 1, 96, 128), "volume": (1, 1, 16, 64, 64)}.items():
        x = torch.from_numpy(fill(shape, 7))
        for value in net.p.values():
            value.grad = None
        features = net.forward(x)
        scalar(features).backward()
        names = ["cls_tokens1.weight", "transformer.block3.0.attn.kv.weight", "Decblock2.0.mlp.fc1.weight", "transformer.cls_tokens1",
                 "norm.bias"]
        names += ["transformer.patch_embed3D0.conv.weight", "DecEmbed3D1.proj.weight", "transformer.pos_embed3D2"] if len(shape) == 5 else [
            "transformer.patch_embed2D0.conv.weight", "DecEmbed2D1.proj.weight", "transformer.pos_embed2D2"]
        made[name] = {"features": [summary(t.detach().numpy(), 4) for t in features],
                      "gradients": {n: summary(net.p[n].grad.numpy(), 4) for n in names}}
    write("ptu", {"shapes": {n: list(s) for n, s in net.shapes.items()}, **made})


vit()
ptu()
