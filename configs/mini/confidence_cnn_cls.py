_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/mini_one_view.py',
    '../_base_/models/mini_confidence_cnn.py',
    '../_base_/schedules/mini_head.py',
]
data_root = 'data/demo'
task = 'cls'
batch_size = 16
default_hooks = dict(logger=dict(interval=5))
selection = 0.2  # of a hundred photographs a tenth would be too few to choose by
