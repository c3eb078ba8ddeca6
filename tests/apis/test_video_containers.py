"""Files of video that are cut, joined or holed in containers whose frames alone do not tell."""

import pytest
from helpers_videos import Brightness, encode, ffmpeg, frames_read_by_ffmpeg

from miqa.apis.video.assess import VideoMIQA
from miqa.apis.video.containers import container_of
from miqa.apis.video.structure import Structure, structure_of

pytest.importorskip('av', reason='no PyAV (pip install av)')
CODECS = {'.flv': 'flv1', '.ogv': 'libtheora', '.mp4': 'libx264', '.mkv': 'libx264', '.gif': 'gif'}
OTHERS = {'.ts': 'libx264', '.avi': 'mpeg4', '.mpg': 'mpeg2video'}


def found(path):
    result = VideoMIQA(model=Brightness(), sampling='every').assess_video(path)
    return result, result['metadata']


def made(tmp_path, suffix):
    """Forty frames of ten a second that grow darker."""
    path = tmp_path / f'whole{suffix}'
    if suffix in ('.gif', '.ogv'):
        ffmpeg('-f', 'lavfi', '-i', 'testsrc2=size=96x64:rate=10:duration=4', path)
        return path
    codec = {**CODECS, **OTHERS}[suffix]
    options = {'bf': 2} if codec == 'libx264' else {}
    values, fps = ([0.5] * 40, 25) if suffix == '.mpg' else ([0.9 - 0.02 * number for number in range(40)], 10)
    encode(path, values, fps=fps, codec=codec, gop=10, **options)
    if suffix == '.mp4':
        front = tmp_path / 'front.mp4'
        ffmpeg('-i', path, '-c', 'copy', '-movflags', '+faststart', front)
        return front
    return path


def with_hole(path, begin, end):
    data = path.read_bytes()
    target = path.with_name(f'hole{path.suffix}')
    target.write_bytes(data[: int(len(data) * begin)] + data[int(len(data) * end) :])
    return target


@pytest.mark.parametrize('suffix', [*CODECS, *OTHERS])
def test_whole_files_are_whole(tmp_path, suffix):
    path = made(tmp_path, suffix)
    result, metadata = found(path)
    assert result['complete'] and result['warnings'] == []
    assert (metadata['frames_read'], metadata['frames_missing'], metadata['total_frames']) == (40, 0, 40)
    assert metadata['duration'] == pytest.approx(40 / metadata['fps'], abs=0.05)
    assert structure_of(path, container_of(path)) == Structure()


def test_stamps_of_flashes_in_mpeg_ps_are_wrong_without_a_frame_being_missing(tmp_path):
    flashes = "testsrc2=size=192x128:rate=50,negate=enable='not(mod(n,10))'"
    ffmpeg('-f', 'lavfi', '-i', flashes, '-frames:v', '100', '-c:v', 'mpeg2video', '-bf', '0', tmp_path / 'flashes.mpg')
    result, metadata = found(tmp_path / 'flashes.mpg')
    assert result['complete'] and (metadata['frames_read'], metadata['frames_missing']) == (100, 0)


@pytest.mark.parametrize('suffix', CODECS)
def test_files_that_were_cut_are_not_complete(tmp_path, suffix):
    result, metadata = found(with_hole(made(tmp_path, suffix), 0.6, 1))
    assert not result['complete'] and metadata['frames_missing'] > 0
    assert result['shortfall'] in result['warnings'][0] and result['shortfall'].startswith(('misses', 'ends early'))


@pytest.mark.parametrize('suffix', ['.flv', '.ogv', '.mkv'])
def test_frames_in_a_hole_are_counted(tmp_path, suffix):
    result, metadata = found(with_hole(made(tmp_path, suffix), 0.4, 0.6))
    assert not result['complete'] and metadata['total_frames'] in (39, 40, 41)
    assert metadata['frames_read'] < 35 and metadata['duration'] == pytest.approx(4.0, abs=0.25)


def test_a_cut_file_gives_the_frames_that_the_ffmpeg_program_reads(tmp_path):
    for suffix in ('.mp4', '.flv'):
        path = with_hole(made(tmp_path, suffix), 0.6, 1)
        assert found(path)[1]['frames_read'] == frames_read_by_ffmpeg(path)


@pytest.mark.parametrize('suffix', ['.mp4', '.flv', '.mkv', '.ogv'])
def test_what_follows_in_a_joined_file_is_read_or_missed_aloud(tmp_path, suffix):
    path = made(tmp_path, suffix)
    joined = tmp_path / f'joined{suffix}'
    joined.write_bytes(2 * path.read_bytes())
    result, metadata = found(joined)
    if metadata['frames_read'] == 80:
        assert result['complete'] and metadata['frames_missing'] == 0
    else:
        assert not result['complete'] and metadata['frames_missing'] > 0
        if suffix in ('.mp4', '.flv'):
            assert 'a second recording follows in the file' in result['warnings'][0]
