"""Data preparation: raw or processed datasets to trajectory files, and trajectories to training files."""

from alpha_umi.preparation.answers import AnswerOptions, prepare_answers
from alpha_umi.preparation.export import ExportReport, export_examples, export_published
from alpha_umi.preparation.processed import prepare_processed
from alpha_umi.preparation.report import PrepareReport, Progress

__all__ = [
    "AnswerOptions",
    "ExportReport",
    "PrepareReport",
    "Progress",
    "export_examples",
    "export_published",
    "prepare_answers",
    "prepare_processed",
]
