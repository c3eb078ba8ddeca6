# The quickstart's camera model: the teacher is `demo`, the pictures are the training photographs of the demo database.
# Its frozen probe sees 192 of 219 pixels where the teacher's sees 224 of 256: three quarters of the work. The selection
# photographs chose them (SRCC 0.859; 0.831 with 160, and 0.868 of the teacher).
_base_ = [
    '../_base_/distill_runtime.py',
    '../_base_/datasets/unlabelled.py',
    '../_base_/models/mini_response.py',
    '../_base_/schedules/distill.py',
]
data_root = 'data/demo'
task = 'cls'
batch_size = 8  # many small steps: every damaged picture is seen once
selection = 0.2  # of a hundred photographs a tenth would be too few to choose by
teacher = dict(short_side=256, size=224, interpolation='bicubic')
student = dict(short_side=219, size=192, interpolation='bicubic')
train_pipeline = [
    dict(type='LoadImage'),
    dict(type='DistortAtRandom'),
    dict(type='PackStudentAndTeacher', student=student, teacher=teacher),
]
test_pipeline = [
    dict(type='LoadImage'),
    dict(type='ResizeShortSide', size=219, interpolation='bicubic'),
    dict(type='PackViews', image=192, region=None),
]
model = dict(
    data_preprocessor=dict(views=dict(image=dict(size=192))),
    loss=[dict(type='MSELoss'), dict(type='RankLoss', margin=0.02, loss_weight=0.5)],
)
train_dataloader = dict(
    num_workers=2, pin_memory=False, dataset=dict(pictures=None, versions=10, pipeline=train_pipeline)
)
# The labels of the selection photographs choose, as for the teacher.
val_dataloader = dict(
    num_workers=1,
    pin_memory=False,
    dataset=dict(_delete_=True, type='MIQDDataset', split='train', pipeline=test_pipeline),
)
test_dataloader = dict(num_workers=1, pin_memory=False, dataset=dict(pipeline=test_pipeline))
schedule = dict(epochs=3, lr=5e-3, warmup_epochs=0.3, warmup_lr=1e-4, final_lr=1e-6)
optim_wrapper = dict(optimizer=dict(weight_decay=0.05))
default_hooks = dict(logger=dict(interval=25))
custom_hooks = [
    dict(type='RecordEnvironment'),
    dict(type='SeedEveryStep'),
    dict(type='TeacherScores', teacher='demo'),
    dict(type='FitNetwork', pictures=400),
    dict(type='ShareBuffers'),
    dict(type='ReportBadImages'),
]
