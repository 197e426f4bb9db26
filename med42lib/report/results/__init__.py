"""The numbers: scores, accuracies with intervals, differences, the paper beside ours."""
