# A student learns from as many damaged pictures as there is time for: 10 epochs of 8 versions of each.
_base_ = 'paper.py'
schedule = dict(epochs=10, lr=5e-4, warmup_epochs=0.5, warmup_lr=1e-5, final_lr=1e-6)
train_cfg = dict(validations_per_epoch=1)
