# Small pictures for CPUs: a 176-pixel crop of the picture resized to a short side of 224 (about the paper's ratio).
_base_ = 'one_view.py'
_load = [dict(type='LoadImage'), dict(type='ResizeShortSide', size=224)]
train_pipeline = [*_load, dict(type='PackViews', image=176, region=None, random=True)]
test_pipeline = [*_load, dict(type='PackViews', image=176, region=None)]

train_dataloader = dict(num_workers=1, pin_memory=False, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(batch_size=64, num_workers=1, pin_memory=False, dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
