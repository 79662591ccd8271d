"""Static evaluation: scores of single steps against a reference, and the predictions they need."""
