"""From responses to MIQD's label files, for all three tasks, with every edge case."""

import csv
import json

import numpy as np
import pandas as pd
import pytest
from helpers_machines import bright_squares, brightness_classes, save, write_cls_database, write_det_database
from helpers_refusals import refused
from PIL import Image

from miqa.labelling import ScoreFolder, ScoreOptions, label_database, scores_folder
from miqa.machines import CallableMachine, list_sources, responses_folder, run_machine


def always_dark(images):
    return [np.array([0.8, 0.1, 0.1]) for _ in images]


def blind(images):
    return [{'boxes': [], 'scores': [], 'labels': []} for _ in images]


def square_masks(images):
    answers = bright_squares(images)
    for image, answer in zip(images, answers, strict=True):
        answer['masks'] = (image.min(2) > 200)[None] if len(answer['scores']) else np.zeros((0, *image.shape[:2]))
    return answers


def respond(root, task, *machines, **options):
    for machine in machines:
        folder = responses_folder(root, task) / machine.name
        run_machine(machine, list_sources(root, task), folder, progress=False, **options)


def answered(root, task, *machines):
    """Write a database and the responses of machines: of the usual one where none is named."""
    (write_cls_database if task == 'cls' else write_det_database)(root)
    respond(root, task, *(machines or [bright() if task == 'cls' else squares()]))


def label(root, task, **options):
    return label_database(root, task, progress=False, **options)


def bright(weight=1.0, name='brightness'):
    return CallableMachine(brightness_classes, 'cls', name, weight)


def squares(task='det', weight=1.0, name='squares', function=bright_squares):
    return CallableMachine(function, task, name, weight, classes=['square'])


def test_cls_labels_are_what_the_formulas_say(tmp_path):
    answered(tmp_path, 'cls', bright(3), CallableMachine(always_dark, 'cls', 'dark', 1))
    manifest = label(tmp_path, 'cls')
    assert manifest['images'] == 9 and manifest['complete']
    # s1 is 128 bright, class 1; its versions are 83 (a medium grey: 84 is the border), 38 and 0.
    table = pd.read_csv(tmp_path / 'miqa_cls/labels/s1_mmos.csv')
    kinds = ('weighted_consistency', 'weighted_accuracy', 'mean_consistency', 'std_consistency')
    assert table.columns.tolist() == ['dist_images', *kinds, 'mean_accuracy', 'std_accuracy']
    assert table['dist_images'].tolist() == [f's1/s1_darkness_{level}.png' for level in (1, 2, 3)]
    says = [int(np.argmax(brightness_classes([np.full((3, 3, 3), value)])[0])) for value in (83, 38, 0)]
    same = np.array([float(answer == 1) for answer in says])
    # 'dark' always says 0: consistent with itself, never right about s1.
    np.testing.assert_allclose(table['weighted_consistency'], (3 * same + 1) / 4)
    np.testing.assert_allclose(table['weighted_accuracy'], 3 * same / 4)
    np.testing.assert_allclose(table['mean_accuracy'], same / 2)
    np.testing.assert_allclose(table['std_accuracy'], same / 2)


def test_soft_consistency_needs_and_uses_the_probabilities(tmp_path):
    answered(tmp_path, 'cls')
    refused(ValueError, 'store-probabilities', label, tmp_path, 'cls', options=ScoreOptions('soft'))
    respond(tmp_path, 'cls', bright(name='kept'), store_probabilities=True)
    label(tmp_path, 'cls', options=ScoreOptions('soft'), weights={'kept': 1.0}, overwrite=True)
    p, q = (brightness_classes([np.full((3, 3, 3), value)])[0] for value in (215, 125))
    table = pd.read_csv(tmp_path / 'miqa_cls/labels/s2_mmos.csv')
    assert table['weighted_consistency'][1] == pytest.approx(np.minimum(p, q).sum(), abs=2e-3)


def test_det_labels_are_average_precisions(tmp_path):
    answered(tmp_path, 'det')
    label(tmp_path, 'det')
    for kind in ('accuracy', 'consistency'):
        table = pd.read_csv(tmp_path / f'miqa_det/labels/000000000001_{kind}.csv')
        assert table.columns.tolist()[:2] == ['filename', 'AP_weighted_avg']
        assert table['filename'].tolist() == [f'000000000001_snow_{level}.png' for level in (1, 2, 3)]
        # The box as it is; IoU 0.75 counts at six of the ten thresholds and at 0.75; nothing found.
        np.testing.assert_allclose(table['AP_weighted_avg'], [1, 0.6, 0], atol=1e-6)
        np.testing.assert_allclose(table['AP75_weighted_avg'], [1, 1, 0], atol=1e-6)


def test_ins_labels_come_from_masks_and_dets_images(tmp_path):
    answered(tmp_path, 'ins', squares('ins', function=square_masks))
    label(tmp_path, 'ins')
    table = pd.read_csv(tmp_path / 'miqa_ins/labels/000000000002_accuracy.csv')
    np.testing.assert_allclose(table['AP_weighted_avg'], [1, 0.6, 0], atol=1e-6)


def test_a_machine_without_detections_on_the_clean_image_abstains_from_consistency_alone(tmp_path):
    answered(tmp_path, 'det', squares(weight=1), squares(weight=3, name='blind', function=blind))
    label(tmp_path, 'det')
    consistency = pd.read_csv(tmp_path / 'miqa_det/labels/000000000001_consistency.csv')['AP_weighted_avg']
    accuracy = pd.read_csv(tmp_path / 'miqa_det/labels/000000000001_accuracy.csv')['AP_weighted_avg']
    np.testing.assert_allclose(consistency, [1, 0.6, 0], atol=1e-6)
    np.testing.assert_allclose(accuracy, np.array([1, 0.6, 0]) / 4, atol=1e-6)


def test_below_the_confidence_the_clean_detections_do_not_count(tmp_path):
    answered(tmp_path, 'det')
    manifest = label(tmp_path, 'det', options=ScoreOptions(confidence=0.95))
    assert manifest['images'] == 0 and manifest['excluded_images'] == 6
    assert set(manifest['excluded'].values()) == {'machine detects nothing on the clean image'}
    assert not list((tmp_path / 'miqa_det/labels').glob('*.csv'))


def edit_truth(root, change):
    path = root / 'miqa_det/ground_truth.json'
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_an_image_without_objects_or_with_a_crowd_alone_has_no_labels(tmp_path):
    answered(tmp_path, 'det')

    def empty_and_crowd(content):
        content['annotations'].pop(0)
        content['annotations'][0]['iscrowd'] = 1

    edit_truth(tmp_path, empty_and_crowd)
    manifest = label(tmp_path, 'det')
    assert manifest['images'] == 0
    assert set(manifest['excluded'].values()) == {'image has no objects in the ground truth'}


def test_categories_are_matched_by_name_and_unknown_ones_left_out(tmp_path):
    answered(tmp_path, 'det')

    def add_a_category_the_machine_does_not_know(content):
        content['categories'].append({'id': 3, 'name': 'circle'})
        other = dict(content['annotations'][0], id=99, category_id=3, bbox=[1, 1, 5, 5])
        content['annotations'].append(other)

    edit_truth(tmp_path, add_a_category_the_machine_does_not_know)
    label(tmp_path, 'det')
    assert pd.read_csv(tmp_path / 'miqa_det/labels/000000000001_accuracy.csv')['AP_weighted_avg'][0] == 1
    edit_truth(tmp_path, lambda content: [item.update(name=f'disc {item["id"]}') for item in content['categories']])
    refused(ValueError, 'No class of squares', label, tmp_path, 'det', overwrite=True)


def test_an_annotation_for_another_size_is_noticed(tmp_path):
    answered(tmp_path, 'det')
    edit_truth(tmp_path, lambda content: content['images'][0].update(width=30, height=40))
    refused(ValueError, '40x30 pixels.*30x40', label, tmp_path, 'det')


def test_a_version_of_another_size_than_its_clean_image_is_noticed(tmp_path):
    write_det_database(tmp_path)
    version = next((tmp_path / 'miqa_det/images').glob('*/*.png'))
    Image.open(version).resize((20, 15)).save(version)
    (tmp_path / 'miqa_det/ground_truth.json').unlink()
    respond(tmp_path, 'det', squares())
    with pytest.raises(ValueError, match=f'{version.name} has 20x15 pixels, its clean image'):
        label(tmp_path, 'det', labels=('consistency',))


def test_unreadable_images_are_left_out_and_named(tmp_path):
    write_cls_database(tmp_path)
    (tmp_path / 'miqa_cls/images/s0/s0_darkness_2.png').write_bytes(b'')
    (tmp_path / 'miqa_cls/src_images/s1.png').write_bytes(b'no picture')
    respond(tmp_path, 'cls', bright())
    manifest = label(tmp_path, 'cls')
    assert manifest['images'] == 5
    assert manifest['excluded'] == {
        's0_darkness_2.png': 'image is unreadable or gets no answer',
        **{f's1_darkness_{level}.png': 'clean image is unreadable or gets no answer' for level in (1, 2, 3)},
    }
    assert len(pd.read_csv(tmp_path / 'miqa_cls/labels/s0_mmos.csv')) == 2
    assert not (tmp_path / 'miqa_cls/labels/s1_mmos.csv').exists()


def test_other_weights_need_no_machine_and_no_score_again(tmp_path, monkeypatch):
    answered(tmp_path, 'cls', bright(), CallableMachine(always_dark, 'cls', 'dark'))
    label(tmp_path, 'cls')
    monkeypatch.setattr('miqa.labelling.build.score_part', lambda *args: pytest.fail('scored again'))
    refused(FileExistsError, 'other machines', label, tmp_path, 'cls', weights={'dark': 1.0})
    label(tmp_path, 'cls', weights={'dark': 1.0}, overwrite=True)
    assert pd.read_csv(tmp_path / 'miqa_cls/labels/s2_mmos.csv')['weighted_accuracy'].tolist() == [0, 0, 0]
    assert pd.read_csv(tmp_path / 'miqa_cls/labels/s0_mmos.csv')['weighted_accuracy'].tolist() == [1, 1, 1]


def test_labels_that_were_not_made_here_are_not_overwritten(tmp_path):
    answered(tmp_path, 'cls')
    official = tmp_path / 'miqa_cls/labels/s0_mmos.csv'
    official.parent.mkdir()
    official.write_text('dist_images,weighted_consistency,weighted_accuracy\n')
    refused(FileExistsError, 'not made here: .* run the same command again', label, tmp_path, 'cls')
    assert official.read_text().count('\n') == 1
    label(tmp_path, 'cls', overwrite=True)
    assert len(pd.read_csv(official)) == 3


def test_a_missing_response_is_an_error_that_says_what_to_run(tmp_path):
    answered(tmp_path, 'cls')
    save(tmp_path / 'miqa_cls/images/s0/s0_darkness_4.png', np.zeros((30, 40, 3)))
    refused(ValueError, 'no response to 1 of 10 images, such as s0_darkness_4.png', label, tmp_path, 'cls')
    respond(tmp_path, 'cls', bright())
    assert label(tmp_path, 'cls')['images'] == 10


def test_scores_follow_responses_that_were_made_again(tmp_path):
    answered(tmp_path, 'cls')
    label(tmp_path, 'cls')
    folder = responses_folder(tmp_path, 'cls') / 'brightness'
    for path in folder.iterdir():
        path.unlink()
    respond(tmp_path, 'cls', CallableMachine(always_dark, 'cls', 'brightness'))
    label(tmp_path, 'cls', overwrite=True)
    assert pd.read_csv(tmp_path / 'miqa_cls/labels/s2_mmos.csv')['weighted_accuracy'].tolist() == [0, 0, 0]


def test_two_processes_write_what_one_writes(tmp_path):
    roots = []
    for jobs in (1, 2):
        root = write_cls_database(tmp_path / str(jobs))
        respond(root, 'cls', bright(), CallableMachine(always_dark, 'cls', 'dark'), sources_per_part=1)
        label(root, 'cls', jobs=jobs)
        roots.append(root / 'miqa_cls/labels')
    one, two = ({path.name: path.read_bytes() for path in root.iterdir()} for root in roots)
    assert one == two and len(one) == 4


def test_scores_of_single_machines_are_kept_for_filter_curves(tmp_path):
    answered(tmp_path, 'det')
    label(tmp_path, 'det')
    table = ScoreFolder(scores_folder(tmp_path, 'det') / 'squares').read().to_pandas()
    assert table['accuracy_75'].tolist() == pytest.approx([1, 1, 0] * 2)


@pytest.mark.parametrize('task', ['cls', 'det', 'ins'])
@pytest.mark.parametrize('kind', ['composite', 'consistency', 'accuracy'])
def test_the_dataset_reads_the_labels_unchanged(tmp_path, task, kind):
    from miqa.datasets import MIQDDataset

    if task == 'cls':
        write_cls_database(tmp_path)
        respond(tmp_path, 'cls', bright())
        header, names = ['Image Name', 'Category', 'Quality Score'], [['s0.png', 'a', '1'], ['s1.png', 'b', '1']]
    else:
        write_det_database(tmp_path)
        respond(tmp_path, task, squares(task, function=square_masks))
        header, names = ['Image Index'], [['1'], ['2']]
    label(tmp_path, task)
    image_task = 'cls' if task == 'cls' else 'det'
    path = tmp_path / f'splits/miqa_{image_task}_val.csv'
    path.parent.mkdir()
    with open(path, 'w', newline='') as stream:
        csv.writer(stream).writerows([header, *names])
    dataset = MIQDDataset(data_root=str(tmp_path), task=task, label=kind, split='val', pipeline=[])
    assert [dataset.get_data_info(i)['fg_level'] for i in range(len(dataset))] == [1, 2, 3] * 2
    # Versions of the dark source stay dark; those of the medium one are all nearer to dark.
    expected = [1, 1, 1, 0, 0, 0] if task == 'cls' else [1, 0.6, 0] * 2
    np.testing.assert_allclose(dataset.labels, expected, atol=1e-6)
