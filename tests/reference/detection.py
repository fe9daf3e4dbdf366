"""detection_ops.json and faster_rcnn.json: torchvision (0.26.0, torch 2.11.0) in double, with numbers from fill.py. Its
random choice of anchors and boxes is replaced by "the first ones".
"""
import torch
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection._utils import BalancedPositiveNegativeSampler
from torchvision.models.detection.backbone_utils import _resnet_fpn_extractor
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.rpn import RegionProposalNetwork
from torchvision.models.resnet import resnet50
from torchvision.ops import FrozenBatchNorm2d, nms, roi_align

from fill import fill, summary, write

T = torch.from_numpy


def boxes(count, salt, size):
    v = T((fill((count, 4), salt) + 1) / 2)
    low = v[:, :2] * size * 0.9
    return torch.cat([low, low + 0.02 * size + v[:, 2:] * (size - low) * 0.9], 1)


def align_cases():
    cases = []
    for size, sampling, aligned, scale in ((7, 2, False, 0.25), (7, 0, True, 0.25), (3, 1, False, 0.5), (2, 0, False, 0.125),
                                           (7, 2, True, 1.0)):
        features = T(fill((2, 5, 16, 20), 1)).requires_grad_()
        found = boxes(24, 2, 90) - 10
        rois = torch.cat([(torch.arange(24) % 2).double()[:, None], found], 1)
        out = roi_align(features, rois, size, scale, sampling if sampling else -1, aligned)
        out.backward(T(fill(tuple(out.shape), 3)))
        cases.append({"size": size, "sampling": sampling, "aligned": aligned, "scale": scale,
                      "output": summary(out.detach().numpy(), 24), "gradient": summary(features.grad.numpy(), 24)})
    return cases


def nms_cases():
    cases = []
    for count, salt, step in ((200, 11, 0), (200, 12, 0), (150, 13, 1)):
        found = boxes(count, salt, 100)
        if step:
            found = torch.round(found / 10) * 10  # many equal overlaps
            found[:, 2:] = torch.maximum(found[:, 2:], found[:, :2] + 10)
        scores = T(fill((count,), salt + 50))
        cases.append({"count": count, "salt": salt, "rounded": bool(step),
                      "kept": [nms(found, scores, t).tolist() for t in (0.3, 0.5, 0.7)]})
    return cases


def first_ones(self, matched):
    positives, negatives = [], []
    for m in matched:
        positive, negative = torch.where(m >= 1)[0], torch.where(m == 0)[0]
        p = min(positive.numel(), int(self.batch_size_per_image * self.positive_fraction))
        n = min(negative.numel(), self.batch_size_per_image - p)
        for mask, chosen in ((positives, positive[:p]), (negatives, negative[:n])):
            mask.append(torch.zeros_like(m, dtype=torch.uint8).index_fill_(0, chosen, 1))
    return positives, negatives


BalancedPositiveNegativeSampler.__call__ = first_ones
# Labels come in single precision, and with them the loss.
assign = RegionProposalNetwork.assign_targets_to_anchors
RegionProposalNetwork.assign_targets_to_anchors = lambda *a: (lambda l, b: ([x.double() for x in l], b))(*assign(*a))


def salt_of(name):
    return sum(ord(c) * (i + 1) for i, c in enumerate(name))


def filled(name, shape):
    if len(shape) > 1:
        fan_in = 1
        for n in shape[1:]:
            fan_in *= n
        last = any(word in name for word in ("bbox_pred", "cls_logits", "cls_score"))
        return fill(shape, salt_of(name), (6.0 / fan_in) ** 0.5 * (0.2 if last else 1))
    if name.endswith("bn3.weight"):  # else sixteen blocks add up to huge features
        return fill(shape, salt_of(name), 0.05, 0.2)
    around_one = name.endswith("running_var") or name.endswith("weight")
    return fill(shape, salt_of(name), 0.2, 1) if around_one else fill(shape, salt_of(name), 0.1)


def network(classes):
    body = resnet50(weights=None, norm_layer=FrozenBatchNorm2d)
    return FasterRCNN(_resnet_fpn_extractor(body, 3), num_classes=1 + classes)


def faster_rcnn():
    model = network(3).double()
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if tensor.is_floating_point():
                tensor.copy_(T(filled(name, tuple(tensor.shape))))
    images = T(fill((2, 3, 128, 160), 1, 2))
    truth = [{"boxes": torch.tensor([[10., 12, 50, 60], [40, 30, 120, 110], [100, 90, 130, 125]]).double(),
              "labels": torch.tensor([1, 2, 3])},
             {"boxes": torch.tensor([[30.5, 20.25, 90, 100], [5, 64, 24, 99]]).double(), "labels": torch.tensor([3, 1])}]
    empty = {"boxes": torch.zeros((0, 4)).double(), "labels": torch.zeros((0,), dtype=torch.int64)}
    listed = ImageList(images, [(128, 160)] * 2)

    def run(targets):
        features = model.backbone(images)
        proposals, rpn = model.rpn(listed, features, targets)
        found, head = model.roi_heads(features, proposals, listed.image_sizes, targets)
        return proposals, rpn | head, found

    names = [name for name, p in model.named_parameters() if p.requires_grad]
    model.train()
    result = {"parameters": sum(p.numel() for p in network(14).parameters()),
              "tensors": [[n, list(t.shape)] for n, t in model.state_dict().items()]}
    for key, targets in (("both", truth), ("one_without", [truth[0], empty])):
        model.zero_grad()
        proposals, losses, _ = run(targets)
        sum(losses.values()).backward()
        result[key] = {"losses": {n: float(v.detach()) for n, v in losses.items()}, "proposals": [len(p) for p in proposals]}
        if key == "both":
            result[key]["gradients"] = {n: summary(dict(model.named_parameters())[n].grad.numpy(), 2) for n in names}
    model.eval()
    with torch.no_grad():
        proposals, _, found = run(None)
    result["found"] = [{"count": len(f["scores"]), "boxes": summary(f["boxes"].numpy(), 40),
                        "scores": summary(f["scores"].numpy(), 20), "labels": f["labels"].tolist()} for f in found]
    result["proposals"] = [summary(p.numpy(), 40) for p in proposals]
    return result


write("detection_ops", {"roi_align": align_cases(), "nms": nms_cases()})
write("faster_rcnn", faster_rcnn())
