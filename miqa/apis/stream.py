"""Decode pictures in a thread pool into batches, in order and in bounded memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

from miqa.running.cores import usable_cores
from miqa.taxonomy import check_whole_number

from .inputs import Picture, picture_name

#: What a picture can fail with; anything else is a mistake in the program and is raised at once.
PICTURE_ERRORS = (OSError, ValueError, TypeError, MemoryError)


Pixels = TypeVar('Pixels')
Answer = TypeVar('Answer')


@dataclass(frozen=True)
class Prepared(Generic[Pixels]):
    """A picture on its way: its name, and either the model's input or why there is none."""

    name: str
    pixels: Pixels | None
    error: Exception | None


@dataclass(frozen=True)
class ItemResult(Generic[Answer]):
    """A picture's name, and either what was answered or why there is no answer."""

    name: str
    answer: Answer | None
    error: Exception | None


def answered(
    pictures: Iterable[Picture],
    prepare: Callable[[Picture, str], Pixels],
    answer: Callable[[list[Pixels]], Iterable[Answer]],
    batch_size: int,
    workers: int | None = None,
    on_batch: Callable[[int], object] | None = None,
) -> Iterator[ItemResult[Answer]]:
    """Answer any number of pictures in batches, in order, decoding in threads; memory does not grow with their number.

    Args:
        pictures: read once, as needed.
        prepare: from a picture and its name to pixels.
        answer: from the pixels of a batch to one answer for each picture.
        batch_size: pixels in a batch.
        workers: decoding threads, as for :func:`prepared_batches`.
        on_batch: called with the number of pictures done, after each batch.
    """
    for batch in prepared_batches(pictures, prepare, batch_size, workers):
        good = [item.pixels for item in batch if item.pixels is not None]
        answers = iter(answer(good) if good else ())
        for item in batch:
            yield ItemResult(item.name, None if item.pixels is None else next(answers), item.error)
        if on_batch is not None:
            on_batch(len(batch))


def all_or_error(results: Iterable[ItemResult[Answer]]) -> list[Answer]:
    """Return all answers; the first picture without one raises its error."""
    answers = []
    for item in results:
        if item.error is not None:
            raise item.error
        if item.answer is not None:
            answers.append(item.answer)
    return answers


def default_workers() -> int:
    """Return the default number of decoding threads: one per usable core, at most 16."""
    return min(16, usable_cores())


def prepared_batches(
    pictures: Iterable[Picture], prepare: Callable[[Picture, str], Pixels], batch_size: int, workers: int | None = None
) -> Iterator[list[Prepared[Pixels]]]:
    """Decode pictures in threads and give them in batches, in their order.

    No more than two batches of prepared pictures are held, and ``pictures`` is read only that far ahead, so any
    number of them will do. Pillow decodes and resizes without Python's lock, so the threads run side by side with
    each other and with the network. Pictures that fail take no place in a batch.

    Args:
        pictures: read once.
        prepare: from a picture and its name to pixels.
        batch_size: pixels in a batch.
        workers: decoding threads; None for one a core, 0 to decode in the calling thread.
    """
    workers = default_workers() if workers is None else workers
    check_whole_number('batch_size', batch_size)
    check_whole_number('workers', workers, 0)

    def attempt(picture: Picture, name: str) -> Prepared[Pixels]:
        try:
            return Prepared(name, prepare(picture, name), None)
        except PICTURE_ERRORS as error:
            return Prepared(name, None, error)

    named = ((picture, picture_name(picture, index)) for index, picture in enumerate(pictures))
    if workers == 0:
        yield from _batched((attempt(*item) for item in named), batch_size)
        return
    pool = ThreadPoolExecutor(workers, thread_name_prefix='miqa-decode')
    try:
        yield from _batched(_in_order(pool, attempt, named, 2 * batch_size), batch_size)
    finally:
        # A caller that stops early does not wait for pictures that it no longer wants.
        pool.shutdown(wait=True, cancel_futures=True)


def _in_order(pool: ThreadPoolExecutor, function: Callable, items: Iterator, ahead: int) -> Iterator[Prepared]:
    waiting: deque[Future] = deque()
    for item in items:
        waiting.append(pool.submit(function, *item))
        if len(waiting) >= ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _batched(prepared: Iterator[Prepared], batch_size: int) -> Iterator[list[Prepared]]:
    batch, good = [], 0
    for item in prepared:
        batch.append(item)
        good += item.error is None
        # A run of unreadable files must not be held back until a batch is full.
        if good == batch_size or len(batch) >= 4 * batch_size:
            yield batch
            batch, good = [], 0
    if batch:
        yield batch
