"""Report unreadable image files at the end of an epoch."""

from __future__ import annotations

from mmengine.dist import all_gather_object
from mmengine.hooks import Hook

from miqa.datasets import list_bad_images
from miqa.registry import HOOKS


@HOOKS.register_module()
class ReportBadImages(Hook):
    """Count and list what ``bad_images='skip'`` replaced (training) or excluded (validation, test).

    Args:
        most: how many files to name; the count is always whole.
    """

    def __init__(self, most: int = 20):
        self.most = most
        self.found: dict[str, str] = {}

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Remember the bad images of a batch."""
        self._remember(data_batch)

    def after_val_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Remember the bad images of a batch."""
        self._remember(data_batch)

    after_test_iter = after_val_iter

    def after_train_epoch(self, runner) -> None:
        """Report what this epoch of training met."""
        self._report(runner, 'training', 'replaced by other images')

    def before_val_epoch(self, runner) -> None:
        """Report what training met so far, so that validation starts with an empty list."""
        self._report(runner, 'training', 'replaced by other images')

    def after_val_epoch(self, runner, metrics=None) -> None:
        """Report what this validation met."""
        self._report(runner, 'validation', 'excluded from the scores')

    def after_test_epoch(self, runner, metrics=None) -> None:
        """Report what this test met."""
        self._report(runner, 'test', 'excluded from the scores')

    def _remember(self, batch) -> None:
        self.found.update(list_bad_images((batch or {}).get('data_sample', ())))

    def _report(self, runner, phase: str, consequence: str) -> None:
        everywhere: dict[str, str] = {}
        for images in all_gather_object(self.found):
            everywhere.update(images)
        self.found = {}
        if not everywhere:
            return
        lines = [f'  {path}: {reason}' for path, reason in sorted(everywhere.items())[: self.most]]
        if len(everywhere) > self.most:
            lines.append(f'  ... and {len(everywhere) - self.most} more')
        runner.logger.warning(
            '\n'.join([f'{len(everywhere)} image files could not be read in {phase} and were {consequence}:', *lines])
        )
