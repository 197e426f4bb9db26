"""Answers of one model in shards; `stage` is that of one shard, `answer_questions`."""
