"""One module per training source, found by its name: each declares a `TrainingSource` called `SOURCE`."""
