"""Questions answered by many runs: tune, break even, size, sensitivity."""
