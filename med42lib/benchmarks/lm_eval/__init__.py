"""Tasks of lm-eval of the user's own, read as data: `task` reads their questions, by the help of the other three."""
