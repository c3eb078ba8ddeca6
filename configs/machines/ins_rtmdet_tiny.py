"""One small instance segmenter with COCO weights from MMDetection's model zoo (downloaded once).

weight: its published mask AP on COCO val2017 in percent (mmdet 3.5.1, .mim/configs/rtmdet/metafile.yml).
"""

machines = [
    dict(type='MMDetMachine', config='rtmdet-ins_tiny_8xb32-300e_coco', checkpoint='zoo', task='ins', weight=35.4)
]
