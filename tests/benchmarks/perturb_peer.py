"""Peer of perturb_benchmark: the same chain in NumPy with its global generator, a window and a knot at a time as the release
works (written anew from its description, baselines_3d.md section 0.3).

  python perturb_peer.py [--cubes 64] [--repeats 5]

Prints a line of JSON like perturb_benchmark's without --lockstep.
"""
import argparse
import json
import time

import numpy as np

SIDES = (64, 64, 32)


def shuffle(x, windows=10000):
    out = x.copy()
    for _ in range(windows):
        edges = [np.random.randint(1, n // 10 + 1) for n in x.shape]
        where = tuple(slice(s, s + e) for s, e in ((np.random.randint(0, n - e + 1), e) for n, e in zip(x.shape, edges)))
        window = x[where].flatten()
        np.random.shuffle(window)
        out[where] = window.reshape(edges)
    return out


def bezier(x, knots=100000):
    s = np.linspace(0, 1, knots)
    p = np.random.rand(4)
    curve = lambda a, b: 3 * (1 - s) ** 2 * s * a + 3 * (1 - s) * s**2 * b + s**3
    grey, out = np.sort(curve(p[0], p[2])), curve(p[1], p[3])
    return np.interp(x, grey, out[::-1] if np.random.rand() < 0.5 else np.sort(out))


def box(shape, low, high):
    edges = [np.random.randint(a, b + 1) for a, b in zip(low, high)]
    return tuple(slice(s, s + e) for s, e in ((np.random.randint(3, n - e - 2), e) for n, e in zip(shape, edges)))


def paint_in(x):
    for _ in range(5):
        if np.random.rand() >= 0.95:
            break
        where = box(x.shape, [n // 6 for n in x.shape], [n // 3 for n in x.shape])
        x[where] = np.random.rand(*x[where].shape)
    return x


def paint_out(x):
    kept, x = x, np.random.rand(*x.shape)
    for i in range(5):
        if i and np.random.rand() >= 0.95:
            break
        where = box(x.shape, [n - 4 * n // 7 for n in x.shape], [n - 3 * n // 7 for n in x.shape])
        x[where] = kept[where]
    return x


def chain(x):
    y = x.copy()
    for _ in range(3):
        if np.random.rand() >= 0.4:
            break
        y = np.flip(y, np.random.randint(3))
    x = y.copy()
    if np.random.rand() < 0.5:
        x = shuffle(x)
    if np.random.rand() < 0.9:
        x = bezier(x)
    if np.random.rand() < 0.9:
        x = paint_in(x) if np.random.rand() < 0.2 else paint_out(x)
    return x, y


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cubes", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    np.random.seed(1)
    x = np.random.rand(*SIDES)
    chain(x)
    times = []
    for _ in range(args.repeats):
        began = time.perf_counter()
        for _ in range(args.cubes):
            chain(x)
        times.append(1e3 * (time.perf_counter() - began))
    print(json.dumps({"bench": "perturb", "peer": "numpy", "ms": times, "items": args.cubes}))


if __name__ == "__main__":
    main()
