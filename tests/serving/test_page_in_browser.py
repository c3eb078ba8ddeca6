"""The page in a headless Chromium with a fake camera, on a server that really listens."""

import contextlib
import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from helpers_serving import running
from helpers_videos import write_video
from PIL import Image

pytest.importorskip('fastapi', reason="no FastAPI (pip install 'miqa[serve]')")
pytest.importorskip('selenium', reason='no selenium (pip install selenium)')

from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.support.ui import WebDriverWait

from miqa.apis.diagnosis import Diagnosis
from miqa.apis.inputs import Preparation
from miqa.apis.model import ViewAnswers
from miqa.apis.quality import Thresholds, quality_of
from miqa.serving.application import build_app
from miqa.serving.settings import Limits

TOKEN = 'a-token-of-many-letters'


class BrightnessModel:
    """Mean brightness as the score, dark pictures as damaged: what is seen on the page can be computed by hand."""

    spec = SimpleNamespace(
        fit="crop",
        method='brightness', task='cls', label='composite', short_side=32, interpolation='bilinear', view='image',
        view_size=32,
    )  # fmt: skip
    identity, thresholds, batch_size, runtime = 'brightness', Thresholds(0.8, 0.4), 8, None
    can_diagnose = True

    def __init__(self):
        self.prepare = Preparation(self.spec)

    def score_pixels(self, pixels):
        """Score uint8 (B, 3, 32, 32)."""
        return (pixels.mean(axis=(1, 2, 3)) / 255).astype(np.float32)

    def answer_prepared(self, pictures):
        """Score the squares (1, 1, 3, 32, 32) of each picture; below 0.4 it is too dark, above 0.8 all is well."""
        answers = []
        for views in pictures:
            scores = self.score_pixels(views[0])
            kind = 'darkness' if scores[0] < 0.4 else 'none' if scores[0] > 0.8 else 'unknown'
            damage = Diagnosis(kind, 4.5 if kind == 'darkness' else 0.0, 'whole', 0.9, 'darkness')
            answers.append(ViewAnswers(scores, damage))
        return answers

    def quality(self, score):
        """Return the word for a score."""
        return quality_of(score, self.thresholds)


def picture(path, value, size=(60, 40)):
    """Write a grey picture; return its path."""
    Image.new('RGB', size, (round(255 * value),) * 3).save(path)
    return str(path)


@pytest.fixture(scope='module')
def browser(tmp_path_factory):
    chromium = shutil.which('chromium') or shutil.which('google-chrome') or shutil.which('chromium-browser')
    driver = shutil.which('chromedriver')
    if not chromium or not driver:
        pytest.skip('no Chromium with chromedriver (apt-get install chromium chromium-driver)')
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    arguments = (
        '--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking '
        '--disable-component-update --disable-sync --disable-dev-shm-usage --use-fake-ui-for-media-stream '
        '--use-fake-device-for-media-stream --window-size=1280,1000'
    )
    for argument in [*arguments.split(), f'--user-data-dir={tmp_path_factory.mktemp("chromium")}']:
        options.add_argument(argument)
    options.add_experimental_option('prefs', {'intl.accept_languages': 'en-US'})
    options.set_capability('goog:loggingPrefs', {'performance': 'ALL', 'browser': 'ALL'})
    chrome = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    chrome.set_page_load_timeout(60)
    yield chrome
    chrome.quit()


@pytest.fixture(scope='module')
def url():
    with running(build_app(BrightnessModel(), page=True, limits=Limits(upload_mb=5))) as address:
        yield address


@pytest.fixture
def opened(browser, url):
    """The page, freshly loaded: (browser, wait for a selector and a text)."""
    browser.get(url)
    return browser, waiting(browser)


def waiting(browser):
    """Return a function that waits for a selector whose text holds a text."""

    def wait(selector, text='', seconds=60):
        def matching(chrome):
            for element in chrome.find_elements('css selector', selector):
                if element.is_displayed() and text in element.text:
                    return element
            return None

        # An element may be replaced between being found and being read.
        patient = WebDriverWait(browser, seconds, ignored_exceptions=[StaleElementReferenceException])
        return patient.until(matching, f'{selector} with {text!r} did not appear')

    wait('#footer', 'brightness')
    return wait


def choose(browser, *paths):
    """Choose files as a person does."""
    browser.find_element('css selector', '#choose').send_keys('\n'.join(map(str, paths)))


def test_a_picture_gets_its_score_its_gate_and_its_heat_map(opened, tmp_path):
    browser, wait = opened
    choose(browser, picture(tmp_path / 'a.png', 0.6))
    assert wait('#picture-card .score', '0.600') and wait('#picture-card .word', 'medium')
    assert wait('#picture-card .damage', 'Damage: unknown, slight, whole picture')
    browser.find_element('css selector', '#gate').send_keys('0.7')
    assert wait('#picture-card .chip', 'stopped')
    wait('#heat').click()
    wait('#picture-card .legend', 'helps')
    assert browser.execute_script('return picture.drawn.canvas.width > 50')
    (tmp_path / 'bad.png').write_bytes(b'no picture')
    choose(browser, tmp_path / 'bad.png')
    wait('#picture-card .error', 'bad.png is not an image')
    assert not browser.find_elements('css selector', '#picture-card .score')
    noise = np.random.default_rng(0).integers(0, 255, (1500, 1500, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / 'huge.png')
    choose(browser, tmp_path / 'huge.png')
    wait('#picture-card .error', 'up to 5 MB are accepted here')


def test_two_pictures_are_compared_and_more_become_a_table_to_download(opened, tmp_path):
    browser, wait = opened
    paths = [picture(tmp_path / f'{name}.png', value) for name, value in (('dark', 0.2), ('light', 0.9))]
    choose(browser, *paths)
    wait('#compare-verdict', 'B is better by 0.702')
    wait('#compare-card-0 .damage', 'Damage: darkness, strong, whole picture')
    wait('#compare-card-1 .damage', 'Damage: no damage')
    (tmp_path / '=bad.png').write_bytes(b'no picture')
    (tmp_path / 'notes.txt').write_text('no picture')
    choose(browser, *paths, tmp_path / '=bad.png', tmp_path / 'notes.txt')
    wait('#batch-figures', '2\nscored\n1\nfailed\n0\nwaiting')
    wait('#toast', 'Skipped, as neither pictures nor videos: 1')
    # Each in one step of the page: it draws the table again when the last score comes.
    browser.execute_script("document.querySelectorAll('#batch-head .button')[2].click()")
    rows = "return [...document.querySelectorAll('#batch-rows tr')].map(row => row.innerText)"
    names = browser.execute_script(rows)
    assert ['=bad' in names[0], 'dark' in names[1], 'light' in names[2]] == [True] * 3
    rows = browser.execute_async_script(
        'const done = arguments[0]; const real = URL.createObjectURL;'
        'URL.createObjectURL = blob => { blob.text().then(done); return real(blob); };'
        'document.getElementById("batch-csv").click()'
    ).splitlines()
    assert rows[0].lstrip('\ufeff') == 'image,score,quality,passed,damage,error,model' and len(rows) == 4
    assert any(row.startswith('light.png,0.9') and row.endswith(',high,,none,,brightness') for row in rows)
    assert any(row.startswith("'=bad.png,,,,,") and 'is not an image' in row for row in rows)


def test_a_video_gets_its_curve(opened, tmp_path):
    browser, wait = opened
    choose(browser, write_video(tmp_path / 'a.mp4', [0.5] * 30, fourcc='mp4v'))
    assert abs(float(wait('#video-card .score', '0.').text.split()[0]) - 0.5) < 0.03
    assert wait('#video-chart').size['width'] > 400 and wait('#segments', '0:00.0') and wait('#segments', 'unknown')
    assert wait('#video-card .damage', 'Most frames: unknown (100 %).')
    (tmp_path / 'list.mp4').write_text('#EXTM3U\n#EXTINF:1,\nother.ts\n')
    choose(browser, tmp_path / 'list.mp4')
    wait('#video-card .error', 'list.mp4 is not a video')


def test_the_camera_is_scored_live_and_nothing_else_is_asked(opened, url):
    browser, wait = opened
    wait('#tab-camera').click()
    wait('#camera-start').click()
    WebDriverWait(browser, 60).until(lambda chrome: chrome.execute_script('return camera.history.length >= 15'))
    scores = browser.execute_script('return camera.history.map(entry => entry.score)')
    assert min(scores) > 0.1 and max(scores) < 0.5  # Chromium's fake camera is green
    assert float(wait('#dial').text) == pytest.approx(np.mean(scores), abs=0.1)
    wait('#camera-figures', 'frames/s')
    wait('#dial-word', 'Damage: ')
    wait('#camera-start').click()
    assert browser.execute_script('return camera.stream === null')
    requested = []
    for entry in browser.get_log('performance'):
        message = json.loads(entry['message'])['message']
        with contextlib.suppress(KeyError):
            requested.append(message['params']['request']['url'])
    remote = [one for one in requested if one.startswith(('http', 'ws')) and not one.startswith(url)]
    assert any(one.startswith(url) for one in requested) and remote == []
    # The policy of the page blocks nothing that the page needs.
    assert [entry['message'] for entry in browser.get_log('browser') if 'Content Security' in entry['message']] == []


def test_the_token_is_asked_for_once_and_never_part_of_an_address(browser, tmp_path):
    with running(build_app(BrightnessModel(), page=True, token=TOKEN)) as url:
        browser.get(url)
        WebDriverWait(browser, 30).until(lambda chrome: chrome.find_element('id', 'token-input').is_displayed())
        for attempt in ('wrong', TOKEN):
            WebDriverWait(browser, 30).until(lambda chrome: chrome.find_element('id', 'token-input').is_displayed())
            browser.find_element('id', 'token-input').send_keys(f'{attempt}\n')
        wait = waiting(browser)
        choose(browser, picture(tmp_path / 'a.png', 0.6))
        wait('#picture-card .score', '0.600')
        browser.refresh()
        waiting(browser)
        assert not browser.find_element('id', 'token-input').is_displayed()
        assert TOKEN not in browser.current_url
        entries = [json.loads(entry['message'])['message']['params'] for entry in browser.get_log('performance')]
    assert not any(TOKEN in entry.get('request', {}).get('url', '') for entry in entries)


def test_the_page_speaks_chinese_and_knows_keys(opened):
    browser, wait = opened
    browser.find_element('id', 'language').click()
    wait('#tab-camera', '摄像头')
    assert (
        browser.execute_script('return damageText({ kind: "motion_blur", strength: 4.2, place: "whole" })')
        == '运动模糊，严重，整幅画面'
    )
    browser.find_element('id', 'language').click()
    body = browser.find_element('css selector', 'body')
    body.send_keys('3')
    wait('#batch-drop', 'Drop pictures or a folder')
    dark = browser.execute_script('return document.documentElement.dataset.theme')
    body.send_keys('t')
    assert browser.execute_script('return document.documentElement.dataset.theme') != dark
    words = browser.execute_script('return [Object.keys(WORDS.en), Object.keys(WORDS.zh)]')
    assert sorted(words[0]) == sorted(words[1])
