_base_ = [
    '../_base_/distill_runtime.py',
    '../_base_/datasets/unlabelled.py',
    '../_base_/models/student_mobilenetv4.py',
    '../_base_/schedules/distill.py',
]
data_root = 'data'  # holds pictures/
