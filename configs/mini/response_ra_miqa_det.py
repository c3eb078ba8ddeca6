_base_ = 'response_ra_miqa_cls.py'
task = 'det'
