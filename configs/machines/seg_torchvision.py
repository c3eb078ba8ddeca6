"""All semantic segmenters of torchvision, which know the 20 classes of Pascal VOC and the background (0.8 GB in all).

weight: mean IoU on COCO val2017 with VOC's labels in percent, from the metadata of the weights (torchvision 0.24).
"""

_MIOU = {
    'deeplabv3_mobilenet_v3_large': 60.3,
    'deeplabv3_resnet101': 67.4,
    'deeplabv3_resnet50': 66.4,
    'fcn_resnet101': 63.7,
    'fcn_resnet50': 60.5,
    'lraspp_mobilenet_v3_large': 57.9,
}

machines = [
    dict(type='TorchvisionMachine', model=model, weights='COCO_WITH_VOC_LABELS_V1', task='seg', weight=miou)
    for model, miou in _MIOU.items()
]
