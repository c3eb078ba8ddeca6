# Pictures without labels, damaged at random in every epoch; a teacher scores them before the student sees them.
# The student sees the central 192 pixels of the picture resized to a short side of 224, the teacher what it always sees
# (RA-MIQA: 288 of 288). Another teacher: set teacher= here and in custom_hooks (docs/distillation.md).
custom_imports = dict(imports=['miqa.distillation'])
student = dict(short_side=224, size=192)
teacher = dict(short_side=288, size=288)
_damage = [dict(type='LoadImage'), dict(type='ResizeShortSide', size=384), dict(type='DistortAtRandom')]
train_pipeline = [*_damage, dict(type='PackStudentAndTeacher', student=student, teacher=teacher)]
# A labelled database for the test, if there is one.
test_pipeline = [
    dict(type='LoadImage'),
    dict(type='ResizeShortSide', size=224),
    dict(type='PackViews', image=192, region=None),
]
_loading = dict(num_workers=8, persistent_workers=True, pin_memory=True)
_pictures = dict(type='UnlabelledPictures', pictures='pictures', pipeline=train_pipeline)

train_dataloader = dict(
    **_loading,
    drop_last=True,
    sampler=dict(type='ResumableSampler', shuffle=True),
    dataset=dict(versions=8, **_pictures),
)
# A share of the pictures (selection) chooses best.pth, by how well the student ranks them as the teacher does.
val_dataloader = dict(
    batch_size=64,
    **_loading,
    sampler=dict(type='ResumableSampler', shuffle=False),
    dataset=dict(versions=4, **_pictures),
)
test_dataloader = dict(
    batch_size=256,
    **_loading,
    sampler=dict(type='ResumableSampler', shuffle=False),
    dataset=dict(type='MIQDDataset', split='val', pipeline=test_pipeline),
)
val_evaluator = dict(type='QualityCorrelation')
test_evaluator = val_evaluator
