"""An MMDetection config: a small detector that learns a small data set on two CPU cores in minutes.

ATSS on EfficientNet-Lite0, whose ImageNet weights come inside a package, images of at most 320 pixels.
tools/demo/your_own_detector.py sets classes, annotations and folders, and trains it.
"""

default_scope = 'mmdet'
custom_imports = dict(imports=['miqa.machines.packaged_backbone'])
num_classes = 80
model = dict(
    type='ATSS',
    data_preprocessor=dict(
        type='DetDataPreprocessor', mean=[127] * 3, std=[128] * 3, bgr_to_rgb=True, pad_size_divisor=32
    ),
    backbone=dict(type='PackagedEfficientNetLite', size=0),
    neck=dict(
        type='FPN',
        in_channels=[40, 112, 320],
        out_channels=96,
        start_level=0,
        add_extra_convs='on_output',
        num_outs=4,
    ),
    bbox_head=dict(
        type='ATSSHead',
        num_classes=num_classes,
        in_channels=96,
        stacked_convs=1,
        feat_channels=96,
        norm_cfg=dict(type='GN', num_groups=16, requires_grad=True),
        anchor_generator=dict(
            type='AnchorGenerator', ratios=[1.0], octave_base_scale=6, scales_per_octave=1, strides=[8, 16, 32, 64]
        ),
        bbox_coder=dict(type='DeltaXYWHBBoxCoder', target_means=[0.0] * 4, target_stds=[0.1, 0.1, 0.2, 0.2]),
        loss_cls=dict(type='FocalLoss', use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=1.0),
        loss_bbox=dict(type='GIoULoss', loss_weight=2.0),
        loss_centerness=dict(type='CrossEntropyLoss', use_sigmoid=True, loss_weight=1.0),
    ),
    train_cfg=dict(assigner=dict(type='ATSSAssigner', topk=9), allowed_border=-1, pos_weight=-1, debug=False),
    test_cfg=dict(
        nms_pre=1000, min_bbox_size=0, score_thr=0.05, nms=dict(type='nms', iou_threshold=0.6), max_per_img=100
    ),
)
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Resize', scale=(320, 320), keep_ratio=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(320, 320), keep_ratio=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
]
# Folder and annotations are set by whoever trains.
_dataset = dict(type='CocoDataset', data_root='', ann_file='', data_prefix=dict(img=''))
train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(**_dataset, pipeline=train_pipeline, filter_cfg=dict(filter_empty_gt=True)),
)
test_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(**_dataset, pipeline=test_pipeline, test_mode=True),
)
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=60)
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1.5e-3, weight_decay=1e-4),
    clip_grad=dict(max_norm=10, norm_type=2),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=30),
    dict(type='CosineAnnealingLR', by_epoch=True, begin=0, end=60, eta_min=1e-5),
]
default_hooks = dict(
    logger=dict(type='LoggerHook', interval=7),
    checkpoint=dict(type='CheckpointHook', interval=10, max_keep_ckpts=1),
)
log_level = 'INFO'
randomness = dict(seed=1)
