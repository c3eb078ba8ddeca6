"""Work on Ray and Dask: the same results and files as here, and a killed worker costs its tasks and nothing else."""

import os
import re
from pathlib import Path

import numpy as np
import pytest
from helpers_apis import write_run
from helpers_machines import save, square
from helpers_refusals import refused
from joblib import delayed

from miqa.labelling.label_job import LabelJob, make_database
from miqa.running.clusters import WorkerLost
from miqa.running.parallel import run_parallel

BACKENDS = ('ray', 'dask')
DOCS = Path(__file__).parents[2] / 'docs'
pytestmark = pytest.mark.slow


@pytest.fixture(scope='module', params=BACKENDS)
def backend(request):
    """Begin a cluster of two workers once, as the first command would."""
    pytest.importorskip(
        {'ray': 'ray', 'dask': 'distributed'}[request.param],
        reason=f"{request.param} is missing: pip install -e '.[cluster]'",
    )
    # Workers find the helpers as a user's own modules are found.
    folders = [str(Path(__file__).parents[1] / 'helpers'), str(Path(__file__).parents[2])]
    before = dict(os.environ)
    os.environ['PYTHONPATH'] = os.pathsep.join([*folders, *filter(None, [before.get('PYTHONPATH')])])
    yield request.param
    if request.param == 'ray':
        import ray

        ray.shutdown()
    else:
        import distributed

        client = distributed.get_client()
        cluster = client.cluster
        client.close()
        cluster.close()
    # Dask sets variables for its workers (glibc's, and one thread each) and leaves them set.
    os.environ.clear()
    os.environ.update(before)


def test_results_come_and_errors_are_the_tasks_own(backend):
    from helpers_clusters import fail, square_of

    assert sorted(run_parallel([delayed(square_of)(i) for i in range(20)], 2, backend)) == [i * i for i in range(20)]
    refused(ValueError, 'not five', list, run_parallel([delayed(fail)(i) for i in range(8)], 2, backend))


def test_a_killed_worker_costs_its_tasks_and_nothing_else(backend, tmp_path):
    from helpers_clusters import die_once

    calls = [delayed(die_once)(i, str(tmp_path)) for i in range(12)]
    assert sorted(run_parallel(calls, 2, backend)) == list(range(12))
    assert (tmp_path / 'died').exists()


def test_a_task_that_kills_every_worker_is_given_up_with_a_sentence(backend):
    from helpers_clusters import die

    refused(WorkerLost, 'ended its worker 4 times', list, run_parallel([delayed(die)()], 2, backend))


def test_a_database_made_on_a_cluster_has_the_bytes_of_one_made_here(backend, tmp_path):
    for number in range(3):
        save(tmp_path / f'in/{number}.png', square((5 + number, 6, 40, 30), (64, 48), 230))
    machine = {
        'type': 'CallableMachine', 'function': 'helpers_machines:bright_squares', 'task': 'det', 'name': 'eyes',
        'classes': ['square'],
    }  # fmt: skip
    results = []
    for way in ('loky', backend):
        job = LabelJob(
            tmp_path / 'in', tmp_path / way, 'det', [machine], distortions=('darkness', 'gaussian_noise'),
            level_pairs=[(1, 1), (2, 4), (5, 5)], jobs=2 if way != 'loky' else 1, backend=way,
        )  # fmt: skip
        assert make_database(job, False).problems == []
        # Records of responses and labels hold times and versions; pictures, masks and label files do not.
        files = [path for path in (tmp_path / way).rglob('*') if path.suffix in ('.png', '.csv')]
        results.append({path.relative_to(tmp_path / way): path.read_bytes() for path in files})
    assert len(results[0]) > 20 and results[0] == results[1]


def test_the_recipe_for_ray_data_gives_the_scores_of_the_model(tmp_path, monkeypatch):
    """The Python block of docs/scale.md, run as it is printed, in a folder that has what it names."""
    ray = pytest.importorskip('ray', reason="ray is missing: pip install -e '.[cluster]'")
    import pandas as pd

    from miqa.apis import MIQAModel

    write_run(tmp_path / 'best.pth')
    paths = []
    for number in range(5):
        path = tmp_path / f'{number}.png'
        save(path, np.random.default_rng(number).integers(0, 256, (60, 80, 3)))
        paths.append(str(path))
    (tmp_path / 'broken.png').write_bytes(b'no picture')
    (tmp_path / 'list.txt').write_text('\n'.join([*paths, str(tmp_path / 'broken.png')]) + '\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('RAY_USAGE_STATS_ENABLED', '0')
    (block,) = re.findall(r'```python\n(.*?)```', (DOCS / 'scale.md').read_text(encoding='utf-8'), re.DOTALL)
    ray.init(num_cpus=3, include_dashboard=False, log_to_driver=False, logging_level='ERROR')
    try:
        exec(compile(block, 'scale.md', 'exec'), {'__name__': 'recipe'})  # noqa: S102  our own page
    finally:
        ray.shutdown()
    table = pd.read_parquet(tmp_path / 'scores').set_index('path')
    expected = MIQAModel(weights=tmp_path / 'best.pth').assess(paths)
    assert table.loc[paths, 'score'].tolist() == pytest.approx(expected, abs=1e-6)
    assert len(table) == 6 and 'broken.png' in table.loc[str(tmp_path / 'broken.png'), 'error']
