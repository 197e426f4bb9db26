"""The container images: their Dockerfile, what they install, what builds them, and the lock that names them."""
