"""The whole history of one training row, from the publisher's file to packed tokens: what `med42 inspect` shows."""
