# As mini_one_view.py, with the whole central 224 pixels for the region encoder.
_base_ = 'mini_one_view.py'
_load = [dict(type='LoadImage'), dict(type='ResizeShortSide', size=224)]
train_pipeline = [*_load, dict(type='PackViews', image=176, region=224, random=True)]
test_pipeline = [*_load, dict(type='PackViews', image=176, region=224)]

train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
