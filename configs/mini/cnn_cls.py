_base_ = 'confidence_cnn_cls.py'  # the name until version 0.1
