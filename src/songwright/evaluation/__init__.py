"""Composed songs judged against real ones: distributions, structure, originality, likelihood baselines."""

from songwright.analysis.originality import OriginalityIndex
from songwright.evaluation.report import evaluate_songs, format_report

__all__ = ["OriginalityIndex", "evaluate_songs", "format_report"]
