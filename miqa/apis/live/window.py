"""A window on the screen, if there is one."""

from __future__ import annotations

import os
import re
import sys

import numpy as np

from miqa.running import require


def why_no_window() -> str | None:
    """Return a sentence that says why no window can be opened here, or ``None`` where one can."""
    cv2 = require('cv2', 'A window')
    if re.search(r'^\s*GUI:\s*NONE', cv2.getBuildInformation(), re.MULTILINE):
        return 'This build of OpenCV has no windows (opencv-python-headless); install opencv-python for one.'
    if sys.platform.startswith('linux') and not (os.environ.get('DISPLAY') or os.environ.get('WAYLAND_DISPLAY')):
        return 'There is no screen (neither DISPLAY nor WAYLAND_DISPLAY is set).'
    return None


class Window:
    """A window that shows pictures until the user presses q or Escape, or closes it."""

    def __init__(self, title: str):
        self.title = title
        self._cv2 = cv2 = require('cv2', 'A window')
        cv2.namedWindow(title, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL)
        self._sized = False

    def show(self, image: np.ndarray) -> bool:
        """Show a uint8 BGR picture; return True until the user quits."""
        if not self._sized:
            self._cv2.resizeWindow(self.title, image.shape[1], image.shape[0])
            self._sized = True
        self._cv2.imshow(self.title, image)
        key = self._cv2.waitKey(1) & 0xFF
        return key not in (ord('q'), 27) and self._cv2.getWindowProperty(self.title, self._cv2.WND_PROP_VISIBLE) >= 1

    def close(self) -> None:
        """Take the window from the screen."""
        self._cv2.destroyWindow(self.title)
        self._cv2.waitKey(1)  # some window systems only act on the next event
