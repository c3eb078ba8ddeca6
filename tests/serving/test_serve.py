"""The page: what it answers, and the real thing in a headless Chromium."""

import contextlib
import io
import json
import shutil
import socket

import numpy as np
import pytest
from helpers_serving import running_page
from helpers_videos import Brightness, write_video
from PIL import Image

from miqa.apis.heatmap import Heatmap
from miqa.apis.quality import Thresholds
from miqa.serving import gradio_import, serve
from miqa.serving.desk import Desk, Limits, problem_list, score_card


class BrightnessWithMap(Brightness):
    """Mean brightness, with a heat map that says that the left half hurts."""

    thresholds = Thresholds(0.8, 0.4)

    def assess(self, images, heatmap=False):
        if not heatmap:
            return super().assess(images)
        values = np.tile(np.array([0.5, 0.5, -0.1, -0.1], np.float32), (4, 1))
        height, width = images.shape[:2]
        return Heatmap(float(images.mean()) / 255, values, (0, 0, width, height), 'occlusion', images[:, :, ::-1])


def picture(path, value, size=(60, 40)):
    Image.new('RGB', size, (round(255 * value),) * 3).save(path)
    return str(path)


@pytest.fixture
def desk():
    return Desk(lambda task, label: BrightnessWithMap())


def test_a_picture_gets_its_score_quality_and_heat_map(desk, tmp_path):
    path = picture(tmp_path / 'a.png', 0.6)
    card, overlay = desk.picture(path, 'cls', 'composite', heatmap=False)
    assert '>0.600<' in card and '>medium<' in card and 'left:60.0%' in card and overlay is None
    card, overlay = desk.picture(path, 'cls', 'composite', heatmap=True)
    assert '>0.600<' in card and overlay.size == (60, 40)
    left, right = np.asarray(overlay)[20, 10], np.asarray(overlay)[20, 50]
    assert int(left[0]) - int(left[2]) > int(right[0]) - int(right[2])


def test_the_model_sees_the_pixels_as_uploaded_in_bgr(tmp_path):
    class Blue:
        def assess(self, images):
            return [float(images[0][:, :, 0].mean()) / 255]

    Image.new('RGB', (8, 8), (10, 20, 255)).save(tmp_path / 'blue.png')
    card, _ = Desk(lambda task, label: Blue()).picture(str(tmp_path / 'blue.png'), 'cls', 'composite', False)
    assert '>1.000<' in card


def test_pictures_are_compared_best_first_and_bad_ones_are_named(desk, tmp_path):
    paths = [picture(tmp_path / f'{name}.png', value) for name, value in (('dark', 0.2), ('light', 0.9), ('grey', 0.5))]
    (tmp_path / 'bad.png').write_bytes(b'no picture')
    gallery, rows, problems = desk.compare([*paths, str(tmp_path / 'bad.png')], 'cls', 'composite')
    assert [row[:2] for row in rows] == [[1, 'light.png'], [2, 'grey.png'], [3, 'dark.png']]
    assert [row[3] for row in rows] == ['high', 'medium', 'low']
    assert [caption for _, caption in gallery][0] == '0.902 · light.png'
    assert 'bad.png is not an image' in problems and str(tmp_path) not in problems


def test_a_video_gets_a_score_a_curve_and_its_worst_segments(desk, tmp_path):
    path = write_video(tmp_path / 'a.avi', [0.9] * 30 + [0.2] * 20 + [0.9] * 30)
    card, curve, rows = desk.video(str(path), 'cls', 'composite', frames=80)
    assert '>0.726<' in card and 'Mean of 80 frames' in card
    assert curve.width > 800 and rows[0] == [
        '0:03.0',
        '0:04.9',
        pytest.approx(0.2, abs=0.01),
        pytest.approx(0.2, abs=0.01),
    ]


def test_errors_are_sentences_without_the_folder_of_uploads(desk, tmp_path):
    truncated = tmp_path / 'half.png'
    buffer = io.BytesIO()
    Image.effect_noise((64, 64), 50).save(buffer, 'PNG')
    truncated.write_bytes(buffer.getvalue()[:1000])
    with pytest.raises(ValueError, match='half.png is damaged or truncated') as caught:
        desk.picture(str(truncated), 'cls', 'composite', False)
    assert str(tmp_path) not in str(caught.value)
    (tmp_path / 'text.mp4').write_bytes(b'hello' * 99)
    with pytest.raises(ValueError, match='^text.mp4 is not a video') as caught:
        desk.video(str(tmp_path / 'text.mp4'), 'cls', 'composite', 30)
    assert str(tmp_path) not in str(caught.value)
    (tmp_path / 'list.m3u8').write_text('#EXTM3U\n#EXTINF:1,\nother.ts\n')
    with pytest.raises(ValueError, match='^list.m3u8 is not a video'):
        desk.video(str(tmp_path / 'list.m3u8'), 'cls', 'composite', 30)


def test_requests_that_ask_too_much_are_refused(tmp_path):
    desk = Desk(lambda task, label: Brightness(), Limits(megapixels=0.01, pictures=2, video_minutes=0.05))
    large = picture(tmp_path / 'large.png', 0.5, (200, 100))
    with pytest.raises(ValueError, match='large.png has 0.02 megapixels; this page takes up to 0.01'):
        desk.picture(large, 'cls', 'composite', False)
    with pytest.raises(ValueError, match='At most 2 pictures'):
        desk.compare([large] * 3, 'cls', 'composite')
    long = write_video(tmp_path / 'long.avi', [0.5] * 50)
    with pytest.raises(ValueError, match=r'takes up to 0\.05\. Use `miqa video`'):
        desk.video(str(long), 'cls', 'composite', 30)
    with pytest.raises(ValueError, match='The limit pictures must be positive'):
        Limits(pictures=0)


def test_models_are_loaded_when_asked_for_and_only_the_last_two_are_kept(tmp_path):
    loaded = []
    desk = Desk(lambda task, label: loaded.append((task, label)) or Brightness())
    path = picture(tmp_path / 'a.png', 0.5)
    for task in ('cls', 'cls', 'det', 'cls', 'ins', 'cls', 'det'):
        desk.picture(path, task, 'composite', False)
    assert [task for task, _ in loaded] == ['cls', 'det', 'ins', 'det']


def test_names_of_files_cannot_put_html_into_the_page():
    assert problem_list(['<script>alert(1)</script>']) == (
        '<ul class="miqa-problems"><li>&lt;script&gt;alert(1)&lt;/script&gt;</li></ul>'
    )
    assert '<img' not in score_card(0.5, Brightness(), '<img src=x>')


def test_without_gradio_the_command_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__('sys').modules, 'gradio', None)
    with pytest.raises(ImportError, match=r'The page needs gradio.*Install it: pip install'):
        gradio_import.import_gradio()


# The page itself, in a browser.


@pytest.fixture(scope='module')
def page_url():
    pytest.importorskip('gradio', reason="no Gradio (pip install 'miqa[serve]')")
    with running_page(
        lambda task, label: BrightnessWithMap(), Limits(upload_mb=5), model_text='Model: brightness.'
    ) as url:
        yield url


def test_a_port_that_is_taken_is_said():
    pytest.importorskip('gradio', reason="no Gradio (pip install 'miqa[serve]')")
    with socket.socket() as taken:
        taken.bind(('127.0.0.1', 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=rf'cannot listen on 127\.0\.0\.1, port {port}; is the port taken'):
            serve.serve(lambda task, label: Brightness(), port=port)


@pytest.fixture(scope='module')
def browser(page_url, tmp_path_factory):
    webdriver = pytest.importorskip('selenium.webdriver', reason='no selenium (pip install selenium)')
    chromium = shutil.which('chromium') or shutil.which('google-chrome') or shutil.which('chromium-browser')
    driver = shutil.which('chromedriver')
    if not chromium or not driver:
        pytest.skip('no Chromium with chromedriver (apt-get install chromium chromium-driver)')
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    arguments = (
        '--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking '
        '--disable-component-update --disable-sync --disable-dev-shm-usage --window-size=1280,1000'
    )
    for argument in [*arguments.split(), f'--user-data-dir={tmp_path_factory.mktemp("chromium")}']:
        options.add_argument(argument)
    options.set_capability('goog:loggingPrefs', {'performance': 'ALL'})
    chrome = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    chrome.set_page_load_timeout(60)
    yield chrome
    chrome.quit()


@pytest.fixture
def opened(browser, page_url):
    """The page, freshly loaded; returns (browser, wait for a selector and a text)."""
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    browser.get(page_url)

    def wait(selector, text='', seconds=30):
        def found(chrome):
            for element in chrome.find_elements(By.CSS_SELECTOR, selector):
                if text in (element.text or element.get_attribute('value') or ''):
                    return element
            return None

        return WebDriverWait(browser, seconds).until(found, f'{selector} with {text!r} did not appear')

    wait('#picture input[type=file]')
    return browser, wait


def tab(browser, name):
    from selenium.webdriver.common.by import By

    next(t for t in browser.find_elements(By.CSS_SELECTOR, 'button[role=tab]') if t.text == name).click()


def test_a_picture_that_is_dropped_on_the_page_gets_its_score_and_heat_map(opened, tmp_path):
    browser, wait = opened
    browser.find_element('css selector', '#picture input[type=file]').send_keys(picture(tmp_path / 'a.png', 0.6))
    assert wait('#score .miqa-score', '0.600') and wait('#score .miqa-word', 'medium')
    browser.find_element('css selector', '#heatmap input').click()
    image = wait('#overlay img')
    assert wait('#score .miqa-score', '0.600')
    assert browser.execute_script('return arguments[0].decode().then(() => arguments[0].naturalWidth)', image) == 60


def test_pictures_are_compared_on_the_page(opened, tmp_path):
    browser, wait = opened
    tab(browser, 'Compare')
    paths = [picture(tmp_path / f'{name}.png', value) for name, value in (('dark', 0.2), ('light', 0.9))]
    browser.find_element('css selector', '#files input[type=file]').send_keys('\n'.join(paths))
    wait('#files', 'light')
    browser.find_element('css selector', '#compare').click()
    wait('#gallery', '0.902 · light.png')
    text = wait('#table', 'dark.png').text
    assert text.index('light.png') < text.index('dark.png')


def test_a_video_gets_its_curve_on_the_page(opened, tmp_path):
    browser, wait = opened
    tab(browser, 'Video')
    path = write_video(tmp_path / 'a.mp4', [0.5] * 30, fourcc='mp4v')
    browser.find_element('css selector', '#video input[type=file]').send_keys(str(path))
    wait('#video video')
    browser.find_element('css selector', '#assess-video').click()
    assert abs(float(wait('#video-score .miqa-score', '0.').text) - 0.5) < 0.03
    image = wait('#curve img')
    assert browser.execute_script('return arguments[0].decode().then(() => arguments[0].naturalWidth)', image) > 800


def test_a_file_that_is_no_picture_gets_a_sentence_on_the_page(opened, tmp_path):
    browser, wait = opened
    (tmp_path / 'bad.png').write_bytes(b'no picture')
    browser.find_element('css selector', '#picture input[type=file]').send_keys(str(tmp_path / 'bad.png'))
    wait('.toast-body, [data-testid=toast-body]', 'bad.png is not an image in a format that is read here (10 bytes).')
    assert wait('#score .miqa-problems', 'bad.png is not an image')
    assert not browser.find_elements('css selector', '#score .miqa-score')


def test_a_file_above_the_limit_is_refused_on_the_page(opened, tmp_path):
    browser, wait = opened
    noise = np.random.default_rng(0).integers(0, 255, (1500, 1500, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / 'huge.png')
    browser.find_element('css selector', '#picture input[type=file]').send_keys(str(tmp_path / 'huge.png'))
    assert '5' in wait('.toast-body, [data-testid=toast-body]', 'size').text


def test_the_page_asks_nothing_of_other_computers(opened, page_url, tmp_path):
    browser, wait = opened
    browser.find_element('css selector', '#picture input[type=file]').send_keys(picture(tmp_path / 'a.png', 0.6))
    wait('#score .miqa-score', '0.600')
    asked = []
    for entry in browser.get_log('performance'):
        message = json.loads(entry['message'])['message']
        with contextlib.suppress(KeyError):
            asked.append(message['params']['request']['url'])
    remote = [url for url in asked if url.startswith(('http', 'ws')) and not url.startswith(page_url)]
    assert any(url.startswith(page_url) for url in asked) and remote == []
