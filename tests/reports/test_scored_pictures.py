"""The page of scored pictures: worst first, whole in one file, and honest about what it leaves out."""

import re

import numpy as np
from helpers_machines import save
from helpers_refusals import refused

from miqa.reports import scored_pictures
from miqa.reports.score_page import try_page
from miqa.reports.score_summary import Summary
from miqa.reports.scored_pictures import ScoredPictures


def write_page(folder, scores, errors=()):
    report, summary = ScoredPictures(folder / 'page.html'), Summary()
    for number, score in enumerate(scores):
        path = folder / f'{number}<b>.png'
        save(path, np.full((30, 40, 3), number))
        summary.add(score, 'low')
        report.add(str(path), score, 'low', 'motion blur' if number == 0 else '')
    for name in errors:
        summary.fail(name, ValueError('it is damaged'))
    report.write(summary)
    return (folder / 'page.html').read_text(encoding='utf-8')


def test_the_worst_come_first_with_thumbnail_and_diagnosis_and_names_are_escaped(tmp_path):
    page = write_page(tmp_path, [0.9, 0.1, 0.5], ['broken.png'])
    assert re.findall(r'class="score">([\d.]+)<', page) == ['0.100', '0.500', '0.900']
    assert page.count('data:image/jpeg;base64,') == 3 and 'motion blur' in page
    assert '<b>.png' not in page and '&lt;b&gt;.png' in page
    assert 'Not read: 1' in page and 'broken.png: it is damaged' in page
    assert not re.search(r'(src|href)="(?!data:)', page), 'the page opens offline'


def test_of_many_pictures_the_lowest_are_shown_and_the_page_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(scored_pictures, 'SHOWN', 2)
    page = write_page(tmp_path, [0.4, 0.3, 0.2, 0.6])
    assert re.findall(r'class="score">([\d.]+)<', page) == ['0.200', '0.300']
    assert 'The 2 lowest of 4 pictures are shown.' in page


def test_a_file_of_somebody_else_is_not_replaced(tmp_path):
    write_page(tmp_path, [0.5])
    try_page(tmp_path / 'page.html')
    (tmp_path / 'mine.html').write_text('my homepage')
    refused(FileExistsError, 'not a page written by --report', try_page, tmp_path / 'mine.html')
    refused(ValueError, 'ends in .html', try_page, tmp_path / 'page.txt')
