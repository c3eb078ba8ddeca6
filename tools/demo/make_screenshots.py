#!/usr/bin/env python
"""Make the pictures of the page in docs/images by a headless Chromium.

A picture with its heat map, two pictures compared, a batch, a video, and a fake camera; with ``--watch`` also how long
a frame of the camera takes, from the browser's picture to its score on the page, and whether memory grows.

Needs `pip install -e '.[serve,tests]'` and the programs chromium and chromedriver. The page is opened with the
model that is named, asked as a person would ask it, and closed.

Examples:
  python tools/demo/make_screenshots.py --picture photo.jpg --compare day.jpg night.jpg --batch shots/*.jpg
  python tools/demo/make_screenshots.py --watch 60 --out work_dirs/shots                # the camera alone, for a minute
"""

from __future__ import annotations

import argparse
import base64
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil

from miqa.running.command_line import ToolParser, end_children, run_command
from miqa.running.cores import usable_cores

_WIDTH, _HEIGHT = 1280, 900
_SECONDS = 180
_PARTS = 6  # How often memory is looked at


def open_browser(camera: Path | None = None):
    """Start a headless Chromium whose camera is ``camera``, a .y4m or .mjpeg file; close it with ``quit()``."""
    from selenium import webdriver

    driver, browser = shutil.which('chromedriver'), shutil.which('chromium') or shutil.which('google-chrome')
    if driver is None or browser is None:
        raise FileNotFoundError('chromium and chromedriver are needed: apt-get install chromium chromium-driver')
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    arguments = (
        '--headless --no-sandbox --hide-scrollbars --disable-gpu --no-first-run --disable-quic --disable-dev-shm-usage '
        '--disable-background-networking --disable-component-update --disable-sync --use-fake-ui-for-media-stream '
        f'--use-fake-device-for-media-stream --force-device-scale-factor=1 --enable-precise-memory-info '
        f'--window-size={_WIDTH},{_HEIGHT}'
    )
    footage = [f'--use-file-for-fake-video-capture={camera.resolve()}'] if camera else []
    for argument in [*arguments.split(), *footage]:
        options.add_argument(argument)
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))


def wait_for(browser, condition: Callable, message: str):
    """Wait until ``condition(browser)`` is true, and return its value."""
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(browser, _SECONDS).until(condition, message)


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


def photograph_page(browser, address: str, args: argparse.Namespace, server: int) -> None:
    """Give the page pictures, a video and the fake camera, and photograph each answer; ``server`` is a process."""
    views = [
        ('serve.png', [args.picture], 'picture.result', 'light'),
        ('serve_compare.png', args.compare, 'slots[0].result && slots[1].result', 'light'),
        ('serve_batch.png', args.batch, 'batch.rows.length && !batch.running', 'dark'),
        ('serve_video.png', [args.video], 'video.result', 'light'),
    ]
    for name, files, ready, theme in views:
        if files and None not in files:
            open_page(browser, address, theme)
            chooser = browser.find_element('css selector', '#choose')
            chooser.send_keys('\n'.join(str(Path(file).resolve()) for file in files))
            wait_for(browser, lambda b, js=ready: b.execute_script(f'return Boolean({js})'), f'{name}: no answer')
            if name == 'serve.png':
                browser.find_element('css selector', '#heat').click()
                wait_for(browser, lambda b: b.execute_script('return Boolean(picture.map)'), 'no heat map')
            shoot(browser, args.out / name, 1100)
    open_page(browser, address, 'dark')
    browser.execute_script('show("camera")')
    browser.find_element('css selector', '#camera-start').click()
    wait_for(browser, lambda b: b.execute_script('return camera.history.length > 60'), 'the camera gives no frames')
    if args.watch:
        watch_camera(browser, args.watch, server)
    shoot(browser, args.out / 'serve_camera.png')


def watch_camera(browser, seconds: float, server: int) -> None:
    """Print how long frames take, and the memory of page and server over time.

    Args:
        browser: with the camera running.
        seconds: how long.
        server: number of the server's process.
    """
    process, first = psutil.Process(server), browser.execute_script('return camera.shown')
    used, start = sum(process.cpu_times()[:2]), time.monotonic()
    for part in range(1, _PARTS + 1):
        time.sleep(max(0.0, start + seconds * part / _PARTS - time.monotonic()))
        heap = browser.execute_script('return performance.memory.usedJSHeapSize')
        resident = process.memory_info().rss
        print(f'{seconds * part / _PARTS:6.0f} s: page {heap / 1e6:.1f} MB, server {resident / 1e6:.0f} MB')
    frames = browser.execute_script('return camera.shown') - first
    times = np.array(browser.execute_script('return camera.times')[-frames:])
    processor = 1000 * (sum(process.cpu_times()[:2]) - used) / frames
    print(
        f'{frames} frames: median {np.median(times):.0f} ms, p95 {np.quantile(times, 0.95):.0f} ms, longest '
        f'{times.max():.0f} ms; {processor:.0f} ms of the processor for each in the server; load '
        f'{", ".join(f"{load:.1f}" for load in os.getloadavg())} on {usable_cores()} cores'
    )


def open_page(browser, address: str, theme: str) -> None:
    """Load the page, and show it in a theme with a gate."""
    browser.set_window_size(_WIDTH, _HEIGHT)
    browser.get(address)
    wait_for(browser, lambda b: b.execute_script('return info !== null'), 'the page does not load')
    browser.execute_script(
        'document.documentElement.dataset.theme = arguments[0];'
        'document.getElementById("gate").value = 0.5; renderAll()',
        theme,
    )


def parse_arguments(arguments=None) -> argparse.Namespace:
    """Read the command line."""
    parser = ToolParser(description=__doc__)
    parser.add_argument('--model', help='of the page (default: that of miqa serve)')
    parser.add_argument('--picture', help='a photograph')
    parser.add_argument('--compare', nargs='+', metavar='FILE', help='pictures to compare')
    parser.add_argument('--video', help='a short video')
    parser.add_argument('--camera', type=Path, help="a .y4m or .mjpeg to play as the camera (default: Chromium's own)")
    parser.add_argument('--watch', type=float, metavar='SECONDS', help='measure the camera for so long')
    parser.add_argument('--batch', nargs='+', metavar='FILE', help='at least three pictures for the table')
    parser.add_argument('--port', type=int, default=7861, help='of the page (default: 7861)')
    parser.add_argument('--out', type=Path, default=Path('docs/images'), help='folder (default: docs/images)')
    return parser.parse_args(arguments)


def main() -> None:
    """Open what is requested, and photograph it."""
    args = parse_arguments()
    browser = open_browser(args.camera)
    try:
        chosen = ['--model', args.model] if args.model else []
        command = [sys.executable, '-u', '-m', 'miqa', 'serve', *chosen, '--port', str(args.port)]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            for line in server.stdout or ():
                if f':{args.port}' in line:
                    break
            else:
                raise ValueError('The page did not open; the reason is above.')
            photograph_page(browser, f'http://127.0.0.1:{args.port}', args, server.pid)
        finally:
            server.terminate()
            server.wait()
    finally:
        browser.quit()
        end_children()


if __name__ == '__main__':
    run_command(main)
