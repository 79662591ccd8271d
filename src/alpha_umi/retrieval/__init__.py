"""Retrieval of APIs for a query from the documents of many tools, and its scores.

retriever = Retriever.index(load_corpus(Path("toolenv/tools")))
retriever.offer("What is the weather in Paris?", k=5)  # Apis, best first
"""

from alpha_umi.retrieval.corpus import Corpus, load_corpus
from alpha_umi.retrieval.retriever import Hit, Retriever

__all__ = ["Corpus", "Hit", "Retriever", "load_corpus"]
