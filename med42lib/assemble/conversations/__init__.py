"""How a record becomes a conversation: prompts, labels, explanations, markup, columns."""
