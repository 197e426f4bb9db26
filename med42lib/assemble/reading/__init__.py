"""Reading every source into sorted runs of rows."""
