"""Twenty detectors of many families: a list like the paper's, whose own list is not published.

weight: box AP on COCO val2017 in percent, from the metafiles of MMDetection's model zoo (mmdet 3.5.1, .mim/configs).
The weights are downloaded once. Needs compiled operators: bash tools/install_machines.sh
"""

_AP = {
    'faster-rcnn_r50_fpn_1x_coco': 37.4,
    'faster-rcnn_r101_fpn_2x_coco': 39.8,
    'faster-rcnn_x101-64x4d_fpn_1x_coco': 42.1,
    'cascade-rcnn_r50_fpn_1x_coco': 40.3,
    'cascade-rcnn_r101_fpn_20e_coco': 42.5,
    'libra-faster-rcnn_r50_fpn_1x_coco': 38.3,
    'retinanet_r50_fpn_1x_coco': 36.5,
    'retinanet_pvtv2-b2_fpn_1x_coco': 44.6,
    'fcos_x101-64x4d_fpn_gn-head_ms-640-800-2x_coco': 42.6,
    'atss_r50_fpn_1x_coco': 39.4,
    'gfl_r50_fpn_1x_coco': 40.2,
    'vfnet_r50_fpn_ms-2x_coco': 44.8,
    'tood_r50_fpn_1x_coco': 42.4,
    'paa_r50_fpn_1x_coco': 40.4,
    'yolof_r50-c5_8xb8-1x_coco': 37.5,
    'yolox_s_8xb8-300e_coco': 40.5,
    'rtmdet_tiny_8xb32-300e_coco': 40.9,
    'rtmdet_m_8xb32-300e_coco': 49.1,
    'deformable-detr_r50_16xb2-50e_coco': 44.3,
    'dino-4scale_r50_8xb2-12e_coco': 49.0,
}

machines = [dict(type='MMDetMachine', config=name, checkpoint='zoo', task='det', weight=ap) for name, ap in _AP.items()]
