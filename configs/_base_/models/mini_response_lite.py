# As mini_response.py, for pictures of 320 pixels that detectors will see: the probe is the small detector that
# tools/data/make_demo.py --task det trains on the spot.
_base_ = 'mini_response.py'
model = dict(
    data_preprocessor=dict(views=dict(image=dict(size=320))),
    network=dict(
        probe=dict(
            _delete_=True,
            type='TwoStageProbe',  # also torchvision's Faster and Mask R-CNNs, with their weights or yours
            model_name='lite0_rcnn',
            pretrained='data/demo/detectors/lite0_rcnn.pth',
            num_classes=4,
        ),
    ),
)
