"""masked_embedding.json: two steps of masked embedding prediction (method.md section 4) in double, written in numpy.

The masks come from Philox (philox.py). The backbones are closed forms that the test repeats: a slice's feature is (1, its first
pixel) with unit length, f_inter is tanh(x + the token of the slice before, cyclically).
"""
import math

import numpy as np

from fill import fill, write
from philox import mix, uniforms

VOLUMES, FRAMES, WIDTH, RATIO, SEED, FIRST_ID = 3, 20, 4, 0.3, 11, 40
MASK_STREAM = 0x6D61736B


def masked_slices(step, sample, view):
    draws = uniforms(mix(SEED, MASK_STREAM), step, sample, view)
    order = list(range(FRAMES))
    count = math.ceil(RATIO * FRAMES)
    for i in range(count):
        j = i + int(next(draws) * (FRAMES - i))
        order[i], order[j] = order[j], order[i]
    return sorted(order[:count])


projection, projection_bias = fill((WIDTH, 2), 20), fill((WIDTH,), 21)
target_projection, target_bias = fill((WIDTH, 2), 22), fill((WIDTH,), 23)
decoder, decoder_bias, mask_token = fill((WIDTH, WIDTH), 24), fill((WIDTH,), 25), fill((WIDTH,), 26)


def step_values(step):
    loss = mean_error = neighbour_error = 0.0
    for view in range(2):
        pixels = fill((VOLUMES, FRAMES, 1, 2, 2), 1 + view)[:, :, 0, 0, 0]
        features = np.stack([np.ones_like(pixels), pixels], axis=2)
        features /= np.linalg.norm(features, axis=2, keepdims=True)
        for volume in range(VOLUMES):
            masked = masked_slices(step, FIRST_ID + volume, view)
            seen = [i for i in range(FRAMES) if i not in masked]
            target = features[volume] @ target_projection.T + target_bias
            tokens = features[volume] @ projection.T + projection_bias
            tokens[masked] = mask_token
            mixed = np.tanh(tokens + np.roll(tokens, 1, axis=0))
            predicted = mixed @ decoder.T + decoder_bias
            between = np.stack([np.interp(masked, seen, target[seen, d]) for d in range(WIDTH)], axis=1)
            share = 1 / (2 * VOLUMES)
            loss += share * ((predicted[masked] - target[masked]) ** 2).sum()
            mean_error += share * ((target[seen].mean(axis=0) - target[masked]) ** 2).sum()
            neighbour_error += share * ((between - target[masked]) ** 2).sum()
    return {"loss": loss, "mean_token_error": mean_error, "neighbour_error": neighbour_error}


write("masked_embedding", {"masked": [[masked_slices(s, FIRST_ID + v, 0) for v in range(VOLUMES)] for s in range(2)],
                           "steps": [step_values(s) for s in range(2)]})
