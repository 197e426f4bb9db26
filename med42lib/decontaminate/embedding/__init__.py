"""The questions to compare, and their embeddings; `stage` is that of one shard, `embed_questions`."""
