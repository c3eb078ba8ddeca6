"""Small heads from features of pictures and answers to the outcome: trained by scikit-learn, stored as ONNX.

A head is the mean of a ridge regression on all numbers and of extremely randomised trees on a few of them. Both were
chosen by cross-validation on training photographs alone, see docs/your_own_gate.md. What is written holds no code:
standardisation, two matrices, and a ``TreeEnsembleRegressor`` of ONNX's ``ai.onnx.ml``.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from miqa.keeping import atomic_write
from miqa.running import require

#: Trees, and the least samples of a leaf; and leaves of a tree at most, so that a gate stays within some megabytes.
TREES, LEAF, MOST_LEAVES = 60, 8, 256
CLIP = 4.0  # Standardised numbers are kept within so many deviations: a picture unlike all others stays near them
#: Penalties of the ridge regression, tried by leaving out sources: versions of one are so alike that leaving out one
#: version says nothing.
PENALTIES = tuple(10.0**power for power in np.arange(1, 6.5, 0.5))
_PENALTY_FOLDS = 4

_OPSETS = (('', 17), ('ai.onnx.ml', 3))


@dataclass(frozen=True)
class Columns:
    """What the K numbers of a head are."""

    trees: np.ndarray  # bool (K,): which of them trees read, too
    #: float64 (K,): of each, once standardised, in the ridge regression, where a smaller one is penalised more; 0 for
    #: what a head does not read.
    scale: np.ndarray


@dataclass
class Head:
    """A trained head."""

    #: mean, deviation: float64 (K,), of each number in training.
    mean: np.ndarray
    deviation: np.ndarray
    matrix: np.ndarray  # float64 (K, J), picks the standardised numbers of the trees
    #: weights, bias: of the ridge regression, float64 (K,) and a number.
    weights: np.ndarray
    bias: float
    trees: Any  # the fitted scikit-learn ensemble

    def __call__(self, numbers: np.ndarray) -> np.ndarray:
        """Predict outcomes of numbers (N, K): float64 (N,)."""
        standard = np.clip((numbers - self.mean) / self.deviation, -CLIP, CLIP)
        linear = standard @ self.weights + self.bias
        return (linear + self.trees.predict(standard @ self.matrix)) / 2


def train_head(numbers: np.ndarray, outcomes: np.ndarray, sources: np.ndarray, kinds: Columns, seed: int = 0) -> Head:
    """Train a head.

    Args:
        numbers: float64 (N, K), finite.
        outcomes: float64 (N,) in [0, 1].
        sources: (N,), which samples show the same scene.
        kinds: of the K numbers.
        seed: of the trees.

    Raises:
        MissingPackage: scikit-learn is not installed.
    """
    linear_model = require('sklearn.linear_model', 'Making a gate')
    ensemble = require('sklearn.ensemble', 'Making a gate')
    mean, deviation = numbers.mean(0), numbers.std(0)
    # A number that never differs says nothing; divided by its rounding it would.
    deviation = np.where(deviation > 1e-6 * (1 + np.abs(mean)), deviation, np.inf)
    standard = np.clip((numbers - mean) / deviation, -CLIP, CLIP)
    deviation = np.where(np.isfinite(deviation), deviation, 1e12)
    matrix = np.eye(numbers.shape[1])[:, kinds.trees]
    folds = _parts(sources, _PENALTY_FOLDS)
    # The explained variance used elsewhere is undefined for one sample.
    scoring = 'neg_mean_squared_error' if min(len(held) for _, held in folds) < 2 else None  # noqa: PLR2004
    ridge = linear_model.RidgeCV(PENALTIES, cv=folds, scoring=scoring).fit(standard * kinds.scale, outcomes)
    trees = ensemble.ExtraTreesRegressor(
        TREES, min_samples_leaf=LEAF, max_leaf_nodes=MOST_LEAVES, max_features=0.5, random_state=seed, n_jobs=1
    ).fit(standard @ matrix, outcomes)
    return Head(mean, deviation, matrix, ridge.coef_.ravel() * kinds.scale, float(ridge.intercept_), trees)


def cross_validate(
    numbers: np.ndarray, outcomes: np.ndarray, sources: np.ndarray, kinds: Columns, folds: int = 5, seed: int = 0
) -> np.ndarray:
    """Predict every sample by a head that saw no sample of its source: float64 (N,).

    There are as many ``folds`` as sources where these are fewer; the other arguments are those of :func:`train_head`.

    Raises:
        ValueError: there are fewer than two sources.
    """
    if len(np.unique(sources)) < 2:  # noqa: PLR2004
        raise ValueError('Cross-validation needs at least two sources.')
    predicted = np.empty(len(outcomes))
    for training, held in _parts(sources, folds, seed):
        predicted[held] = train_head(numbers[training], outcomes[training], sources[training], kinds, seed)(
            numbers[held]
        )
    return predicted


def _parts(sources: np.ndarray, folds: int, seed: int = 0) -> list[tuple[np.ndarray, np.ndarray]]:
    """Divide samples by source: for each fold the places of the others and its own, int64.

    One source alone is divided by sample.
    """
    names, source_numbers = np.unique(sources, return_inverse=True)
    if len(names) < 2:  # noqa: PLR2004
        source_numbers = np.arange(len(sources))
    count = int(source_numbers.max()) + 1
    fold = (np.argsort(np.random.default_rng(seed).permutation(count)) % min(folds, count))[source_numbers]
    return [(np.flatnonzero(fold != number), np.flatnonzero(fold == number)) for number in np.unique(fold)]


def write_head(head: Head, path: str | os.PathLike, check: np.ndarray) -> None:
    """Write a head as ONNX: ``numbers``, float32 (N, K), to ``score``, float32 (N,).

    Args:
        head: the head.
        path: the file, replaced as a whole.
        check: numbers (N, K) on which the file must agree with the head.

    Raises:
        RuntimeError: it does not, to 1e-3.
    """
    onnx = require('onnx', 'Writing a gate')
    graph = _graph(onnx, head)
    opsets = [onnx.helper.make_opsetid(domain, version) for domain, version in _OPSETS]
    model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8, producer_name='miqa')
    onnx.checker.check_model(model)
    with atomic_write(path) as temporary:
        temporary.write_bytes(model.SerializeToString())
        session = require('onnxruntime', 'Writing a gate').InferenceSession(
            model.SerializeToString(), providers=['CPUExecutionProvider']
        )
        written = session.run(['score'], {'numbers': check.astype(np.float32)})[0]
        worst = float(np.abs(written - head(check)).max())
        if worst > 1e-3:  # noqa: PLR2004  float32 against float64; a sample at a tree's very threshold may fall either way
            raise RuntimeError(f'The written head differs from the trained one by {worst:.2g}. Please report this.')


def _graph(onnx, head: Head):
    helper, numpy_helper, kinds = onnx.helper, onnx.numpy_helper, onnx.TensorProto
    count = len(head.mean)
    constants = {
        'mean': head.mean,
        'deviation': head.deviation,
        'low': np.array(-CLIP),
        'high': np.array(CLIP),
        'matrix': head.matrix,
        'weights': head.weights[:, None],
        'bias': np.array(head.bias),
        'half': np.array(0.5),
    }
    nodes = [
        helper.make_node('Sub', ['numbers', 'mean'], ['centred']),
        helper.make_node('Div', ['centred', 'deviation'], ['scaled']),
        helper.make_node('Clip', ['scaled', 'low', 'high'], ['standard']),
        helper.make_node('MatMul', ['standard', 'weights'], ['product']),
        helper.make_node('Add', ['product', 'bias'], ['linear']),
        helper.make_node('MatMul', ['standard', 'matrix'], ['parts']),
        helper.make_node(
            'TreeEnsembleRegressor', ['parts'], ['trees'], domain='ai.onnx.ml', **_tree_attributes(head.trees)
        ),
        helper.make_node('Add', ['linear', 'trees'], ['sum']),
        helper.make_node('Mul', ['sum', 'half'], ['column']),
        helper.make_node('Squeeze', ['column', 'axis'], ['score']),
    ]
    initial = [numpy_helper.from_array(value.astype(np.float32), name) for name, value in constants.items()]
    initial.append(numpy_helper.from_array(np.array([1], np.int64), 'axis'))
    return helper.make_graph(
        nodes,
        'head',
        [helper.make_tensor_value_info('numbers', kinds.FLOAT, ['batch', count])],
        [helper.make_tensor_value_info('score', kinds.FLOAT, ['batch'])],
        initial,
    )


def _tree_attributes(forest) -> dict:
    """Return scikit-learn's trees as the attributes of ONNX's operator; the target is the mean over the trees."""
    columns: dict[str, list[np.ndarray]] = {}
    for number, estimator in enumerate(forest.estimators_):
        tree = estimator.tree_
        nodes = np.arange(tree.node_count)
        leaf = tree.children_left < 0
        limits = tree.threshold.astype(np.float32)
        # scikit-learn compares float32 with float64: the next float32 below the threshold decides alike.
        limits = np.where(limits > tree.threshold, np.nextafter(limits, np.float32(-np.inf)), limits)
        rows = {
            'nodes_treeids': np.full(tree.node_count, number),
            'nodes_nodeids': nodes,
            'nodes_featureids': np.where(leaf, 0, tree.feature),
            'nodes_values': np.where(leaf, 0, limits),
            'nodes_truenodeids': np.where(leaf, 0, tree.children_left),
            'nodes_falsenodeids': np.where(leaf, 0, tree.children_right),
            'leaf': leaf,
            'target_treeids': np.full(leaf.sum(), number),
            'target_nodeids': nodes[leaf],
            'target_weights': tree.value[leaf, 0, 0] / len(forest.estimators_),
        }
        for name, values in rows.items():
            columns.setdefault(name, []).append(values)
    joined = {name: np.concatenate(values).tolist() for name, values in columns.items()}
    modes = ['LEAF' if leaf else 'BRANCH_LEQ' for leaf in joined.pop('leaf')]
    return {**joined, 'nodes_modes': modes, 'target_ids': [0] * len(joined['target_nodeids']), 'n_targets': 1}
