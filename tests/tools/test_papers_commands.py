"""The commands of the paper's README do as printed there what they say; only its paths are replaced."""

import json
import re
import shlex
import subprocess
from pathlib import Path

import pandas as pd
import pytest
from helpers_config import write_tiny_config
from helpers_database import write_database
from helpers_refusals import refused

from miqa import paper_options, test, train
from miqa.models import read_checkpoint

ROOT = Path(__file__).parents[2]
#: Its words for ours: `train.py` and `evaluate.py` are tools/train.py and tools/test.py.
TRAIN = """python tools/train.py --config CONFIG --data_path DATA --batch_size 8 --epochs 1 --learning_rate 1e-3
    --work_dir OUT"""
TESTS = (
    'python tools/test.py --model_path OUT/best.pth --test_data DATA',
    'python tools/test.py --config CONFIG --model_path OUT/best.pth --test_data DATA --batch_size 4',
    'python tools/test.py --config CONFIG --checkpoint OUT/best.pth',
    'python tools/test.py CONFIG OUT/best.pth --data_root DATA',
    'python tools/test.py OUT/best.pth --data-root DATA',
)


@pytest.fixture(scope='module')
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp('paper')
    write_tiny_config(folder / 'tiny_det.py', write_database(folder / 'data', 'det', sources=6))
    return folder


@pytest.fixture(scope='module')
def run(place, warm):
    def run(command: str, out: str = 'run', call=warm.must) -> subprocess.CompletedProcess:
        for word, path in (('CONFIG', 'tiny_det.py'), ('DATA', 'data'), ('OUT', out), ('tools/', f'{ROOT}/tools/')):
            command = command.replace(word, path)
        return call(*shlex.split(command), cwd=place)

    return run


def test_every_command_that_tests_gives_the_scores_of_every_other(run, place, tmp_path):
    done = run(TRAIN)
    assert 'lr: ' in done.stdout and '1 epochs of 6 steps with 8 images' in done.stdout
    kept, tables = read_checkpoint(place / 'run' / 'best.pth')['meta']['scores'], []
    for number, command in enumerate(TESTS):
        run(f'{command} --out {tmp_path / str(number)}')
        text = (tmp_path / str(number) / 'metrics.json').read_text()
        scores = json.loads(text)['datasets']['miqa_det']['overall']['all']
        tables.append(pd.read_csv(tmp_path / str(number) / 'predictions.csv'))
        assert scores['n'] == len(tables[-1]) == 10
        assert scores['SRCC'] == pytest.approx(kept['SRCC'], abs=1e-9)
        pd.testing.assert_frame_equal(tables[-1], tables[0], rtol=0, atol=1e-6)


def test_gpus_are_chosen_with_commas_or_spaces_and_their_absence_is_a_sentence(run, place, warm):
    for ids in ('--gpu_ids 0,97', '--gpu-ids 0 97', '--gpu_ids 97'):
        done = run(f'{TRAIN} {ids}', 'gpus', warm.call)
        assert done.returncode == 1 and 'Traceback' not in done.stderr and not (place / 'gpus').exists()
        assert re.search(r'asks for [12] GPUs, but PyTorch finds \d|There is no GPU', done.stderr), done.stderr


#: As printed in the README of the paper; only the folder is another.
TRAIN_LINE = """--dataset 'miqa_cls' --path_miqa_cls 'path/to/miqa_cls'
    --train_split_file '../data/dataset_splitting/miqa_cls_train.csv'
    --val_split_file '../data/dataset_splitting//miqa_cls_val.csv' --metric_type 'composite' --loss_name 'mse'
    --is_two_transform -a 'RA-MIQA' --pretrained --transform_type 'simple_transform' -b 256 --epochs 5 --warmup_epochs 1
    --validate_num 2 --lr 1e-4 --image_size 288 --crop_size 224 --workers 8 -p 100 --multiprocessing-distributed
    --world-size 1 --rank 0"""


def test_the_literal_training_line_means_the_papers_config():
    args = train.parse_arguments(shlex.split(TRAIN_LINE))
    assert (args.config, args.data_root, args.label, args.batch_size) == ('ra_miqa_cls', 'path/to', 'composite', 256)
    expected = {'schedule.warmup_epochs': 1.0, 'train_cfg.validations_per_epoch': 2, 'train_dataloader.num_workers': 8}
    assert paper_options.schedule_options(args) == expected
    assert '--rank' in paper_options.unused(args)
    assert train.parse_arguments([]).config == 'ra_miqa_cls'
    assert train.parse_arguments(['--arch', 'resnet50', '--dataset', 'miqa_det']).config == 'resnet50_det'


def test_the_literal_evaluation_line_means_the_released_weights():
    line = '--model_name ra_miqa --train_dataset cls --test_dataset det --metric_type composite'
    args = test.parse_arguments(line.split())
    assert (args.model_name, args.datasets, args.label, args.checkpoint) == ('ra_miqa', ['miqa_det'], 'composite', None)
    refused(SystemExit, '', test.parse_arguments, [])


@pytest.mark.parametrize('script', ['train.py', 'evaluate.py'])
def test_the_papers_scripts_are_in_the_root_of_a_clone(warm, script):
    assert "the authors' options" in warm.must('python', script, '--help', cwd=ROOT).stdout
