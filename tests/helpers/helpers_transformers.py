"""Configs of small networks of transformers."""


def small_resnet():
    """Return the config of a classifier of two layers."""
    from transformers import ResNetConfig

    return ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1])


def small_detr():
    """Return the config of a DETR of seven queries."""
    from transformers import DetrConfig

    return DetrConfig(
        backbone_config=small_resnet(), d_model=32, num_queries=7, encoder_layers=1, decoder_layers=1,
        encoder_ffn_dim=32, decoder_ffn_dim=32, encoder_attention_heads=4, decoder_attention_heads=4,
    )  # fmt: skip
