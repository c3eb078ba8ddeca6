# As response_ra_miqa.py, with a small dense detector as the probe: for det and ins.
_base_ = 'response_ra_miqa.py'
model = dict(
    network=dict(
        probe=dict(
            _delete_=True,
            type='DetectorProbe',  # also ssd300_vgg16, retinanet_resnet50_fpn, fcos_resnet50_fpn
            model_name='ssdlite320_mobilenet_v3_large',
            pretrained=True,  # torchvision's COCO weights, or the path of their file
            # The view's mean and std, then what this detector wants.
            renormalise=((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
        ),
    ),
)
