# As response_det.py, with a two-stage detector of torchvision as the probe; also one of yours:
#   --cfg-options model.network.probe.pretrained=mine.pth model.network.probe.num_classes=3
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/mini_response_detector.py',
    '../_base_/models/mini_response_rcnn.py',
    '../_base_/schedules/mini_response.py',
]
data_root = 'data/demo'
task = 'det'
selection = 0.2  # of a hundred photographs a tenth would be too few to choose by
