"""The models of a server: one, or one per task and label."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence

from miqa.apis.model import MIQAModel
from miqa.taxonomy import check_choice

from .settings import Refused

_KEPT = 3  # Models that stay in memory


class ServedModels:
    """Models by task and label, each loaded when it is first asked for; the last ones are kept.

    Args:
        load: (task, label) -> model.
        tasks: those that a request may choose from; the first is the default.
        labels: served labels.
    """

    def __init__(self, load: Callable[[str, str], MIQAModel], tasks: Sequence[str], labels: Sequence[str]):
        self._load, self.tasks, self.labels = load, tuple(tasks), tuple(labels)
        self._models: OrderedDict[tuple[str, str], MIQAModel] = OrderedDict()
        self._lock = threading.Lock()

    @classmethod
    def single(cls, model: MIQAModel) -> ServedModels:
        """Return models of which there is only one."""
        spec = model.spec
        return cls(lambda task, label: model, (spec.task or 'cls',), (spec.label or 'composite',))

    def get(self, task: str | None = None, label: str | None = None) -> MIQAModel:
        """Return the model for a task and a label, loaded if it must be; None for the defaults.

        Raises:
            Refused: there is no such choice, or the model cannot be loaded.
        """
        try:
            task = check_choice(task or self.tasks[0], self.tasks, 'task')
            label = check_choice(label or self.labels[0], self.labels, 'label')
        except ValueError as error:
            raise Refused(422, str(error), 'no_model') from None
        with self._lock:
            key = (task, label)
            if key not in self._models:
                try:
                    model = self._models[key] = self._load(task, label)
                    model.identity  # noqa: B018  computed while its file is the one that was opened
                except (ValueError, OSError) as error:
                    raise Refused(503, str(error), 'no_model') from error
                while len(self._models) > _KEPT:
                    self._models.popitem(last=False)
            self._models.move_to_end(key)
            return self._models[key]
