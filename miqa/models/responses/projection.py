"""Standardise and reduce a probe's response to few directions."""

from __future__ import annotations

import torch
from torch import nn

from miqa.models.parts.heads import LabelHeads

_LIMIT = 4.0  # Standardised values beyond are cut: a picture of an unseen kind moves no score without bound


#: Principal components that the discriminating directions are sought in, and how much the covariance of the contents
#: is drawn towards a sphere: few photographs show few contents.
_PRINCIPAL, _SHRINKAGE = 150, 0.05


class ResponseProjection(nn.Module):
    """Standardise the confidence, and reduce the feature maps' statistics to the directions that tell damage.

    A photograph's content moves the statistics of feature maps as much as damage does, and a hundred photographs show
    few contents. But each photograph comes in several versions: what differs between its versions is damage, what
    differs between the means of photographs is content. The directions are those along which the first is largest in
    proportion to the second (Fisher's linear discriminant with its two covariances exchanged: R. A. Fisher, "The use
    of multiple measurements in taxonomic problems", Annals of Eugenics 7, 1936).

    Everything is a buffer, fitted once by :meth:`fit` and stored with the weights. Before that it only passes the
    numbers on.

    Args:
        parts: name -> length of the parts of the response, as a probe gives them; those named ``map...`` are reduced.
        components: how many directions of the maps' statistics are kept, each scaled to unit variance.
    """

    maps: torch.Tensor
    others: torch.Tensor
    mean: torch.Tensor
    scale: torch.Tensor
    components: torch.Tensor
    fitted: torch.Tensor

    def __init__(self, parts: dict[str, int], components: int):
        super().__init__()
        names = [name for name, length in parts.items() for _ in range(length)]
        is_map = torch.tensor([name.startswith('map') for name in names])
        maps = int(is_map.sum())
        #: How many numbers of the output are standardised ones, not components.
        self.confidence = len(names) - maps
        components = min(components, maps)
        self.out_channels = self.confidence + components
        # Places, not a mask: a mask is searched at every step.
        self.register_buffer('maps', is_map.nonzero().flatten(), persistent=False)
        self.register_buffer('others', (~is_map).nonzero().flatten(), persistent=False)
        self.register_buffer('mean', torch.zeros(len(names)))
        self.register_buffer('scale', torch.ones(len(names)))
        self.register_buffer('components', torch.eye(maps, components))
        self.register_buffer('fitted', torch.tensor(False))

    @torch.no_grad()
    def fit(self, vectors: torch.Tensor, sources: torch.Tensor) -> None:
        """Take mean, deviation and directions from training pictures' vectors (N, C).

        ``sources``, int64 (N,), are the numbers of the photographs that they are versions of, from 0.

        Raises:
            ValueError: there are too few pictures or photographs for so many directions.
        """
        vectors = vectors.double()
        count = self.components.shape[1]
        if len(vectors) <= count or (count and len(sources.unique()) < 2):
            raise ValueError(
                f'{count} components cannot be fitted to {len(vectors)} pictures of {len(sources.unique())} '
                'photographs: set model.network.components to fewer, or train on more photographs.'
            )
        mean, deviation = vectors.mean(0), vectors.std(0)
        # What never changes in training says nothing; divided by almost nothing it would say anything.
        scale = torch.where(deviation > 1e-6, 1 / deviation.clamp(min=1e-6), torch.zeros_like(deviation))
        if count:
            self.components.copy_(_damage_directions(((vectors - mean) * scale)[:, self.maps], sources, count))
        self.mean.copy_(mean)
        self.scale.copy_(scale)
        self.fitted.fill_(True)

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        """Return float32 (B, out_channels): the standardised numbers, then the components."""
        standard = (vectors.float() - self.mean) * self.scale
        reduced = standard.index_select(1, self.maps) @ self.components
        return torch.cat([standard.index_select(1, self.others), reduced], 1).clamp(-_LIMIT, _LIMIT)


class FittedHeads(LabelHeads):
    """Heads on a probe's response, whose projection is fitted once before the first step.

    Attributes:
        projection: of the vectors that ``response`` gives.
    """

    projection: ResponseProjection

    @property
    def is_fitted(self) -> bool:
        """True if :meth:`fit` has been called, here or before the checkpoint was written."""
        return bool(self.projection.fitted)

    def fit(self, vectors: torch.Tensor, sources: torch.Tensor) -> None:
        """Fit the projection, before the first step, to what ``response`` gives for some thousand pictures.

        Args:
            vectors: (N, C).
            sources: int64 (N,), see :meth:`ResponseProjection.fit`.
        """
        self.projection.fit(vectors, sources)


def _damage_directions(maps: torch.Tensor, sources: torch.Tensor, count: int) -> torch.Tensor:
    """Return directions (D, count), most damage for its content first, of standardised maps (N, D)."""
    _, directions = _largest(maps.T @ maps / len(maps), max(count, min(_PRINCIPAL, len(maps) - 1)))
    reduced = maps @ directions
    number = int(sources.max()) + 1
    sums = torch.zeros(number, reduced.shape[1], dtype=reduced.dtype).index_add_(0, sources, reduced)
    sizes = torch.bincount(sources, minlength=number).clamp(min=1).unsqueeze(1)
    contents = sums / sizes
    damage = torch.cov((reduced - contents[sources]).T)
    content = torch.cov(contents[sources.unique()].T)
    content += _SHRINKAGE * content.trace() / len(content) * torch.eye(len(content), dtype=content.dtype)
    # damage v = ratio content v, made an ordinary problem by the Cholesky factor of the regular covariance.
    inverse = torch.linalg.inv(torch.linalg.cholesky(content))
    _, best = _largest(inverse @ damage @ inverse.T, count)
    projected = directions @ (inverse.T @ best)
    # The sign of a direction is arbitrary; one choice makes runs repeatable on every machine.
    projected = projected * projected.gather(0, projected.abs().argmax(0, keepdim=True)).sign()
    return projected / (maps @ projected).std(0).clamp(min=1e-6)


def _largest(matrix: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the largest eigenvalues of a symmetric matrix, falling, and their vectors as columns."""
    values, vectors = torch.linalg.eigh(matrix)
    order = values.argsort(descending=True)[:count]
    return values[order], vectors[:, order]
