# What to train on and how. These knobs are all that most experiments change; --cfg-options reaches the rest.
default_scope = 'miqa'

task = 'cls'  # cls, det or ins: which vision task the scores speak of
label = 'composite'  # composite, consistency or accuracy (--label)
data_root = 'data/miqd'  # holds miqa_cls/, miqa_det/, miqa_ins/ and splits/ (--data-root)
batch_size = 256  # images per update over all processes and accumulation steps (--batch-size)
selection = (
    0.1  # share of the training photographs that choose best.pth; 'test': on the test split (the paper's recipe)
)
seed = 1234567  # of data order, augmentation, dropout and initial weights (--seed)

# Runs that survive: latest.pth to go on from, best.pth by SRCC, both replaced atomically.
default_hooks = dict(
    checkpoint=dict(type='SaveCheckpoint', per_epoch=10, metric='SRCC'),
    logger=dict(type='LoggerHook', interval=50),  # steps between two lines of the log
    param_scheduler=dict(type='ParamSchedulerHook'),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    stop=dict(type='StopEarly', patience=0),  # validations without a better score before training ends; 0: never
    timer=dict(type='IterTimerHook'),
)
custom_hooks = [
    dict(type='RecordEnvironment'),  # environment.json: versions, hardware, git state
    dict(type='SeedEveryStep'),  # dropout that a resumed run repeats exactly
    dict(type='FitNetwork'),  # what some networks fit to the training pictures before the first step
    dict(type='ShareBuffers'),  # all processes validate one and the same model
    dict(type='ReportBadImages'),  # what bad_images='skip' skipped
    # dict(type='EMAHook', ema_type='ExponentialMovingAverage', momentum=0.0005),  # average the weights
]

# One entry for each place that keeps curves: files below the work dir, and TensorBoard.
visualizer = dict(type='Visualizer', vis_backends=[dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')])
log_processor = dict(window_size=50)  # steps that a logged loss is averaged over
log_level = 'INFO'
compile = False  # True: the network by torch.compile, minutes at the start; or dict(_delete_=True, mode=...)
env_cfg = dict(
    cudnn_benchmark=True,  # inputs have one size
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),  # a worker is one thread
    dist_cfg=dict(backend='nccl'),  # gloo is taken where there is no GPU
)
