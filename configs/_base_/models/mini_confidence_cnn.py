# EfficientNet-Lite0 with its packaged ImageNet classifier, and a small head on its confidence: learns from a thousand
# images on a CPU. See ConfidenceRegressor for why its 1,280 free features are not enough there.
_base_ = './mini_cnn.py'
model = dict(network=dict(type='ConfidenceRegressor'))
