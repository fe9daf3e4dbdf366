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


METHODS = {f.__name__: f for f in (simclr, moco_v2, barlow_twins, moco_v3, dino)}
if __name__ == "__main__":
    for method in sys.argv[1:] or METHODS:
        METHODS[method]()
