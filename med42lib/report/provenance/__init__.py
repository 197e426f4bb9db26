"""Where the numbers come from: stages, models, settings."""
