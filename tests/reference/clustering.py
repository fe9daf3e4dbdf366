"""clustering.json: Sinkhorn-Knopp as matrix scaling of exp(scores / epsilon) and the swapped prediction loss, in numpy."""
import numpy as np

from fill import fill, write

EPSILON, ITERATIONS, TEMPERATURE = 0.05, 3, 0.1
BATCH, PROTOTYPES, VIEWS, ASSIGNED = 12, 7, 4, 2


def sinkhorn(scores):
    q = np.exp(scores / EPSILON).T  # prototypes x samples
    q /= q.sum()
    for _ in range(ITERATIONS):
        q *= 1 / PROTOTYPES / q.sum(axis=1, keepdims=True)
        q *= 1 / BATCH / q.sum(axis=0, keepdims=True)
    return (q * BATCH).T


def cross_entropy(codes, scores):
    z = scores / TEMPERATURE
    log_p = z - z.max(axis=1, keepdims=True)
    log_p = log_p - np.log(np.exp(log_p).sum(axis=1, keepdims=True))
    return -(codes * log_p).sum(axis=1).mean()


scores = [fill((BATCH, PROTOTYPES), salt=v) for v in range(VIEWS)]
codes = [sinkhorn(s) for s in scores[:ASSIGNED]]
terms = [cross_entropy(codes[a], scores[v]) for a in range(ASSIGNED) for v in range(VIEWS) if v != a]
write("clustering", {"codes": codes[0].tolist(), "loss": float(np.mean(terms))})
