# A new head learns fast on a backbone that is hardly moved.
_base_ = 'mini.py'
schedule = dict(epochs=2, lr=1e-2)
optim_wrapper = dict(paramwise_cfg=dict(lr_mult={'network.backbone': 0.003}))
