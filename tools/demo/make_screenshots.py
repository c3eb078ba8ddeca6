#!/usr/bin/env python
"""Make the pictures of the page in docs/images by a headless Chromium.

A picture with its heat map, two pictures compared, a video.

Needs `pip install -e '.[serve,tests]'` and the programs chromium and chromedriver. The page is opened with the
model that is named, asked as a person would ask it, and closed.

Examples:
  python tools/demo/make_screenshots.py --picture photo.jpg --compare photo.jpg photo_night.jpg --video drive.mp4
  python tools/demo/make_screenshots.py --site work_dirs/site --out work_dirs/shots     # pages of the site, to look at
"""

from __future__ import annotations

import argparse
import base64
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from miqa.running.command_line import ToolParser, end_children, run_command

_WIDTH, _HEIGHT = 1280, 900
_SECONDS = 180
#: Pages of the site that are looked at.
_PAGES = ('index', 'using_miqa', 'service', 'api/apis', 'zh/index', 'zh/service')


def open_browser():
    """Start a headless Chromium; close it with ``quit()``."""
    from selenium import webdriver

    driver, browser = shutil.which('chromedriver'), shutil.which('chromium') or shutil.which('google-chrome')
    if driver is None or browser is None:
        raise FileNotFoundError('chromium and chromedriver are needed: apt-get install chromium chromium-driver')
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for word in ('--headless=new', '--no-sandbox', '--hide-scrollbars', f'--window-size={_WIDTH},{_HEIGHT}'):
        options.add_argument(word)
    options.add_argument('--force-device-scale-factor=1')
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))


def wait_for(browser, found: Callable, what: str):
    """Wait until ``found(browser)`` gives something, and return it."""
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(browser, _SECONDS).until(found, what)


def shoot(browser, path: Path, lowest: int = 0) -> None:
    """Save the whole page as a picture, ``lowest`` pixels high at most where it is given."""
    time.sleep(2)  # drawing settles
    bottoms = '[...document.body.querySelectorAll("*")].map(each => each.getBoundingClientRect().bottom)'
    height = browser.execute_script(f'return Math.ceil(Math.max(400, ...{bottoms}) + window.scrollY)')
    clip = {'x': 0, 'y': 0, 'width': _WIDTH, 'height': min(height, lowest or height), 'scale': 1}
    answer = browser.execute_cdp_cmd('Page.captureScreenshot', {'captureBeyondViewport': True, 'clip': clip})
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(base64.b64decode(answer['data']))
    print(f'Saved {path}.')


def visible(browser, css: str) -> list:
    """Return the elements of a selector that can be seen."""
    return [element for element in browser.find_elements('css selector', css) if element.is_displayed()]


def ask_the_page(browser, address: str, args: argparse.Namespace, out: Path) -> None:
    """Give the page a picture, two pictures and a video, and photograph each answer."""
    asked = [
        ('serve.png', 0, [args.picture]),
        ('serve_compare.png', 1, args.compare),
        ('serve_video.png', 2, [args.video]),
    ]
    for name, tab, files in asked:
        if not files or None in files:
            continue
        browser.set_window_size(_WIDTH, _HEIGHT)
        browser.get(address)
        tabs = wait_for(browser, lambda b: visible(b, 'button[role=tab]'), 'the page has no tabs')
        tabs[tab].click()
        time.sleep(2)
        for box in visible(browser, 'input[type=checkbox]'):
            box.click()  # the heat map
        inputs = [
            each for each in browser.find_elements('css selector', 'input[type=file]') if in_open_tab(browser, each)
        ]
        inputs[0].send_keys('\n'.join(str(Path(file).absolute()) for file in files))
        time.sleep(5)
        for button in visible(browser, 'button.primary'):
            button.click()
        wait_for(browser, lambda b: not visible(b, '.progress-text, .eta-bar, .generating'), 'the page is still busy')
        time.sleep(args.seconds)
        shoot(browser, out / name)


def in_open_tab(browser, element) -> bool:
    """Whether a hidden file input belongs to the tab that is shown."""
    return browser.execute_script(
        'const tab = arguments[0].closest("[role=tabpanel]"); return tab === null || tab.offsetParent !== null', element
    )


def parse_arguments(arguments=None) -> argparse.Namespace:
    """Read the command line."""
    parser = ToolParser(description=__doc__)
    parser.add_argument('--model', default='demo', help='of the page (default: demo)')
    parser.add_argument('--picture', help='a photograph')
    parser.add_argument('--compare', nargs='+', metavar='FILE', help='pictures to compare')
    parser.add_argument('--video', help='a short video')
    parser.add_argument('--site', type=Path, help='a built site (mkdocs build): photograph its pages instead')
    parser.add_argument('--seconds', type=float, default=20, help='given to the model for an answer (default: 20)')
    parser.add_argument('--port', type=int, default=7861, help='of the page (default: 7861)')
    parser.add_argument('--out', type=Path, default=Path('docs/images'), help='folder (default: docs/images)')
    return parser.parse_args(arguments)


def main() -> None:
    """Open what is asked for, and photograph it."""
    args = parse_arguments()
    browser = open_browser()
    try:
        if args.site:
            for page in _PAGES:
                file = args.site / (f'{page}.html' if page.endswith('index') else f'{page}/index.html')
                browser.set_window_size(_WIDTH, _HEIGHT)
                browser.get(file.absolute().as_uri())
                shoot(browser, args.out / f'site_{page.replace("/", "_")}.png', 1600)
            return
        command = [sys.executable, '-u', '-m', 'miqa', 'serve', '--model', args.model, '--port', str(args.port)]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            for line in server.stdout or ():
                if f':{args.port}' in line:
                    break
            else:
                raise ValueError('The page did not open; the reason is above.')
            ask_the_page(browser, f'http://127.0.0.1:{args.port}', args, args.out)
        finally:
            server.terminate()
            server.wait()
    finally:
        browser.quit()
        end_children()


if __name__ == '__main__':
    run_command(main)
