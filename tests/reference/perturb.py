"""perturb.json: perturbations of cubes (baselines_3d.md section 0.3), written voxel by voxel in numpy and scipy from their
description, with the same draws from Philox as ivory/nn/perturb.h documents."""
import math

import numpy as np
from scipy import ndimage

from fill import fill, summary, write
from philox import U32, mix, philox

SIDES = (16, 20, 24)


class Stream:
    def __init__(self, seed, epoch, sample, view):
        self.key, self.stream, self.block, self.words = mix(seed, epoch), mix(sample, view), 0, []

    def bits(self):
        if not self.words:
            self.words = philox([self.block, 0, self.stream & U32, self.stream >> 32], [self.key & U32, self.key >> 32])
            self.block += 1
        return self.words.pop(0)

    def uniform(self, low=0.0, high=1.0):
        high_bits, low_bits = self.bits() >> 5, self.bits() >> 6
        return low + (high - low) * (((high_bits << 26) | low_bits) / 2**53)

    def chance(self, p):
        return self.uniform() < p

    def below(self, n):
        return int(self.uniform() * n)

    def between(self, low, high):
        return low + ((self.bits() * (high - low + 1)) >> 32)

    def unit(self):
        return np.float32(self.bits() >> 8) * np.float32(2.0**-24)

    def normal(self):
        radius = math.sqrt(-2 * math.log(1 - self.uniform()))
        return radius * math.cos(2 * math.pi * self.uniform())


def cube(sides=SIDES):
    return fill(sides, 5, 0.5, 0.5).astype(np.float32)


def box_slices(start, sides):
    return tuple(slice(s, s + e) for s, e in zip(start, sides))


def draw_flips(r, p, released):
    flips = [False] * 3
    for _ in range(3):
        if not r.chance(p):
            break
        axis = r.below(3)
        if released:  # channel, x, y of arrays that we index z, y, x
            if axis == 0:
                continue
            axis = {1: 2, 2: 1}[axis]
        flips[axis] = not flips[axis]
    return flips


def flip(v, flips):
    return np.flip(v, [i for i in range(3) if flips[i]]).copy()


def shuffle(v, windows, r):
    out = v.copy()
    for _ in range(windows):
        sides = [r.between(1, n // 10) for n in v.shape]
        where = box_slices([r.between(0, n - e) for n, e in zip(v.shape, sides)], sides)
        values = list(v[where].reshape(-1))
        for last in range(len(values) - 1, 0, -1):
            other = r.between(0, last)
            values[last], values[other] = values[other], values[last]
        out[where] = np.array(values, np.float32).reshape(sides)
    return out


def bezier(v, x1, y1, x2, y2, falling):
    s = np.linspace(0, 1, 2_000_001)
    curve = lambda a, b: 3 * (1 - s) ** 2 * s * a + 3 * (1 - s) * s**2 * b + s**3
    x, y = curve(x1, x2), curve(y1, y2)
    return np.interp(v.astype(np.float64), x, y[::-1] if falling else y)


def draw_box(r, shape, low, high):
    sides = [r.between(a, b) for a, b in zip(low, high)]
    return [r.between(3, n - e - 3) for n, e in zip(shape, sides)], sides


def paint_in(v, least, most, r, constant=False):
    out = v.copy()
    for i in range(most):
        if i >= least and not r.chance(0.95):
            break
        start, sides = draw_box(r, v.shape, [n // 6 for n in v.shape], [n // 3 for n in v.shape])
        count = int(np.prod(sides))
        values = [r.unit()] * count if constant else [r.unit() for _ in range(count)]
        out[box_slices(start, sides)] = np.array(values, np.float32).reshape(sides)
    return out


def paint_out(v, most, r):
    out = np.array([r.unit() for _ in range(v.size)], np.float32).reshape(v.shape)
    for i in range(most):
        if i > 0 and not r.chance(0.95):
            break
        start, sides = draw_box(r, v.shape, [n - 4 * n // 7 for n in v.shape], [n - 3 * n // 7 for n in v.shape])
        where = box_slices(start, sides)
        out[where] = v[where]
    return out


def elastic(v, amplitude, sigma, r):
    shifts = []
    for _ in range(2):
        field = np.array([2 * r.unit() - 1 for _ in range(v.size)], np.float64).reshape(v.shape)
        shifts.append(amplitude * ndimage.gaussian_filter(field, sigma, mode="constant", cval=0, truncate=4))
    z, y, x = np.meshgrid(*map(np.arange, v.shape), indexing="ij")
    return ndimage.map_coordinates(v.astype(np.float64), [z, y + shifts[0], x + shifts[1]], order=1, mode="reflect")


def rotation(i, j, angle):
    m = np.eye(3)
    m[i, i] = m[j, j] = math.cos(angle)
    m[i, j], m[j, i] = -math.sin(angle), math.sin(angle)
    return m


def move(v, flips, angle, scale):
    turn = rotation(1, 2, angle[0]) @ rotation(0, 2, angle[1]) @ rotation(0, 1, angle[2])
    middle = (np.array(v.shape) - 1) / 2
    places = np.stack(np.meshgrid(*map(np.arange, v.shape), indexing="ij")).reshape(3, -1) - middle[:, None]
    places *= np.where(flips, -1, 1)[:, None]
    at = turn @ places / scale + middle[:, None]
    return ndimage.map_coordinates(v.astype(np.float64), at, order=1, mode="nearest").reshape(v.shape)


def cut(v, start, length, sides):
    axes = [s + (np.arange(n) + 0.5) * e / n - 0.5 for s, e, n in zip(start, length, sides)]
    return ndimage.map_coordinates(v.astype(np.float64), np.meshgrid(*axes, indexing="ij"), order=1, mode="nearest")


def draw_cut_outs(sides, most_share, r):
    wanted = r.uniform(0, most_share) * np.prod(sides)
    least = [max(2, n // 20) for n in sides]
    most = [max(a, n // 4 - 1) for a, n in zip(least, sides)]
    boxes, volume = [], 0
    while volume < wanted:
        start = [r.between(0, n - a - 1) for n, a in zip(sides, least)]
        edges = [min(r.between(a, b), n - s) for a, b, n, s in zip(least, most, sides, start)]
        boxes.append((start, edges))
        volume += int(np.prod(edges))
    return boxes


def cut_out(v, most_share, r):
    out = v.copy()
    for start, sides in draw_cut_outs(v.shape, most_share, r):
        noise = np.array([r.normal() for _ in range(int(np.prod(sides)))], np.float32)
        out[box_slices(start, sides)] = ((noise - noise.min()) / (noise.max() - noise.min())).reshape(sides)
    return out


def chain(v, r, windows):
    clean = flip(v, draw_flips(r, 0.4, False))
    out = clean
    if r.chance(0.5):
        out = shuffle(out, windows, r)
    if r.chance(0.9):
        points = [r.uniform() for _ in range(4)]
        out = bezier(out, *points, r.chance(0.5)).astype(np.float32)
    if r.chance(0.9):
        out = paint_in(out, 0, 5, r) if r.chance(0.2) else paint_out(out, 5, r)
    return clean, out


def main():
    content = {"flips": [[draw_flips(Stream(1, 2, i, 0), 0.4, released) for i in range(40)] for released in (False, True)]}
    content["shuffle"] = summary(shuffle(cube(), 300, Stream(1, 2, 3, 4)), 24)
    curves = [[0.1, 0.9, 0.3, 0.2, False], [0.8, 0.1, 0.2, 0.9, True], [0.0, 1.0, 0.0, 1.0, False], [0.9, 0.5, 0.6, 0.1, False]]
    content["bezier"] = [{"curve": c, "out": summary(bezier(cube(), *c), 24)} for c in curves]
    content["paint_in"] = summary(paint_in(cube(), 0, 5, Stream(1, 2, 5, 4)), 24)
    content["paint_constant"] = summary(paint_in(cube(), 1, 1, Stream(1, 2, 6, 4), True), 24)
    content["paint_out"] = summary(paint_out(cube(), 5, Stream(1, 2, 7, 4)), 24)
    content["elastic"] = summary(elastic(cube(), 60, 2, Stream(1, 2, 8, 4)), 24)
    content["blur"] = summary(ndimage.gaussian_filter(cube().astype(np.float64), 1.3, mode="reflect", truncate=4), 24)
    content["move"] = summary(move(cube(), [False, True, True], [0.2, -0.1, 0.15], 1.1), 24)
    content["cut"] = summary(cut(cube(), [1, 2, 3], [12, 15, 19], [8, 16, 16]), 24)
    content["cut_out"] = summary(cut_out(cube(), 0.3, Stream(1, 2, 9, 4)), 24)
    chains = []
    for sample in range(8):
        clean, out = chain(cube(), Stream(1, 2, sample, 9), 200)
        chains.append({"clean": summary(clean, 8), "out": summary(out, 24)})
    content["chains"] = chains
    write("perturb", content)


if __name__ == "__main__":
    main()
