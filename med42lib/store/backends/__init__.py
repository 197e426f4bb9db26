"""Where files can be: a folder, a bucket, a hub."""
