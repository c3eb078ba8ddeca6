_base_ = [
    '_base_/default_runtime.py',
    '_base_/datasets/one_view.py',
    '_base_/models/resnet50.py',
    '_base_/schedules/paper.py',
]
task = 'seg'
