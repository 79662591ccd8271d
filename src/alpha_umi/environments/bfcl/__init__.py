"""BFCL's simulated classes as environments: bfcl-eval's own, in an interpreter of their own."""
