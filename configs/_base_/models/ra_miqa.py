# RA-MIQA as published: a ViT-S/16 with a region token from a frozen ViT-S/16.
model = dict(
    type='QualityAssessor',
    data_preprocessor=dict(
        type='ViewPreprocessor',
        views=dict(
            image=dict(size=224, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
            region=dict(size=288, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
        ),
    ),
    network=dict(
        type='RAMIQA',
        # timm's ImageNet weights. Without internet: the path of the file, or False to start from random ones.
        base=dict(type='PlainTransformer', model_name='vit_small_patch16_224', pretrained=True),
        region_encoder=dict(
            type='TimmRegionEncoder',
            # Or a path. CC BY-NC 4.0. MMSegmentation's file of the same kind of ViT (fcn_sere-small_finetuned_fp16_...,
            # miqa.models.parts.region_encoder.SERE_MMSEG_URL) works too. Released checkpoints bring their own encoder.
            weights='https://github.com/LUSSeg/ImageNetSegModel/releases/download/vit/sere_finetuned_vit_small_ep100.pth',
        ),
        # 'cls_first' gives the pretrained CLS position to the CLS token; 'released' to the region token.
        pos_embed_order='released',
    ),
    # Also SmoothL1Loss (beta=0.5), L1Loss, PLCCLoss, RankLoss; a list of them is summed.
    loss=dict(type='MSELoss'),
)
