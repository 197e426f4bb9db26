"""What every stage shares: records, configuration, edges, the store, errors. Imports no stage."""
