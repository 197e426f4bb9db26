"""Where outputs and inputs lie: addresses, stores, manifests, and the two ends of an edge between stages."""
