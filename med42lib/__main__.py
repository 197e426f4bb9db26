"""`python -m med42lib` is the `med42` command."""

from med42lib.core.process import die_with_parent, end_with

die_with_parent()  # Before the imports below, which a machine at work takes a while for.

from med42lib.commands.main import main  # noqa: E402

end_with(main)
