"""Functions world: invented tools as users write them, from needs in text files."""
