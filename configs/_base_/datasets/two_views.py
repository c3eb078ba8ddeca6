# Two views of the resized picture: the 224-pixel crop, and the central 288 for the region encoder.
# At test one 288-pixel tensor serves both: the preprocessor cuts the first view out of it.
_base_ = 'one_view.py'
_load = [dict(type='LoadImage'), dict(type='ResizeShortSide', size=288)]
train_pipeline = [*_load, dict(type='PackViews', image=224, region=288, random=True)]
test_pipeline = [*_load, dict(type='PackViews', image=224, region=288)]

train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
