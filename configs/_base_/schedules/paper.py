# The paper's recipe: AdamW, 5 epochs at 1e-4, linear warm-up in the first, cosine per step over the others.
schedule = dict(epochs=5, lr=1e-4, warmup_epochs=1, warmup_lr=5e-6, final_lr=1e-8)

optim_wrapper = dict(
    type='OptimWrapper',  # AutocastOptimWrapper for bfloat16 (--amp)
    # fused: one kernel for all weights, a sixth of the time on a CPU; the same numbers but for the last bit
    optimizer=dict(type='AdamW', betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-4, fused=True),
    constructor='DecayMatricesOnly',  # no decay on biases and other 1-D parameters
    accumulative_counts=1,  # batches whose gradients make one update
)
train_cfg = dict(type='ResumableEpochLoop', validations_per_epoch=2)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
