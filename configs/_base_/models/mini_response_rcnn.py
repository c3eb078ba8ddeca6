# As mini_response.py, with a two-stage detector of torchvision as the probe: for det and ins.
_base_ = 'mini_response.py'
model = dict(
    data_preprocessor=dict(
        views=dict(image=dict(size=320, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))),
    ),
    network=dict(
        probe=dict(
            _delete_=True,
            type='TwoStageProbe',
            model_name='fasterrcnn_mobilenet_v3_large_320_fpn',  # or another of miqa.models.responses.two_stage_probe
            pretrained=True,  # torchvision's COCO weights, or the path of a file of weights
            num_classes=91,  # that the weights know, the background counted
        ),
    ),
)
