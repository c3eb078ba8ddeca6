"""All detectors of torchvision that know COCO's 80 classes: nothing to compile, weights fetched once (1.4 GB in all).

weight: box AP on COCO val2017 in percent, from the metadata of the weights (torchvision 0.24, ``weights.meta``).
Take some of them with --only: run_machines.py ... --only ssdlite320_mobilenet_v3_large
"""

_AP = {
    'fasterrcnn_mobilenet_v3_large_320_fpn': 22.8,
    'fasterrcnn_mobilenet_v3_large_fpn': 32.8,
    'fasterrcnn_resnet50_fpn': 37.0,
    'fasterrcnn_resnet50_fpn_v2': 46.7,
    'fcos_resnet50_fpn': 39.2,
    'maskrcnn_resnet50_fpn': 37.9,
    'maskrcnn_resnet50_fpn_v2': 47.4,
    'retinanet_resnet50_fpn': 36.4,
    'retinanet_resnet50_fpn_v2': 41.5,
    'ssd300_vgg16': 25.1,
    'ssdlite320_mobilenet_v3_large': 21.3,
}

machines = [
    dict(type='TorchvisionMachine', model=model, weights='COCO_V1', task='det', weight=ap) for model, ap in _AP.items()
]
