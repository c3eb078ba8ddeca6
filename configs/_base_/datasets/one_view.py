# One view: a 224-pixel crop of the picture resized to a short side of 288.
# task, label, data_root and seed come from the knobs of default_runtime.py.
_load = [dict(type='LoadImage'), dict(type='ResizeShortSide', size=288)]
train_pipeline = [*_load, dict(type='PackViews', image=224, region=None, random=True)]
test_pipeline = [*_load, dict(type='PackViews', image=224, region=None)]

train_dataloader = dict(
    num_workers=8,  # processes that load images; at most this process's share of the cores is used
    persistent_workers=True,
    pin_memory=True,
    drop_last=True,
    sampler=dict(type='ResumableSampler', shuffle=True),
    dataset=dict(type='MIQDDataset', split='train', pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=256,
    num_workers=8,
    persistent_workers=True,
    pin_memory=True,
    sampler=dict(type='ResumableSampler', shuffle=False),
    dataset=dict(type='MIQDDataset', split='val', pipeline=test_pipeline),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='QualityCorrelation')
test_evaluator = val_evaluator
