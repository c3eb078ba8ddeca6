"""One small detector with COCO weights from MMDetection's model zoo (downloaded once).

weight: its published box AP on COCO val2017 in percent (mmdet 3.5.1, .mim/configs/rtmdet/metafile.yml).
"""

machines = [dict(type='MMDetMachine', config='rtmdet_tiny_8xb32-300e_coco', checkpoint='zoo', task='det', weight=40.9)]
