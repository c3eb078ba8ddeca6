_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/mini_response_detector.py',
    '../_base_/models/mini_response_lite.py',
    '../_base_/schedules/mini_response.py',
]
data_root = 'data/demo'
task = 'det'
batch_size = 32  # 900 pictures make few steps
selection = 0.2  # of a hundred pictures a tenth would be too few to choose by
schedule = dict(epochs=12)
default_hooks = dict(checkpoint=dict(per_epoch=1))  # an epoch takes seconds
