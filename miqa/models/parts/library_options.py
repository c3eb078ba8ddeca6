"""Allowed timm and torchvision arguments in configs that come with weights."""

from __future__ import annotations

import re
from typing import Any

import timm
import torchvision

from miqa.outside.checked_values import Choice, Either, Flag, KnownName, Options, Real, Several, Whole
from miqa.taxonomy import check_choice


def classification_models() -> list[str]:
    """Return torchvision's classifiers; its detectors fetch weights when they are built, whatever their options."""
    return torchvision.models.list_models(module=torchvision.models)


def checked_classifier(name: str) -> str:
    """Return a name that :func:`classification_models` has, else raise a ValueError that names the nearest."""
    return check_choice(name, classification_models(), 'torchvision model')


def _is_timm_model(name: str) -> bool:
    bare, _, tag = name.partition('.')
    if not re.fullmatch(r'\w+', bare) or not timm.is_model(bare):
        return False
    return not tag or name in timm.list_pretrained(f'{bare}.*')


def timm_model(name: str, **options: Any) -> Any:
    """Build a network of timm with random weights. What it can do beyond a module is not typed."""
    return timm.create_model(name, pretrained=False, **options)


TIMM_NAME = KnownName(_is_timm_model, "timm's list (timm.list_models())")
TORCHVISION_NAME = KnownName(lambda name: name in classification_models(), "torchvision's classifiers")

#: What describes a plain ViT.
VIT_OPTIONS = {
    'img_size': Whole(1, 2048),
    'patch_size': Whole(1, 256),
    'embed_dim': Whole(1, 16384),
    'depth': Whole(1, 256),
    'num_heads': Whole(1, 512),
}


def _one_or_several(kind, most: int = 16) -> Either:
    return Either((kind, Several(kind, most)))


# Kinds of arguments of timm.create_model with their names, by blanks.
_TIMM = (
    (_one_or_several(Whole(1, 2048), 2), 'img_size patch_size window_size input_size stride pretrain_size'),
    (
        Real(0, 1),
        'drop_rate drop_path_rate proj_drop_rate attn_drop_rate pos_drop_rate patch_drop_rate drop_block_rate',
    ),
    (
        _one_or_several(Whole(1, 16384)),
        'embed_dim embed_dims dims channels widths num_features head_hidden_size stem_width base_width stem_size '
        'stem_chs cardinality num_groups head_dim growth_rate',
    ),
    (_one_or_several(Whole(0, 256)), 'depth depths layers'),
    (_one_or_several(Whole(1, 512)), 'num_heads heads'),
    (
        _one_or_several(Real(0, 64, optional=True)),
        'mlp_ratio mlp_ratios init_values layer_scale_init_value ls_init_value norm_eps bn_eps bn_momentum',
    ),
    (
        Flag(),
        'qkv_bias qk_norm class_token no_embed_class pre_norm final_norm fc_norm pool_include_prefix '
        'dynamic_img_size dynamic_img_pad strict_img_size always_partition ape use_abs_pos_emb use_rel_pos_bias '
        'use_shared_rel_pos_bias use_rot_pos_emb conv_mlp conv_bias head_norm_first patch_norm deep_stem avg_down '
        'zero_init_last bias swiglu_mlp scale_mlp fix_stem',
    ),
    (Whole(0, 64), 'reg_tokens'),
    (Whole(3, 3), 'in_chans'),
    (Whole(1, 64), 'output_stride'),
    (Choice(('', 'avg', 'avgmax', 'map', 'max', 'token')), 'global_pool'),
    (
        Choice(
            ('celu', 'elu', 'gelu', 'gelu_erf', 'gelu_tanh', 'hard_mish', 'hard_sigmoid', 'hard_swish', 'leaky_relu')
            + ('mish', 'prelu', 'quick_gelu', 'relu', 'relu6', 'selu', 'sigmoid', 'silu', 'swish', 'tanh')
        ),
        'act_layer',
    ),
    (Choice(('batchnorm', 'batchnorm2d', 'groupnorm', 'groupnorm1', 'layernorm', 'layernorm2d')), 'norm_layer'),
    (Choice(('', 'deep', 'deep_tiered', 'patch', 'overlap', 'overlap_tiered', 'overlap_act')), 'stem_type'),
    (Choice(('', 'learn', 'none', 'rel', 'sincos')), 'pos_embed'),
    (Choice(('', 'jax', 'jax_nlhb', 'moco', 'reset', 'skip')), 'weight_init'),
)

#: Arguments of ``timm.create_model`` that are numbers, flags and words of a list. What opens files or addresses or
#: names other configs (``checkpoint_path``, ``pretrained_cfg``, ``pretrained_cfg_overlay``, ``cache_dir``) is not here.
TIMM_OPTIONS = Options({name: kind for kind, names in _TIMM for name in names.split()})
