"""Overlap of two masks from three counts of voxels."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """Voxel counts of a prediction, a reference and what they share.

    Both empty is a perfect answer for Dice and Jaccard (1); precision without prediction and recall without
    reference have no value (NaN), so that no mean counts them as a failure or a success.
    """

    n_pred: int
    n_ref: int
    n_both: int

    @property
    def dice(self) -> float:
        """2 |P and R| / (|P| + |R|); 1 when both are empty."""
        total = self.n_pred + self.n_ref
        return 2.0 * self.n_both / total if total else 1.0

    @property
    def jaccard(self) -> float:
        """|P and R| / |P or R|; 1 when both are empty."""
        union = self.n_pred + self.n_ref - self.n_both
        return self.n_both / union if union else 1.0

    @property
    def precision(self) -> float:
        """|P and R| / |P|; NaN without prediction."""
        return self.n_both / self.n_pred if self.n_pred else float("nan")

    @property
    def recall(self) -> float:
        """|P and R| / |R|; NaN without reference."""
        return self.n_both / self.n_ref if self.n_ref else float("nan")
