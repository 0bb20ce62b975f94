"""Texts in memory, as sequences of word numbers or as bags of words; neither is stored padded or dense."""

import warnings

import torch
from scipy import sparse
from torch import Tensor

# Words of a vocabulary are numbered from 1 on; 0 fills the steps before a text.
PADDING = 0


class Sequences:
    """Texts as word numbers, one after another in a flat tensor.

    Rows come out as a tensor (rows, steps) of the last words of each text, with zeros in front up to the next multiple of
    ``pad_to``, and at most ``longest`` steps. Rows that are taken together must be of one such length, as ``groups`` makes
    them: the output for a text never depends on the other texts of a batch.

    Args:
        words: Numbers of all words of all texts (n,), int32.
        ends: End of each text in ``words``, (texts,).
        longest: Largest number of words that are read of a text, its last ones.
        pad_to: Divisor of padded lengths; the value of ``longest`` pads all texts to the same length.
    """

    def __init__(self, words: Tensor, ends: Tensor, longest: int, pad_to: int):
        self.words, self.ends = words, ends
        starts = torch.cat([ends.new_zeros(1), ends[:-1]])
        self.kept = (ends - starts).clamp(max=longest)  # words of each text that are read
        self.lengths = (
            (self.kept.clamp(min=1) + pad_to - 1).div(pad_to, rounding_mode="floor").mul(pad_to).clamp(max=longest)
        )
        self.longest, self.pad_to = longest, pad_to

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, rows: Tensor | slice) -> Tensor:
        steps = int(self.lengths[rows].max())
        back = torch.arange(-steps, 0)
        places = self.ends[rows].unsqueeze(1) + back  # (rows, steps), of which the last words end at each text's end
        inside = back >= -self.kept[rows].unsqueeze(1)
        return torch.where(inside, self.words[places.clamp(min=0)].long(), PADDING)

    def take(self, rows: Tensor) -> "Sequences":
        """Return the texts of some rows."""
        parts = [self.words[end - kept : end] for end, kept in zip(self.ends[rows], self.kept[rows], strict=True)]
        return Sequences(torch.cat(parts), self.kept[rows].cumsum(0), self.longest, self.pad_to)

    def tensors(self) -> tuple[Tensor, ...]:
        """Return all tensors of the texts."""
        return self.words, self.ends, self.lengths

    def groups(self, order: Tensor, size: int) -> list[Tensor]:
        """Return rows in batches of at most ``size``, each of one padded length, in ``order`` otherwise."""
        lengths = self.lengths[order]
        return [rows for length in lengths.unique() for rows in order[lengths == length].split(size)]


class Bags:
    """Texts as bags of words: one row per text of a sparse matrix, one column per word.

    Rows come out as sparse CSR tensors (rows, words).
    """

    def __init__(self, matrix: sparse.csr_matrix):
        self.matrix = matrix

    def __len__(self) -> int:
        return self.matrix.shape[0]

    def __getitem__(self, rows: Tensor | slice) -> Tensor:
        return tensor(self.matrix[rows.numpy() if isinstance(rows, Tensor) else rows])

    def take(self, rows: Tensor) -> "Bags":
        """Return the texts of some rows."""
        return Bags(self.matrix[rows.numpy()])

    def tensors(self) -> tuple[Tensor, ...]:
        """Return all tensors of the bags."""
        return tuple(map(torch.from_numpy, (self.matrix.data, self.matrix.indices, self.matrix.indptr)))

    def groups(self, order: Tensor, size: int) -> list[Tensor]:
        """Return rows in batches of at most ``size``, in ``order``."""
        return list(order.split(size))


def tensor(matrix: sparse.csr_matrix) -> Tensor:
    """Return a sparse matrix as a sparse CSR tensor of single precision."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse (CSR tensor support is in beta|invariant checks)")
        starts, words = torch.from_numpy(matrix.indptr).long(), torch.from_numpy(matrix.indices).long()
        return torch.sparse_csr_tensor(starts, words, torch.from_numpy(matrix.data).float(), matrix.shape)
