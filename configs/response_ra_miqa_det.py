_base_ = [
    '_base_/default_runtime.py',
    '_base_/datasets/two_views.py',
    '_base_/models/response_ra_miqa_detector.py',
    '_base_/schedules/paper.py',
]
task = 'det'
