# As default_runtime.py, for a student: the teacher scores every batch first.
_base_ = 'default_runtime.py'
batch_size = 128
custom_hooks = [
    dict(type='RecordEnvironment'),
    dict(type='SeedEveryStep'),
    dict(type='TeacherScores', teacher='ra-miqa', task='cls', label='composite'),
    dict(type='FitNetwork'),
    dict(type='ShareBuffers'),
    dict(type='ReportBadImages'),
]
