"""Tools of tau2-bench's domains over their databases: tau2's own, in an interpreter of their own."""
