"""Stage `pack`: training examples become chunks of tokens, with the loss on the responses only."""
