"""What tables mean: cost, quality, latency, calibration, and how far each number can be trusted.

Pure functions of tables; the same for a simulated run and for a live one.
"""
