# As mini/response_rcnn_det.py, with the frozen probe out of the training loop.
_base_ = '../mini/response_rcnn_det.py'
_cached = [dict(type='LoadCachedFeatures', cache='data/demo/response_features/det', view='image')]
train_dataloader = dict(num_workers=0, dataset=dict(pipeline=_cached))
val_dataloader = dict(batch_size=1024, num_workers=0, dataset=dict(pipeline=_cached))
