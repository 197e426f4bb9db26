"""Stage `evaluate`: score one model on the benchmark items with lm-eval."""
