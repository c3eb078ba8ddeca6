"""What a message advises works: its scripts are there, its options are known, and it repeats the user's own."""

import ast
import re
import shlex
import sys
from pathlib import Path

import pytest
import torch
from helpers_config import write_tiny_config
from helpers_database import write_database
from helpers_refusals import refused
from helpers_tools import home_of, parsed

from miqa.cli.main import COMMANDS, build_parser
from miqa.datasets import open_index
from miqa.engine import build_runner, load_config
from miqa.engine.experiment import check_conflicting_options
from miqa.engine.precision import mixed_precision
from miqa.machines import ResponseFolder
from miqa.running.command_line import ConfigOptions, ToolParser, as_typed
from miqa.running.devices import usable_device
from miqa.train import test_command as command_that_tests

ROOT = Path(__file__).parents[2]
SOURCES = [*(ROOT / 'miqa').rglob('*.py'), *(ROOT / 'tools').rglob('*.py')]
SCRIPT = re.compile(r'tools/[\w/]+\.(?:py|sh)')
COMMAND = re.compile(r'`miqa [a-z]|pip install')
# What a file has in which such a text stands, on one line or broken into several.
NAMES = re.compile(r'tools/|`miqa|pip install')
OPTION = re.compile(r'(?<![\w-])--[a-z][\w-]+')
# Words that a message puts where the user's own belong.
PLACEHOLDER = 'X'


def messages():
    """Every text of the source that names a script of ours or a sub-command, with what stands for its values."""
    for path in SOURCES:
        source = path.read_text(encoding='utf-8')
        if not NAMES.search(source):
            continue
        tree = ast.parse(source)
        docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if id(node) in docs:
                continue
            if isinstance(node, ast.JoinedStr):
                text = ''.join(
                    str(part.value) if isinstance(part, ast.Constant) else PLACEHOLDER for part in node.values
                )
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                text = node.value
            else:
                continue
            if SCRIPT.search(text) or COMMAND.search(text):
                yield f'{path.relative_to(ROOT)}:{node.lineno}', text


def wrong_in(text: str):
    """Yield the scripts, options, commands and extras of a message that are not there."""
    yield from (script for script in SCRIPT.findall(text) if not (ROOT / script).is_file())
    yield from set(re.findall(r'`miqa ([a-z]+)', text)) - set(COMMANDS)
    for part in re.findall(r'(?:python|bash|torchrun[^\n]*?) (tools/[^`\n]*)', text):
        script = SCRIPT.match(part)
        if script is None or not script[0].endswith('.py'):
            continue
        known = home_of(script[0]).read_text(encoding='utf-8')
        if 'add_model_options' in known:
            known += (ROOT / 'miqa/apis/command_options.py').read_text(encoding='utf-8')
        options = OPTION.findall(re.split(r'[.;:] |#|, or ', part)[0])
        yield from (f'{script[0]} {option}' for option in options if f"'{option}'" not in known)
    extras = (ROOT / 'setup.py').read_text(encoding='utf-8')
    yield from (extra for extra in re.findall(r"\[([a-z]+)\]'", text) if f"'{extra}'" not in extras)


def test_scripts_options_commands_and_extras_of_every_message_are_there():
    result = list(messages())
    assert len(result) > 40
    assert [(place, wrong) for place, text in result for wrong in wrong_in(text)] == []


@pytest.mark.parametrize('command', COMMANDS)
def test_help_names_scripts_only_to_those_who_have_a_clone(command, capsys):
    refused(SystemExit, '', build_parser(command).parse_args, [command, '--help'])
    paragraphs = re.split(r'\n\s*\n', capsys.readouterr().out)
    assert [part for part in paragraphs if 'tools/' in part and 'clone' not in part] == []


def test_the_command_for_missing_split_files_is_understood(tmp_path):
    root = write_database(tmp_path / 'my data', 'cls', sources=4)
    (root / 'splits' / 'miqa_cls_train.csv').unlink()
    error = refused(FileNotFoundError, '`python', open_index, root, 'cls', 'train')
    assert parsed(shlex.split(re.search('`(python .*?)`', str(error))[1])).data_root in (root, str(root))


def test_the_command_for_damaged_responses_is_understood(tmp_path):
    folder = tmp_path / 'my data' / 'miqa_det' / 'responses' / 'my machine'
    folder.mkdir(parents=True)
    (folder / 'manifest.json').write_text('{')
    error = refused(ValueError, 'python ', lambda: ResponseFolder(folder).manifest)
    args = parsed(shlex.split(re.search('python .*', str(error))[0]))
    assert (args.data_root, args.task, args.only) == (str(tmp_path / 'my data'), 'det', ['my machine'])


def test_training_repeats_the_users_options_in_the_command_that_tests(monkeypatch):
    given = '--data-root "/my data" --epochs 1 --cfg-options val_dataloader.num_workers=0 model.x=[1,2] --amp'
    monkeypatch.setattr(sys, 'argv', ['tools/train.py', 'configs/ra_miqa_det.py', *shlex.split(given)])
    command = command_that_tests('configs/ra_miqa_det.py', Path('work dirs/a/best.pth'))
    args = parsed(shlex.split(command))
    assert args.data_root == '/my data'
    assert args.checkpoint_file == 'work dirs/a/best.pth'
    assert args.cfg_options == {'val_dataloader.num_workers': 0, 'model.x': [1, 2]}
    assert as_typed('--amp', words=['--data-root=x', '--amp', '--lr', '1']) == ' --amp'


def test_an_option_given_twice_with_two_values_is_refused():
    check, expected = check_conflicting_options, '--label says composite, but --cfg-options label=accuracy'
    check({'label': 'accuracy'}, {'label': 'accuracy', 'seed': None})
    refused(ValueError, expected, check, {'label': 'accuracy'}, {'label': 'composite'})
    expected = '--lr says 0.1, but --cfg-options schedule.lr=0.2'
    refused(ValueError, expected, check, {'schedule.lr': 0.2}, {'schedule.lr': 0.1})


def test_an_unknown_key_of_a_class_is_a_sentence_with_the_nearest_one(tmp_path):
    expected = "QualityAssessor has no option 'netwrk'. Did you mean 'model.network'"
    refused(KeyError, expected, load_config, ROOT / 'configs/ra_miqa_det.py', {'model.netwrk': 3})
    load_config(ROOT / 'configs/ra_miqa_det.py', {'train_dataloader.dataset.packed': 'folder'})
    root = write_database(tmp_path / 'data', 'det', sources=4)
    path = write_tiny_config(tmp_path / 'c.py', root, more='model["netwrk"] = 3\n')
    expected = "QualityAssessor in the config has no option 'netwrk'. Did you mean"
    refused(ValueError, expected, build_runner, load_config(path), tmp_path / 'run')


@pytest.mark.parametrize('message', [['a.b.c'], ['=3'], ['a..b=1'], ['label', '=', 'accuracy'], ['a=[1,(2]']])
def test_options_of_a_config_that_are_not_of_the_form_are_a_sentence(message, capsys):
    parser = ToolParser(prog='x')
    parser.add_argument('--cfg-options', nargs='+', action=ConfigOptions)
    refused(SystemExit, '2', parser.parse_args, ['--cfg-options', *message])
    assert 'x: error: --cfg-options' in capsys.readouterr().err
    given = parser.parse_args(['--cfg-options', 'a.b=1', 'c=[1,2]', 'd=x=y']).cfg_options
    assert given == {'a.b': 1, 'c': [1, 2], 'd': 'x=y'}


def test_one_value_in_place_of_a_group_of_settings_is_a_sentence_with_the_way_to_say_it():
    expected = r'model=3: model is a group of settings.*as in model\.type=\.\.\.'
    refused(ValueError, expected, load_config, ROOT / 'configs/ra_miqa_det.py', {'model': 3})
    assert load_config(ROOT / 'configs/ra_miqa_det.py', {'model': {'type': 'X'}}).model.type == 'X'


def test_an_unknown_name_of_mmengines_is_answered_with_those_that_are_known():
    from mmengine.registry import OPTIMIZERS

    from miqa.registry import Registry

    registry = next(child for child in OPTIMIZERS.children.values() if isinstance(child, Registry))
    refused(KeyError, "'AdamV' is not a registered optimizer. Did you mean .*Adam", registry.get, 'AdamV')


def test_a_device_that_is_not_there_is_a_sentence():
    assert usable_device('cpu').type == 'cpu'
    assert usable_device(' CPU').type == 'cpu'
    for device in ('cuda:99', 'gpu', 'cuda:x', 'CUDA:0,1', 'meta', 'hpu', 'mkldnn', 0, ''):
        refused(ValueError, r'Cannot compute on device .*choose cpu, or leave the device out', usable_device, device)


def test_bfloat16_that_a_gpu_only_emulates_does_not_count(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'is_bf16_supported', lambda including_emulation=True: including_emulation)
    assert mixed_precision({'type': 'OptimWrapper'})['dtype'] == 'float16'
