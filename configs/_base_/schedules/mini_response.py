# Small heads on numbers that do not change: many short epochs, a high rate, the best on the selection photographs.
_base_ = 'paper.py'
schedule = dict(epochs=24, lr=3e-3, warmup_epochs=2, warmup_lr=1e-4, final_lr=1e-6)
optim_wrapper = dict(optimizer=dict(weight_decay=0.05))
train_cfg = dict(validations_per_epoch=1)
