"""unet_resnet18.json, unet_resnet50.json: segmentation_models_pytorch's U-Net (0.6.0, torch 2.11.0): names and shapes,
and its logits with weights filled by name, in double.
"""
import json
import math
import pathlib

import segmentation_models_pytorch as smp
import torch

from fill import fill, summary


def value(name, tensor):
    salt = sum(ord(c) * (i + 1) for i, c in enumerate(name))
    if tensor.dim() == 4:
        return fill(tensor.shape, salt, math.sqrt(6 / tensor[0].numel()))  # variance 2 / fan-in
    if name.endswith(("running_var", "weight")):
        return fill(tensor.shape, salt, 0.2, 1)
    return fill(tensor.shape, salt, 0.1)


for encoder in ("resnet18", "resnet50"):
    net = smp.Unet(encoder, encoder_weights=None, classes=3).double().eval()
    state = net.state_dict()
    with torch.no_grad():
        for name, tensor in state.items():
            if tensor.is_floating_point():
                tensor.copy_(torch.from_numpy(value(name, tensor)))
        logits = net(torch.from_numpy(fill((2, 3, 64, 96), 1, 2)))
    shapes = ",\n".join(json.dumps([name, list(tensor.shape)]) for name, tensor in state.items())
    text = f'{{"logits": {json.dumps(summary(logits.numpy(), 32))},\n"tensors": [\n{shapes}]}}\n'
    pathlib.Path(__file__).with_name(f"unet_{encoder}.json").write_text(text)
