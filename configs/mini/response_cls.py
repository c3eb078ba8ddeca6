_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/mini_response.py',
    '../_base_/models/mini_response.py',
    '../_base_/schedules/mini_response.py',
]
data_root = 'data/demo'
task = 'cls'
batch_size = 32  # 2,000 pictures make few steps
selection = 0.2  # of a hundred photographs a tenth would be too few to choose by
schedule = dict(epochs=12, warmup_epochs=1)
