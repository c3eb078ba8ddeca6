"""Twenty ImageNet classifiers of torchvision: nothing to install, weights fetched once (2.5 GB in all).

weight: ImageNet-1k top-1 accuracy in percent, from the metadata of the weights (torchvision 0.24, ``weights.meta``).
Take some of them with --only: run_machines.py ... --only resnet50 convnext_tiny
"""

_ACCURACY = {
    ('alexnet', 'IMAGENET1K_V1'): 56.522,
    ('convnext_tiny', 'IMAGENET1K_V1'): 82.52,
    ('densenet121', 'IMAGENET1K_V1'): 74.434,
    ('efficientnet_b0', 'IMAGENET1K_V1'): 77.692,
    ('efficientnet_b4', 'IMAGENET1K_V1'): 83.384,
    ('efficientnet_v2_s', 'IMAGENET1K_V1'): 84.228,
    ('googlenet', 'IMAGENET1K_V1'): 69.778,
    ('maxvit_t', 'IMAGENET1K_V1'): 83.7,
    ('mnasnet1_0', 'IMAGENET1K_V1'): 73.456,
    ('mobilenet_v3_large', 'IMAGENET1K_V2'): 75.274,
    ('regnet_y_3_2gf', 'IMAGENET1K_V2'): 81.982,
    ('resnet18', 'IMAGENET1K_V1'): 69.758,
    ('resnet50', 'IMAGENET1K_V2'): 80.858,
    ('resnet152', 'IMAGENET1K_V2'): 82.284,
    ('resnext50_32x4d', 'IMAGENET1K_V2'): 81.198,
    ('shufflenet_v2_x1_0', 'IMAGENET1K_V1'): 69.362,
    ('swin_v2_t', 'IMAGENET1K_V1'): 82.072,
    ('vgg16', 'IMAGENET1K_V1'): 71.592,
    ('vit_b_16', 'IMAGENET1K_V1'): 81.072,
    ('wide_resnet50_2', 'IMAGENET1K_V2'): 81.602,
}

machines = [
    dict(type='TorchvisionMachine', model=model, weights=weights, weight=top1)
    for (model, weights), top1 in _ACCURACY.items()
]
