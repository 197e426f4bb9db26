"""What a run will take, worked out from its spec before anything is downloaded or spent."""
