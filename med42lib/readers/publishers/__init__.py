"""How each publisher writes its questions: the one place that knows a format, for training and evaluation alike."""
