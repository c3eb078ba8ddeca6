# MobileNetV4 (small, convolutional) of timm with its ImageNet weights and one output, at 192 pixels.
_base_ = 'student_lite0.py'
model = dict(
    data_preprocessor=dict(
        views=dict(image=dict(size=192, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))),
    ),
    network=dict(_delete_=True, type='TimmRegressor', model_name='mobilenetv4_conv_small.e2400_r224_in1k'),
)
