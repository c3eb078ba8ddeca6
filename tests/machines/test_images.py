"""Which images a database holds, and how they are shared out."""

import pytest
from helpers_machines import save, square, write_cls_database, write_det_database
from helpers_refusals import refused

from miqa.machines import list_sources, parse_shard, shard_of


def test_sources_are_listed_with_their_versions_in_order(tmp_path):
    sources = list_sources(write_cls_database(tmp_path), 'cls')
    assert [source.source for source in sources] == ['s0', 's1', 's2']
    assert sources[0].versions == ('s0_darkness_1.png', 's0_darkness_2.png', 's0_darkness_3.png')
    assert sources[1].names[:2] == ('s1.png', 's1_darkness_1.png')
    assert len(sources[1].paths) == sources[1].count == 4 and all(path.is_file() for path in sources[1].paths)


def test_ins_takes_its_images_from_det(tmp_path):
    assert [source.count for source in list_sources(write_det_database(tmp_path), 'ins')] == [4, 4]


def test_a_file_that_another_process_is_writing_is_not_listed(tmp_path):
    write_cls_database(tmp_path)
    (tmp_path / 'miqa_cls/images/s0/.s0_darkness_4.x1y2.part.png').write_bytes(b'half')
    assert list_sources(tmp_path, 'cls')[0].count == 4


def test_a_misnamed_file_is_named_in_the_error(tmp_path):
    write_cls_database(tmp_path)
    save(tmp_path / 'miqa_cls/images/s0/holiday.png', square((0, 0, 1, 1)))
    refused(ValueError, 'holiday.png', list_sources, tmp_path, 'cls')


def test_versions_without_their_clean_image_are_an_error(tmp_path):
    write_cls_database(tmp_path)
    (tmp_path / 'miqa_cls/src_images/s1.png').unlink()
    refused(FileNotFoundError, 'for example s1', list_sources, tmp_path, 'cls')


def test_shards_share_out_everything_once():
    items = list(range(11))
    parts = [shard_of(items, parse_shard(f'{i}/4')) for i in (1, 2, 3, 4)]
    assert sorted(sum(parts, [])) == items
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize('text', ['5/4', '0/4', '1', '-1/3', 'a/b', '1/2/3', '0/0'])
def test_a_shard_that_does_not_exist_is_refused(text):
    refused(ValueError, 'i/n', parse_shard, text)
