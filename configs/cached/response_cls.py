# As mini/response_cls.py, with the frozen probe out of the training loop (tools/data/cache_features.py --split all).
_base_ = '../mini/response_cls.py'
_cached = [dict(type='LoadCachedFeatures', cache='data/demo/response_features/cls', view='image')]
train_dataloader = dict(num_workers=0, dataset=dict(pipeline=_cached))
val_dataloader = dict(batch_size=1024, num_workers=0, dataset=dict(pipeline=_cached))
