# For a few thousand images on a CPU: few epochs, small batches, a higher rate; otherwise as paper.py.
_base_ = 'paper.py'
schedule = dict(epochs=3, lr=5e-4, warmup_epochs=0.2, warmup_lr=5e-6, final_lr=1e-6)
train_cfg = dict(validations_per_epoch=1)
