"""Raw or processed data to a file of trajectories, and trajectories to role files: datasets over the store."""

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
