"""Video files as they are: joined, cut, holed, damaged, HDR, without a duration; and files of other kinds."""

import os
import random
import subprocess
import sys

import cv2
import hypothesis
import numpy as np
import pytest
from helpers_fuzz import examples
from helpers_refusals import refused
from helpers_videos import Brightness, encode, ffmpeg, frames_read_by_ffmpeg, opencv_frames, write_video

from miqa.apis import RealTimeIQA
from miqa.apis.live.camera import live_frames
from miqa.apis.live.network import CameraLost, read_frame
from miqa.apis.video.assess import VideoMIQA
from miqa.apis.video.containers import UnreadableVideo, container_of, lost_packets
from miqa.apis.video.reading import open_video
from miqa.apis.video.structure import Structure, structure_of
from miqa.apis.video.timeline import Timeline
from miqa.apis.video.tone_mapping import tone_map
from miqa.apis.video.writing import VideoNotWritten

av = pytest.importorskip('av', reason='no PyAV (pip install av)')


def assess(path, **options):
    return VideoMIQA(model=Brightness(), **options).assess_video(path)


def damage(path, target, share=0.08, at=0.4):
    """Overwrite a share of the bytes, from a place within the picture data on."""
    data = bytearray(path.read_bytes())
    start, count = int(len(data) * at), int(len(data) * share)
    data[start : start + count] = random.Random(0).randbytes(count)
    target.write_bytes(data)
    return target


def times_of(result):
    return [frame['timestamp'] for frame in result['frame_results']]


@pytest.mark.parametrize('suffix', ['.ts', '.mpg'])
def test_both_parts_of_a_joined_recording_are_scored(tmp_path, suffix):
    codec = 'libx264' if suffix == '.ts' else 'mpeg2video'
    one = encode(tmp_path / f'a{suffix}', [0.8] * 40, fps=25, codec=codec)
    other = encode(tmp_path / f'b{suffix}', [0.2] * 60, fps=25, codec=codec)
    joined = tmp_path / f'joined{suffix}'
    joined.write_bytes(one.read_bytes() + other.read_bytes())
    result = assess(joined)
    scores = [frame['score'] for frame in result['frame_results']]
    assert result['metadata']['frames_read'] == 100 and result['num_frames_analyzed'] == 30
    assert sum(score > 0.5 for score in scores) == 12
    assert result['metadata']['duration'] == pytest.approx(4.0, abs=0.01) and result['complete']
    times = times_of(result)
    assert times == sorted(times) and 3.5 < times[-1] < 4
    every = assess(joined, sampling='every')
    steps = np.diff(times_of(every))
    assert steps.min() > 0 and steps.max() < 0.13


def test_frames_after_damage_are_those_of_the_ffmpeg_program_and_the_lost_ones_are_counted(tmp_path):
    # Small frames, so that the damage takes several of them whole.
    path = encode(tmp_path / 'a.mp4', [0.8] * 60 + [0.2] * 60, gop=12)
    broken = damage(path, tmp_path / 'damaged.mp4')
    result = assess(broken, sampling='every')
    assert result['metadata']['frames_read'] == frames_read_by_ffmpeg(broken)
    read, missing = result['metadata']['frames_read'], result['metadata']['frames_missing']
    assert not result['complete'] and missing > 0 and read + missing == 120
    assert result['frame_results'][-1]['score'] < 0.3
    assert times_of(result)[-1] == pytest.approx(11.9, abs=0.1)
    assert f'misses {missing} frames: {read} frames of 120 announced could be read' in result['warnings'][0]


@pytest.mark.parametrize('suffix', ['.mkv', '.mp4', '.avi'])
def test_a_cut_file_is_not_complete_and_says_how_much_is_missing(tmp_path, suffix):
    options = {'movflags': '+faststart'} if suffix == '.mp4' else {}
    path = tmp_path / f'a{suffix}'
    with av.open(str(path), 'w', options=options) as container:
        stream = container.add_stream('mpeg4', rate=10)
        stream.width, stream.height, stream.pix_fmt = 160, 120, 'yuv420p'
        rng = np.random.default_rng(0)
        for _ in range(100):
            image = rng.integers(0, 255, (120, 160, 3)).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format='rgb24')))
        container.mux(stream.encode())
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    result = assess(path)
    actual = result['metadata']
    assert not result['complete'] and result['num_frames_analyzed'] == 30
    assert 40 <= actual['frames_read'] <= 55 and abs(actual['frames_read'] + actual['frames_missing'] - 100) <= 1
    assert 'could be read' in result['warnings'][0]


def test_sound_that_is_longer_than_the_picture_does_not_make_a_video_incomplete(tmp_path):
    path = tmp_path / 'a.mkv'
    ffmpeg(
        '-f', 'lavfi', '-i', 'testsrc=size=64x48:rate=10:duration=3', '-f', 'lavfi', '-i', 'sine=440:duration=6',
        '-c:v', 'libx264', '-pix_fmt', 'yuv420p', '-c:a', 'aac', path,
    )  # fmt: skip
    result = assess(path)
    assert result['complete'] and result['metadata']['frames_read'] == 30 and result['num_frames_analyzed'] == 30


def test_an_overwritten_part_of_a_recording_is_found_though_every_frame_decodes(tmp_path):
    path = encode(tmp_path / 'a.ts', [0.5] * 60, fps=25, size=(320, 240))
    assert lost_packets(path) == 0
    data = bytearray(path.read_bytes())
    at = len(data) // 2 // 188 * 188
    data[at : at + 376] = bytes(376)
    damaged = tmp_path / 'b.ts'
    damaged.write_bytes(data)
    assert lost_packets(damaged) == 2
    result = assess(damaged)
    assert not result['complete'] and result['metadata']['frames_read'] >= 58
    del data[at : at + 100]
    damaged.write_bytes(data)
    assert lost_packets(damaged) >= 1 and not assess(damaged)['complete']


def test_announced_numbers_are_compared_with_the_frames_that_come(tmp_path):
    # An AVI whose header announces ten times as many frames as there are.
    path = write_video(tmp_path / 'a.avi', [0.5] * 50)
    data = bytearray(path.read_bytes())
    for mark, offset in ((b'avih', 24), (b'strh', 40)):
        at = data.index(mark) + offset
        assert int.from_bytes(data[at : at + 4], 'little') == 50
        data[at : at + 4] = (500).to_bytes(4, 'little')
    path.write_bytes(data)
    result = assess(path)
    assert result['num_frames_analyzed'] == 30 and result['metadata']['frames_missing'] == 450
    assert not result['complete']


KINDS = {
    'ten bits': ('a.mp4', ['-vf', 'format=yuv420p10le', '-c:v', 'libx265', '-x265-params', 'log-level=none']),
    'fields': ('a.mpg', ['-vf', 'interlace', '-c:v', 'mpeg2video', '-flags', '+ilme+ildct']),
    'stretched to full range': ('a.mp4', ['-vf', 'scale=out_range=full', '-c:v', 'libx264', '-pix_fmt', 'yuvj420p']),
    'odd size of H.264': ('a.mp4', ['-vf', 'crop=91:63', '-c:v', 'libx264', '-pix_fmt', 'yuv444p']),
    'odd size': ('a.mkv', ['-vf', 'scale=161:91,format=yuv444p', '-c:v', 'ffv1']),
    'varying rate': ('a.mkv', ['-vf', "select='lt(n,20)+not(mod(n,3))'", '-fps_mode', 'vfr', '-pix_fmt', 'yuv420p']),
    'full range': ('a.mp4', ['-pix_fmt', 'yuvj420p']),
    'colours of HD': ('a.mp4', ['-pix_fmt', 'yuv420p', '-colorspace', 'bt709', '-color_primaries', 'bt709']),
    'no duration': ('a.h264', ['-pix_fmt', 'yuv420p', '-c:v', 'libx264']),
    'piped, without an index': ('a.webm', ['-c:v', 'libvpx-vp9', '-cpu-used', '8', '-live', '1']),
    'fragments': ('a.mp4', ['-pix_fmt', 'yuv420p', '-movflags', '+frag_keyframe+empty_moov']),
    'HLG': ('a.mp4', ['HDR', 'arib-std-b67']),
    'PQ': ('a.mp4', ['HDR', 'smpte2084']),
}  # fmt: skip


def hdr(transfer):
    parameters = f'log-level=none:colorprim=bt2020:transfer={transfer}:colormatrix=bt2020nc'
    colours = ['-color_primaries', 'bt2020', '-color_trc', transfer, '-colorspace', 'bt2020nc']
    return ['-vf', 'format=yuv420p10le', '-c:v', 'libx265', '-x265-params', parameters, *colours]


@pytest.mark.parametrize('kind', KINDS)
def test_frames_their_pixels_and_scores_are_those_of_opencv(tmp_path, kind):
    name, options = KINDS[kind]
    options = hdr(options[1]) if options[0] == 'HDR' else options
    # OpenCV leaves the last rows of 10 bits unset where the height is no multiple of 8.
    ffmpeg('-f', 'lavfi', '-i', 'testsrc2=size=160x96:rate=10:duration=3', *options, tmp_path / name)
    result = assess(tmp_path / name, sampling='every')
    assert result['complete'], result['warnings']
    pictures = opencv_frames(tmp_path / name)
    assert result['num_frames_analyzed'] == len(pictures)
    with open_video(tmp_path / name) as reader:
        ours = [frame.image for frame in reader.frames()]
    if kind in ('HLG', 'PQ'):
        assert f'is HDR footage ({kind}): it is tone-mapped' in result['warnings'][0]
        assert result['metadata']['transfer'] == kind
        pictures = [tone_map(picture, kind) for picture in pictures]
    scores = [frame['score'] for frame in result['frame_results']]
    np.testing.assert_allclose(scores, Brightness().assess(pictures), atol=0.02)
    np.testing.assert_array_equal(np.stack(ours), np.stack(pictures))


def test_tone_mapping_follows_the_standards():
    # Diffuse white (203 nits) is 75 % of an HLG signal and 58 % of a PQ signal (ITU-R BT.2408, table 1).
    for transfer, signal in (('HLG', 0.75), ('PQ', 0.58)):
        grey = np.full((2, 2, 3), round(255 * signal), np.uint8)
        mapped = tone_map(grey, transfer)
        assert mapped.std() <= 1 and mapped.mean() == pytest.approx(190, abs=4)
        assert tone_map(np.zeros((2, 2, 3), np.uint8), transfer).max() == 0
    # 1000 nits are white: 100 % of HLG, 75 % of PQ.
    assert tone_map(np.full((1, 1, 3), 255, np.uint8), 'HLG').min() >= 250
    assert tone_map(np.full((1, 1, 3), 192, np.uint8), 'PQ').min() >= 250
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    for transfer in ('HLG', 'PQ'):
        assert (np.diff(tone_map(ramp, transfer)[0, :, 1].astype(int)) >= 0).all()


@pytest.mark.parametrize('name', ['song.mp4', 'song.m4a', 'song.mp3', 'song.ogg', 'song.flac'])
def test_the_cover_of_a_song_is_not_a_video(tmp_path, name):
    cv2.imwrite(str(tmp_path / 'cover.png'), np.full((64, 64, 3), 99, np.uint8))
    cover = ['-i', tmp_path / 'cover.png', '-map', '0', '-map', '1', '-c:v', 'png', '-disposition:v', 'attached_pic']
    ffmpeg(
        '-f', 'lavfi', '-i', 'sine=440:duration=2', *([] if name == 'song.ogg' else cover),
        *(['-f', 'mp4'] if name.endswith('a') else []), tmp_path / name,
    )  # fmt: skip
    refused(UnreadableVideo, 'has no video stream|is not a video', assess, tmp_path / name)


LISTS = {
    'concat.mp4': "ffconcat version 1.0\nfile '{video}'\n",
    'hls.ts': '#EXTM3U\n#EXT-X-VERSION:3\n#EXTINF:1,\n{video}\n#EXT-X-ENDLIST\n',
    'dash.mkv': '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><BaseURL>{video}</BaseURL></MPD>',
    'sdp.avi': 'v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 96\n',
    'images.webm': '{video}',
}


@pytest.mark.parametrize('name', LISTS)
def test_a_list_of_other_files_opens_none_of_them_whatever_it_is_called(tmp_path, name):
    video = write_video(tmp_path / 'neighbour.avi', [0.5] * 10)
    (tmp_path / name).write_text(LISTS[name].format(video=video))
    refused(UnreadableVideo, 'is not a video in a container that is read here', assess, tmp_path / name)


def test_the_name_of_a_file_decides_nothing(tmp_path):
    video = write_video(tmp_path / 'a.avi', [0.5] * 10)
    for name in ('a.txt', 'a.m3u8', '%03d.mp4', 'concat:x.mp4', '-i.mp4', "a b'c.mp4"):
        (tmp_path / name).write_bytes(video.read_bytes())
        assert assess(tmp_path / name)['metadata']['frames_read'] == 10


def test_pipes_devices_and_folders_are_refused_unopened(tmp_path):
    os.mkfifo(tmp_path / 'pipe.mp4')
    (tmp_path / 'folder.mp4').mkdir()
    for path, word in ((tmp_path / 'pipe.mp4', 'pipe'), (tmp_path / 'folder.mp4', 'folder'), ('/dev/zero', 'device')):
        refused(UnreadableVideo, word, assess, path)


def test_containers_are_detected_by_their_first_bytes(tmp_path):
    for name, codec, demuxer in (
        ('a.ts', 'libx264', 'mpegts'), ('a.mpg', 'mpeg2video', 'mpeg'), ('a.mkv', 'libx264', 'matroska'),
        ('a.mov', 'libx264', 'mov'), ('a.flv', 'flv', 'flv'), ('a.wmv', 'wmv2', 'asf'), ('a.ogv', 'libvpx', 'ogg'),
        ('a.m2ts', 'libx264', 'mpegts'), ('a.ivf', 'libvpx', 'ivf'), ('a.h264', 'libx264', 'h264'),
        ('a.hevc', 'libx265', 'hevc'), ('a.mxf', 'mpeg2video', 'mxf'), ('a.3gp', 'mpeg4', 'mov'),
    ):  # fmt: skip
        encode(tmp_path / name, [0.5] * 12, fps=25, codec=codec)
        assert container_of(tmp_path / name).demuxer == demuxer
        with open_video(tmp_path / name) as reader:
            assert sum(1 for _ in reader.frames()) == 12, name
    # A recording that begins in the middle of a packet.
    (tmp_path / 'b.ts').write_bytes((tmp_path / 'a.ts').read_bytes()[100:])
    assert container_of(tmp_path / 'b.ts').demuxer == 'mpegts'


def test_time_goes_on_where_stamps_begin_anew_and_passes_over_single_strays():
    line = Timeline(10)
    stamps = [5.0, 5.1, 5.2, 0.0, 0.1, 0.2]
    assert [line.add(stamp) for stamp in stamps] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.5])
    line = Timeline(10)
    stamps = [0.0, 0.1, 0.0, 0.3, None, float('nan'), 0.6]
    assert [line.add(stamp) for stamp in stamps] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    line = Timeline(10, jumps=True)
    stamps = [0.0, 0.1, 900.0, 900.1, 900.2]
    assert [line.add(stamp) for stamp in stamps] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
    slow = Timeline(10)
    assert [slow.add(stamp) for stamp in (0.0, 60.0, 120.0)] == [0, 60, 120]


def test_any_stamps_give_times_that_increase():
    numbers = hypothesis.strategies.one_of(hypothesis.strategies.none(), hypothesis.strategies.floats(-1e6, 1e6))

    @examples(100)
    @hypothesis.given(hypothesis.strategies.lists(numbers, max_size=30), hypothesis.strategies.booleans())
    def check(stamps, jumps):
        line = Timeline(25, jumps)
        times = [line.add(stamp) for stamp in stamps]
        assert all(b > a for a, b in zip(times, times[1:], strict=False)) and line.missing() >= 0

    check()


def test_arbitrary_bytes_end_in_a_sentence(tmp_path):
    rng = random.Random(0)
    path = encode(tmp_path / 'a.mkv', [0.5] * 20)
    whole = path.read_bytes()
    target = tmp_path / 'b.mkv'
    for _ in range(25):
        data = bytearray(whole)
        for _ in range(rng.randrange(1, 40)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        target.write_bytes(data[: rng.randrange(1, len(data) + 1)])
        try:
            result = assess(target)
        except UnreadableVideo as error:
            assert str(target) in str(error)
        else:
            times = times_of(result)
            assert times == sorted(times)


@pytest.mark.parametrize('size', [(320, 240), (80, 60)])
@pytest.mark.parametrize('share', [0.1, 0.6, 1])
def test_frames_of_another_size_are_scored(tmp_path, size, share):
    first = encode(tmp_path / 'a.ts', [0.8] * 30, bf=0).read_bytes()
    second = encode(tmp_path / 'b.ts', [0.3] * 20, size=size, bf=0).read_bytes()
    (tmp_path / 'joined.ts').write_bytes(first[: int(share * len(first))] + second)
    result = assess(tmp_path / 'joined.ts', sampling='every')
    assert result['complete'] == (share == 1) and result['num_frames_analyzed'] >= 20
    assert all(frame['score'] == pytest.approx(0.3, abs=0.02) for frame in result['frame_results'][-18:])
    expected = f'changes the size of its frames from 160x120 to {size[0]}x{size[1]} at'
    assert any(expected in warning for warning in result['warnings'])


def test_a_changing_frame_size_is_reported_by_the_camera_and_not_annotated(tmp_path, caplog):
    parts = [encode(tmp_path / 'a.ts', [0.5] * 9, size=size).read_bytes() for size in ((160, 120), (320, 240))]
    path = tmp_path / 'joined.ts'
    path.write_bytes(b''.join(parts))
    RealTimeIQA(Brightness()).run(path, display='none', every_frame=True)
    assert 'from 160x120 to 320x240' in caplog.text
    refused(VideoNotWritten, 'changes within', VideoMIQA(Brightness()).annotate_video, path, tmp_path / 'marked.mp4')


def test_frames_that_opencv_cannot_convert_are_frames_that_did_not_come():
    class Failing:
        def read(self):
            raise cv2.error('(-215:Assertion failed) _step >= minstep')

    assert read_frame(Failing()) is None
    refused(CameraLost, 'camera 0 stopped giving frames after 0', list, live_frames(Failing(), 'the camera 0'))


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


pytest.importorskip('av', reason='no PyAV (pip install av)')

READ_AND_LEAVE = """
import sys
import av.logging
av.logging.set_level(av.logging.ERROR)  # as torchvision does when it is imported
from miqa.apis.video.reading import open_video
for path in sys.argv[1:]:
    for number in range(1, 40):
        with open_video(path) as video:
            next(video.frames(lambda index, time: index == number), None)
        del video
        dropped = open_video(path)
        next(dropped.frames(lambda index, time: index == number), None)
        del dropped
print('left')
"""


def test_damaged_videos_are_left_at_any_frame_while_their_decoder_complains(tmp_path):
    """A decoder's thread that waits for Python's lock to complain, and a close that waits for the thread: no end."""
    ffmpeg('-f', 'lavfi', '-i', 'testsrc2=size=320x240:rate=30:duration=3', '-g', '30', tmp_path / 'whole.mp4')
    data = (tmp_path / 'whole.mp4').read_bytes()
    for seed in range(6):
        rng, damaged = random.Random(seed), bytearray(data)
        for _ in range(60):
            damaged[rng.randrange(2000, len(data) - 3000)] ^= rng.randrange(1, 256)
        (tmp_path / f'{seed}.mp4').write_bytes(damaged)
    program = [sys.executable, '-c', READ_AND_LEAVE, *map(str, tmp_path.glob('[0-9]*.mp4'))]
    done = subprocess.run(program, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and done.stdout.strip() == 'left', done.stderr[-2000:]
