"""Kinds of damage that the model distinguishes, and which distortions are of which kind."""

from __future__ import annotations

#: The model's classes of damage. The shipped file has these names.
KINDS = (
    'none', 'defocus', 'motion_blur', 'low_resolution', 'noise', 'darkness', 'overexposure', 'haze', 'compression',
    'weather', 'colour', 'processing',
)  # fmt: skip

PLACES = ('whole', 'object', 'surroundings')  # Which part of the picture suffers (more)

#: Kind of each distortion of MIQD-2.5M and of two further ones of its generator.
MIQD_KINDS = {
    'contrast': 'haze', 'pixelate': 'low_resolution', 'jpeg_compression': 'compression', 'motion_blur': 'motion_blur',
    'defocus_blur': 'defocus', 'glass_blur': 'defocus', 'fog': 'haze', 'snow': 'weather', 'darkness': 'darkness',
    'gaussian_noise': 'noise', 'brightness': 'overexposure', 'saturate': 'colour',
}  # fmt: skip

#: Kinds of each distortion of the camera family, with shares.
CAMERA_KINDS: dict[str, dict[str, float]] = {
    'haze': {'haze': 1}, 'rain_streaks': {'weather': 1}, 'snow_flash': {'weather': 1},
    'moving_object': {'motion_blur': 1}, 'depth_of_field': {'defocus': 1}, 'out_of_focus': {'defocus': 1},
    'soft_lens': {'defocus': 1}, 'lens_drops': {'weather': 1}, 'lens_flare': {'haze': 0.5, 'overexposure': 0.5},
    'veiling_glare': {'haze': 1}, 'camera_shake': {'motion_blur': 1}, 'low_resolution': {'low_resolution': 1},
    'rolling_bands': {'darkness': 1}, 'underexposure': {'darkness': 1}, 'overexposure': {'overexposure': 1},
    'sensor_noise': {'noise': 1}, 'low_light': {'darkness': 0.5, 'noise': 0.5}, 'coloured_light': {'colour': 1},
    'white_balance': {'colour': 1}, 'smeared_detail': {'processing': 1}, 'tone_curve': {'processing': 1},
    'sharpening_halos': {'processing': 1}, 'resize_chain': {'low_resolution': 1},
    'jpeg_generations': {'compression': 1}, 'h264': {'compression': 1}, 'hevc': {'compression': 1},
}  # fmt: skip
