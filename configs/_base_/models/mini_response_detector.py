# As mini_response.py, with a small dense detector as the probe: for det and ins.
_base_ = 'mini_response.py'
model = dict(
    # SSDlite wants values in [-1, 1].
    data_preprocessor=dict(views=dict(image=dict(size=320, mean=(0.5,) * 3, std=(0.5,) * 3))),
    network=dict(
        probe=dict(
            _delete_=True,
            type='DetectorProbe',  # also ssd300_vgg16, retinanet_resnet50_fpn, fcos_resnet50_fpn
            model_name='ssdlite320_mobilenet_v3_large',
            pretrained=True,  # torchvision's COCO weights, or the path of their file
        ),
    ),
)
