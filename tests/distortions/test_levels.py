"""Choosing levels by PSNR, fusing them by a mask, finding masks, and measuring fidelity."""

import json
import math

import cv2
import numpy as np
import piq
import pytest
import torch
from helpers_refusals import refused
from PIL import Image
from skimage import data
from skimage.metrics import peak_signal_noise_ratio

from miqa.annotations.coco import read_coco
from miqa.distortions import DISTORTIONS, candidates, distort, fuse, psnr, select, select_levels, soft_mask
from miqa.distortions.fidelity import MEASURES, SHORTEST_SIDE, FidelitySource, fidelity
from miqa.distortions.masks import coco_recipe, folder_recipe, make_mask
from miqa.distortions.saliency import SALIENCY_METHOD, salient_foreground
from miqa.running import generator_for
from miqa.taxonomy import LEVEL_PAIRS

PHOTOGRAPH = cv2.resize(data.coffee(), (150, 100), interpolation=cv2.INTER_AREA)


def test_psnr_is_scikit_images_and_infinite_for_equal_pictures():
    other = distort(PHOTOGRAPH, 'gaussian_noise', {'std': 0.1}, generator_for(1))
    assert psnr(PHOTOGRAPH, other) == pytest.approx(peak_signal_noise_ratio(PHOTOGRAPH, other), rel=1e-12)
    assert psnr(PHOTOGRAPH, PHOTOGRAPH.copy()) == math.inf
    refused(ValueError, 'one shape', psnr, PHOTOGRAPH, other[1:])


@pytest.mark.parametrize('name', DISTORTIONS)
def test_levels_are_ranks_1_5_8_10_12_of_the_candidates_by_psnr(name):
    generators = [generator_for(7, 'cup', name, number) for number in range(1, 13)]
    damaged = [distort(PHOTOGRAPH, name, *each) for each in zip(candidates(name), generators, strict=True)]
    best_first = sorted(range(12), key=lambda index: -peak_signal_noise_ratio(PHOTOGRAPH, damaged[index]))
    levels = select_levels(PHOTOGRAPH, name, 7, 'cup')
    assert [chosen.level for chosen in levels] == [1, 2, 3, 4, 5]
    assert [chosen.candidate - 1 for chosen in levels] == [best_first[rank - 1] for rank in (1, 5, 8, 10, 12)]
    for chosen in levels:
        assert chosen.params == candidates(name)[chosen.candidate - 1]
        assert np.array_equal(chosen.image, damaged[chosen.candidate - 1])
        assert chosen.psnr == psnr(PHOTOGRAPH, chosen.image)


def test_equal_psnr_keeps_the_order_of_the_table():
    flat = np.full((16, 16, 3), 90, np.uint8)
    levels = select_levels(flat, 'contrast', 1, 'flat')
    assert [chosen.candidate for chosen in levels] == [1, 5, 8, 10, 12]
    assert all(chosen.psnr == math.inf for chosen in levels)


def test_a_picture_too_large_to_keep_all_candidates_gets_the_same_levels(monkeypatch):
    kept = select_levels(PHOTOGRAPH, 'snow', 1, 'cup')
    monkeypatch.setattr(select, '_KEPT_BYTES', 0)
    second = select_levels(PHOTOGRAPH, 'snow', 1, 'cup')
    assert all(np.array_equal(a.image, b.image) and a[:4] == b[:4] for a, b in zip(kept, second, strict=True))


def test_levels_depend_on_seed_and_image_id():
    first, other_seed, other_id = (
        select_levels(PHOTOGRAPH, 'gaussian_noise', seed, image_id)[2].image
        for seed, image_id in ((1, 'a'), (2, 'a'), (1, 'b'))
    )
    assert not np.array_equal(first, other_seed)
    assert not np.array_equal(first, other_id)


def blob(height, width):
    y, x = np.mgrid[:height, :width]
    return (((y - height / 2) ** 2 + (x - width / 3) ** 2 < (height / 4) ** 2) * 255).astype(np.uint8)


def fuse_by_definition(foreground, background, mask):
    """The released generator's steps over the whole picture."""
    weights = cv2.GaussianBlur(mask, (65, 65), 0).astype(np.float64) / 255
    weights[cv2.erode(mask, np.ones((3, 3)), iterations=2) > 0] = 1
    m = weights[:, :, None]
    blend = foreground * m + background * (1 - m)
    smooth = cv2.GaussianBlur(blend, (3, 3), 0)
    edge = np.repeat((m > 0.05) & (m < 0.95), 3, axis=2)
    return np.where(edge, 0.5 * blend + 0.5 * smooth, blend).astype(np.uint8)


@pytest.mark.parametrize('size', [(100, 150), (300, 201), (1, 1), (5, 400), (129, 64)])
def test_fusion_is_the_definition_for_all_20_pairs(size):
    source = cv2.resize(data.astronaut(), size[::-1], interpolation=cv2.INTER_AREA)
    levels = [chosen.image for chosen in select_levels(source, 'gaussian_noise', 1, 'x')]
    mask = blob(*size)
    weights = soft_mask(mask)
    pairs = [pair for pair in LEVEL_PAIRS if pair[0] != pair[1]]
    assert len(pairs) == 20
    for fg, bg in pairs:
        expected = fuse_by_definition(levels[fg - 1], levels[bg - 1], mask)
        assert np.array_equal(fuse(levels[fg - 1], levels[bg - 1], weights), expected)


def test_fusion_keeps_the_core_and_the_far_background():
    mask = blob(300, 400)
    fg, bg = np.full((300, 400, 3), 200, np.uint8), np.full((300, 400, 3), 50, np.uint8)
    fused = fuse(fg, bg, soft_mask(mask))
    assert (fused[150, 133] == 200).all()
    assert (fused[:, -40:] == 50).all()
    assert np.array_equal(fuse(fg[:, :, 0], bg[:, :, 0], soft_mask(mask)), fused[:, :, 0])
    assert np.array_equal(soft_mask(mask > 0), soft_mask(mask))


def test_fusion_refuses_pictures_of_different_sizes():
    refused(ValueError, 'one height and width', fuse, PHOTOGRAPH, PHOTOGRAPH, np.zeros((3, 3)))
    refused(ValueError, 'A mask has to be', soft_mask, np.zeros((3, 3, 3), np.uint8))


def coco_file(tmp_path, annotations, width=40, height=30):
    images = [{'id': 139, 'file_name': 'a.jpg', 'width': width, 'height': height}]
    content = {'images': images, 'annotations': annotations, 'categories': [{'id': 1, 'name': 'thing'}]}
    path = tmp_path / 'instances.json'
    path.write_text(json.dumps(content))
    return path


def test_a_coco_mask_is_the_union_of_polygons_and_run_lengths(tmp_path):
    mask_utils = pytest.importorskip('pycocotools.mask')
    square = np.zeros((30, 40), np.uint8)
    square[20:25, 30:38] = 1
    counts = mask_utils.encode(np.asfortranarray(square))
    compressed = {'size': [30, 40], 'counts': counts['counts'].decode()}
    crowd = np.zeros((30, 40), np.uint8)
    crowd[:, :2] = 1
    uncompressed = {'size': [30, 40], 'counts': [0, 60, 1140]}
    annotations = [
        {'id': 1, 'image_id': 139, 'segmentation': [[5, 5, 15, 5, 15, 12, 5, 12]]},
        {'id': 2, 'image_id': 139, 'segmentation': compressed},
        {'id': 3, 'image_id': 139, 'segmentation': uncompressed, 'iscrowd': 1},
    ]
    coco = read_coco(coco_file(tmp_path, annotations), objects=False)
    recipe = coco_recipe(coco, coco.find('x/a.jpg'))
    mask, method = make_mask(recipe, np.zeros((30, 40, 3), np.uint8))
    expected = (square | crowd) > 0
    expected[5:12, 5:15] = True
    assert method == 'COCO instances'
    assert np.array_equal(mask, expected * np.uint8(255))
    assert coco.find('a.jpg') == 139
    refused(ValueError, 'lists no image', coco.find, 'b.jpg')
    refused(ValueError, '40 x 30', make_mask, recipe, np.zeros((31, 40, 3), np.uint8))


def test_coco_pictures_without_instances_get_a_mask_by_saliency(tmp_path):
    recipe = coco_recipe(read_coco(coco_file(tmp_path, []), objects=False), 139)
    mask, method = make_mask(recipe, data.coffee())
    assert method == SALIENCY_METHOD
    assert set(np.unique(mask)) == {0, 255}


@pytest.mark.parametrize('white', [255, 1])
def test_a_mask_folder_is_read_with_255_or_1_for_the_foreground(tmp_path, white):
    Image.fromarray((blob(30, 40) > 0).astype(np.uint8) * np.uint8(white)).save(tmp_path / 'x_binary_mask.png')
    mask, method = make_mask(folder_recipe(tmp_path, ('x',)), np.zeros((30, 40, 3), np.uint8))
    assert method == 'mask folder'
    assert np.array_equal(mask, blob(30, 40))
    refused(ValueError, 'but its picture is', make_mask, folder_recipe(tmp_path, ('x',)), np.zeros((3, 4, 3), np.uint8))
    refused(FileNotFoundError, 'no mask for y', folder_recipe, tmp_path, ('y',))


def test_saliency_finds_a_flower_before_leaves_always_in_the_same_way():
    image = cv2.resize(data.cat(), (200, 133))
    image[:] = (30, 90, 40)
    image += generator_for(1).integers(0, 20, image.shape, dtype=np.uint8)
    truth = np.zeros(image.shape[:2], bool)
    cv2.circle(image, (90, 70), 30, (230, 120, 60), -1)
    truth[np.hypot(*(np.mgrid[:133, :200] - np.array([70, 90])[:, None, None])) <= 30] = True
    first = salient_foreground(image)
    cv2.setRNGSeed(99)
    assert np.array_equal(first, salient_foreground(image))
    assert ((first > 0) & truth).sum() / ((first > 0) | truth).sum() > 0.9


@pytest.mark.parametrize('size', [(1, 1), (3, 200), (9, 9), (40, 40)])
def test_saliency_gives_a_mask_for_a_picture_of_one_colour(size):
    mask = salient_foreground(np.full((*size, 3), 128, np.uint8))
    assert mask.shape == size
    assert mask.any()


def test_fidelity_is_best_for_equal_pictures_and_falls_with_the_level():
    image = cv2.resize(data.coffee(), (240, 170), interpolation=cv2.INTER_AREA)
    same = fidelity(image, image)
    assert tuple(same) == MEASURES
    assert same['PSNR'] == 80
    assert all(same[name] == pytest.approx(1, abs=1e-4) for name in MEASURES[1:])
    worse = [fidelity(image, chosen.image) for chosen in select_levels(image, 'defocus_blur', 1, 'x')]
    for name in MEASURES:
        values = [row[name] for row in worse]
        assert values == sorted(values, reverse=True), name
    third = select_levels(image, 'defocus_blur', 1, 'x')[2].image
    assert worse[2]['PSNR'] == pytest.approx(psnr(image, third), abs=1e-3)


def test_fidelity_of_a_grey_picture_is_that_of_its_rgb_copy():
    image = data.coins()[:170, :180].copy()
    other = distort(image, 'gaussian_blur', {'sigma': 1}, generator_for(1))
    rgb = [np.repeat(picture[:, :, None], 3, axis=2) for picture in (image, other)]
    assert fidelity(image, other) == fidelity(*rgb)


def piq_in_double_precision(reference, distorted, name):
    """In single precision piq loses up to 1e-4 of a variance to rounding, and more in even, bright areas."""
    functions = piq.psnr, piq.ssim, piq.multi_scale_ssim, piq.vif_p, piq.vsi
    pictures = [torch.from_numpy(each.transpose(2, 0, 1).copy()).double()[None] for each in (distorted, reference)]
    return float(dict(zip(MEASURES, functions, strict=True))[name](*pictures, data_range=255.0))


#: Odd sides, which MS-SSIM pads; and one from which SSIM and VSI reduce the picture (piq's others take long there).
SIZES = {(161, 200): MEASURES, (173, 166): MEASURES, (385, 386): ('PSNR', 'SSIM', 'VSI')}


@pytest.mark.parametrize('size', SIZES, ids=str)
@pytest.mark.parametrize('even', [False, True], ids=['photograph', 'photograph with a white half'])
def test_measures_of_many_versions_are_piqs(size, even):
    image = cv2.resize(data.astronaut(), size[::-1], interpolation=cv2.INTER_AREA)
    if even:
        image[:, : size[1] // 2] = 255
    source = FidelitySource(image, SIZES[size])
    for name in ('contrast', 'glass_blur', 'darkness'):
        version = distort(image, name, candidates(name)[7], generator_for(3))
        result = source.measure(version)
        assert tuple(result) == SIZES[size]
        for measure in result:
            assert result[measure] == pytest.approx(piq_in_double_precision(image, version, measure), abs=1e-5), measure


def test_a_source_measures_what_a_pair_by_itself_gives_whatever_else_is_asked():
    image = cv2.resize(data.coffee(), (240, 170), interpolation=cv2.INTER_AREA)
    version = distort(image, 'gaussian_blur', {'sigma': 2}, generator_for(1))
    together = FidelitySource(image).measure(version)
    for name in MEASURES:
        assert fidelity(image, version, [name]) == {name: together[name]}
    refused(ValueError, 'of one shape', FidelitySource(image).measure, version[1:])


@pytest.mark.parametrize('name', ['SSIM', 'MS-SSIM', 'VIF-p'])
def test_measures_say_from_which_size_they_are_defined(name):
    side = SHORTEST_SIDE[name]
    enough = generator_for(1).integers(0, 256, (side, side + 3, 3), dtype=np.uint8)
    assert math.isfinite(fidelity(enough, enough, [name])[name])
    small = enough[1:]
    refused(ValueError, f'{name} needs pictures of at least {side}', fidelity, small, small, [name])
    assert math.isnan(fidelity(small, small, [name], undefined='nan')[name])


def test_psnr_and_vsi_are_defined_for_one_pixel():
    pixel = np.full((1, 1, 3), 7, np.uint8)
    values = fidelity(pixel, pixel, ['PSNR', 'VSI'])
    assert all(math.isfinite(value) for value in values.values())
    refused(ValueError, 'Unknown measure', fidelity, pixel, pixel, ['LPIPS'])
