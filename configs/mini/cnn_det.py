_base_ = 'plain_cnn_det.py'  # the name until version 0.1
