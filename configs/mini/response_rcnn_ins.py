_base_ = 'response_rcnn_det.py'
task = 'ins'
