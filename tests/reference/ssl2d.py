"""ssl2d_*.json: five training steps of each 2D method in double: losses, first gradients, and what is left afterwards
(parameters, moving averages, queue, centre). Written from the papers and baselines_2d.md with torch's autograd alone.

The network is a small convolution with batch norm (tests/plugins/ssl2d/training.h has the same); every parameter is
filled by the name it has in Ivory, and moved by plain gradient descent.
"""
import math
import pathlib
import sys

import torch
import torch.nn.functional as F

from fill import fill, summary, write
from philox import mix, uniforms

torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)
STEPS, BATCH, RATE, TOTAL, SEED = 5, 8, 0.1, 30, 1


def salt_of(name):
    return sum((i + 1) * ord(c) for i, c in enumerate(name)) % 9973


def filled(name, shape):
    shift = 1.0 if len(shape) == 1 and name.endswith("weight") else 0.0  # of batch norms
    return torch.from_numpy(fill(shape, salt_of(name), 0.2 if shift else 0.5, shift))


class Parameters(dict):
    """Tensors by the names that Ivory has for them; made at their first use."""

    def get_or_make(self, name, shape, trained=True):
        if name not in self:
            self[name] = filled(name, shape).requires_grad_(trained)
        return self[name]


def norm(x, weight=None, bias=None):
    dims = [d for d in range(x.dim()) if d != 1]
    mean = x.mean(dims, keepdim=True)
    y = (x - mean) / ((x - mean).square().mean(dims, keepdim=True) + 1e-5).sqrt()
    shape = [1, -1] + [1] * (x.dim() - 2)
    if weight is not None:
        y = y * weight.view(shape)
    return y if bias is None else y + bias.view(shape)


class Net:
    """The small network and its heads over a set of parameters, below a prefix of theirs."""

    def __init__(self, p, model="encoder.", head=""):
        self.p, self.model, self.head = p, model, head

    def level(self, x):
        x = F.conv2d(x, self.p[self.model + "conv.weight"], self.p[self.model + "conv.bias"], stride=2, padding=1)
        return F.gelu(norm(x, self.p[self.model + "norm.weight"], self.p[self.model + "norm.bias"]))

    def pooled(self, x):
        return self.level(x).mean((2, 3))

    def mlp(self, x, name, plan):
        """plan: 'l' linear, 'n' norm, 'p' norm without parameters, 'r' ReLU, 'g' GELU; modules are numbered."""
        for i, kind in enumerate(plan):
            at = f"{self.head}{name}.{i}."
            if kind == "l":
                x = F.linear(x, self.p[at + "weight"], self.p.get(at + "bias"))
            elif kind in "np":
                x = norm(x, self.p.get(at + "weight"), self.p.get(at + "bias"))
            else:
                x = F.relu(x) if kind == "r" else F.gelu(x)
        return x


def make(shapes):
    p = Parameters()
    for name, shape in {"encoder.conv.weight": (6, 1, 3, 3), "encoder.conv.bias": (6,), "encoder.norm.weight": (6,),
                        "encoder.norm.bias": (6,), **shapes}.items():
        p.get_or_make(name, shape)
    return p


def linears(name, widths, bias=True, numbers=None):
    shapes = {}
    for l in range(len(widths) - 1):
        shapes[f"{name}.{numbers[l]}.weight"] = (widths[l + 1], widths[l])
        if bias:
            shapes[f"{name}.{numbers[l]}.bias"] = (widths[l + 1],)
    return shapes


def norms(name, width, numbers):
    return {f"{name}.{n}.{which}": (width,) for n in numbers for which in ("weight", "bias")}


def views(step, sizes):
    return [torch.from_numpy(fill((BATCH, 1, s, s), 1000 + 10 * step + v)) for v, s in enumerate(sizes)]


def unit(x):
    return x / x.norm(dim=1, keepdim=True).clamp_min(1e-12)


def twin_of(p):
    return Parameters({name: value.detach().clone() for name, value in p.items()})


def follow(twin, p, momentum):
    for name in twin:
        twin[name] = momentum * twin[name] + (1 - momentum) * p[name].detach()


def cosine_momentum(base, step):
    return 1 - (1 - base) * (math.cos(math.pi * step / TOTAL) + 1) / 2


def run(name, p, loss_of, after=lambda step: None, frozen=lambda step: (), extra=lambda: {}):
    losses, first = [], {}
    for step in range(STEPS):
        for value in p.values():
            value.grad = None
        loss = loss_of(step)
        loss.backward()
        if step == 0:
            first = {key: summary(value.grad.numpy()) for key, value in p.items() if value.grad is not None}
        losses.append(loss.item())
        with torch.no_grad():
            for key, value in p.items():
                if value.grad is not None and key not in frozen(step):
                    value -= RATE * value.grad
        after(step)
    write("ssl2d_" + name, {"losses": losses, "gradients": first,
                            "trained": {key: summary(value.detach().numpy()) for key, value in p.items()},
                            **{key: {k: summary(v.numpy()) for k, v in values.items()} for key, values in extra().items()}})


def simclr():
    p = make(linears("head", (6, 10, 4), numbers=(0, 2)))
    net, tau = Net(p), 0.1

    def loss_of(step):
        z = unit(net.mlp(net.pooled(torch.cat(views(step, (12, 12)))), "head", "lrl"))
        total = 0
        for i in range(2 * BATCH):
            positive = (i + BATCH) % (2 * BATCH)
            others = torch.stack([z[i] @ z[j] / tau for j in range(2 * BATCH) if j != i])
            total = total + torch.logsumexp(others, 0) - z[i] @ z[positive] / tau
        return total / (2 * BATCH)

    run("simclr", p, loss_of)


def key_order(step):
    draws = uniforms(mix(SEED, 0x6D6F636F), step, 0, 0)
    order = list(range(BATCH))
    for i in range(BATCH - 1, 0, -1):
        j = int(next(draws) * (i + 1))
        order[i], order[j] = order[j], order[i]
    return order


def moco_v2():
    p = make(linears("head", (6, 10, 4), numbers=(0, 2)))
    twin, group, tau, length = twin_of(p), 4, 0.2, 16
    queue = unit(torch.from_numpy(fill((length, 4), 77)))
    state = {"begin": 0}

    def embed(parameters, x):
        net = Net(parameters)
        return torch.cat([unit(net.mlp(net.pooled(part), "head", "lrl")) for part in x.split(group)])

    def loss_of(step):
        first, second = views(step, (12, 12))
        q, order = embed(p, first), key_order(step)
        with torch.no_grad():
            shuffled, k = embed(twin, second[order]), torch.empty(BATCH, 4)
            for place, sample in enumerate(order):
                k[sample] = shuffled[place]
        state["keys"] = k
        scores = torch.cat([(q * k).sum(1, keepdim=True), q @ queue.clone().T], 1) / tau
        return (torch.logsumexp(scores, 1) - scores[:, 0]).mean()

    def after(step):
        queue[state["begin"]:state["begin"] + BATCH] = state["keys"]
        state["begin"] = (state["begin"] + BATCH) % length
        follow(twin, p, 0.9)

    run("moco_v2", p, loss_of, after, extra=lambda: {"twin": twin, "queue": {"store": queue.unsqueeze(0)}})


def barlow_twins():
    p = make({**linears("projector", (6, 10, 10, 5), bias=False, numbers=(0, 3, 6)), **norms("projector", 10, (1, 4))})
    net = Net(p)

    def standard(z):
        return (z - z.mean(0)) / (z.var(0, unbiased=False) + 1e-5).sqrt()

    def loss_of(step):
        z1, z2 = net.mlp(net.pooled(torch.cat(views(step, (12, 12)))), "projector", "lnrlnrl").chunk(2)
        c = standard(z1).T @ standard(z2) / BATCH
        total = 0
        for i in range(5):
            for j in range(5):
                total = total + ((1 - c[i, i]) ** 2 if i == j else 0.0051 * c[i, j] ** 2)
        return 0.024 * total

    run("barlow_twins", p, loss_of)


def moco_v3():
    p = make({**linears("projector", (6, 10, 10, 5), bias=False, numbers=(0, 3, 6)), **norms("projector", 10, (1, 4)),
              **linears("predictor", (5, 10, 5), bias=False, numbers=(0, 3)), **norms("predictor", 10, (1,))})
    twin = twin_of({k: v for k, v in p.items() if not k.startswith("predictor")})
    net, teacher, tau = Net(p), Net(twin), 0.2

    def contrast(q, k):
        scores = q @ k.T / tau
        return 2 * tau * (torch.logsumexp(scores, 1) - scores.diagonal()).mean()

    def loss_of(step):
        follow(twin, p, cosine_momentum(0.9, step))  # before the keys; nothing at step 0
        x = views(step, (12, 12))
        q = [unit(net.mlp(net.mlp(net.pooled(v), "projector", "lnrlnrlp"), "predictor", "lnrlp")) for v in x]
        with torch.no_grad():
            k = [unit(teacher.mlp(teacher.pooled(v), "projector", "lnrlnrlp")) for v in x]
        return contrast(q[0], k[1]) + contrast(q[1], k[0])

    # Ivory's average has also followed the last step.
    run("moco_v3", p, loss_of, lambda step: step == STEPS - 1 and follow(twin, p, cosine_momentum(0.9, STEPS)),
        extra=lambda: {"twin": twin})


def dino_head(p, x, name):
    net = Net(p)
    h = unit(net.mlp(x, name + ".mlp", "lglgl"))
    v = p[name + ".last_layer.weight_v"]
    return h @ (v / v.norm(dim=1, keepdim=True)).T


def dino_shapes(k=12):
    return {**linears("head.mlp", (6, 10, 10, 5), numbers=(0, 2, 4)), "head.last_layer.weight_v": (k, 5)}


def dino():
    p = make(dino_shapes())
    twin, centre = twin_of(p), torch.zeros(1, 12)
    net, teacher = Net(p), Net(twin)

    def temperature(step):  # warm-up over two epochs of three steps
        return 0.04 if step < 3 else 0.07

    def loss_of(step):
        x = views(step, (12, 12, 8, 8))
        # Batch norm sees the crops of one size together.
        features = torch.cat([net.pooled(torch.cat(x[:2])), net.pooled(torch.cat(x[2:]))])
        student = dino_head(p, features, "head").chunk(4)
        with torch.no_grad():
            t = dino_head(twin, teacher.pooled(torch.cat(x[:2])), "head")
            codes = [torch.softmax((one - centre) / temperature(step), 1) for one in t.chunk(2)]
            centre.mul_(0.9).add_(0.1 * t.mean(0, keepdim=True))
        total = 0
        for i in range(2):
            for v in range(4):
                if v != i:
                    total = total - (codes[i] * torch.log_softmax(student[v] / 0.1, 1)).sum(1).mean()
        return total / 6

    run("dino", p, loss_of, lambda step: follow(twin, p, cosine_momentum(0.9, step)),
        lambda step: ("head.last_layer.weight_v",) if step < 3 else (), lambda: {"twin": twin, "centre": {"center": centre}})


def usst():
    p = make({f"shared.{name}": shape for name, shape in dino_shapes().items()})
    twin, centre = twin_of(p), torch.zeros(1, 12)
    net, teacher = Net(p), Net(twin)

    def distance(student, t):
        student, t = student.chunk(2), t.chunk(2)
        total = 0
        for i in range(2):
            code = torch.softmax((t[i] - centre.clone()) / 0.04, 1)
            total = total - (code * torch.log_softmax(student[1 - i] / 0.1, 1)).sum(1).mean()
        centre.mul_(0.9).add_(0.1 * torch.cat(t).mean(0, keepdim=True))
        return total / 2

    def out(parameters, network, x):
        return dino_head(parameters, network.pooled(x), "shared.head")

    def loss_of(step):
        if step < 3:  # an epoch of images, then one of volumes
            x = torch.cat(views(step, (12, 12)))
            with torch.no_grad():
                t = out(twin, teacher, x)
            return distance(out(p, net, x), t)
        volumes = torch.cat([torch.from_numpy(fill((BATCH, 1, 3, 12, 12), 1000 + 10 * step + v)) for v in range(2)])
        slices = volumes[:, 0].reshape(-1, 1, 12, 12)

        def both(parameters, network):
            whole = out(parameters, network, 2 * volumes.mean(2))  # what the test's network does with a volume
            return whole, out(parameters, network, slices).reshape(-1, 3, 12).mean(1)

        s_whole, s_slices = both(p, net)
        with torch.no_grad():
            t_whole, t_slices = both(twin, teacher)
        loss = distance(s_whole, t_whole)
        loss = loss + distance(s_slices, t_whole)
        loss = loss + distance(s_slices, t_slices)
        return loss + distance(s_whole, t_slices)

    run("usst", p, loss_of, lambda step: follow(twin, p, cosine_momentum(0.9, step)),
        lambda step: ("shared.head.last_layer.weight_v",) if step < 3 else (),
        lambda: {"twin": twin, "centre": {"center": centre}})


def crop_place(view, sample, size):
    """Scale and offset of rows and of columns; the last sample's crops share nothing, odd ones are mirrored."""
    rows, columns = 0.8 + 0.05 * sample + 0.1 * view, 1.1 - 0.04 * sample
    first_row, first_column = 0.3 * sample * (1 - 2 * view), 0.2 * sample + 0.5 * view
    if sample == BATCH - 1 and view == 1:
        first_row = 1000.0
    if sample % 2 == 1 and view == 1:
        return rows, first_row, -columns, first_column + columns * (size - 1)
    return rows, first_row, columns, first_column


def pgl_2d():
    p = make({**linears("projector", (6, 10, 5), numbers=(0, 3)), **norms("projector", 10, (1,)),
              **linears("predictor", (5, 10, 5), numbers=(0, 3)), **norms("predictor", 10, (1,))})
    twin = twin_of({k: v for k, v in p.items() if not k.startswith("predictor")})
    net, target, side, size = Net(p), Net(twin), 3, 12

    def covered(scale, first):
        ends = sorted((first - 0.5 * scale, first + (size - 0.5) * scale))
        return ends

    def sample_map(level, view):
        """Bilinear values, by hand, at the positions of the shared regions."""
        values = []
        for i in range(BATCH - 1):
            places = [crop_place(v, i, size) for v in range(2)]
            region = []
            for axis in (0, 2):
                low = max(covered(*p_[axis:axis + 2])[0] for p_ in places)
                high = min(covered(*p_[axis:axis + 2])[1] for p_ in places)
                assert high > low
                region.append([low + (high - low) * (k + 0.5) / side for k in range(side)])
            for row in region[0]:
                for column in region[1]:
                    at = []
                    for axis, where in ((0, row), (2, column)):
                        pixel = (where - places[view][axis + 1]) / places[view][axis]
                        cell = (pixel + 0.5) * level.shape[2] / size - 0.5  # of the map
                        at.append(min(max(cell, 0), level.shape[2] - 1))
                    y, x = int(min(at[0], level.shape[2] - 2)), int(min(at[1], level.shape[3] - 2))
                    v, u = at[0] - y, at[1] - x
                    values.append((1 - v) * (1 - u) * level[i, :, y, x] + (1 - v) * u * level[i, :, y, x + 1]
                                  + v * (1 - u) * level[i, :, y + 1, x] + v * u * level[i, :, y + 1, x + 1])
        return torch.stack(values)

    def loss_of(step):
        x = views(step, (size, size))
        q = [unit(net.mlp(net.mlp(sample_map(net.level(x[v]), v), "projector", "lnrl"), "predictor", "lnrl")) for v in range(2)]
        with torch.no_grad():
            z = [unit(target.mlp(sample_map(target.level(x[v]), v), "projector", "lnrl")) for v in range(2)]
        return ((2 - 2 * (q[0] * z[1]).sum(1)).mean() + (2 - 2 * (q[1] * z[0]).sum(1)).mean()) / 2

    run("pgl_2d", p, loss_of, lambda step: follow(twin, p, cosine_momentum(0.9, step + 1)), extra=lambda: {"twin": twin})


def pcrl_2d():
    p = make({**linears("head", (6, 5, 5), numbers=(0, 2)), **linears("attention", (6, 256, 6), numbers=(0, 2)),
              "output.0.weight": (1, 6, 3, 3), "output.0.bias": (1,)})
    twin = twin_of({k: v for k, v in p.items() if not k.startswith(("attention", "output"))})
    net, key_net, tau, samples, size = Net(p), Net(twin), 0.2, 1000, 14
    bank = torch.from_numpy(fill((16, 5), 78))
    state = {"begin": 0, "z": None}

    def augment(crop, draws):
        angle = (-10 + 20 * next(draws)) * math.pi / 180
        mirror = next(draws) < 0.5
        brightness, contrast = 0.6 + 0.8 * next(draws), 0.6 + 0.8 * next(draws)
        if next(draws) >= 0.8:
            brightness = contrast = 1.0
        sigma = 0.1 + 1.9 * next(draws)
        if next(draws) >= 0.5:
            sigma = 0.0
        holes = [(next(draws), next(draws)) for _ in range(3)]
        flips = next(draws) < 0.5, next(draws) < 0.5
        turns = int(next(draws) * 4)
        c, s = math.cos(angle), math.sin(angle)
        grid = F.affine_grid(torch.tensor([[[c, -s, 0.0], [s, c, 0.0]]]), (1, 1, size, size), align_corners=False)
        x = F.grid_sample(crop[None], grid, padding_mode="border", align_corners=False)[0]
        x = x.flip(2) if mirror else x
        grey = (x + 2) / 4
        x = (((grey - grey.mean()) * contrast + grey.mean()) * brightness).clamp(0, 1) * 4 - 2
        if sigma > 0:
            radius = min(math.ceil(3 * sigma), size - 1)
            weight = torch.tensor([math.exp(-0.5 * (k / sigma) ** 2) for k in range(-radius, radius + 1)])
            weight = torch.outer(weight, weight) / weight.sum() ** 2
            x = F.conv2d(F.pad(x[None], (radius,) * 4, mode="replicate"), weight[None, None])[0]
        x = x.clone()
        for down, right in holes:
            row, column = int(down * (size - 1)), int(right * (size - 1))
            x[:, row:row + 2, column:column + 2] = -2
        y = x
        if flips[0]:
            y = y.flip(1)
        if flips[1]:
            y = y.flip(2)
        y = torch.rot90(y, turns, (1, 2))
        return x, y, torch.tensor([float(flips[0]), float(flips[1]), *[float(turns == k) for k in range(4)]])

    def other(x):
        return x[[i ^ 1 for i in range(BATCH)]]

    def decode(level):
        return F.conv2d(F.interpolate(level, scale_factor=2, mode="nearest"), p["output.0.weight"], p["output.0.bias"], padding=1)

    def attention(code):
        return torch.sigmoid(net.mlp(code, "attention", "lrl"))[:, :, None, None]

    def nce(q, k):
        negatives = bank.clone()
        positive, negative = torch.exp((q * k).sum(1) / tau), torch.exp(q @ negatives.T / tau)
        if state["z"] is None:
            state["z"] = torch.cat([positive[:, None], negative], 1).detach().mean() * samples
        h = len(negatives) / samples
        same, others = positive / state["z"], negative / state["z"]
        bank[state["begin"]:state["begin"] + BATCH] = k
        state["begin"] = (state["begin"] + BATCH) % 16
        return -(torch.log(same / (same + h + 1e-5)) + torch.log(h / (others + h + 1e-5)).sum(1)).mean()

    def loss_of(step):
        g = views(step, (size, size))
        made = [[torch.stack(part) for part in zip(*(augment(g[v][i], uniforms(mix(SEED, 0x7063726C), step, i, v))
                                                     for i in range(BATCH)))] for v in range(2)]
        draws = uniforms(mix(SEED, 0x70637278), step, 0, 0)
        share = [max(u, 1 - u) for u in (next(draws), next(draws), next(draws))]
        lam, alpha, alpha_mixed = share
        mix_up = lambda x: lam * x + (1 - lam) * other(x)
        (x1, y1, code1), (x2, y2, code2) = made
        level, level_mixed = net.level(x1), net.level(mix_up(x1))
        with torch.no_grad():
            key_level, key_level_mixed = key_net.level(x2), key_net.level(mix_up(x2))
            k, k_mixed = (unit(key_net.mlp(l.mean((2, 3)), "head", "lrl")) for l in (key_level, key_level_mixed))
        a = level * attention(code1)
        target = mix_up(g[0])
        restored = ((decode(a) - y1).square().mean()
                    + (decode(alpha * a + (1 - alpha) * key_level * attention(code2)) - (alpha * y1 + (1 - alpha) * y2)).square().mean()
                    + (decode(level_mixed) - target).square().mean()
                    + (decode(alpha_mixed * level_mixed + (1 - alpha_mixed) * key_level_mixed)
                       - (alpha_mixed * target + (1 - alpha_mixed) * mix_up(g[1]))).square().mean()) / 4
        q, q_mixed = (unit(net.mlp(l.mean((2, 3)), "head", "lrl")) for l in (level, level_mixed))
        contrast = nce(q, k)
        contrast = contrast + nce(q_mixed, k_mixed)
        contrast = contrast + nce(q_mixed, unit(mix_up(k)))
        return contrast / 3 + restored

    run("pcrl_2d", p, loss_of, lambda step: follow(twin, p, 0.9), extra=lambda: {"twin": twin, "bank": {"store": bank.unsqueeze(0)}})


METHODS = {f.__name__: f for f in (simclr, moco_v2, barlow_twins, moco_v3, dino, usst, pgl_2d, pcrl_2d)}
if __name__ == "__main__":
    for method in sys.argv[1:] or METHODS:
        METHODS[method]()
