"""Both instance segmenters of torchvision: nothing to compile, weights fetched once (350 MB in all).

weight: mask AP on COCO val2017 in percent, from the metadata of the weights (torchvision 0.24, ``weights.meta``).
"""

_AP = {'maskrcnn_resnet50_fpn': 34.6, 'maskrcnn_resnet50_fpn_v2': 41.8}

machines = [
    dict(type='TorchvisionMachine', model=model, weights='COCO_V1', task='ins', weight=ap) for model, ap in _AP.items()
]
