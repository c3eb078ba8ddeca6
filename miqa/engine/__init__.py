"""Training and testing: processes, precision, schedule, loops, hooks, and the runner around MMEngine."""

from .bad_images import ReportBadImages
from .experiment import build_runner, check_data, load_config, resolve_config
from .finite import LossNotFinite, StopAtNonFinite
from .hooks import RecordEnvironment, SeedEveryStep, ShareBuffers
from .launch import leave_processes_group
from .loops import ResumableEpochLoop
from .precision import AutocastOptimWrapper
from .saving import SaveCheckpoint
from .schedule import DecayMatricesOnly, warmup_cosine
from .selection import FitNetwork, StopEarly, selected_on

__all__ = [
    'AutocastOptimWrapper',
    'DecayMatricesOnly',
    'FitNetwork',
    'LossNotFinite',
    'RecordEnvironment',
    'ReportBadImages',
    'ResumableEpochLoop',
    'SaveCheckpoint',
    'SeedEveryStep',
    'ShareBuffers',
    'StopAtNonFinite',
    'StopEarly',
    'build_runner',
    'check_data',
    'leave_processes_group',
    'load_config',
    'selected_on',
    'resolve_config',
    'warmup_cosine',
]
