"""The authors' files give the scores that plain timm, MMSegmentation and torchvision modules give."""

import pytest
import timm
import torch
import torchvision
from helpers_apis import photo
from helpers_models import mmseg_vit, released_shapes
from PIL import Image
from torch import nn
from torchvision import transforms

from machine_iqa import MIQAModel
from miqa.models import CheckpointError

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALF = ((0.5,) * 3, (0.5,) * 3)
PICTURES = [Image.fromarray(photo(400, 300, seed=seed)) for seed in range(2)]


def view(picture, size, mean, std):
    cut = [transforms.Resize(288), transforms.CenterCrop(size), transforms.ToTensor(), transforms.Normalize(mean, std)]
    return transforms.Compose(cut)(picture)[None]


def stir(module, scale=1.2):
    """Give matrices values large enough that every part of the network matters."""
    for parameter in module.parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=scale * parameter[0].numel() ** -0.5)
        else:
            nn.init.normal_(parameter, mean=parameter.detach().mean().item(), std=0.1)


class PlainRAMIQA(nn.Module):
    """RA-MIQA written out on the libraries' own modules, with the released names."""

    def __init__(self):
        super().__init__()
        from mmseg.models.backbones import VisionTransformer

        self.base_model = timm.create_model('vit_small_patch16_224', num_classes=0)
        self.mask_encoder = VisionTransformer(**mmseg_vit(224, 16, 384, 12, 6))
        self.mask_projector = nn.Sequential(nn.Linear(384, 384), nn.LayerNorm(384), nn.GELU())
        self.pos_embed = nn.Parameter(torch.zeros(1, 198, 384))
        self.quality_regressor = nn.Sequential(nn.Linear(768, 384), nn.GELU(), nn.Dropout(0.2), nn.Linear(384, 1))

    def forward(self, image, region):
        token = self.mask_projector(self.mask_encoder(region)[-1].mean(dim=(2, 3)))[:, None]
        patches = self.base_model.patch_embed(image)
        cls = self.base_model.cls_token.expand(len(image), -1, -1)
        tokens = torch.cat([token, cls, patches], dim=1) + self.pos_embed
        for block in self.base_model.blocks:
            tokens = block(tokens)
        tokens = self.base_model.norm(tokens)
        return self.quality_regressor(torch.cat([tokens[:, 1], tokens[:, 0]], dim=1))[:, 0]


def test_a_released_ra_miqa_gives_the_score_of_plain_timm_and_mmseg_modules(tmp_path):
    torch.manual_seed(0)
    plain = PlainRAMIQA().eval()
    stir(plain, scale=1.0)
    state = plain.state_dict()
    assert set(state) == set(released_shapes('ra_miqa'))
    path = tmp_path / 'miqa_ra_miqa_det_composite_metric.pth.tar'
    wrapped = {f'module.{key}': value for key, value in state.items()}
    torch.save({'epoch': 5, 'arch': 'ra_miqa', 'state_dict': wrapped, 'best_srcc': 0.8}, path)
    with torch.no_grad():
        expected = [plain(view(p, 224, *HALF), view(p, 288, *IMAGENET)).item() for p in PICTURES]
    model = MIQAModel('ra-miqa', weights=path)
    assert (model.spec.method, model.spec.task, model.spec.label) == ('ra_miqa', 'det', 'composite')
    scores = model.assess(PICTURES)
    assert abs(expected[0] - expected[1]) > 1e-2, 'the pictures must differ for the comparison to mean anything'
    assert scores == pytest.approx(expected, abs=1e-4)
    assert model.assess(PICTURES[1]) == pytest.approx(expected[1], abs=1e-4)


@pytest.mark.parametrize('method', ['resnet18', 'efficientnet_b1', 'vit_small_patch16_224'])
def test_a_released_baseline_gives_the_score_of_the_plain_network(tmp_path, method):
    torch.manual_seed(0)
    if method.startswith('vit'):
        plain, recipe = timm.create_model(method, num_classes=1), HALF
    else:
        plain, recipe = torchvision.models.get_model(method, weights=None), IMAGENET
        head = 'fc' if method == 'resnet18' else 'classifier'
        setattr(plain, head, nn.Linear(512 if method == 'resnet18' else 1280, 1))
    stir(plain)
    plain.eval()
    path = tmp_path / f'miqa_{method}_ins_accuracy_metric.pth.tar'
    torch.save({'state_dict': plain.state_dict(), 'epoch': 4}, path)
    with torch.no_grad():
        expected = plain(view(PICTURES[0], 224, *recipe)).item()
    model = MIQAModel(weights=path)
    assert (model.spec.task, model.spec.label) == ('ins', 'accuracy')
    assert model.assess(PICTURES[0]) == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_a_renamed_released_file_is_known_by_its_tensors(tmp_path):
    plain = torchvision.models.resnet18()
    plain.fc = nn.Linear(512, 1)
    torch.save(plain.state_dict(), tmp_path / 'mine.pth')
    model = MIQAModel(weights=tmp_path / 'mine.pth')
    assert (model.spec.method, model.spec.task, model.spec.label) == ('resnet18', None, None)
    told = MIQAModel('ResNet-18', weights=tmp_path / 'mine.pth', task='ins', label='consistency')
    assert (told.spec.task, told.spec.label) == ('ins', 'consistency')
    wrong = tmp_path / 'miqa_ra_miqa_cls_composite_metric.pth.tar'
    torch.save(plain.state_dict(), wrong)
    with pytest.raises(CheckpointError, match='named as weights of ra_miqa, but its tensors are those of resnet18'):
        MIQAModel(weights=wrong)
