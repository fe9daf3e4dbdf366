"""clustering.json: what the clustering objectives compute, in double.

Sinkhorn-Knopp as matrix scaling of exp(scores / epsilon) and its limit by POT 0.9.7 (ot.sinkhorn); the swapped
prediction loss with scipy's log_softmax; SwAV with a feature queue over seven steps, the queue a plain Python list;
spherical k-means with loops over samples, scikit-learn 1.9.1 for distances and unit rows; the loss of DeepCluster-v2
with a sample that has no cluster.
"""
import numpy as np
import ot
from scipy.special import log_softmax
from sklearn.metrics import pairwise_distances_argmin
from sklearn.preprocessing import normalize

from fill import fill, write

EPSILON, ITERATIONS, TEMPERATURE = 0.05, 3, 0.1
BATCH, PROTOTYPES, VIEWS, ASSIGNED = 12, 7, 4, 2


def sinkhorn(scores):
    q = np.exp(scores / EPSILON).T  # prototypes x samples
    q /= q.sum()
    prototypes, samples = q.shape
    for _ in range(ITERATIONS):
        q *= 1 / prototypes / q.sum(axis=1, keepdims=True)
        q *= 1 / samples / q.sum(axis=0, keepdims=True)
    return (q * samples).T


def limit(scores, epsilon):
    """Maximises <Q, scores> + epsilon * entropy over the equal partition: optimal transport with cost -scores."""
    samples, prototypes = scores.shape
    plan = ot.sinkhorn(np.full(samples, 1 / samples), np.full(prototypes, 1 / prototypes), -scores, epsilon,
                       numItermax=100_000, stopThr=1e-14)
    return plan * samples


def cross_entropy(codes, scores):
    return -(codes * log_softmax(scores / TEMPERATURE, axis=1)).sum(axis=1).mean()


def swapped(codes, scores):
    return float(np.mean([cross_entropy(codes[a], scores[v])
                          for a in range(len(codes)) for v in range(len(scores)) if v != a]))


def queued_steps():
    """Batches of 4, three views of which two are coded, 6 features, 5 prototypes; the queue of 12 is full after 3 steps."""
    batch, views, width, prototypes, length = 4, 3, 6, 5, 12
    queues, losses = [[] for _ in range(ASSIGNED)], []
    for step in range(7):
        z = normalize(fill((views * batch, width), 10 + step)).reshape(views, batch, width)
        c = normalize(fill((prototypes, width), 50 + step))
        codes = []
        for a in range(ASSIGNED):
            rows = list(z[a]) + (queues[a] if len(queues[a]) == length else [])
            codes.append(sinkhorn(np.array(rows) @ c.T)[:batch])
        losses.append(swapped(codes, [view @ c.T for view in z]))
        for a in range(ASSIGNED):
            queues[a] = (list(z[a]) + queues[a])[:length]
    return losses


def k_means(points, centroids, iterations):
    for _ in range(iterations):
        nearest = pairwise_distances_argmin(points, centroids)  # unit rows: the nearest has the largest cosine
        for k in range(len(centroids)):
            members = [p for p, n in zip(points, nearest) if n == k]
            if members:
                centroids[k] = normalize(np.mean(members, axis=0, keepdims=True))[0]
    return centroids, pairwise_distances_argmin(points, centroids)


def clusters():
    """60 points around four directions, seven centroids; the last lies opposite to all points and stays empty."""
    directions = fill((4, 5), 3)
    points = normalize(np.repeat(directions, 15, axis=0) + fill((60, 5), 4, 0.7))
    initial = np.concatenate([points[[0, 1, 17, 30, 31, 59]], -normalize(points.mean(axis=0, keepdims=True))])
    centroids, nearest = k_means(points, initial.copy(), 10)
    assert 6 not in nearest and len(set(nearest)) == 6 and np.array_equal(centroids[6], initial[6])
    return {"points": points.tolist(), "initial": initial.tolist(), "centroids": centroids.tolist(),
            "assignments": nearest.tolist()}


def deep_cluster_loss():
    """Two heads of 4 and 3 clusters, three crops of five samples, of which one has no cluster in head 0."""
    z = normalize(fill((15, 6), 70)).reshape(3, 5, 6)
    heads = [normalize(fill((4, 6), 71)), normalize(fill((3, 6), 72))]
    targets = [[3, 0, None, 1, 0], [2, 2, 0, 1, 0]]
    losses = []
    for c, target in zip(heads, targets):
        log_p = [log_softmax(crop @ c.T / TEMPERATURE, axis=1) for crop in z]
        losses.append(np.mean([-p[b][t] for p in log_p for b, t in enumerate(target) if t is not None]))
    return float(np.mean(losses))


scores = [fill((BATCH, PROTOTYPES), salt=v) for v in range(VIEWS)]
codes = [sinkhorn(s) for s in scores[:ASSIGNED]]
write("clustering", {"codes": codes[0].tolist(), "limit": limit(scores[0], 0.5).tolist(),
                     "loss": swapped(codes, scores), "queued_losses": queued_steps(), "k_means": clusters(),
                     "deep_cluster_loss": deep_cluster_loss()})
