_base_ = 'response_lite_det.py'
task = 'ins'
