"""Forty ImageNet classifiers of many families: a list like the paper's, whose own list is not published.

weight: ImageNet-1k top-1 accuracy in percent, from timm's results/results-imagenet.csv
(https://github.com/huggingface/pytorch-image-models, commit 0173a139). The pretrained weights are downloaded once.
"""

_ACCURACY = {
    'resnet18.tv_in1k': 69.760,
    'resnet34.gluon_in1k': 74.578,
    'resnet50.tv_in1k': 76.130,
    'resnet50.a1_in1k': 81.214,
    'resnet101.tv_in1k': 77.376,
    'resnet152.tv_in1k': 78.322,
    'resnext50_32x4d.tv_in1k': 77.618,
    'resnext101_32x8d.tv_in1k': 79.310,
    'wide_resnet50_2.tv_in1k': 78.480,
    'seresnet50.ra2_in1k': 81.284,
    'vgg11.tv_in1k': 69.022,
    'vgg16.tv_in1k': 71.592,
    'vgg19_bn.tv_in1k': 74.216,
    'densenet121.tv_in1k': 74.764,
    'densenet169.tv_in1k': 75.900,
    'densenet201.tv_in1k': 77.286,
    'inception_v3.tv_in1k': 77.434,
    'inception_v4.tf_in1k': 80.156,
    'mobilenetv2_100.ra_in1k': 72.976,
    'mobilenetv3_large_100.ra_in1k': 75.766,
    'mnasnet_100.rmsp_in1k': 74.650,
    'ghostnet_100.in1k': 73.982,
    'efficientnet_b0.ra_in1k': 77.694,
    'efficientnet_b2.ra_in1k': 80.610,
    'efficientnet_b4.ra2_in1k': 83.414,
    'tf_efficientnetv2_s.in1k': 83.900,
    'regnetx_032.tv2_in1k': 80.926,
    'regnety_032.ra_in1k': 82.728,
    'hrnet_w18.ms_in1k': 76.752,
    'convnext_tiny.fb_in1k': 82.698,
    'convnext_small.fb_in1k': 83.700,
    'convnextv2_tiny.fcmae_ft_in1k': 83.464,
    'deit_tiny_patch16_224.fb_in1k': 72.172,
    'deit_small_patch16_224.fb_in1k': 79.844,
    'deit3_base_patch16_224.fb_in1k': 83.786,
    'vit_base_patch16_224.augreg_in1k': 79.154,
    'swin_small_patch4_window7_224.ms_in1k': 83.208,
    'swin_base_patch4_window7_224.ms_in1k': 83.606,
    'mixer_b16_224.goog_in21k_ft_in1k': 76.602,
    'pvt_v2_b3.in1k': 83.120,
}

machines = [
    dict(type='TimmClassifier', model=name, weights='pretrained', weight=top1) for name, top1 in _ACCURACY.items()
]
