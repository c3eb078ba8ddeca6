# As ra_miqa_ins.py, with the frozen region encoder out of the training loop (tools/data/cache_features.py).
_base_ = '../ra_miqa_ins.py'
train_pipeline = [
    dict(type='LoadImage'),
    dict(type='ResizeShortSide', size=288),
    dict(type='PackViews', image=224, region=None, random=True),
    dict(type='LoadRegionFeatures', cache='data/region_features/det_train'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
