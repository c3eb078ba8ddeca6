"""Running: processes, precision, schedule, loops, hooks, and the runner that ties them to MMEngine."""

from .bad_images import ReportBadImages
from .experiment import build_runner, load_config, settle
from .hooks import RecordEnvironment, SaveCheckpoint, SeedEveryStep, ShareBuffers
from .launch import leave_processes_group
from .loops import ResumableEpochLoop
from .precision import AutocastOptimWrapper
from .schedule import DecayMatricesOnly, warmup_cosine

__all__ = [
    'AutocastOptimWrapper',
    'DecayMatricesOnly',
    'RecordEnvironment',
    'ReportBadImages',
    'ResumableEpochLoop',
    'SaveCheckpoint',
    'SeedEveryStep',
    'ShareBuffers',
    'build_runner',
    'leave_processes_group',
    'load_config',
    'settle',
    'warmup_cosine',
]
