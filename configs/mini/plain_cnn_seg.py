_base_ = 'plain_cnn_det.py'
task = 'seg'
