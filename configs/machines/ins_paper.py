"""Fifteen instance segmenters of many families: a list like the paper's, whose own list is not published.

weight: mask AP on COCO val2017 in percent, from the metafiles of MMDetection's model zoo (mmdet 3.5.1, .mim/configs).
The weights are downloaded once. Needs compiled operators: bash tools/install_machines.sh
"""

_AP = {
    'mask-rcnn_r50_fpn_ms-poly-3x_coco': 37.1,
    'mask-rcnn_r101_fpn_1x_coco': 36.1,
    'mask-rcnn_x101-64x4d_fpn_1x_coco': 38.4,
    'mask-rcnn_swin-t-p4-w7_fpn_1x_coco': 39.3,
    'mask-rcnn_convnext-t-p4-w7_fpn_amp-ms-crop-3x_coco': 41.7,
    'cascade-mask-rcnn_r50_fpn_1x_coco': 35.9,
    'cascade-mask-rcnn_x101-64x4d_fpn_1x_coco': 39.2,
    'ms-rcnn_x101-64x4d_fpn_1x_coco': 39.5,
    'htc_r50_fpn_1x_coco': 37.4,
    'scnet_r50_fpn_1x_coco': 39.2,
    'point-rend_r50-caffe_fpn_ms-3x_coco': 38.0,
    'queryinst_r50_fpn_1x_coco': 37.5,
    'condinst_r50_fpn_ms-poly-90k_coco_instance': 36.0,
    'rtmdet-ins_tiny_8xb32-300e_coco': 35.4,
    'mask2former_r50_8xb2-lsj-50e_coco': 42.9,
}

machines = [dict(type='MMDetMachine', config=name, checkpoint='zoo', task='ins', weight=ap) for name, ap in _AP.items()]
