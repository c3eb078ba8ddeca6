_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/mini_one_view.py',
    '../_base_/models/mini_cnn.py',
    '../_base_/schedules/mini.py',
]
data_root = 'data/demo'
task = 'det'
batch_size = 32
default_hooks = dict(logger=dict(interval=5))
