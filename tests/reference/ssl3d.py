"""ssl3d.json: one step of each 3D objective in double, written in torch's functions from baselines_3d.md and the headers of
plugins/ssl/*.cpp. The network is that of tests/plugins/ssl3d/patch_model.h; what prepare() makes of samples is filled."""
import math

import torch
import torch.nn.functional as F

from fill import fill, summary, write
from philox import mix, uniforms

torch.set_default_dtype(torch.float64)
WIDTH = 4


def filled(shape, salt, scale=1.0, shift=0.0):
    return torch.from_numpy(fill(shape, salt, scale, shift))


def parameters(shapes, salt, scale=0.4):
    return {name: filled(shapes[name], salt + i, scale).requires_grad_() for i, name in enumerate(sorted(shapes))}


def network(salt=50):
    return parameters({"encoder.convolution.weight": (WIDTH, 1, 2, 2, 2), "encoder.convolution.bias": (WIDTH,)}, salt)


def embed(p, x):
    return torch.tanh(F.conv3d(x, p["encoder.convolution.weight"], p["encoder.convolution.bias"], stride=2))


def pooled(level):
    return level.mean((2, 3, 4))


def restore(p, prefix, level):
    dense = level
    for axis in (2, 3, 4):
        dense = dense.repeat_interleave(2, axis)
    return torch.sigmoid(torch.einsum("nc...,c->n...", dense, p[prefix + ".weight"][0]).unsqueeze(1) + p[prefix + ".bias"])


def linear(p, name, x):
    return F.linear(x, p[name + ".weight"], p[name + ".bias"])


def batch_norm(p, name, x):
    return F.batch_norm(x, None, None, p[name + ".weight"], p[name + ".bias"], True)


def mse(a, b):
    return ((a - b) ** 2).mean()


def cubes(count, views, salt, scale, shift, side=4):
    return filled((count, views, 1, side, side, side), salt, scale, shift)


def result(terms, net, extra=None):
    total = sum(terms.values())
    names = sorted(net)
    gradients = torch.autograd.grad(total, [net[n] for n in names])
    out = {"terms": {k: float(v) for k, v in terms.items()},
           "gradients": {n: summary(g.numpy(), 4) for n, g in zip(names, gradients)}}
    return out | (extra or {})


def models_genesis():
    net = network()
    p = parameters({"head.weight": (1, WIDTH), "head.bias": (1,)}, 100)
    x, y = cubes(3, 2, 1, 1, 0).flatten(0, 1), cubes(3, 2, 2, 0.5, 0.5).flatten(0, 1)
    return result({"restoration": mse(restore(p, "head", embed(net, x)), y)}, net)


def universal_model():
    net = network()
    p = parameters({"head.weight": (1, WIDTH), "head.bias": (1,), "scale.weight": (3, WIDTH), "scale.bias": (3,),
                    "modality.0.weight": (256, WIDTH), "modality.0.bias": (256,), "modality.2.weight": (2, 256),
                    "modality.2.bias": (2,)}, 100)
    x, y = cubes(3, 2, 1, 1, 0).flatten(0, 1), cubes(3, 2, 2, 0.5, 0.5).flatten(0, 1)
    scale, modality = torch.tensor([0, 1, 2, 1, 0, 0]), torch.tensor([0, 0, 1, 1, 0, 0])
    level = embed(net, x)
    feature = pooled(level)
    strength = 2 / (1 + math.exp(-10 * 10 / 30)) - 1  # step 10 of 30
    reversed_feature = feature * -strength + (feature * (1 + strength)).detach()  # the value of the feature
    scores = linear(p, "modality.2", torch.relu(linear(p, "modality.0", reversed_feature)))
    return result({"restoration": mse(restore(p, "head", level), y),
                   "scale": 0.1 * F.cross_entropy(linear(p, "scale", feature), scale),
                   "modality": 0.01 * F.cross_entropy(scores, modality)}, net)


def jigsaw():
    net = network()
    p = parameters({"head.0.weight": (8, 27 * WIDTH), "head.0.bias": (8,), "head.1.weight": (8,), "head.1.bias": (8,),
                    "head.3.weight": (20, 8), "head.3.bias": (20,)}, 100)
    patches, label = filled((3, 2, 27, 1, 2, 2, 2), 1), torch.tensor([3, 19, 0, 7, 7, 11])
    features = pooled(embed(net, patches.flatten(0, 2))).reshape(6, -1)
    hidden = torch.relu(batch_norm(p, "head.1", linear(p, "head.0", features)))
    return result({"jigsaw_3d": F.cross_entropy(linear(p, "head.3", hidden), label)}, net)


def light_decoder(p, level):
    out = F.leaky_relu(F.instance_norm(F.conv3d(level, p["decoder.0.weight"], p["decoder.0.bias"], padding=1)), 0.01)
    out = F.interpolate(out, scale_factor=2, mode="trilinear", align_corners=False)
    return F.conv3d(out, p["decoder.4.weight"], p["decoder.4.bias"])


DECODER = {"decoder.0.weight": (WIDTH, WIDTH, 3, 3, 3), "decoder.0.bias": (WIDTH,), "decoder.4.weight": (1, WIDTH, 1, 1, 1),
           "decoder.4.bias": (1,)}


def nt_xent(z, temperature):
    z = F.normalize(z, dim=1)
    n = len(z) // 2
    loss = 0
    for i in range(2 * n):
        scores = torch.stack([z[i] @ z[j] / temperature for j in range(2 * n) if j != i])
        loss = loss + torch.logsumexp(scores, 0) - z[i] @ z[(i + n) % (2 * n)] / temperature
    return loss / (2 * n)


def swin_pretraining():
    seed, step, first_id, count = mix(1, 0x70616972), 5, 30, 3
    net = network()
    p = parameters(DECODER | {"rotation.weight": (4, WIDTH), "rotation.bias": (4,), "contrast.weight": (6, WIDTH),
                              "contrast.bias": (6,)}, 100)
    clean, cut = cubes(count, 4, 1, 0.5, 0.5, 8), cubes(count, 4, 2, 0.5, 0.5, 8)
    swap, turn = filled(clean.shape, 3) > 0.5, torch.tensor([[0, 1, 2, 3], [3, 3, 1, 0], [2, 0, 1, 1]])
    inputs, targets, labels = [], [], []
    for version in range(2):
        order = [(b, version * 2 + v) for b in range(count) for v in range(2)]
        current = [clean[b, i] for b, i in order]
        for i, (b, view) in enumerate(order):
            j = int(next(uniforms(seed, step, first_id + b, view)) * len(order))
            current[i] = cut[b, view] if j == i else torch.where(swap[b, view], current[j], cut[b, view])
        inputs += current
        targets += [clean[b, i] for b, i in order]
        labels += [turn[b, i] for b, i in order]
    level, target = embed(net, (torch.stack(inputs) - 0.5) / 0.25), torch.stack(targets)
    feature = pooled(level)
    return result({"rotation": F.cross_entropy(linear(p, "rotation", feature), torch.stack(labels)),
                   "contrast": nt_xent(linear(p, "contrast", feature), 0.5),
                   "restoration": (light_decoder(p, level) - target).abs().mean()}, net)


def pcrl(nce):
    rows, count, batches, temperature = 32, 3, 3, 0.2
    net, twin = network(), {k: v.detach() for k, v in network().items()}
    heads = lambda prefix: {prefix + "0.weight": (128, WIDTH), prefix + "0.bias": (128,), prefix + "2.weight": (128, 128),
                            prefix + "2.bias": (128,)}
    shapes = heads("head.") | {"attention.0.weight": (256, 7), "attention.0.bias": (256,), "attention.2.weight": (WIDTH, 256),
                               "attention.2.bias": (WIDTH,), "restoration.weight": (1, WIDTH), "restoration.bias": (1,)}
    shapes |= heads("twin_head.network.") | {"twin.network." + k: tuple(v.shape) for k, v in net.items()}
    p = parameters(shapes, 100)
    bank = F.normalize(filled((rows, 128), 9), dim=1)
    x, m, g = cubes(count, 2, 1, 0.5, 0), cubes(count, 2, 2, 0.5, 0.5), cubes(count, 2, 3, 0.5, 0.5)
    code = torch.zeros(count, 2, 7)
    code[:, :, 3] = 1
    code[:, 1, 0] = 1
    draws = uniforms(mix(1, 0x6D697870), 5, 0, 0)
    lam, alpha, alpha_mixed = (max(u, 1 - u) for u in (next(draws), next(draws), next(draws)))
    order = list(range(count))
    for i in range(count - 1, 0, -1):
        j = int(next(draws) * (i + 1))
        order[i], order[j] = order[j], order[i]
    mixed = lambda t: lam * t + (1 - lam) * t[order]

    head = lambda feature: F.normalize(linear(p, "head.2", torch.relu(linear(p, "head.0", feature))), dim=1)
    keys = {n: p["head." + n] for n in ("0.weight", "0.bias", "2.weight", "2.bias")}  # the twin begins as the head
    key = lambda feature: F.normalize(F.linear(torch.relu(F.linear(feature, keys["0.weight"], keys["0.bias"])),
                                               keys["2.weight"], keys["2.bias"]), dim=1).detach()
    attention = lambda c: torch.sigmoid(linear(p, "attention.2", torch.relu(linear(p, "attention.0", c))))[:, :, None, None, None]
    draw = lambda level: restore(p, "restoration", level)

    own, other = embed(net, x[:, 0]), embed(twin, x[:, 1])
    q, k = head(pooled(own)), key(pooled(other))
    own, other = own * attention(code[:, 0]), other * attention(code[:, 1])
    restored = mse(draw(own), m[:, 0]) + mse(draw(alpha * own + (1 - alpha) * other), alpha * m[:, 0] + (1 - alpha) * m[:, 1])
    own_mixed, other_mixed = embed(net, mixed(x[:, 0])), embed(twin, mixed(x[:, 1]))
    g1, g2 = mixed(g[:, 0]), mixed(g[:, 1])
    restored = restored + mse(draw(own_mixed), g1)
    restored = restored + mse(draw(alpha_mixed * own_mixed + (1 - alpha_mixed) * other_mixed),
                              alpha_mixed * g1 + (1 - alpha_mixed) * g2)
    z = None

    def compare(q, k):
        nonlocal z
        near, far = (q * k).sum(1), q @ bank.T
        if nce == "infonce":
            return (torch.logsumexp(torch.cat([near[:, None], far], 1) / temperature, 1) - near / temperature).mean()
        e_near, e_far = (near / temperature).exp(), (far / temperature).exp()
        if z is None:
            z = (torch.cat([e_near[:, None], e_far], 1).mean() * batches).detach()
        h, epsilon = rows / batches, 1e-5
        first = -(e_near / z / (e_near / z + h + epsilon)).log()
        return (first - (h / (e_far / z + h + epsilon)).log().sum(1)).mean()

    q_mixed, k_mixed = head(pooled(own_mixed)), key(pooled(other_mixed))
    contrast = compare(q, k) + compare(q_mixed, k_mixed) + compare(q_mixed, F.normalize(mixed(k), dim=1))
    return result({"contrast": contrast / 3, "restoration": restored / 4}, net)


PLACES = [[([3, 5, 7], [1, 1, 1]), ([4.5, 12, 6], [1.2, -1, 0.9])], [([0, 0, 9], [0.8, 1.1, -1]), ([2, 1.5, 3], [1, 1, 1])]]


def pgl():
    side, hidden, width = 8, 6, 5
    net, twin = network(), {k: v.detach() for k, v in network().items()}
    dense = lambda prefix, start: {prefix + "0.weight": (hidden, start, 1, 1, 1), prefix + "0.bias": (hidden,),
                                   prefix + "1.weight": (hidden,), prefix + "1.bias": (hidden,),
                                   prefix + "3.weight": (width, hidden, 1, 1, 1), prefix + "3.bias": (width,)}
    shapes = dense("projector.", WIDTH) | dense("predictor.", width) | dense("twin_projector.network.", WIDTH)
    shapes |= {"twin.network." + k: tuple(v.shape) for k, v in net.items()}
    p = parameters(shapes, 100)

    def head(prefix, level):
        out = torch.relu(batch_norm(p, prefix + "1", F.conv3d(level, p[prefix + "0.weight"], p[prefix + "0.bias"])))
        return F.conv3d(out, p[prefix + "3.weight"], p[prefix + "3.bias"])

    x = filled((2, 2, 1, side, side, side), 1)  # [view, sample]
    both = x.flatten(0, 1)
    predicted = head("predictor.", head("projector.", embed(net, both)))
    wanted = head("projector.", embed(twin, both)).detach()  # the twin begins as the projector
    cells = side // 2

    def box(first, step):
        low = [f - 0.5 * s for f, s in zip(first, step)]
        high = [a + s * side for a, s in zip(low, step)]
        return [min(a, b) for a, b in zip(low, high)], [max(a, b) for a, b in zip(low, high)], [s < 0 for s in step]

    def read(level, box, point):  # trilinear at one point in mm, the border repeated
        at = []
        for a in range(3):
            w = (point[a] - box[0][a]) / (box[1][a] - box[0][a])
            w = 1 - w if box[2][a] else w
            at.append(min(max(w * cells - 0.5, 0), cells - 1))
        low = [min(int(math.floor(a)), cells - 1) for a in at]
        value = 0
        for corner in range(8):
            weight, index = 1.0, []
            for a in range(3):
                up = corner >> a & 1
                weight *= (at[a] - low[a]) if up else 1 - (at[a] - low[a])
                index.append(min(low[a] + up, cells - 1))
            value = value + weight * level[:, index[0], index[1], index[2]]
        return value

    total = 0
    for sample in range(2):
        one, two = (box(*place) for place in PLACES[sample])
        points = []
        for a in range(3):
            low, high, cell = max(one[0][a], two[0][a]), min(one[1][a], two[1][a]), (one[1][a] - one[0][a]) / cells
            count = max(1, math.ceil((high - low) / cell - 1e-9))
            points.append([low + (i + 0.5) / count * (high - low) for i in range(count)])
        losses = []
        for z in points[0]:
            for y in points[1]:
                for w in points[2]:
                    at = lambda maps, view, b: read(maps[view * 2 + sample], b, (z, y, w))
                    for a, b, va, vb in ((one, two, 0, 1), (two, one, 1, 0)):
                        cosine = F.cosine_similarity(at(predicted, va, a), at(wanted, vb, b), dim=0)
                        losses.append(2 - 2 * cosine)
        total = total + 2 * torch.stack(losses).mean()
    return result({"pgl": total / 2}, net)


def transvw():
    classes, head = 4, 1024
    net = network()
    p = parameters({"restoration.weight": (1, WIDTH), "restoration.bias": (1,), "convolution.0.weight": (head, WIDTH, 3, 3, 3),
                    "convolution.0.bias": (head,), "convolution.1.weight": (head,), "convolution.1.bias": (head,),
                    "classifier.weight": (classes, head), "classifier.bias": (classes,)}, 100)
    x, y, word = cubes(3, 1, 1, 1, 0)[:, 0], cubes(3, 1, 2, 0.5, 0.5)[:, 0], torch.tensor([0, 3, -1])
    level = embed(net, x)
    out = F.conv3d(level, p["convolution.0.weight"], p["convolution.0.bias"], padding=1)
    scores = linear(p, "classifier", pooled(torch.relu(batch_norm(p, "convolution.1", out))))
    return result({"restoration": mse(restore(p, "restoration", level), y),
                   "word": 0.01 * F.cross_entropy(scores[:2], word[:2])}, net)


def main():
    write("ssl3d", {"models_genesis": models_genesis(), "universal_model": universal_model(), "jigsaw_3d": jigsaw(),
                    "swin_pretraining": swin_pretraining(), "pcrl": {"infonce": pcrl("infonce"), "released": pcrl("released")},
                    "pgl": pgl(), "transvw": transvw()})


if __name__ == "__main__":
    main()
