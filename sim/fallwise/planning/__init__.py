"""Questions answered by many runs: tune, break even, size, compare, fit, sensitivity."""
