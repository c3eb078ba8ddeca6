"""MIQD-2.5M on the Hugging Face Hub: its files, the required parts, and their layout on disk."""

from __future__ import annotations

import io
import re
import shutil
import stat
import tarfile
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple, Protocol

from tqdm import tqdm

from miqa.errors import DatabaseError
from miqa.keeping import atomic_write
from miqa.layout import image_root, label_folder, source_root
from miqa.outside.hub import hub_or_cache
from miqa.taxonomy import IMAGE_TASKS, TASKS, check_choice

REPOSITORY = 'xiaoqi-wang/miqd-2.5m'  # Where the authors keep the database
KINDS = ('labels', 'images', 'sources')  # What can be asked for

# Words in a path of the repository that name a task or a kind; whole words, without regard to case.
_TASK_WORDS = {
    'cls': ('cls', 'classification'),
    'det': ('det', 'detection'),
    'ins': ('ins', 'instance', 'segmentation', 'seg'),
}
_KIND_WORDS = {
    'labels': ('label', 'labels', 'mmos', 'mos', 'annotations'),
    'sources': ('src', 'source', 'sources', 'reference', 'references'),
    'images': ('image', 'images', 'img', 'imgs', 'dist', 'distorted'),
}
_ARCHIVE = re.compile(r'\.(zip|tar|tgz|tar\.(gz|bz2|xz))$', re.IGNORECASE)
# x.zip.001, x.tar.part03, x.tar.gz.aa: pieces of one archive, to be joined in this order.
_PIECE = re.compile(
    r'^(?P<whole>.+\.(?:zip|tar|tgz|tar\.(?:gz|bz2|xz)))\.(?P<piece>\d{2,4}|part-?\w{1,4}|[a-z]{2})$', re.I
)
_MAX_FILES = 2_000_000
_MAX_LABEL_BYTES = 64 << 20


class HubFile(NamedTuple):
    """A file of the repository: its path there, and its size in bytes."""

    path: str
    size: int


class Hub(Protocol):
    """Where files come from."""

    def files(self) -> list[HubFile]:
        """List all files."""

    def fetch(self, path: str, folder: Path) -> Path:
        """Bring one file below ``folder``, going on where an earlier try stopped; return its path."""


class Part(NamedTuple):
    """One archive or plain file of a task and kind."""

    name: str  # of the archive, without the ending of its pieces
    pieces: tuple[str, ...]  # paths in the repository, in order
    size: int  # of all pieces, in bytes
    #: task, kind: what it holds, out of TASKS (image tasks for pictures) and :data:`KINDS`.
    task: str
    kind: str


class HuggingFaceHub:
    """The Hugging Face Hub."""

    def __init__(self, repository: str = REPOSITORY, revision: str | None = None):
        self.repository, self.revision = repository, revision

    def files(self) -> list[HubFile]:
        """List all files.

        Raises:
            DatabaseError: the Hub cannot be reached, or has no such dataset.
        """
        from huggingface_hub import HfApi
        from huggingface_hub.hf_api import RepoFile

        try:
            with hub_or_cache():
                tree = HfApi().list_repo_tree(
                    self.repository, recursive=True, revision=self.revision, repo_type='dataset'
                )
                return [HubFile(each.path, each.size) for each in tree if isinstance(each, RepoFile)]
        except Exception as error:  # the client raises errors of several HTTP libraries
            raise DatabaseError(self._refusal(error)) from error

    def fetch(self, path: str, folder: Path) -> Path:
        """Bring one file below ``folder``; an interrupted download resumes."""
        from huggingface_hub import hf_hub_download

        try:
            with hub_or_cache():
                downloaded = hf_hub_download(
                    self.repository, path, repo_type='dataset', revision=self.revision, local_dir=folder
                )
        except Exception as error:  # likewise
            raise DatabaseError(self._refusal(error)) from error
        return Path(downloaded)

    def _refusal(self, error: Exception) -> str:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip('.')
        return (
            f'The dataset {self.repository} cannot be fetched from the Hugging Face Hub: {reason}. Check the '
            'connection and run the same command again: what is here already is kept. Behind a login: `hf auth '
            'login`. By hand: data/README.md says where each file belongs.'
        )


def sort_files(files: Iterable[HubFile]) -> tuple[list[Part], list[HubFile]]:
    """Sort a repository's files into parts of a task and kind.

    Returns:
        The parts, by name, and the files that are of no known task or kind.
    """
    pieces: dict[str, list[HubFile]] = defaultdict(list)
    for file in files:
        match = _PIECE.match(file.path)
        pieces[match['whole'] if match else file.path].append(file)
    parts, strange = [], []
    for name, members in sorted(pieces.items()):
        task, kind = _task_of(name), _kind_of(name)
        if task is None or kind is None:
            strange += members
            continue
        task = task if kind == 'labels' else IMAGE_TASKS[task]
        members.sort(key=lambda file: file.path)
        parts.append(Part(name, tuple(file.path for file in members), sum(file.size for file in members), task, kind))
    return parts, strange


def choose_parts(parts: list[Part], strange: list[HubFile], tasks: Iterable[str], kinds: Iterable[str]) -> list[Part]:
    """Return the parts that hold ``kinds`` of ``tasks``.

    Raises:
        DatabaseError: the repository has none for a requested task and kind; the message lists what it has.
    """
    kinds = [check_choice(kind, KINDS, 'kind') for kind in kinds]
    chosen: dict[str, Part] = {}
    for task in tasks:
        check_choice(task, TASKS, 'task')
        for kind in kinds:
            owner = task if kind == 'labels' else IMAGE_TASKS[task]
            matching = [part for part in parts if (part.task, part.kind) == (owner, kind)]
            if not matching:
                raise DatabaseError(
                    f'The repository has no {kind} of {owner} under a known name, only {_listing(parts, strange)}: its '
                    'layout has changed, so fetch the files by hand as data/README.md says.'
                )
            chosen.update({part.name: part for part in matching})
    return [chosen[name] for name in sorted(chosen)]


def get_part(
    hub: Hub, part: Part, data_root: Path, downloads: Path, keep_archives: bool = False
) -> tuple[int, list[str]]:
    """Fetch a part and lay its files out below ``data_root``; what was laid out before is not fetched again.

    Files that are there are never overwritten. Only pictures and label files get into the database; every other member
    of an archive is skipped and named.

    Returns:
        How many files are new, and members of the archive that have no place in the layout.

    Raises:
        DatabaseError: it cannot be fetched, is damaged, or none of its members belongs into the layout.
    """
    marker = downloads / 'done' / (re.sub(r'\W', '_', part.name) + '.txt')
    if marker.is_file():
        return 0, []
    files = [hub.fetch(path, downloads) for path in part.pieces]
    new = existing = 0
    skipped: list[str] = []
    try:
        members = _members(part, files)
        for name, stream in tqdm(members, unit='file', desc=part.name):
            target = _place(part, name, data_root)
            if target is None:
                skipped.append(name)
                continue
            existing += 1
            if target.exists():
                continue
            with atomic_write(target) as temporary, open(temporary, 'wb') as out:
                shutil.copyfileobj(stream, out, 1 << 20)
            new += 1
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, ValueError, NotImplementedError) as error:
        raise DatabaseError(
            f'{part.name} is damaged: {error}. Delete {downloads} and run the same command again.'
        ) from error
    if not existing:
        example = f', such as {skipped[0]!r}' if skipped else ''
        raise DatabaseError(
            f'{part.name} has {len(skipped)} members{example}, and none is a file of {part.kind} of {part.task} as '
            'this tool knows them. Lay it out by hand as data/README.md says.'
        )
    marker.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(marker) as temporary:
        temporary.write_text(f'{existing} files, {len(skipped)} skipped\n', encoding='utf-8')
    if not keep_archives:
        for file in files:
            file.unlink()
    return new, skipped


def _task_of(path: str) -> str | None:
    words = set(re.split(r'[^a-z]+', path.lower()))
    tasks = [task for task, names in _TASK_WORDS.items() if words & set(names)]
    # "instance segmentation" and "ins_det_labels" name two; the more specific one applies.
    return 'ins' if 'ins' in tasks else tasks[0] if len(tasks) == 1 else None


def _kind_of(path: str) -> str | None:
    words = set(re.split(r'[^a-z]+', path.lower()))
    for kind, names in _KIND_WORDS.items():
        if words & set(names):
            return kind
    return None


def _listing(parts: list[Part], strange: list[HubFile]) -> str:
    names = [f'{part.name} ({part.size / 1e9:.3g} GB)' for part in parts] + [file.path for file in strange]
    return ', '.join(names[:20]) + (f' and {len(names) - 20} more' if len(names) > 20 else '') or 'nothing'


def _place(part: Part, name: str, data_root: Path) -> Path | None:
    """Say where a member belongs; None where it has no place. Only its last two names are used, so none leads out."""
    path = PurePosixPath(name.replace('\\', '/'))
    last, parent = path.name, path.parent.name
    if last in ('', '.', '..') or '\0' in name or last.startswith('.'):
        return None
    suffix = path.suffix.lower()
    if part.kind == 'labels':
        return label_folder(data_root, part.task) / last if suffix == '.csv' else None
    if part.kind == 'sources':
        return source_root(data_root, part.task) / last if suffix in ('.jpeg', '.jpg', '.png') else None
    if suffix != '.png':
        return None
    if not parent or not last.startswith(f'{parent}_') or parent in ('.', '..'):
        return None
    return image_root(data_root, part.task) / parent / last


def _members(part: Part, files: list[Path]) -> Iterator[tuple[str, IO[bytes]]]:
    if not _ARCHIVE.search(part.name):
        with open(files[0], 'rb') as stream:
            yield part.name, stream
        return
    limit = _MAX_LABEL_BYTES if part.kind == 'labels' else 1 << 30
    with _Joined(files) as whole:
        if part.name.lower().endswith('.zip'):
            with zipfile.ZipFile(whole) as archive:
                for count, member in enumerate(archive.infolist()):
                    kind = stat.S_IFMT(member.external_attr >> 16)
                    if member.is_dir() or kind not in (0, stat.S_IFREG):
                        continue
                    _check_member(part, member.filename, member.file_size, limit, count)
                    with archive.open(member) as stream:
                        yield member.filename, stream
            return
        with tarfile.open(fileobj=whole, mode='r|*') as archive:
            for count, item in enumerate(archive):
                contents = archive.extractfile(item) if item.isreg() else None
                if contents is not None:
                    _check_member(part, item.name, item.size, limit, count)
                    yield item.name, contents


def _check_member(part: Part, name: str, size: int, limit: int, count: int) -> None:
    if size > limit or count > _MAX_FILES:
        raise ValueError(f'its member {name!r} says that it has {size} bytes, or there are over {_MAX_FILES} members')


class _Joined(io.RawIOBase):
    """Several files read as one."""

    def __init__(self, paths: list[Path]):
        super().__init__()
        self._files = [open(path, 'rb') for path in paths]  # noqa: SIM115  closed in close()
        ends, end = [], 0
        for path in paths:
            end += path.stat().st_size
            ends.append(end)
        self._ends, self._place = ends, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._ends[-1]}[whence]
        self._place = max(0, base + offset)
        return self._place

    def readinto(self, buffer) -> int:
        for file, start, end in zip(self._files, [0, *self._ends], self._ends, strict=False):
            if self._place < end:
                file.seek(self._place - start)
                block = file.read(min(len(buffer), end - self._place))
                buffer[: len(block)] = block
                self._place += len(block)
                return len(block)
        return 0

    def close(self) -> None:
        for file in self._files:
            file.close()
        super().close()
