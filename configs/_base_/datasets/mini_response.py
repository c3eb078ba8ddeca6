# One view as a classifier's own test sees it: the central 224 pixels of the picture resized to a short side of 256.
# Nothing is random, so what the frozen probe says can be cached (configs/cached/response_cls.py).
_base_ = 'one_view.py'
test_pipeline = [
    dict(type='LoadImage'),
    dict(type='ResizeShortSide', size=256, interpolation='bicubic'),
    dict(type='PackViews', image=224, region=None),
]

train_dataloader = dict(num_workers=1, pin_memory=False, dataset=dict(pipeline=test_pipeline))
val_dataloader = dict(batch_size=64, num_workers=1, pin_memory=False, dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
