# One view as a small detector sees it: the central 320 pixels of the picture resized to a short side of 320.
_base_ = 'mini_response.py'
test_pipeline = [
    dict(type='LoadImage'),
    dict(type='ResizeShortSide', size=320),
    dict(type='PackViews', image=320, region=None),
]
train_dataloader = dict(dataset=dict(pipeline=test_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
